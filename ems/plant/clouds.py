"""A seeded cloud process: the clear-sky index of one day, by the minute.

Weather changes between three regimes (a Markov chain); within a regime the index reverts
to its mean (an Ornstein-Uhlenbeck process). Made up to look like a day, fitted to nothing.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MINUTES = 1440


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """How the clear-sky index behaves while a kind of weather lasts."""

    mean: float
    spread: float
    """Standard deviation around the mean [1]."""
    memory_min: float
    """Time in which a deviation dies away to 1/e [min]."""
    lasts_min: float
    """Mean time until the weather changes [min]."""

    def by_minute(self) -> tuple[float, float, float]:
        """Mean, what a minute leaves of a deviation, and the spread of what it adds."""
        keep = np.exp(-1 / self.memory_min)
        return self.mean, float(keep), float(self.spread * np.sqrt(1 - keep**2))


SUNNY = Regime(mean=0.98, spread=0.015, memory_min=30, lasts_min=240)
MIXED = Regime(mean=0.72, spread=0.22, memory_min=6, lasts_min=120)
OVERCAST = Regime(mean=0.28, spread=0.07, memory_min=20, lasts_min=150)
REGIMES = (SUNNY, MIXED, OVERCAST)
BY_MINUTE = tuple(regime.by_minute() for regime in REGIMES)
"""Of each regime, reckoned once."""
STARTS = (0.45, 0.35, 0.20)
"""How often a day begins in each regime."""
FOLLOWS = ((0.0, 0.85, 0.15), (0.6, 0.0, 0.4), (0.1, 0.9, 0.0))
"""What follows each regime when it ends, by row."""
LOWEST, HIGHEST = 0.03, 1.08
"""Range of the index; a broken cloud's edge brightens a little."""
SUNNY_UNTIL_MIN = 14 * 60
"""A day with a sunny start stays so until here: high sun, where voltage limits bind [min]."""


def clear_sky_index(seed: int, day: date, *, sunny_start: bool = False) -> Floats:
    """Power over clear-sky power, minute by minute through one day.

    Args:
        seed: of the weather.
        day: each has a random stream of its own, so days come out alike in any order.
        sunny_start: begin sunny and stay so into the afternoon.

    Returns:
        Shape (1441,), the last value closing the day.
    """
    rng = np.random.default_rng([seed, 0, day.toordinal()])
    # Python's own numbers: one minute follows from the last, three times as fast.
    shocks = rng.standard_normal(MINUTES + 1).tolist()
    regime = int(rng.choice(3, p=STARTS))
    index = []
    deviation = 0.0
    left = _duration(rng, regime)
    if sunny_start:
        regime, left = 0, max(left, SUNNY_UNTIL_MIN)
    mean = REGIMES[regime].mean
    for shock in shocks:
        if left <= 0:
            regime = int(rng.choice(3, p=FOLLOWS[regime]))
            left = _duration(rng, regime)
        left -= 1
        lasting, keep, spread = BY_MINUTE[regime]
        deviation = keep * deviation + spread * shock
        mean += (lasting - mean) / 5  # a front takes minutes to pass, not an instant
        index.append(mean + deviation)
    found: Floats = np.clip(index, LOWEST, HIGHEST)
    return found


def _duration(rng: np.random.Generator, regime: int) -> float:
    """Minutes until the weather changes."""
    return float(rng.exponential(REGIMES[regime].lasts_min))
