"""Measurements out of SunSpec registers: a number, nothing, or an error that names the point."""

import math

from ems.errors import DeviceError
from ems.protocols.sunspec import LARGEST_SCALE_FACTOR, ModelBlock


def told(block: ModelBlock, name: str, place: str) -> float | None:
    """A quantity in the point's unit; None where the device does not tell it.

    Raises:
        DeviceError: there is a number, and no telling of what: its scale factor is missing.
    """
    if block.raw(name) is None:
        return None
    sf = block.scale_factor(name)
    if sf is None or abs(sf) > LARGEST_SCALE_FACTOR:
        got = "reads as not available (NaN)" if sf is None else f"holds {sf}"
        raise DeviceError(
            f"{place}: {name} of model {block.model.id} cannot be read: its scale factor "
            f"{block.model.points[name].sf} {got}"
        )
    return block.value(name)


def needed(block: ModelBlock, name: str, place: str) -> float:
    """A quantity that the device must tell.

    Raises:
        DeviceError: it does not.
    """
    value = told(block, name, place)
    if value is None:
        raise DeviceError(
            f"{place}: {name} of model {block.model.id} reads as not available (NaN); its "
            "measurement or the scale factor is missing"
        )
    return value


def kilo(value: float | None) -> float | None:
    """W in kW, var in kvar."""
    return None if value is None else value / 1000


def first(block: ModelBlock, place: str, *names: str) -> float | None:
    """Of several points the first one that is told and above zero: a setting, else its rating."""
    for name in names:
        value = told(block, name, place)
        if value is not None and value > 0 and math.isfinite(value):
            return value
    return None
