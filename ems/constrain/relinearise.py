"""Eq. (10) once, as published, or again and again until a load flow verifies."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from ems.constrain.cases import severity
from ems.constrain.interval import Interval, Trial
from ems.constrain.linear import Linearised, RowKey, Rows, linearise
from ems.constrain.start import start
from ems.domain import Dispatch, NetworkRow, RowBlock, RowKind, Setpoint

LINEARISATIONS = 6
"""Tried at most."""
FAR_PU = 5e-4
"""Margin kept by the first one where it is made far from the limits [pu]."""
NARROW_PU = 5e-6
"""Margin kept where no excess of the last one asks for more [pu]; 1e-3 would cost tens of kW."""
ROUNDS = 12
"""Rounds of adding rows within one linearisation."""
FEW_ROUNDS = 4
"""Likewise where nothing of the answer is sent."""
TIGHT_PU = 5e-5
"""Distance to its limit at which a binding row counts as fully used [pu]."""
TIGHT_USD_PER_H = 1e-3
"""Worth of that distance below which another linearisation is not worth its time [$/h]."""
NEAR_PU = 1e-3
"""Predicted distance to its limit within which a row is kept for the next linearisation [pu]."""
BEND = 1.5
"""Margin over the excess that the last linearisation left behind [1]."""
WIDEST_PU = 5e-3
"""Most of such a margin: a larger excess is another point's, not this one's [pu]."""
SETTLED = 2e-3
"""Change of the cost from one linearisation to the next, but for what its margin is worth, below
which it has settled, as a share of what the network costs [1]."""
LEFT_AT_START = 1.0 / 50.0
"""Most that another linearisation gains of the way in cost from the start to the first optimum,
where no loading binds [1]: slopes of voltages change little on it, and a 74th was the most seen.
Those of currents turn with the reactive power: a 24th."""
SAME_KW = 1e-4
"""Setpoints nearer than this are the same [kW, kvar]."""
OF_THE_FEEDER = frozenset({RowKind.V_MAX, RowKind.V_MIN, RowKind.LOADING})
"""Rows that stand at a node or element; others are the site's own, at its grid connection."""


class Resolve(Protocol):
    """The dispatch stage with everything but these filled in."""

    def __call__(
        self,
        rows: Sequence[NetworkRow] | RowBlock,
        pins: Mapping[str, Setpoint],
        *,
        generators_may_fall: bool = True,
    ) -> Dispatch:
        """Least-cost setpoints that keep the rows."""
        ...


def relinearised(at: Interval, first: Trial, resolve: Resolve) -> tuple[Trial, int]:
    """Best verified trial, or the last one; and the linearisations it took."""
    trial, best = start(at, first), None
    margin = last = FAR_PU if trial is first else NARROW_PU
    keys: list[RowKey] = []
    used = 0
    while used < LINEARISATIONS and trial.flow.converged:
        used += 1
        if used > 1:
            # Where the curve between two far optima was met, its height is the margin to keep.
            bend = BEND * severity(trial.broken[0]) if trial.broken else 0.0
            margin = max(NARROW_PU, min(bend, WIDEST_PU))
        before = trial.decided
        decided, keys = linear_optimum(at, trial, keys, resolve, margin)
        if not trial.safe and _same(decided, trial.decided):
            trial = replace(trial, decided=decided)  # its rows say what could not be kept
            break
        trial = at.trial(decided)
        if trial.safe:
            best = trial if best is None else _cheaper(best, trial)
            cost = trial.decided.objective_usd_per_h
            left = LEFT_AT_START if used == 1 and not _loads(trial.decided) else 1.0
            allowed = SETTLED * abs(cost - first.decided.objective_usd_per_h)
            moved = cost - before.objective_usd_per_h
            # A narrower margin earns what it is worth, or, where it only raises caps above what
            # is expected, nothing; anything else says that the last point was a far one.
            earned = (margin - last) * _worth(before, decided)
            moved -= min(max(moved, min(earned, 0.0)), max(earned, 0.0))
            settled = left * abs(moved) <= max(allowed, TIGHT_USD_PER_H)
            if settled and _tight(trial):
                break
        last = margin
    return (best or trial), used


def _worth(one: Dispatch, other: Dispatch) -> float:
    """What a margin costs between two dispatches, by the mean of their prices [$/h per pu].

    A narrower margin moves the cost by that much at any point; it is no sign of a far one.
    """
    rows = (b for decided in (one, other) for b in decided.binding if b.row.kind in OF_THE_FEEDER)
    prices = (b.price * (b.row.limit if b.row.kind is RowKind.LOADING else 1.0) for b in rows)
    return sum(prices) / 2.0


def _loads(decided: Dispatch) -> bool:
    """Whether the loading of an element binds."""
    return any(bound.row.kind is RowKind.LOADING for bound in decided.binding)


