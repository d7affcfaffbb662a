"""Whether a measurement has stopped: a device that answers, and always the same.

With a heartbeat the device says so itself. Without one, P, Q and voltage must be the very same
numbers while the voltage of the site has moved by more than meters differ. A device that is
idle, or a grid at rest, is not accused; then it cannot be known.
"""

from collections.abc import Iterable
from datetime import datetime
from statistics import median

from ems.domain import Alike, DerReading

MOVED_PU = 0.01
"""How far the site's voltage must have moved: IEEE 1547-2018 (table 3) lets a DER's voltage
measurement be wrong by as much [pu]."""


def site_v_pu(readings: Iterable[DerReading]) -> float | None:
    """Median voltage that devices measure; None where none does [pu]."""
    measured = [r.v_pu for r in readings if r.v_pu is not None and r.v_pu > 0.0]
    return median(measured) if measured else None


def alike(before: Alike | None, reading: DerReading, v_pu: float | None) -> Alike:
    """The run of readings that this one belongs to: the one before, or a new one.

    Args:
        before: the run up to now.
        reading: the newest.
        v_pu: median voltage of the site [pu].
    """
    if before is None:
        return Alike(first=reading, v_pu=v_pu)
    first = before.first
    beat = reading.heartbeat is not None and reading.heartbeat != first.heartbeat
    shown = [(r.p_kw, r.q_kvar, r.v_pu) for r in (first, reading)]
    beats = before.beats and reading.heartbeat is not None
    if not beat and (beats or shown[0] == shown[1]):
        return before
    return Alike(first=reading, v_pu=v_pu, beats=beats or (beat and first.heartbeat is not None))


def stopped(run: Alike, now: datetime, v_pu: float | None, longest_s: float) -> str:
    """Why the readings of a run count no more; empty while they do.

    Args:
        run: readings that do not differ.
        now: the present.
        v_pu: median voltage of the site now [pu].
        longest_s: age from which a measurement counts as stale [s].
    """
    for_s = (now - run.first.time).total_seconds()
    if for_s <= longest_s:
        return ""
    if run.beats:
        return f"its heartbeat has stood still for {for_s:.0f} s"
    if not _busy(run.first) or v_pu is None or run.v_pu is None:
        return ""
    moved_pu = abs(v_pu - run.v_pu)
    if moved_pu < MOVED_PU:
        return ""
    return (
        f"P, Q and V have been the same for {for_s:.0f} s, while the site's voltage moved by "
        f"{moved_pu:.3f} pu"
    )


def _busy(reading: DerReading) -> bool:
    """Whether it delivers something, and measures its voltage."""
    return reading.v_pu is not None and (reading.p_kw != 0.0 or reading.q_kvar != 0.0)
