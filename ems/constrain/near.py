"""The cheapest dispatch near a safe point, by steps that stay safe.

Where re-linearisation leaps from one unsafe optimum to the next, the dispatch is asked for the best
point within a radius of the last safe one, and the radius shrinks until load flows verify it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ems.constrain.cases import severity
from ems.constrain.interval import Interval, Trial
from ems.constrain.linear import RowKey
from ems.constrain.relinearise import (
    BEND,
    NARROW_PU,
    SETTLED,
    TIGHT_USD_PER_H,
    WIDEST_PU,
    Resolve,
    linear_optimum,
)
from ems.constrain.rungs import cap_of, capped
from ems.domain import Dispatch, NetworkRow, RowBlock, RowKind, Setpoint

STEPS = 20
"""Steps, verified or not, at most."""
FIRST_RADIUS = 0.25
"""Longest first step, as a share of the ratings [1]."""
LEAST_RADIUS = 1e-3
"""Radius below which no step is worth a solve [1]."""
ABOVE = 1e-6
"""Distance from a kink that tells its two sides apart, as a share of the rating [1]."""
WITHIN = "within "
"""Begins the place of a row that keeps a DER near a point; no node or element has a space."""


def cheapest_near(
    at: Interval, safe: Trial, first: Trial, resolve: Resolve
) -> tuple[Trial, int, bool]:
    """The cheapest safe point that steps lead to, the steps, and whether none leads further.

    `first` is the dispatch without rows: what the network costs tells when the cost has settled.
    """
    best = point = safe
    radius, margin = FIRST_RADIUS, NARROW_PU
    keys: list[RowKey] = []
    for used in range(1, STEPS + 1):
        within = _Within(at, point, radius, resolve)
        decided, keys = linear_optimum(at, point, keys, within, margin)
        cost = best.decided.objective_usd_per_h
        gain = cost - decided.objective_usd_per_h
        allowed = max(SETTLED * abs(cost - first.decided.objective_usd_per_h), TIGHT_USD_PER_H)
        # What a linear feeder gains grows no faster than the radius.
        if gain <= radius * allowed and margin == NARROW_PU:
            above = _above_kinks(at, best) if point is best else None
            if above is None:
                return best, used, True
            point, radius = above, FIRST_RADIUS
            continue
        trial = at.trial(decided)
        if trial.safe and gain > 0.0:
            best = point = trial
            radius, margin = min(2.0 * radius, 1.0), NARROW_PU
            continue
        bend = BEND * severity(trial.broken[0]) if trial.broken else WIDEST_PU
        if margin == NARROW_PU and bend < WIDEST_PU:
            margin = bend  # where the curve to there was met, its height is the margin to keep
            continue
        radius, margin = radius / 2.0, NARROW_PU
        if radius < LEAST_RADIUS:
            break
    return best, used, False


def _above_kinks(at: Interval, best: Trial) -> Trial | None:
    """The same with caps that stand where the sun of a case ends just above; None without one.

    Below, such a cap moves the case, above it does not: each side is a step of its own.
    """
    setpoints = dict(best.decided.setpoints)
    raised = False
    for pv in at.site.pvs:
        kink_kw, cap_kw = at.forecast.pv[pv.name].lower_kw, setpoints[pv.name].cap_kw
        nudge_kw = ABOVE * pv.rated_kw
        if kink_kw > 0.0 and cap_kw is not None and abs(cap_kw - kink_kw) < nudge_kw:
            setpoints[pv.name] = capped(setpoints[pv.name], kink_kw + nudge_kw, at.forecast)
            raised = True
    return at.trial(at.priced(best.decided, setpoints)) if raised else None


@dataclass(frozen=True, slots=True)
class _Within:
    """The dispatch with every DER within a radius of a point.

    A row is all the dispatch takes from here, so the radius is handed over in rows, each DER's
    own; what they cost is no price of the network's and is left out of the answer.
    """

    at: Interval
    point: Trial
    radius: float
    """As a share of the ratings [1]."""
    resolve: Resolve

    def __call__(
        self,
        rows: Sequence[NetworkRow] | RowBlock,
        pins: Mapping[str, Setpoint],
        *,
        generators_may_fall: bool = True,
    ) -> Dispatch:
        names = self.at.site.names
        network = rows if isinstance(rows, RowBlock) else RowBlock.of(rows, names)
        found = self.resolve(self._with(network), pins, generators_may_fall=generators_may_fall)
        binding = tuple(b for b in found.binding if not b.row.place.startswith(WITHIN))
        return replace(found, binding=binding)

    def _with(self, rows: RowBlock) -> RowBlock:
        ders, setpoints = rows.ders, self.point.decided.setpoints
        rated = {d.name: d.rated_kw for d in self.at.site.ders}
        away = self.radius * np.array([rated[name] for name in ders])
        least_kw, most_kw = np.array([self._range_kw(name, rated[name]) for name in ders]).T
        q_kvar = np.array([setpoints[name].q_kvar for name in ders])
        one, none = np.eye(len(ders)), np.zeros((len(ders), len(ders)))
        count = 4 * len(ders)
        return RowBlock(
            ders=ders,
            c_p=np.vstack([rows.c_p, one, -one, none, none]),
            c_q=np.vstack([rows.c_q, none, none, one, -one]),
            bound=np.concatenate([rows.bound, most_kw, -least_kw, q_kvar + away, away - q_kvar]),
            kind=(*rows.kind, *[RowKind.LOADING] * count),
            place=(*rows.place, *[WITHIN + name for name in ders] * 4),
            limit=np.concatenate([rows.limit, np.full(count, 100.0)]),
            case=(*(rows.case or [""] * len(rows)), *[""] * count),
        )

    def _range_kw(self, name: str, rated_kw: float) -> tuple[float, float]:
        """Power a DER may step to; of a PV plant its cap, as rows have it.

        A cap moves a case without sun only below what that leaves: a step ends at this kink.
        """
        setpoints, away = self.point.decided.setpoints, self.radius * rated_kw
        if name not in self.at.forecast.pv:
            return setpoints[name].p_kw - away, setpoints[name].p_kw + away
        cap_kw = cap_of(setpoints, name, self.at.forecast)
        kink_kw = self.at.forecast.pv[name].lower_kw
        if kink_kw > 0.0 and cap_kw <= kink_kw:
            return cap_kw - away, min(cap_kw + away, kink_kw)
        return max(cap_kw - away, kink_kw), cap_kw + away
