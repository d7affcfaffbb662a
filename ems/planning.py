"""The plan of one cycle: the look-ahead in the place of the single-interval dispatch.

One `Planning` lives as long as a cycle. It finds the rows of later intervals once, from the plan
without rows in the first, and answers every further solve of the constraint loop with them. All
its solves share one wall-clock budget; when that is spent, `SolverFault` says so.
"""

import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ems.clock import INTERVAL
from ems.constrain.ahead import rows_ahead
from ems.domain import (
    Dispatch,
    Forecast,
    Given,
    Horizon,
    NetworkRow,
    Plan,
    Policy,
    RowBlock,
    Setpoint,
    Site,
    Snapshot,
    at_worth,
    cost,
)
from ems.errors import SolverFault
from ems.lookahead import lookahead
from ems.lookahead.exclusion import TOGETHER
from ems.pace import Pace
from ems.ports import Network, Ports

log = logging.getLogger(__name__)

ROUNDS = 3
"""Plans made with rows of later intervals, before what still breaks is only told."""
PROOF_S = 0.2
"""How long either-ors are pondered in each solve [s]: a cycle solves some twenty times."""
ROWS_SHARE = 0.5
"""Share of the budget that load flows of later intervals may use [1]: what is sent needs the
rest."""

HOURS = INTERVAL.total_seconds() / 3600.0


def _ties_intervals(site: Site) -> bool:
    """Whether anything of the site remembers: stored energy, or a ramp."""
    ramps = [r for d in site.dgs for r in (d.ramp_up_kw_per_h, d.ramp_down_kw_per_h)]
    return bool(site.bess) or any(math.isfinite(r) for r in ramps)


def _beyond_plans(site: Site, policy: Policy) -> str:
    """What is asked for that no plan knows; empty where there is nothing."""
    asked = {
        "the published one-shot method": policy.mode == "paper",
        "a power-factor limit": site.power_factor_min is not None,
        f"fairness {site.fairness}": site.fairness != "least_cost",
    }
    return " and ".join(what for what, is_asked in asked.items() if is_asked)


@dataclass(slots=True, kw_only=True)
class Planning:
    """Plans of one cycle."""

    site: Site
    policy: Policy
    snapshot: Snapshot
    forecast: Forecast
    horizon: Horizon
    network: Network
    carried: Mapping[str, float]
    """`loss_factor` and `peak_kw`, where the cycle before tells them."""
    notes: list[str] = field(default_factory=list)
    """What an operator should know of the plan."""
    valued: Site | None = None
    """The site with w_es as the plan has it: what eq. (1) of the interval is to be priced by."""
    pace: Pace = field(default_factory=Pace)
    """Notes what depended on time."""
    _later: dict[int, RowBlock] = field(default_factory=dict, init=False)
    _beside_usd_per_h: float = field(default=0.0, init=False)
    """The later intervals' part of the objective, in the plan without rows."""
    _made: list[tuple[Mapping[str, Setpoint], Plan | None]] = field(
        default_factory=list, init=False
    )
    _started_s: float = field(default_factory=time.perf_counter, init=False)

    def free(self, pins: Mapping[str, Setpoint]) -> Dispatch:
        """The first interval without rows of its own; those of later ones are found here.

        Raises:
            SolverFault: no plan in time.
        """
        self.notes, self._later = [*self.horizon.notes], {}
        found, plan = self._planned(pins)
        fresh: set[int] = set()
        for k in range(ROUNDS + 1):
            last = k == ROUNDS
            rows = self._rows(plan, () if last else fresh)
            if not rows:
                break
            if last:
                self.notes.append(f"the plan still breaks a limit in {_intervals(len(rows))} ahead")
                break
            fresh = rows.keys() - self._later.keys()
            self._later |= rows
            found, plan = self._planned(pins)
        self.valued = at_worth(self.site, plan)
        own = cost(
            self.valued, found.setpoints, self.forecast, found.price_usd_per_kwh, HOURS,
            loss_factor=found.loss_factor, peak_kw=found.peak_kw,
        )  # fmt: skip
        # From here on every objective is the interval's own, and what it changes later on.
        self._beside_usd_per_h = found.objective_usd_per_h - own.objective_usd_per_h
        return self._kept(found, plan)

    def solve(
        self,
        rows: Sequence[NetworkRow] | RowBlock,
        pins: Mapping[str, Setpoint],
        *,
        generators_may_fall: bool = True,
        of: Site | None = None,
    ) -> Dispatch:
        """The first interval with rows; stands in for the dispatch of the single interval.

        Args:
            rows: of eq. (10), in the first interval.
            pins: DERs that cannot be moved.
            generators_may_fall: whether a DG may go below its present power.
            of: another site, to say what it would save; None: this one.

        Raises:
            SolverFault: no plan in time.
        """
        other = of is not None and self.valued is not None and of.ders != self.valued.ders
        found, plan = self._solve(
            rows, pins, generators_may_fall=generators_may_fall, site=of if other else None
        )
        return self._kept(found, plan)

    def plan_of(self, sent: Dispatch) -> Plan | None:
        """The plan whose first interval is what is sent.

        Where no solve found just that (caps held back by load flows), the rest of the day is
        planned again around it; None where that is too late.
        """
        for setpoints, plan in reversed(self._made):
            if setpoints == sent.setpoints and plan is not None:
                return plan
        try:
            return self._solve((), sent.setpoints)[1]
        except SolverFault as fault:
            self.notes.append(f"what is sent is not planned on from: {fault}")
            return None

    def _planned(self, pins: Mapping[str, Setpoint]) -> tuple[Dispatch, Plan]:
        """A plan that more is found from: rows of later intervals, the worth of what is stored."""
        found, plan = self._solve((), pins, keep_plan=True)
        if plan is None:
            raise SolverFault("look-ahead: the record does not hold the plan that was made late")
        return found, plan

    def _kept(self, found: Dispatch, plan: Plan | None) -> Dispatch:
        self._made.append((found.setpoints, plan))
        objective = found.objective_usd_per_h - self._beside_usd_per_h
        return replace(found, objective_usd_per_h=objective)

    def _solve(
        self,
        rows: Sequence[NetworkRow] | RowBlock,
        pins: Mapping[str, Setpoint],
        *,
        generators_may_fall: bool = True,
        site: Site | None = None,
        keep_plan: bool = False,
    ) -> tuple[Dispatch, Plan | None]:
        def work() -> tuple[Dispatch, Plan]:
            left_s = self.pace.allowed_s(self.policy.solver_limit_s - self._spent_s)
            if left_s <= 0.0:
                raise SolverFault(
                    f"look-ahead: not done within {self.policy.solver_limit_s:g} s; "
                    "control.solver_limit_s may be raised"
                )
            return lookahead(
                site or self.site, self.snapshot, self.forecast, self.horizon, rows, pins,
                later=self._later, generators_may_fall=generators_may_fall,
                proof_s=self.pace.allowed_s(PROOF_S), wall_limit_s=left_s, **self.carried,
            )  # fmt: skip

        return self.pace.solved(work, TOGETHER * PROOF_S, keep_plan=keep_plan)

    @property
    def _spent_s(self) -> float:
        return time.perf_counter() - self._started_s

    def _rows(self, plan: Plan, again: Collection[int]) -> Mapping[int, RowBlock]:
        def late() -> bool:
            return self.pace.too_late(self._spent_s > ROWS_SHARE * self.policy.solver_limit_s)

        kvar, load_kw = self.forecast.load_kvar, self.forecast.load_kw
        found = rows_ahead(
            self.site, plan, self.network,
            load_kvar_per_kw=kvar / load_kw if kvar is not None and load_kw > 0.0 else None,
            head_v_pu=self.snapshot.head_v_pu,
            regulation=self.snapshot.regulation,
            again=again,
            late=late,
        )  # fmt: skip
        short = "no time was left for load flows of all intervals ahead"
        if late() and short not in self.notes:
            self.notes.append(short)
        return found


