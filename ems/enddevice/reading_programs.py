"""Reads all programs that a device is assigned to, with their controls and curves."""

from collections.abc import Sequence
from dataclasses import dataclass

from ems.enddevice.paging import whole
from ems.enddevice.programs import (
    ReadControl,
    ReadDefault,
    ReadProgram,
    curve_links,
    values_of,
)
from ems.enddevice.session import Refused, Session
from ems.protocols.ieee2030_5 import sep

GONE = frozenset({403, 404, 410})
"""Answers that mean that there is no such resource, for this device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPrograms:
    """What a device is assigned to."""

    programs: Sequence[ReadProgram]
    poll_s: int | None
    """How often the server wants to be asked for them; None: it does not say [s]."""
    unread: tuple[str, ...] = ()
    """What could not be read, for people; the rest stands."""
    whole: bool = True
    """False: there may be programs that could not be read."""


async def read_programs(session: Session, device: sep.EndDevice) -> ReadPrograms:
    """Everything that programs ask of a device at present.

    Raises:
        Lost, Refused: as the session; then nothing of it may be believed.
    """
    link = device.FunctionSetAssignmentsListLink
    if link is None:
        return ReadPrograms(programs=(), poll_s=None)
    assignments = await whole(
        session, link.href, sep.FunctionSetAssignmentsList, lambda p: p.FunctionSetAssignments_
    )
    rates, unread = [assignments.page.pollRate], [*assignments.unread]
    found: dict[str, ReadProgram] = {}
    for href in dict.fromkeys(
        a.DERProgramListLink.href for a in assignments.items if a.DERProgramListLink is not None
    ):
        listed = await whole(session, href, sep.DERProgramList, lambda p: p.DERProgram_)
        rates.append(listed.page.pollRate)
        unread += listed.unread
        for program in listed.items:
            known = found.get(program.mRID)
            if known is None or program.primacy < known.primacy:  # of two, the one that goes first
                found[program.mRID] = await _program(session, program)
    told = [rate for rate in rates if rate]
    faults = [fault for program in found.values() for fault in program.faults]
    return ReadPrograms(
        programs=tuple(found.values()),
        poll_s=min(told, default=None),
        unread=(*map(str, unread), *faults),
        whole=not unread,
    )


async def _program(session: Session, program: sep.DERProgram) -> ReadProgram:
    controls: list[sep.DERControl] = []
    unread: tuple[sep.Unread, ...] = ()
    if program.DERControlListLink is not None:
        listed = await whole(
            session, program.DERControlListLink.href, sep.DERControlList, lambda p: p.DERControl_
        )
        controls, unread = listed.items, listed.unread
    faults = [f"program {program.mRID}: {one}" for one in unread]
    default = await _default(session, program, faults)
    bases = [control.DERControlBase_ for control in controls]
    if default is not None:
        bases.append(default.DERControlBase_)
    curves = {
        href: curve
        for href in sorted(frozenset().union(*map(curve_links, bases)))
        if (curve := await _curve(session, href)) is not None
    }
    return ReadProgram(
        mrid=program.mRID,
        primacy=program.primacy,
        controls=tuple(
            ReadControl(control=c, values=values_of(c.DERControlBase_, curves)) for c in controls
        ),
        default=None
        if default is None
        else ReadDefault(control=default, values=values_of(default.DERControlBase_, curves)),
        default_withheld=default is None and program.DefaultDERControlLink is not None,
        unread=unread,
        faults=tuple(faults),
    )


async def _default(
    session: Session, program: sep.DERProgram, faults: list[str]
) -> sep.DefaultDERControl | None:
    """None: there is none, or the server withholds what its program still links to.

    One that makes no sense is noted in `faults`, and counts as withheld.
    """
    link = program.DefaultDERControlLink
    if link is None:
        return None
    try:
        return await session.get(link.href, sep.DefaultDERControl)
    except Refused as error:
        if not error.status:
            faults.append(f"program {program.mRID}: {error}")
        elif error.status not in GONE:
            raise
        return None


async def _curve(session: Session, href: str) -> sep.DERCurve | None:
    """None: it cannot be read, and a control that needs it cannot be followed."""
    try:
        return await session.get(href, sep.DERCurve)
    except Refused:
        return None
