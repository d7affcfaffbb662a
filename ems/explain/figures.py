"""Figures of the sentence: powers in the unit and digits they deserve."""

from collections.abc import Sequence

MOST_NAMED = 3
"""Devices named one by one."""


def share(held_kw: float, free_kw: float) -> str:
    """Two powers in one unit, in just as many digits as tell them apart."""
    if free_kw >= 1000.0 and f"{held_kw / 1e3:.2f}" != f"{free_kw / 1e3:.2f}":
        return f"{held_kw / 1e3:.2f} of {free_kw / 1e3:.2f} MW"
    for digits in range(3):
        held, free = f"{held_kw:.{digits}f}", f"{free_kw:.{digits}f}"
        if held != free:
            return f"{held} of {free} kW"
    return f"a little less than {free_kw:.2f} kW"


def power(kw: float) -> str:
    """Megawatts where there are any."""
    return f"{kw:.0f} kW" if kw < 1000.0 else f"{kw / 1e3:.2f} MW"


def joined(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
