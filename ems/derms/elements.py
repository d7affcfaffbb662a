"""Elements of what is served, without what changes by itself: links, counts, status.

A change is accepted only once its element has been written: nothing that cannot be served is kept.
"""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from ems.derms.served import Control, Curve, Device, Group, Program
from ems.errors import Fault
from ems.protocols.ieee2030_5 import codec, sep
from ems.protocols.ieee2030_5.events import EventState, Status

REPLY_TO = "/rsps/1/r"
"""Where Responses go."""
_VERSIONS = 1 << 16
"""VersionType has 16 bits: after the last one the first one comes."""
_MOST_SHOWN = 80
"""Characters of a value in a fault."""


def next_version(version: int) -> int:
    """Of something that has changed."""
    return (version + 1) % _VERSIONS


def faults_of(place: str, make: Callable[[], sep.Resource]) -> list[Fault]:
    """Why an element cannot be served; empty: it can.

    Args:
        place: what it is of; a fault's place goes on with the element's name.
        make: makes it.
    """
    try:
        codec.encode(make())
    except ValidationError as error:
        return [
            Fault(
                place=f"{place}: {'.'.join(str(part).removesuffix('_') for part in found['loc'])}",
                problem=f"{repr(found['input'])[:_MOST_SHOWN]}: {found['msg']}",
            )
            for found in error.errors(include_url=False, include_context=False)
        ]
    return []


def curve(found: Curve) -> sep.DERCurve:
    """A DERCurve."""
    points = [
        sep.CurveData(xvalue=x, yvalue=y, excitation=bool(more[0]) if more else None)
        for x, y, *more in found.points
    ]
    options: dict[str, Any] = dict(found.options)
    return sep.DERCurve(
        href=found.href,
        mRID=found.mrid,
        description=found.description or None,
        version=found.version,
        creationTime=found.created,
        CurveData_=points,
        curveType=found.type,
        xMultiplier=found.x_multiplier,
        yMultiplier=found.y_multiplier,
        yRefType=found.y_ref_type,
        **options,
    )


def program(held: Program, **links: Any) -> sep.DERProgram:
    """A DERProgram."""
    return sep.DERProgram(
        href=f"/derp/{held.number}",
        subscribable=1,
        mRID=held.mrid,
        description=held.description or None,
        version=held.version,
        primacy=held.primacy,
        **links,
    )


def control(number: int, found: Control, state: EventState | None = None) -> sep.DERControl:
    """A DERControl.

    Args:
        number: of its program.
        found: the control.
        state: its status; None: as it is when it is published.
    """
    if state is None:
        state = EventState(
            current=Status.SCHEDULED,
            since=found.created,
            potentially_superseded=False,
            potentially_superseded_since=None,
        )
    return sep.DERControl(
        href=f"/derp/{number}/derc/{found.number}",
        replyTo=REPLY_TO,
        responseRequired=f"{found.response_required:02X}",
        subscribable=0,
        mRID=found.mrid,
        description=found.description or None,
        version=found.version,
        creationTime=found.created,
        EventStatus_=sep.EventStatus(
            currentStatus=int(state.current),
            dateTime=state.since,
            potentiallySuperseded=state.potentially_superseded,
            potentiallySupersededTime=state.potentially_superseded_since,
        ),
        interval=sep.DateTimeInterval(duration=found.duration, start=found.start),
        randomizeDuration=found.random_duration,
        randomizeStart=found.random_start,
        DERControlBase_=found.base,
        deviceCategory=None if found.category is None else f"{found.category:X}",
    )


def group(found: Group, **more: Any) -> sep.FunctionSetAssignments:
    """The FunctionSetAssignments of a group."""
    return sep.FunctionSetAssignments(
        subscribable=0,
        mRID=found.mrid,
        description=found.description or None,
        version=found.version,
        **more,
    )


def device(known: Device, **more: Any) -> sep.EndDevice:
    """An EndDevice."""
    return sep.EndDevice(
        href=f"/edev/{known.number}",
        subscribable=1,
        deviceCategory=f"{known.category:X}",
        lFDI=known.lfdi,
        sFDI=known.sfdi,
        changedTime=known.changed,
        enabled=known.enabled,
        **more,
    )
