"""What is asked of a device at an instant: events that run, and default controls."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from ems.enddevice.application import ControlInForce, Ordered, Value
from ems.enddevice.programs import ReadProgram, ramp_s
from ems.enddevice.tracked import Tracked, follows
from ems.protocols.ieee2030_5 import events, sep
from ems.protocols.ieee2030_5.functions import functions_of

Refusal = Callable[[Mapping[str, Value]], int | None]
"""The Response that refuses a control; None: it can be followed."""


def in_force(
    programs: Sequence[ReadProgram], running: Collection[Tracked], now: int, refusal: Refusal
) -> ControlInForce:
    """What all programs ask together, every function of one of them.

    Args:
        programs: the first one first.
        running: events that are followed.
        now: server's time [s].
        refusal: judges default controls.
    """
    ordered: dict[str, Ordered] = {}
    taken: set[str] = set()
    by_mrid = {t.event.mrid: t for t in running}
    windows = {
        mrid: (_in_turn(t, running), replace(t.window, start=min(t.window.start, now)))
        for mrid, t in by_mrid.items()
    }
    for piece in events.plan(windows, now):
        if piece.start > now:
            continue
        read = by_mrid[piece.event.mrid].read
        for mode, value in read.values.items():
            if functions_of(mode) <= piece.modes:
                taken |= functions_of(mode)
                ordered[mode] = Ordered(
                    value=value, source=piece.event.mrid, event=True, ramp_s=read.ramp_s
                )
    for mode, by_default in _defaults(programs, refusal):
        if not functions_of(mode) & taken:
            taken |= functions_of(mode)
            ordered[mode] = by_default
    return ControlInForce(ordered=ordered, default=_settings(programs))


def _in_turn(tracked: Tracked, running: Collection[Tracked]) -> events.Event:
    """An event without what those ask for that follow on it in its program and have begun."""
    taken = [t.event.modes for t in running if follows(t, tracked)]
    return replace(tracked.event, modes=tracked.event.modes.difference(*taken))


def _settings(programs: Sequence[ReadProgram]) -> sep.DefaultDERControl | None:
    """The default control of the first program, and what it leaves out as the next one has it.

    Each setting is an element of its own that changes the DER's where it is present (IEEE Std
    2030.5-2018, Annex B, DefaultDERControl): one that is absent lifts nobody's.
    """
    defaults = [p.default.control for p in programs if p.default is not None]
    found: dict[str, int] = {}
    for default in defaults:
        for name in type(default).model_fields:
            value = getattr(default, name)
            if name.startswith("set") and value is not None:
                found.setdefault(name, value)
    return defaults[0].model_copy(update=found) if defaults else None


def _defaults(programs: Sequence[ReadProgram], refusal: Refusal) -> Iterator[tuple[str, Ordered]]:
    """Modes of default controls that can be followed, those of the first program first."""
    for program in programs:
        if program.default is None:
            continue
        control = program.default.control
        ramp = ramp_s(control.DERControlBase_)
        for mode, value in program.default.values.items():
            if refusal({mode: value}) is None:
                yield mode, Ordered(value=value, source=control.mRID, event=False, ramp_s=ramp)