def _tight(trial: Trial) -> bool:
    """Whether every row that costs anything stands at its limit, by load flow."""
    dear = [
        b
        for b in trial.decided.binding
        if b.row.kind in OF_THE_FEEDER and b.price * TIGHT_PU > TIGHT_USD_PER_H
    ]
    flows = list(trial.flows.values())
    for bound in dear:
        row = bound.row
        if row.kind is RowKind.LOADING:
            i = _index(flows[0].elements)[row.place]
            gap = min(1.0 - float(flow.loading_pct[i]) / row.limit for flow in flows)
        else:
            i = _index(flows[0].nodes)[row.place]
            gap = min(abs(row.limit - float(flow.v_pu[i])) for flow in flows)
        if gap > TIGHT_PU:
            return False
    return True


@lru_cache(maxsize=8)
def _index(places: tuple[str, ...]) -> Mapping[str, int]:
    """Where each node or element stands; one feeder gives the same tuples in every answer."""
    return {place: i for i, place in enumerate(places)}


def _same(one: Dispatch, other: Dispatch) -> bool:
    """Whether two dispatches ask the same of every device."""
    return all(
        a.cap_kw == b.cap_kw or (a.cap_kw and b.cap_kw and abs(a.cap_kw - b.cap_kw) < SAME_KW)
        for a, b in _pairs(one, other)
    ) and all(
        abs(a.p_kw - b.p_kw) < SAME_KW and abs(a.q_kvar - b.q_kvar) < SAME_KW
        for a, b in _pairs(one, other)
    )


def _pairs(one: Dispatch, other: Dispatch) -> Iterator[tuple[Setpoint, Setpoint]]:
    return ((at, other.setpoints[name]) for name, at in one.setpoints.items())


def _cheaper(best: Trial, later: Trial) -> Trial:
    """The later one unless it costs more: its margin is narrower, so its caps are wider."""
    worse = later.decided.objective_usd_per_h > best.decided.objective_usd_per_h + 1e-6
    return best if worse else later


def linear_optimum(
    at: Interval, trial: Trial, keys: Sequence[RowKey], resolve: Resolve, margin: float
) -> tuple[Dispatch, list[RowKey]]:
    """The optimum of the feeder linearised at a trial, and its rows that are worth keeping."""
    lins = linearise(
        trial.cases,
        trial.decided.setpoints,
        at.forecast,
        at.network,
        at.snapshot.head_v_pu,
        at.pins,
    )
    return _with_rows(at, lins, keys, trial.decided, resolve, margin)


def _with_rows(
    at: Interval,
    lins: Sequence[Linearised],
    known: Sequence[RowKey],
    decided: Dispatch,
    resolve: Resolve,
    margin: float,
    rounds: int = ROUNDS,
) -> tuple[Dispatch, list[RowKey]]:
    """Solve, predict all nodes, add the rows that would break; until none would."""
    rows = Rows(lins, at.forecast, at.site, margin, at.pins)
    names = {lin.case.name for lin in lins}
    keys = [key for key in known if key[0] in names]  # taps that moved before may stay now
    rows.add(keys or rows.fresh(decided), decided)
    for _ in range(rounds):
        decided = resolve(rows.block(), at.held)
        more = rows.fresh(decided)
        if not more:
            break
        rows.add(more, decided)
    near = rows.excess(decided, margin + NEAR_PU)
    return decided, [key for key in rows.keys if key in near]


def caution_usd_per_h(at: Interval, held: Dispatch, resolve: Resolve) -> float:
    """What it costs that the band of the forecast is kept, and not only what is expected [$/h].

    The linear optimum of the expected load under full sun, next to the one that holds for all
    cases. Nothing of it is sent.
    """
    expected = at.cases[0]
    sunny = replace(
        next((case for case in at.cases if case.name == "high"), expected),
        name="expected",
        load_kw=expected.load_kw,
        load_kvar=expected.load_kvar,
    )
    head = at.snapshot.head_v_pu
    cases = [case for case, _ in at.flows(sunny, held.setpoints)]
    lins = linearise(cases, held.setpoints, at.forecast, at.network, head, at.pins)
    carefree, _ = _with_rows(at, lins, (), held, resolve, NARROW_PU, FEW_ROUNDS)
    return max(0.0, held.objective_usd_per_h - carefree.objective_usd_per_h)


def one_shot(at: Interval, first: Trial, resolve: Resolve) -> Trial:
    """The published method: rows at the violating nodes, active power only, once.

    It knows one operating point; here that is the highest case, where there is one.
    """
    lins = linearise(
        [next((c for c in at.cases if c.name == "high"), at.cases[0])],
        first.decided.setpoints,
        at.forecast,
        at.network,
        at.snapshot.head_v_pu,
        at.pins,
    )
    rows = Rows(lins, at.forecast, at.site, 0.0, at.pins, reactive=False)
    rows.add(list(rows.excess(first.decided)), first.decided)
    return at.trial(resolve(rows.block(), at.held))
