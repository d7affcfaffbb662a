"""How fast simulated time goes by."""

import math

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
