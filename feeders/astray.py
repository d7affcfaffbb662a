"""Lines that are not as the file says: a simulated truth differs from the model of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

CLIPPED = 3.0
"""Standard deviations beyond which none is drawn, so that no line becomes a generator of power."""
_STREAM = 2  # beside a seed's other random numbers
LARGEST_SD = 0.3
"""Beyond it a line could come out without impedance, CLIPPED times below its own [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineErrors:
    """How far the lines' impedances are from the file's."""

    sd: float
    """Standard deviation of each line's impedance, of itself [1]."""
    seed: int

    def __post_init__(self) -> None:
        """Refuse what would leave a line without impedance.

        Raises:
            ValueError: `sd` lies outside 0 to 0.3.
        """
        if not 0.0 <= self.sd <= LARGEST_SD:
            raise ValueError(f"error of line impedances {self.sd:g}; expected 0 to {LARGEST_SD:g}")


def lead_astray(context: Any, errors: LineErrors) -> None:
    """Give each line of a compiled circuit an impedance of its own.

    Its length is scaled, so series impedance and charging alike, however the file defines them:
    lengths are what a utility's maps get wrong. Lines are taken in the file's order.
    """
    lines = context.Lines
    rng = np.random.default_rng([errors.seed, _STREAM])
    factors = 1.0 + errors.sd * np.clip(rng.standard_normal(lines.Count()), -CLIPPED, CLIPPED)
    more = lines.First()
    for factor in factors.tolist():
        if not more:  # disabled ones are counted and never visited
            break
        lines.Length(lines.Length() * factor)
        more = lines.Next()
