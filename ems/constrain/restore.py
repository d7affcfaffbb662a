"""Towards a point that all cases verify, where the cheapest one was not to be had.

Steps of a linear program bring down the largest excess over all cases: the feeder is made linear
at the last point, a step goes no further than a radius, and load flows judge it. Sequential linear
programming with a trust region on a minimax problem: Madsen and Schjær-Jacobsen, "Linearly
constrained minimax optimization", Math. Program. 14 (1978), doi:10.1007/BF01588966.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from ems.constrain.cases import Case, injections, severity
from ems.constrain.interval import Interval, Trial
from ems.constrain.reach import (
    COLUMNS,
    PIECES,
    Floats,
    Reach,
    columns_of,
    in_order,
    moving,
    reach,
    setpoints_of,
)
from ems.constrain.rungs import running_range
from ems.domain import Dispatch, Limits, LoadFlow, RowKind, Setpoint

STEPS = 20
"""Steps from one start, at most."""
AIM = 5e-4
"""Room below every limit at which a step aims, as a share of the limit [1]."""
FIRST_RADIUS = 0.5
"""Longest first step, as a share of the ratings [1]."""
LEAST_RADIUS = 1e-3
"""Radius below which no step is worth a load flow [1]."""
GAIN = 1e-6
"""Gain below which a step leads nowhere, as a share of the limit [1]."""
LEAST_SHARE = 0.01
"""Likewise, as a share of the excess that is left: no number of such steps ends it [1]."""
ROWS_PER_CASE = 12
"""Places of a case that get rows at once."""
GOOD = 0.25
"""Share of the gain promised from which the next step may be longer [1]."""
ROUNDS = 8
"""Rounds of adding rows within one step."""
MOST_SWITCHED = 3
"""Generators whose on and off are all tried together; of more, only as the starts have them."""


def restored(at: Interval, starts: Sequence[Dispatch]) -> Trial | None:
    """A point that all cases verify; None where steps from no start lead to one.

    Starts are taken in the order of their largest excess, each with its generators on or off as
    they are in it, then with others.
    """
    points = [_Point.of(at, start, start.setpoints) for start in starts]
    points += [
        _Point.of(at, points[0].trial.decided, _switched(at, starts[0].setpoints, states))
        for states in _states(at)
    ]
    for point in sorted(points, key=lambda p: p.excess):
        found = _descended(at, point)
        if found.trial.safe:
            return found.trial
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A point within reach, and what the load flows say of it."""

    x: Floats
    """Columns of `reach`."""
    trial: Trial

    @classmethod
    def of(cls, at: Interval, like: Dispatch, setpoints: Mapping[str, Setpoint]) -> "_Point":
        return cls.at_columns(at, like, columns_of(at.site, at.snapshot, at.forecast, setpoints))

    @classmethod
    def at_columns(cls, at: Interval, like: Dispatch, x: Floats) -> "_Point":
        setpoints = setpoints_of(at.site, at.snapshot, at.forecast, x)
        # Rows of another point say nothing of this one.
        return cls(x=x, trial=at.trial(replace(at.priced(like, setpoints), binding=())))

    @property
    def excess(self) -> float:
        """Largest of all cases, as a fraction of the limit; infinite where one diverges."""
        return severity(self.trial.broken[0]) if self.trial.broken else 0.0


def _states(at: Interval) -> Iterator[Mapping[str, bool]]:
    """Every on and off of the generators that can be either, where they are few."""
    free = [
        d
        for d in at.site.dgs
        if d.name not in at.pins and running_range(d, at.snapshot.ders[d.name].p_kw)[2]
    ]
    if 0 < len(free) <= MOST_SWITCHED:
        for states in itertools.product((False, True), repeat=len(free)):
            yield {d.name: on for d, on in zip(free, states, strict=True)}


def _switched(
    at: Interval, setpoints: Mapping[str, Setpoint], states: Mapping[str, bool]
) -> Mapping[str, Setpoint]:
    """The same with generators on, at their least power or more, or off."""
    found = dict(setpoints)
    for dg in at.site.dgs:
        if dg.name in states:
            p_kw = max(found[dg.name].p_kw, dg.min_kw) if states[dg.name] else 0.0
            found[dg.name] = replace(found[dg.name], p_kw=p_kw)
    return found


