"""What the administration tells, in a person's words."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ems.derms import worded
from ems.derms.board import (
    Board,
    Control,
    Curve,
    Device,
    Group,
    NotFound,
    Program,
    Responded,
    Subscribed,
)
from ems.settings.ieee2030_5 import CATEGORIES, CURVE_MODES

STATES = ("scheduled", "active", "cancelled", "cancelled_randomly", "superseded")
"""IEEE 2030.5-2018, EventStatus.currentStatus 0 to 4."""

_FIRST = int(datetime.min.replace(tzinfo=UTC).timestamp())
_LAST = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp())
"""Ends of what a date can tell, the years 1 and 9999 [s since 1970]."""


def utc(time: int | None) -> str | None:
    """A time as ISO 8601; of one that a device told beyond what can be written, the nearest."""
    if time is None:
        return None
    return datetime.fromtimestamp(min(max(time, _FIRST), _LAST), UTC).isoformat()


def device(board: Board, one: Device) -> dict[str, Any]:
    """A device, and when it was last heard of."""
    shown = asdict(one)
    shown["category"] = [name for bit, name in enumerate(CATEGORIES) if one.category >> bit & 1]
    for key in ("created", "changed"):
        shown[key] = utc(shown[key])
    return shown | {
        "href": f"/edev/{one.number}",
        "groups": list(one.groups),
        "last_seen": utc(board.last_seen(one.lfdi)),
    }


def program(board: Board, one: Program) -> dict[str, Any]:
    """A program, its default in words, and who is in it."""
    return {
        "name": one.name,
        "number": one.number,
        "href": f"/derp/{one.number}",
        "mrid": one.mrid,
        "description": one.description,
        "primacy": one.primacy,
        "version": one.version,
        "created": utc(one.created),
        "default": None if one.default is None else default(board, one),
        "curves": list(one.curves),
        "devices": len(board.members(one.name)),
    }


def default(board: Board, one: Program) -> dict[str, Any]:
    """The default of a program, whole, as it may be put back.

    Raises:
        NotFound: it has none.
    """
    if one.default is None:
        raise NotFound(f"program {one.name!r} has no default")
    return worded.worded_default(one.default, _curve_names(board))


def control(board: Board, one: Control) -> dict[str, Any]:
    """A control, its status now, and what is asked."""
    now = board.now()
    state = STATES[int(board.state(one.mrid, now).current)]
    over = one.cancelled is None and one.ends <= now
    return {
        "mrid": one.mrid,
        "program": one.program,
        "href": f"/derp/{board.program(one.program).number}/derc/{one.number}",
        "description": one.description,
        "version": one.version,
        "created": utc(one.created),
        "start": utc(one.start),
        "duration_s": one.duration,
        "random_start_s": one.random_start,
        "random_duration_s": one.random_duration,
        "response_required": one.response_required,
        "state": "ended" if over else state,
        "cancelled": utc(one.cancelled),
        "base": base(board, one.base),
    }


def base(board: Board, asked: Any) -> dict[str, Any]:
    """What is asked, curves by their names."""
    return worded.worded(asked, _curve_names(board))


def _curve_names(board: Board) -> Callable[[str], str]:
    names = {curve.href: curve.name for curve in board.curves()}
    return lambda href: names.get(href, href)


def curve(one: Curve) -> dict[str, Any]:
    """A curve in plain numbers."""
    points = [
        [round(p[0] * 10.0**one.x_multiplier, 6), round(p[1] * 10.0**one.y_multiplier, 6)]
        for p in one.points
    ]
    return {
        "name": one.name,
        "number": one.number,
        "href": one.href,
        "mrid": one.mrid,
        "description": one.description,
        "version": one.version,
        "type": list(CURVE_MODES)[one.type],
        "y_ref": worded.Y_REFERENCES[one.y_ref_type],
        "points": points,
        "excitation": ["under" if p[2] else "over" for p in one.points if len(p) > 2] or None,
        "options": dict(one.options),
    }


def group(one: Group) -> dict[str, Any]:
    """A group."""
    return asdict(one) | {"programs": list(one.programs)}


def subscription(board: Board, one: Subscribed) -> dict[str, Any]:
    """Who is told of which changes."""
    device = board.device_by_number(one.device)
    return {
        "device": None if device is None else device.name,
        "number": one.number,
        "resource": one.path,
        "uri": one.uri,
        "limit": one.limit,
        "created": utc(one.created),
        "renewed": utc(one.renewed),
    }


def response(one: Responded) -> dict[str, Any]:
    """A device's answer to an event."""
    return {
        "subject": one.subject,
        "lfdi": one.lfdi,
        "status": one.status,
        "time": utc(one.time),
        "received": utc(one.received),
    }
