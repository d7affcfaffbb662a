"""Limits at the point of common coupling, held against a load flow."""

import math
from collections.abc import Mapping
from typing import Final

from ems.domain import LoadFlow, Site

LIMITS: Final = ("import_over_kw", "export_over_kw", "power_factor_over_kvar")
"""Columns that tell how far beyond each limit a feeder's head is; null where there is none."""
TOLERANCE_KW: Final = 1e-3
"""To which a load flow knows the power at its head [kW], [kvar]."""


def beyond(site: Site, flow: LoadFlow) -> dict[str, float]:
    """How far the head is beyond each limit that the site has, 0 where it is kept [kW], [kvar].

    The power factor is |P|/|S|: as reactive power it allows tan(arccos) of the active one.

    Args:
        site: with its limits.
        flow: one that converged.
    """
    found = {}
    if site.import_limit_kw is not None:
        found["import_over_kw"] = flow.head_kw - site.import_limit_kw
    if site.export_limit_kw is not None:
        found["export_over_kw"] = -flow.head_kw - site.export_limit_kw
    if site.power_factor_min is not None:
        most_kvar = math.tan(math.acos(site.power_factor_min)) * abs(flow.head_kw)
        found["power_factor_over_kvar"] = abs(flow.head_kvar) - most_kvar
    return {name: max(over, 0.0) for name, over in found.items()}


def broken(over: Mapping[str, float], tolerance: float = TOLERANCE_KW) -> list[str]:
    """Limits that are exceeded.

    Args:
        over: as `beyond` tells it.
        tolerance: how much is round-off [kW], [kvar].
    """
    return [name for name, value in over.items() if value > tolerance]


def beyond_in_words(name: str, over: float, site: Site) -> str:
    """How far a limit is exceeded, for people.

    Args:
        name: of a limit that the site has, one of `LIMITS`.
        over: how far beyond it [kW], [kvar].
        site: with its limits.
    """
    match name:
        case "import_over_kw":
            return f"{(site.import_limit_kw or 0.0) + over:.0f} kW imported, {_more(over)}"
        case "export_over_kw":
            return f"{(site.export_limit_kw or 0.0) + over:.0f} kW exported, {_more(over)}"
        case _:
            return f"{over:.0f} kvar more than the power factor {site.power_factor_min:g} allows"


def _more(over: float) -> str:
    return f"{over:.1f} kW more than allowed"
