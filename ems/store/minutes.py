"""Polls gathered to minute means."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ems.domain import DerReading, LoadReading, Quality
from ems.store.values import LOAD, MinuteMean


@dataclass(slots=True, kw_only=True)
class _Sums:
    """The polls of one device in one minute."""

    polls: int = 0
    capped: bool = False
    cap_kw: float | None = None
    """Lowest so far [kW]."""
    total: dict[str, float] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)

    def add(self, reading: DerReading | LoadReading) -> None:
        self.polls += 1
        if isinstance(reading, DerReading) and _hides_sun(reading):
            self.capped = True
            if reading.cap_kw is not None and math.isfinite(reading.cap_kw):
                self.cap_kw = min(reading.cap_kw, math.inf if self.cap_kw is None else self.cap_kw)
        for name in ("p_kw", "q_kvar", "v_pu", "soc_pct", "available_kw"):
            value = getattr(reading, name, None)
            if value is not None and math.isfinite(value):
                self.total[name] = self.total.get(name, 0.0) + value
                self.count[name] = self.count.get(name, 0) + 1

    def mean(self, name: str) -> float | None:
        return self.total[name] / self.count[name] if name in self.count else None


class MinuteMeans:
    """The minute that is being measured; not thread-safe."""

    def __init__(self) -> None:
        self._minute: datetime | None = None
        self._devices: dict[str, _Sums] = {}

    def add(self, now: datetime, readings: Iterable[DerReading | LoadReading]) -> list[MinuteMean]:
        """Add one poll; a value that is stale, assumed or no number does not count.

        Returns the means of the minute before, where this poll opens a new one.
        """
        done = self.close(before=now)
        self._minute = _minute(now)
        for reading in readings:
            if reading.quality is Quality.GOOD and math.isfinite(reading.p_kw):
                device = reading.der if isinstance(reading, DerReading) else LOAD
                self._devices.setdefault(device, _Sums()).add(reading)
        return done

    def close(self, *, before: datetime | None = None) -> list[MinuteMean]:
        """Means of the open minute; with `before`, only when that lies in another minute."""
        minute = self._minute
        if minute is None or (before is not None and _minute(before) == minute):
            return []
        means = [
            MinuteMean(
                device=device,
                time=minute,
                p_kw=p_kw,
                q_kvar=sums.mean("q_kvar"),
                v_pu=sums.mean("v_pu"),
                soc_pct=sums.mean("soc_pct"),
                capped=sums.capped,
                cap_kw=sums.cap_kw,
                available_kw=sums.mean("available_kw"),
                polls=sums.polls,
            )
            for device, sums in self._devices.items()
            if (p_kw := sums.mean("p_kw")) is not None
        ]
        self._minute, self._devices = None, {}
        return means


def _hides_sun(reading: DerReading) -> bool:
    """Whether a cap is in force, binding or not; one at the rating is none."""
    cap, rated = reading.cap_kw, reading.rated_kw
    return cap is not None and not (rated is not None and cap >= rated)


def _minute(when: datetime) -> datetime:
    return when - timedelta(seconds=when.second, microseconds=when.microsecond)