def _descended(at: Interval, point: _Point) -> _Point:
    """Where steps from a point lead.

    A step minds only the cases that were the worst so far: most often one of them alone cannot be
    kept, and the others need not be made linear.
    """
    bounds = reach(at.site, at.snapshot, at.forecast, at.pins, point.trial.decided.setpoints)
    minded: set[str] = set()
    radius = FIRST_RADIUS
    model = None
    for _ in range(STEPS):
        if point.trial.safe or not np.isfinite(point.excess) or radius < LEAST_RADIUS:
            break
        minded.add(point.trial.broken[0].case)
        model = model or _Linear(at, point)
        x, promised = model.step(bounds, radius, minded)
        promised = point.excess - max(promised, 0.0)
        if promised < max(GAIN, LEAST_SHARE * point.excess):
            break
        tried = _Point.at_columns(at, point.trial.decided, x)
        gain = point.excess - tried.excess
        unminded = model.names - minded
        if gain > GOOD * promised:
            radius = min(2.0 * radius, 1.0)
        elif tried.trial.broken[0].case in unminded:
            minded.add(tried.trial.broken[0].case)
        else:
            radius /= 4.0
        if gain > 0.0:
            point, model = tried, None
    return point


class _Linear:
    """Cases of the interval, linear around a point, and the rows of them that matter."""

    def __init__(self, at: Interval, point: _Point) -> None:
        self._at = at
        self._point = point
        self._x = point.x
        self._cases: dict[str, _LinearCase] = {}
        self.names = {case.name for case in point.trial.cases}

    def step(self, bounds: Reach, radius: float, minded: Collection[str]) -> tuple[Floats, float]:
        """The columns within a radius whose largest predicted excess is least, and that excess.

        It is the largest of the minded cases.
        """
        for case in self._point.trial.cases:
            if case.name in minded and case.name not in self._cases:
                self._cases[case.name] = _LinearCase(self._at, case, self._point)
                self._cases[case.name].add(self._x, -np.inf)
        x, worst = self._solved(bounds, radius)
        turned = in_order(x, bounds, self._at.forecast, self._at.site)
        return (x, worst) if turned is None else self._solved(turned, radius)

    def _solved(self, bounds: Reach, radius: float) -> tuple[Floats, float]:
        x, worst = self._least(bounds, radius)
        for _ in range(ROUNDS):
            added = [case.add(x, worst) for case in self._cases.values()]
            if not any(added):
                break
            x, worst = self._least(bounds, radius)
        return x, worst

    def _least(self, bounds: Reach, radius: float) -> tuple[Floats, float]:
        """One linear program: least largest excess over the rows so far; infinite without one."""
        rows = np.vstack([case.rows for case in self._cases.values()])
        value = np.concatenate([case.values for case in self._cases.values()])
        n = len(self._x)
        away = radius * bounds.sizes
        lo = np.minimum(np.maximum(bounds.lo, self._x - away), bounds.hi)
        hi = np.maximum(np.minimum(bounds.hi, self._x + away), bounds.lo)
        done = linprog(
            np.concatenate([np.zeros(n), [1.0]]),
            A_ub=sp.vstack(
                [
                    sp.csr_array(np.hstack([rows, np.full((len(rows), 1), -1.0)])),
                    sp.hstack([bounds.a, sp.csr_array((bounds.a.shape[0], 1))]),
                ],
                format="csr",
            ),
            b_ub=np.concatenate([rows @ self._x - value, bounds.b]),
            bounds=[*zip(lo.tolist(), hi.tolist(), strict=True), (-AIM, None)],
            method="highs",
        )
        if done.status != 0 or done.x is None:
            return self._x, np.inf
        return np.asarray(done.x[:n], dtype=float), float(done.x[n])