@dataclass(slots=True, kw_only=True)
class Look:
    """How far the look-ahead carries in one cycle."""

    planning: Planning | None = None
    """None: the interval is decided alone."""
    note: str = ""
    """Why, where it was asked for."""
    alarms: list[str] = field(default_factory=list)

    @property
    def valued(self) -> Site | None:
        """The site with storage at the worth that the plan finds."""
        return self.planning.valued if self.planning else None

    def give_up(self, why: object) -> None:
        """The single interval is dispatched for the rest of the cycle."""
        self.planning = None
        self.alarms.append(f"look-ahead late: the single interval was dispatched ({why})")


def day_ahead(
    site: Site, policy: Policy, ports: Ports, snapshot: Snapshot, forecast: Forecast
) -> tuple[Horizon | None, str]:
    """What the day brings, where a plan is to be made of it; else why nobody could tell."""
    asked = policy.look_ahead and _ties_intervals(site) and not _beyond_plans(site, policy)
    if not asked or ports.outlook is None:
        return None, ""
    try:
        return ports.outlook.ahead(site, snapshot, forecast, ports.history), ""
    except Exception as fault:
        log.exception("no outlook")
        return None, f"{type(fault).__name__}: {fault}"


def look_ahead(given: Given, network: Network, carried: Mapping[str, float], pace: Pace) -> Look:
    """Whether this cycle plans, and with what."""
    site, policy = given.site, given.policy
    if not policy.look_ahead or not _ties_intervals(site):
        return Look()
    if beyond := _beyond_plans(site, policy):
        return Look(note=f"no look-ahead: no plan knows {beyond}")
    if given.no_horizon:
        return Look(alarms=[f"no look-ahead: {given.no_horizon}"])
    if given.horizon is None:
        return Look(note="no look-ahead: nothing tells the day ahead")
    horizon = replace(
        given.horizon,
        price_usd_per_kwh=(given.price_usd_per_kwh, *given.horizon.price_usd_per_kwh[1:]),
        terminal=policy.terminal_soc,
    )
    return Look(
        planning=Planning(
            site=site, policy=policy, snapshot=given.snapshot, forecast=given.forecast,
            horizon=horizon, network=network, carried=carried, pace=pace,
        )
    )  # fmt: skip


def _intervals(count: int) -> str:
    return f"{count} interval" if count == 1 else f"{count} intervals"
