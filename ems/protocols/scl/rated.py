"""Ratings configured in a file: numbers that a device can have, each checked with its line."""

import math
import re

from lxml import etree

from ems.protocols.scl.faults import Faults
from ems.protocols.scl.model import DataObject
from ems.protocols.scl.points import RATINGS

Element = etree._Element  # noqa: SLF001 - lxml's own name for the type of an element
NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
"""As XML Schema writes a float; Python's own would take 1_0 as well."""
LEAST, MOST = 1.0, 1e11
"""Smallest and largest rating [W, VA, var, Wh, V]: registers count whole ones, and the second is
more than any power station has."""
LARGEST_V = 1e7
"""Largest nominal voltage [V]; the highest in use is a tenth of that."""
LIMITS = {(r.ln_class, r.do): MOST for r in RATINGS} | {
    ("DPCC", "WRtg"): MOST,
    ("DECP", "VRef"): LARGEST_V,
}
"""Largest value of each rating, by class of node and data object."""


def number(text: str) -> float | None:
    """The finite number that a text is; None where it is none."""
    text = text.strip()
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def check_ratings(
    node: Element, ln_class: str, objects: tuple[DataObject, ...], faults: Faults
) -> None:
    """Tell of each rating of a node that no device can have."""
    for made in objects:
        most = LIMITS.get((ln_class, made.name))
        text = None if most is None else _text(made)
        if most is None or text is None:
            continue
        value = number(text)
        if value is None or not (value == 0 or LEAST <= value <= most):
            faults.at(
                _place(node, made.name),
                f"{made.name} '{text[:40]}' is no rating; give a number from {LEAST:g} to "
                f"{most:g} in W, VA, var, Wh or V, or 0 for none",
            )


def _text(made: DataObject) -> str | None:
    for attribute in made.attributes:
        if attribute.name == "setMag":
            for part in attribute.parts:
                if part.name == "f":
                    return part.value
    return None


def _place(node: Element, name: str) -> Element:
    """Where the value stands: its Val, else the node, whose type has it."""
    for instance in node.iterfind("{*}DOI"):
        if instance.get("name") == name:
            value = instance.find(".//{*}Val")
            return instance if value is None else value
    return node
