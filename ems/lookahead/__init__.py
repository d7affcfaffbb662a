"""The look-ahead: eq. (1)–(9) over a horizon, its first interval sent and the rest shown.

`lookahead` is the stage. It answers like the single-interval dispatch and can stand in for it
wherever rows and pins are handed in; where it is late it raises `SolverFault`, and the single
interval is dispatched. What stored energy is worth takes the place of the weight w_es.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

import highspy
import numpy as np

from ems.domain import Dispatch, Forecast, NetworkRow, RowBlock, Setpoint, Site, Snapshot
from ems.domain.ahead import Horizon, Plan
from ems.errors import SolverFault
from ems.lookahead.answer import first_interval, plan_of, powers_kw
from ems.lookahead.decisions import EitherOr, Starts
from ems.lookahead.exclusion import Coupling, solve_exclusive
from ems.lookahead.highs import Deadline, LinearSolver
from ems.lookahead.horizon import horizon_of, load_ahead
from ems.lookahead.model import HOURS, Frame, frame
from ems.lookahead.numbers import Given, State, dearest, numbered
from ems.lookahead.program import Ints, Point, Program
from ems.lookahead.rows import with_rows
from ems.lookahead.worth import value_of_storage

__all__ = ["WALL_LIMIT_S", "horizon_of", "load_ahead", "lookahead", "value_of_storage"]

WALL_LIMIT_S = 10.0
"""Wall-clock limit of one solve [s]: short beside an interval, long beside what 200 DERs take."""
PROOF_S = 1.0
"""How long either-ors are pondered [s]: after it, what a better plan saves is hundredths of a per
cent."""
NO_PINS: Mapping[str, Setpoint] = MappingProxyType({})
NO_ROWS: Mapping[int, RowBlock] = MappingProxyType({})


def lookahead(
    site: Site,
    snapshot: Snapshot,
    forecast: Forecast,
    horizon: Horizon,
    rows: Sequence[NetworkRow] | RowBlock = (),
    pins: Mapping[str, Setpoint] = NO_PINS,
    *,
    later: Mapping[int, RowBlock] = NO_ROWS,
    generators_may_fall: bool = True,
    loss_factor: float | None = None,
    peak_kw: float | None = None,
    proof_s: float = PROOF_S,
    wall_limit_s: float = WALL_LIMIT_S,
) -> tuple[Dispatch, Plan]:
    """Least-cost setpoints of the first interval, and the plan they belong to.

    Args:
        site: what is installed. The weight w_es of its batteries is not used.
        snapshot: present SOC and DG power.
        forecast: the first interval: expected PV, upper bound of PV, load.
        horizon: every interval; of the first one, its price only.
        rows: network rows of eq. (10) in the first interval, elastic.
        pins: DERs that cannot be moved, held at these setpoints for the first interval.
        later: network rows of later intervals, by index.
        generators_may_fall: whether a DG may go below its present power in the first interval.
        loss_factor: K of eq. (2) as a load flow has it, in place of the site's [1].
        peak_kw: the month's highest import so far; None: no demand charge is counted [kW].
        proof_s: where charge or discharge, off or running has to be decided: how long to look for
            a better plan, or for the proof that there is none [s]. A plan without that proof is
            returned as `ACCEPTABLE`, with its gap.
        wall_limit_s: when to give up [s].

    Raises:
        SolverFault: no plan by then; dispatch the single interval.
        BadInput: the horizon lacks a PV plant of the site.
    """
    deadline = Deadline(wall_limit_s)
    if horizon.export_usd_per_kwh is None and site.export_price_usd_per_kwh is not None:
        flat = (site.export_price_usd_per_kwh,) * len(horizon)
        horizon = replace(horizon, export_usd_per_kwh=flat)
    given = Given(
        snapshot=snapshot, forecast=forecast.unkept(pins), horizon=horizon, pins=dict(pins),
        generators_may_fall=generators_may_fall, peak_kw=peak_kw,
        loss_factor=site.loss_factor if loss_factor is None else loss_factor,
    )  # fmt: skip
    model = _model(site, len(horizon))
    program, state, optimum, basis = model.prepared(given, deadline)
    first = rows if isinstance(rows, RowBlock) else RowBlock.of(rows, site.names)
    blocks = {0: first, **later} if len(first) else dict(later)
    program, elastic = with_rows(
        program, model.frame.columns, site, blocks, pins, dearest(site, given)
    )
    at = model.frame.at
    network = np.concatenate(
        [at.export_limit, at.generation_limit, *(e.rows for e in elastic.values())]
    )
    decided = solve_exclusive(
        LinearSolver(program, basis),
        _either_or(model.frame, given),
        Coupling(head=_head(model.frame), network=network),
        proof_s,
        deadline,
        None if blocks else optimum,
    )
    powers = powers_kw(model.frame, given, decided)
    return (
        first_interval(model.frame, given, decided, elastic, powers, deadline.spent_s),
        plan_of(model.frame, given, decided, state, powers, elastic, deadline.spent_s),
    )


class _Model:
    """A site over n intervals, and where its last plan without rows rests.

    Solves with rows start there. What they answer is a function of their arguments: the start is
    found again where another cycle has taken its place.
    """

    def __init__(self, site: Site, n: int) -> None:
        self.frame = frame(site, n)
        self._lock = threading.Lock()
        self._last: tuple[Given, Program, State, Point, highspy.HighsBasis] | None = None

    def prepared(
        self, given: Given, deadline: Deadline
    ) -> tuple[Program, State, Point, highspy.HighsBasis]:
        """The program of one cycle without rows, its optimum and the basis of that."""
        with self._lock:
            if self._last is None or self._last[0] != given:
                program, state = numbered(self.frame, given)
                solver = LinearSolver(program)
                optimum = solver.solve(deadline, program.x_lo, program.x_hi)
                if optimum is None:
                    raise SolverFault("look-ahead: the limits of the DERs contradict each other")
                self._last = given, program, state, optimum, solver.basis
            return self._last[1:]


@lru_cache(maxsize=8)
def _model(site: Site, n: int) -> _Model:
    """Built once per site and length of the horizon."""
    return _Model(site, n)


def _either_or(built: Frame, given: Given) -> EitherOr:
    """Every decision the horizon holds."""
    cols, bess = built.columns, built.site.bess
    n = len(given.horizon)
    grid = np.stack([cols.imported, cols.exported], axis=1)
    batteries = np.stack([cols.charge.ravel(), cols.discharge.ravel()], axis=1)
    both_ways = given.selling > given.price
    etas = np.array([(b.eta_charge, b.eta_discharge) for b in bess]).reshape(-1, 2)
    return EitherOr(
        pairs=np.concatenate([batteries, grid[both_ways]]),
        efficiency=np.tile(etas, (n, 1)),
        grid=np.repeat(grid, len(bess), axis=0),
        starts=_starts(built, given, cols.on),
    )


def _head(built: Frame) -> Ints:
    at = built.at
    return np.concatenate(
        [at.balance, at.import_limit, at.export_limit, at.generation_limit, at.peak]
    )


def _starts(built: Frame, given: Given, on: Ints) -> Starts:
    dgs = [built.site.dgs[i] for i in built.at.starts]
    return Starts(
        power=built.columns.dg[:, list(built.at.starts)],
        on=on,
        least=np.array([d.min_kw for d in dgs]),
        rise=np.array([d.ramp_up_kw_per_h * HOURS for d in dgs]),
        fall=np.array([d.ramp_down_kw_per_h * HOURS for d in dgs]),
        held=np.array([d.name in given.pins for d in dgs], dtype=bool),
    )
