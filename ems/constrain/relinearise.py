"""Eq. (10) once, as published, or again and again until a load flow verifies."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ems.constrain.interval import Interval, Trial
from ems.constrain.linear import Linearised, RowKey, excess, linearise, row, worst_keys
from ems.domain import Dispatch, NetworkRow, RowKind, Setpoint

MARGINS_PU = (5e-4, 2e-5, 2e-5, 2e-5, 2e-5, 2e-5)
"""Margin kept at each linearisation [pu]: wide while the curve is far, narrow at last; 1e-3
would cost tens of kW."""
ROUNDS = 8
"""Rounds of adding rows within one linearisation."""
TIGHT_PU = 5e-5
"""Distance to its limit at which a binding row counts as fully used [pu]."""
TIGHT_USD_PER_H = 1e-3
"""Worth of that distance below which another linearisation is not worth its time [$/h]."""
NOISE = 1e-7
"""Predicted excess that is round-off of the solver and no reason for a row."""


class Resolve(Protocol):
    """The dispatch stage with everything but these filled in."""

    def __call__(
        self,
        rows: Sequence[NetworkRow],
        pins: Mapping[str, Setpoint],
        *,
        generators_may_fall: bool = True,
    ) -> Dispatch:
        """Least-cost setpoints that keep the rows."""
        ...


def relinearised(at: Interval, first: Trial, resolve: Resolve) -> tuple[Trial, int]:
    """Best verified trial, or the last one; and the linearisations it took."""
    trial, best = first, None
    keys: list[RowKey] = []
    used = 0
    for margin in MARGINS_PU:
        if not trial.flow.converged:
            break
        used += 1
        lins = linearise(
            at.cases,
            trial.decided.setpoints,
            at.forecast,
            at.network,
            at.snapshot.head_v_pu,
            at.pins,
        )
        decided, keys = _with_rows(at, lins, keys, trial.decided, resolve, margin)
        trial = at.trial(decided)
        if trial.safe:
            best = trial if best is None else _cheaper(best, trial)
            if margin == MARGINS_PU[-1] and _tight(trial):
                break
    return (best or trial), used


def _tight(trial: Trial) -> bool:
    """Whether every row that costs anything stands at its limit, by load flow."""
    for bound in trial.decided.binding:
        if bound.row.kind is RowKind.LOADING:
            gaps = [
                1.0 - float(f.loading_pct[f.elements.index(bound.row.place)]) / bound.row.limit
                for f in trial.flows.values()
            ]
        else:
            gaps = [
                abs(bound.row.limit - float(f.v_pu[f.nodes.index(bound.row.place)]))
                for f in trial.flows.values()
            ]
        if bound.price * TIGHT_PU > TIGHT_USD_PER_H and min(gaps) > TIGHT_PU:
            return False
    return True


def _cheaper(best: Trial, later: Trial) -> Trial:
    """The later one unless it costs more: its margin is narrower, so its caps are wider."""
    worse = later.decided.objective_usd_per_h > best.decided.objective_usd_per_h + 1e-6
    return best if worse else later


def _with_rows(
    at: Interval,
    lins: Sequence[Linearised],
    keys: list[RowKey],
    decided: Dispatch,
    resolve: Resolve,
    margin: float,
) -> tuple[Dispatch, list[RowKey]]:
    """Solve, predict all nodes, add the rows that would break; until none would."""
    limits = at.site.limits
    by_case = {lin.case.name: lin for lin in lins}

    def fresh(decided: Dispatch, keys: list[RowKey]) -> list[RowKey]:
        found: dict[RowKey, float] = {}
        for lin in lins:
            found |= excess(lin, decided, at.forecast, limits, margin, at.pins)
        return worst_keys({key: over for key, over in found.items() if over > NOISE}, keys)

    keys = keys or fresh(decided, [])
    for _ in range(ROUNDS):
        rows = [row(by_case[c], kind, i, limits, margin) for c, kind, i in keys]
        decided = resolve(rows, at.held)
        more = fresh(decided, keys)
        if not more:
            break
        keys = keys + more
    return decided, keys


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
    limits = at.site.limits
    rows = [
        row(lin, kind, i, limits, 0.0, reactive=False)
        for lin in lins
        for _, kind, i in excess(lin, first.decided, at.forecast, limits, 0.0, at.pins)
    ]
    return at.trial(resolve(rows, at.held))
