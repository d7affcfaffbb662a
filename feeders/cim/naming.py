"""Names and numbers as OpenDSS text takes them: nothing of a CIM name can become a command."""

import math
import re

ODD = re.compile(r"[^a-z0-9_-]+")
LONGEST = 60
"""OpenDSS shows names in tables; more than this is cut."""

FREE_NEUTRAL = 4
"""First node number for a neutral that is not grounded."""


class Names:
    """Gives each object a name of its own, free of what OpenDSS reads as text or node.

    Lower-case letters, digits, `_` and `-` stay; anything else (blanks, line breaks, quotes,
    dots, comment signs) becomes `_`. Names that fall together are told apart by a number.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def give(self, wanted: str) -> str:
        """The name that stands for `wanted`, not given before."""
        stem = ODD.sub("_", wanted.strip().lower())[:LONGEST].lstrip("-") or "unnamed"
        name, number = stem, 2
        while name in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add(name)
        return name


def shown(text: str) -> str:
    """Little of a text that may be anything, and printable: for messages."""
    kept = "".join(c if c.isprintable() else "?" for c in text)
    return kept if len(kept) <= LONGEST else kept[: LONGEST - 1] + "…"


def fmt(value: float) -> str:
    """A number in OpenDSS text.

    Raises:
        ValueError: not finite; whoever reads the CIM file has refused it before.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return f"{value:.10g}"


def at(bus: str, nodes: tuple[int, ...]) -> str:
    """Bus with its nodes, `b7.1.3`."""
    return ".".join([bus, *map(str, nodes)])
