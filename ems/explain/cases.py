"""When a limit is reached: the cases of an interval (`ems.constrain.cases`), in words."""

from ems.domain import Dispatch, Quality, Site
from ems.explain.unmoved import Still

MOVED_SHARE = 1e-3
"""Power by which a plant may rise or fall and that is left unsaid, of its rating [1]."""
EXPECTED = "expected"


def should(case: str, site: Site, held: Dispatch, still: Still | None) -> str:
    """` should the sun come out and the load fall`; empty for what is expected.

    Args:
        case: its name; empty for a limit that stands in no case.
        site: what is installed.
        held: the dispatch that is sent.
        still: knows the forecast; without it, plants may rise to their caps.
    """
    first, *rest = case.split(", ")
    if first in ("", EXPECTED):
        return _then(rest)
    dark = next((part for part in rest if part.endswith((" shaded", " alone"))), "")
    up = first == "high"
    falls = up != ("load high" in rest or "load low" in rest)
    parts = []
    if dark.endswith(" shaded"):
        parts.append(f"{dark.removesuffix(' shaded')} alone be shaded")
    elif dark:
        parts.append(f"the sun reach {dark.removesuffix(' alone')} alone")
    elif up and _may_rise(site, held, still):
        parts.append("the sun come out")
    elif not up and any(
        held.setpoints[pv.name].p_kw > MOVED_SHARE * pv.rated_kw for pv in site.pvs
    ):
        parts.append("clouds come")
    if _load_moves(site, still):
        parts.append("the load fall" if falls else "the load rise")
    return (f" should {' and '.join(parts)}" if parts else "") + _then(rest)


def _then(rest: list[str]) -> str:
    ramps = " while a generator is on its way" if "ramping" in rest else ""
    return ramps + (" after taps have moved" if "taps moved" in rest else "")


def _may_rise(site: Site, held: Dispatch, still: Still | None) -> bool:
    """Whether a plant may give more than is expected of it."""
    for pv in site.pvs:
        at = held.setpoints[pv.name]
        most = [kw for kw in (at.cap_kw,) if kw is not None]
        if still is not None:
            most.append(still.forecast.pv[pv.name].upper_kw)
        if most and min(most) - at.p_kw > MOVED_SHARE * pv.rated_kw:
            return True
    return False


def _load_moves(site: Site, still: Still | None) -> bool:
    if site.limits.load_band_pct > 0.0:
        return True
    if still is None:
        return False
    foretold = (still.forecast.load_lower_kw, still.forecast.load_upper_kw)
    return still.snapshot.load.quality is not Quality.GOOD or foretold != (None, None)
