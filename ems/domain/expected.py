"""What the coming interval is expected to bring."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from statistics import NormalDist
from typing import Final

import numpy as np

SUREST: Final = 0.999
"""Confidence up to which the tail of the load is extrapolated: beyond a quarter of an hour in ten
days, the two outermost quantiles say nothing [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PvForecast:
    """Power one PV plant could produce in the coming interval, were it not capped."""

    expected_kw: float
    lower_kw: float
    """Lower bound of the interval, at the confidence asked for [kW]."""
    upper_kw: float
    """Safe upper bound of the interval; caps are verified up to here [kW]."""
    method: str
    """`lstm`, `paper_lstm`, `smart_persistence`, `clear_sky` or `given`."""
    quantiles_kw: tuple[float, ...] = ()
    """Quantiles of its mean over the interval, at the `levels` of the forecast, ascending; empty
    where the method has none [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the coming interval is expected to bring."""

    start: datetime
    pv: Mapping[str, PvForecast]
    load_kw: float
    load_kvar: float | None = None
    """None: nominal power factors of the feeder's loads [kvar]."""
    notes: tuple[str, ...] = ()
    """Why a better method was not used, one line each, with the plant's name in front."""
    faults: tuple[str, ...] = ()
    """Models that ship or were promoted and are refused or missing, for an operator, one line each.
    What was forecast without them is as good a base of the proofs."""
    levels: tuple[float, ...] = ()
    """Levels of all quantiles, ascending [1]."""
    load_method: str = "measured"
    """Where its quantiles come from: `profile`, the week's; `measured`, it has none. It is expected
    to stay as measured either way."""
    load_quantiles_kw: tuple[float, ...] = ()
    """Quantiles of the load's mean over the interval, at `levels`; empty: not known [kW]."""
    load_lower_kw: float | None = None
    """Least load at the confidence asked for; None: as far below as the meter's band [kW]."""
    load_upper_kw: float | None = None
    """Most load at the confidence asked for; None: as far above as the meter's band [kW]."""
    confidence: float = 1.0
    """Share of intervals that stay above `lower_kw`, and as many below `load_upper_kw`; 1: there
    may be no sun at all [1]."""
    unlimited: Mapping[str, PvForecast] = field(default_factory=dict)
    """The sky of plants that others limit, as it would be without: for those that may not keep to
    it."""

    def notes_by_plant(self) -> Mapping[str, tuple[str, ...]]:
        """What `notes` say of each plant, without its name in front; empty where nothing."""
        found: dict[str, tuple[str, ...]] = dict.fromkeys(self.pv, ())
        for note in self.notes:
            name, _, what = note.partition(": ")
            if name in found:
                found[name] = (*found[name], what)
        return found

    def within(self, most_kw: Mapping[str, float | None]) -> "Forecast":
        """The same, where plants give no more than others let them, whatever the sky.

        Args:
            most_kw: by name of the plant; None: nobody limits it [kW].
        """
        limits = {n: x for n, x in most_kw.items() if x is not None and n in self.pv}
        if not limits:
            return self
        bounded = {
            name: replace(
                self.pv[name],
                expected_kw=min(self.pv[name].expected_kw, limit_kw),
                lower_kw=min(self.pv[name].lower_kw, limit_kw),
                upper_kw=min(self.pv[name].upper_kw, limit_kw),
            )
            for name, limit_kw in limits.items()
        }
        sky = {name: self.pv[name] for name in limits}
        return replace(self, pv={**self.pv, **bounded}, unlimited=sky)

    def unkept(self, names: Collection[str]) -> "Forecast":
        """The same, where plants give what the sky offers that may not keep to others' limits.

        Args:
            names: of plants that are not commanded, among others.
        """
        free = {name: sky for name, sky in self.unlimited.items() if name in names}
        return replace(self, pv={**self.pv, **free}) if free else self


def least_kw(levels: Sequence[float], quantiles_kw: Sequence[float], confidence: float) -> float:
    """Available power that is exceeded with a confidence [kW].

    Below the lowest level known, power falls in proportion to the level, down to none at
    confidence 1: of the darkest intervals nothing is known but that power is not negative.

    Args:
        levels: of the quantiles, ascending, within (0, 1).
        quantiles_kw: ascending; none known means no power.
        confidence: above 0.5, at most 1 [1].
    """
    if not quantiles_kw:
        return 0.0
    return float(np.interp(1.0 - confidence, (0.0, *levels), (0.0, *quantiles_kw)))


def band_kw(
    levels: Sequence[float], quantiles_kw: Sequence[float], confidence: float
) -> tuple[float, float]:
    """Lowest and highest load with a confidence each [kW].

    Beyond the outermost levels the tail goes on as a normal distribution's through the two
    outermost quantiles of its side, up to `SUREST`. Load is never negative.

    Args:
        levels: of the quantiles, ascending, within (0, 1).
        quantiles_kw: ascending, at least two.
        confidence: above 0.5, at most 1 [1].
    """
    score = NormalDist().inv_cdf
    sure = min(confidence, SUREST)
    z = [score(level) for level in levels]

    def at(level: float, outer: int, inner: int) -> float:
        if levels[0] <= level <= levels[-1]:
            return float(np.interp(level, levels, quantiles_kw))
        slope = (quantiles_kw[outer] - quantiles_kw[inner]) / (z[outer] - z[inner])
        return quantiles_kw[outer] + slope * (score(level) - z[outer])

    lowest, highest = at(1.0 - sure, 0, 1), at(sure, -1, -2)
    return max(lowest, 0.0), max(highest, 0.0)
