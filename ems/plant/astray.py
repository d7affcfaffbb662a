"""Feeder files that are wrong in the way real ones are: the truth of a test, not the model's."""

import random
import re

LENGTH = re.compile(r"(?<=\blength=)([0-9.]+)", re.IGNORECASE)


def with_wrong_lengths(text: str, spread_pct: float, seed: int) -> str:
    """An OpenDSS file whose every line is longer or shorter than it says.

    Args:
        text: the file; lengths stand as `length=…`.
        spread_pct: largest error of a line, evenly spread to both sides [% of its length].
        seed: of the errors.
    """
    rng = random.Random(seed)
    spread = spread_pct / 100.0

    def wrong(found: re.Match[str]) -> str:
        return f"{float(found[0]) * (1.0 + rng.uniform(-spread, spread)):.9g}"

    return LENGTH.sub(wrong, text)
