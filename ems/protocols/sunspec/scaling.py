"""Scaled integers: a register holds a count, and a scale factor says of what.

Decimal arithmetic on the shortest decimal that names the float, so that 70.7 kW is
70.7 kW and not the binary number just below it, and so that a limit rounded down and
decoded again can never exceed what was asked.
"""

from decimal import ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from enum import StrEnum

LARGEST_SCALE_FACTOR = 10
"""Largest exponent a SunSpec scale factor may hold."""


class Rounding(StrEnum):
    """How a quantity becomes a count."""

    FLOOR = ROUND_FLOOR
    """For limits: never above what was asked."""
    TOWARDS_ZERO = ROUND_DOWN
    """For setpoints: never more power either way than was asked."""
    NEAREST = ROUND_HALF_EVEN
    """For measurements."""


def counts(value: float | Decimal, sf: int, rounding: Rounding) -> int:
    """The integer that stands for `value` with scale factor `sf`.

    Raises:
        ValueError: `value` is not a finite number.
    """
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    if not exact.is_finite():
        raise ValueError(f"{value} is not a finite number")
    return int(exact.scaleb(-sf).to_integral_value(rounding=rounding.value))


def scaled(raw: int, sf: int) -> Decimal:
    """The quantity that `raw` stands for, exactly."""
    return Decimal(raw).scaleb(sf)


def smallest_scale_factor(full_scale: float, largest: int, *, finest: int = 0) -> int:
    """The finest scale factor, `finest` or more, with which `full_scale` fits.

    Args:
        full_scale: largest magnitude to be held, in the point's unit.
        largest: largest count the register holds, 32767 for int16.
        finest: smallest exponent worth having.

    Raises:
        ValueError: not even the largest scale factor suffices.
    """
    for sf in range(finest, LARGEST_SCALE_FACTOR + 1):
        if abs(counts(full_scale, sf, Rounding.NEAREST)) <= largest:
            return sf
    raise ValueError(f"{full_scale} does not fit a register that holds up to {largest}")