class _LinearCase:
    """One case around a point: rows  excess + slopes·(x − point) ≤ largest excess."""

    def __init__(self, at: Interval, case: Case, point: _Point) -> None:
        setpoints = point.trial.decided.setpoints
        asked = injections(case, setpoints, at.forecast, at.snapshot.head_v_pu, at.pins)
        self._feeder = at.network.linearise(asked)
        self._limits = case.limits(at.site)
        self._moving = moving(case, at.site, at.forecast, at.pins)
        ders = self._feeder.ders
        self._order = [ders.index(name) for name in at.site.names]
        self._x = point.x
        self._known: set[tuple[RowKind, int]] = set()
        self.rows = np.zeros((0, len(point.x)))
        """Slopes of each row's excess with the columns, shape (row, column) [1/kW]."""
        self.values = np.zeros(0)
        """Excess of each row at the point, shape (row,) [1]."""

    def add(self, x: Floats, worst: float) -> bool:
        """Rows for places predicted to exceed the largest excess; whether there were any."""
        dp, dq = self._moved(x)
        dv, dl = self._feeder.change(dp, dq)
        flow = self._feeder.flow
        found = _excesses(flow.v_pu + dv, flow.loading_pct + dl, flow, self._limits)
        fresh = [
            (over, kind, int(i))
            for kind, values in found.items()
            for i in np.argsort(-values)[:ROWS_PER_CASE].tolist()
            if (over := float(values[i])) > worst + GAIN
            and ((kind, i) not in self._known or kind is RowKind.LOADING)
        ]
        fresh = sorted(fresh, reverse=True)[:ROWS_PER_CASE]
        for kind in found:
            which = [i for _, k, i in fresh if k is kind]
            if which:
                self._keep(kind, which, x, dp, dq)
        return bool(fresh)

    def _keep(self, kind: RowKind, which: list[int], x: Floats, dp: Floats, dq: Floats) -> None:
        flow, limits = self._feeder.flow, self._limits
        sign, limit = -1.0 if kind is RowKind.V_MIN else 1.0, _limit(limits, kind)
        if kind is RowKind.LOADING:
            value, of_p, of_q = self._feeder.loading_cuts(which, dp, dq)
            touches = x
        else:
            of_p, of_q = self._feeder.voltage_rows(which)
            value, touches = flow.v_pu[which], self._x
        slopes = np.zeros((len(which), *self._moving.shape))
        slopes[:, :, :PIECES] = of_p[:, self._order, None]
        slopes[:, :, PIECES] = of_q[:, self._order]
        rows = sign / limit * (slopes * self._moving).reshape(len(which), -1)
        excess = sign * (value - limit) / limit - rows @ (touches - self._x)
        self.rows = np.vstack([self.rows, rows])
        self.values = np.concatenate([self.values, excess])
        self._known |= {(kind, i) for i in which}

    def _moved(self, x: Floats) -> tuple[Floats, Floats]:
        """Change of each DER's power in this case, in the feeder's order [kW, kvar]."""
        change = (x - self._x).reshape(-1, COLUMNS) * self._moving
        dp, dq = np.zeros((2, len(self._feeder.ders)))
        dp[self._order], dq[self._order] = change[:, :PIECES].sum(axis=1), change[:, PIECES]
        return dp, dq


def _excesses(
    v_pu: Floats, loading_pct: Floats, flow: LoadFlow, limits: Limits
) -> dict[RowKind, Floats]:
    """How far beyond each limit, as a fraction of it; negative inside; dead nodes far inside."""
    live = flow.v_pu > 0.0
    found = {
        RowKind.V_MAX: np.where(live, v_pu / limits.v_max_pu - 1.0, -1.0),
        RowKind.V_MIN: np.where(live, 1.0 - v_pu / limits.v_min_pu, -1.0),
    }
    if limits.loading_max_pct is not None:
        found[RowKind.LOADING] = loading_pct / limits.loading_max_pct - 1.0
    return found


def _limit(limits: Limits, kind: RowKind) -> float:
    match kind:
        case RowKind.V_MAX:
            return limits.v_max_pu
        case RowKind.V_MIN:
            return limits.v_min_pu
        case _:
            return limits.loading_max_pct or 100.0
