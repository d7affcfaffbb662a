"""Numbers on the command line that click's own types do not know."""

import math
from typing import Any

import click


class Speed(click.ParamType[float | None]):
    """`max`, or simulated seconds per real second."""

    name = "max|NUMBER"

    def convert(
        self, value: str | float | None, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """None stands for `max`: time is stepped, nothing waits."""
        if value is None or value == "max":
            return None
        try:
            speed = float(value)
        except ValueError:
            speed = math.nan
        if not (math.isfinite(speed) and speed > 0):
            self.fail(f'{value} is neither "max" nor a number above 0', param, ctx)
        return speed


class Number(click.FloatRange):
    """A number within bounds; `nan` is within none of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Raises:
            click.BadParameter: it is none, or out of bounds.
        """
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number
