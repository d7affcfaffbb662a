"""What stored energy is worth when the first interval ends: the weight w_es, found not guessed.

The multiplier of the charge balance says it at one point. One price alone would make the single
interval charge or discharge all it can, where the plan stops half way. So the whole worth is told,
as a concave piecewise linear function of the stored energy: by dynamic programming backwards from
the end of the horizon, at the plan's price of power at the battery's bus. Each step is the
supremal convolution of two concave functions, which only merges their pieces by slope.

Exact where the price of power does not hang on what the batteries do (one price for both
directions of the grid, no row of eq. (10) in later intervals). Elsewhere it is an upper bound of
the true worth that touches it at the plan. At a negative price of power, burning energy would make
the worth convex: the concave hull stands in.
"""

from collections.abc import Mapping

from ems.domain import Bes, Site
from ems.domain.ahead import Plan, StoragePlan, StorageValue
from ems.lookahead.model import HOURS

SAME_USD_PER_KWH = 1e-9
"""Slopes nearer than this are one piece."""
NARROW_KWH = 1e-9
"""Pieces shorter than this are none."""

Piece = tuple[float, float]
"""Length [kWh] and slope [$/kWh]; from the first on, slopes fall."""


def value_of_storage(site: Site, plan: Plan) -> Mapping[str, StorageValue]:
    """Worth of the energy in each battery when the first interval of `plan` ends.

    Batteries that cannot change their energy (state of charge not known) have none, and are
    missing. Bellman, Dynamic Programming, 1957; Rockafellar, Convex Analysis, theorem 5.4, for the
    merging of slopes.
    """
    values = ((b.name, _value(b, plan.storage[b.name])) for b in site.bess)
    return {name: value for name, value in values if value is not None}


def _value(bes: Bes, plan: StoragePlan) -> StorageValue | None:
    low, high = plan.lowest_kwh, plan.highest_kwh
    if high - low <= NARROW_KWH:
        return None
    pieces = _at_the_end(plan, low, high)
    for price in reversed(plan.bus_usd_per_kwh[1:]):
        pieces = _one_interval_earlier(pieces, bes, price)
    kwh: list[float] = [low]
    slopes: list[float] = []
    for length, slope in pieces:
        if slopes and abs(slopes[-1] - slope) <= SAME_USD_PER_KWH:
            kwh[-1] += length
        else:
            kwh.append(kwh[-1] + length)
            slopes.append(slope)
    kwh[-1] = high
    return StorageValue(kwh=tuple(kwh), usd_per_kwh=tuple(slopes))


def _at_the_end(plan: StoragePlan, low: float, high: float) -> list[Piece]:
    if plan.terminal_kwh is None:
        return [(high - low, 0.0)]
    target = min(max(plan.terminal_kwh, low), high)
    found = [(target - low, plan.shortfall_usd_per_kwh), (high - target, 0.0)]
    return [piece for piece in found if piece[0] > NARROW_KWH]


def _one_interval_earlier(later: list[Piece], bes: Bes, price: float) -> list[Piece]:
    """Worth at an interval's start from that at its end; both between the same limits."""
    into = HOURS * bes.rated_kw * bes.eta_charge
    out = HOURS * bes.rated_kw / bes.eta_discharge
    if price >= 0.0:  # charging saves price/η per kWh held already, discharging earns price·η
        moves = [(into, price / bes.eta_charge), (out, price * bes.eta_discharge)]
    else:
        moves = [(into + out, price * 2.0 * HOURS * bes.rated_kw / (into + out))]
    merged = sorted([*later, *moves], key=lambda piece: -piece[1])
    # The merged pieces start `into` below the lower limit and end `out` above the upper one.
    return _within(merged, into, sum(length for length, _ in later))


def _within(pieces: list[Piece], skip: float, keep: float) -> list[Piece]:
    """The pieces from `skip` on, over a length of `keep`."""
    found: list[Piece] = []
    at = -skip
    for length, slope in pieces:
        used = min(at + length, keep) - max(at, 0.0)
        if used > NARROW_KWH:
            if found and abs(found[-1][1] - slope) <= SAME_USD_PER_KWH:
                found[-1] = (found[-1][0] + used, found[-1][1])
            else:
                found.append((used, slope))
        at += length
    return found
