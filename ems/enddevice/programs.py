"""Programs as they were read: controls, default control and curves put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ems.enddevice.application import Value
from ems.protocols.ieee2030_5 import events, modes, sep


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadControl:
    """A control whose curves are at hand."""

    control: sep.DERControl
    values: Mapping[str, Value]
    """By mode; a curve in the place of its link."""

    @property
    def ramp_s(self) -> float | None:
        """Time in which to get there [s]."""
        return ramp_s(self.control.DERControlBase_)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDefault:
    """A default control whose curves are at hand."""

    control: sep.DefaultDERControl
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadProgram:
    """A program and all that it asks for."""

    mrid: str
    primacy: int
    controls: Sequence[ReadControl]
    default: ReadDefault | None
    default_withheld: bool = False
    """Whether the program has a default control that could not be read."""
    unread: tuple[sep.Unread, ...] = ()
    """Controls that could not be read."""
    faults: tuple[str, ...] = ()
    """What of the program could not be read, for people."""


EARLIEST_S, LATEST_S = 0, 253_402_300_799
"""Times that events may have: from 1970 to the end of the year 9999, which dates can tell, and
whose sums the schema's 64 bits hold; durations for ever end long before [s since 1970]."""


def is_sane(event: events.Event) -> bool:
    """Whether the times of an event are times at all."""
    times = (event.start, event.end, event.created)
    return all(EARLIEST_S <= time <= LATEST_S for time in times)


def concerns(control: sep.DERControl, category: int | None) -> bool:
    """Whether a control is for devices of a category; None: for one that takes all."""
    if category is None or control.deviceCategory is None:
        return True
    return bool(int(control.deviceCategory, 16) & category)


def ramp_s(base: sep.DERControlBase) -> float | None:
    """What rampTms of a control says [s]."""
    return None if base.rampTms is None else base.rampTms / 100


def event_of(
    program: ReadProgram, control: sep.DERControl, functions: frozenset[str]
) -> events.Event:
    """A control for the calculus of events."""
    status = control.EventStatus_
    cancelled = status.currentStatus in {
        events.Status.CANCELLED, events.Status.CANCELLED_RANDOMLY,
    }  # fmt: skip
    return events.Event(
        mrid=control.mRID,
        program=program.mrid,
        primacy=program.primacy,
        created=control.creationTime,
        start=control.interval.start,
        duration=control.interval.duration,
        random_start=control.randomizeStart or 0,
        random_duration=control.randomizeDuration or 0,
        cancelled=status.dateTime if cancelled else None,
        cancelled_randomly=status.currentStatus == events.Status.CANCELLED_RANDOMLY,
        modes=functions,
    )


def values_of(base: sep.DERControlBase, curves: Mapping[str, sep.DERCurve]) -> dict[str, Value]:
    """What a control sets, by mode.

    Args:
        base: of the control.
        curves: by address, those that could be read.
    """
    found: dict[str, Value] = {}
    for mode in sorted(modes.asked(base)):
        value = getattr(base, mode)
        found[mode] = curves.get(value.href, value) if isinstance(value, sep.Link) else value
    return found


def with_known_defaults(
    programs: Sequence[ReadProgram], known: Sequence[ReadProgram]
) -> list[ReadProgram]:
    """Programs in which a default control that is withheld stands as it was read last.

    Args:
        programs: as they were read.
        known: as they were known before.
    """
    last = {program.mrid: program.default for program in known}
    return [
        replace(program, default=last.get(program.mrid)) if program.default_withheld else program
        for program in programs
    ]


def with_known_curves(
    programs: Sequence[ReadProgram], known: Mapping[str, sep.DERCurve]
) -> tuple[list[ReadProgram], dict[str, sep.DERCurve]]:
    """Programs in which a curve that could not be read stands as it was read last.

    Args:
        programs: as they were read.
        known: curves by address, as they were read before.

    Returns:
        The programs; the curves that they use, by address.
    """
    used: dict[str, sep.DERCurve] = {}

    def filled(base: sep.DERControlBase, values: Mapping[str, Value]) -> Mapping[str, Value]:
        found = dict(values)
        for mode, value in values.items():
            link = getattr(base, mode, None)
            if not isinstance(link, sep.Link):
                continue
            curve = known.get(link.href) if isinstance(value, sep.Link) else value
            if isinstance(curve, sep.DERCurve):
                found[mode] = used[link.href] = curve
        return found

    whole = [
        replace(
            program,
            controls=tuple(
                replace(read, values=filled(read.control.DERControlBase_, read.values))
                for read in program.controls
            ),
            default=program.default
            and replace(
                program.default,
                values=filled(program.default.control.DERControlBase_, program.default.values),
            ),
        )
        for program in programs
    ]
    return whole, used


def curve_links(base: sep.DERControlBase) -> frozenset[str]:
    """Addresses of the curves that a control needs."""
    values = (getattr(base, mode) for mode in modes.asked(base))
    return frozenset(value.href for value in values if isinstance(value, sep.Link))
