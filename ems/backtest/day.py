"""One local day of one case: devices, cycle, truth, interval by interval."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime

import numpy as np

from ems.backtest.case import Case, DayInput, DayResult, DayState, kinds_of, utc
from ems.backtest.devices import HOURS, Devices
from ems.backtest.fixed_caps import FixedCaps
from ems.backtest.foresight import Foresight, NoHistory, prices
from ems.backtest.lived import Lived
from ems.backtest.policies import (
    DECIDED,
    PLANNED,
    funnels,
    planned_to_end,
    policy_of,
    site_of,
    turned_back,
)
from ems.backtest.rows import Rows, decided, timing
from ems.backtest.rules import Felt, rules_of, uncontrolled, within_loads
from ems.backtest.truth import Truth, feeder_of
from ems.clock import INTERVAL
from ems.cycle import run_cycle
from ems.domain import CycleRecord, Injections, LoadFlow, Regulation, month_peak
from ems.ports import Ports


def simulate_day(case: Case, given: DayInput, state: DayState) -> DayResult:
    """Run one local day.

    The result depends on the arguments alone, times of its stages apart.

    Args:
        case: site and policy.
        given: the day's sun, load and forecasts.
        state: what the day before left, or `DayState.at_start`.

    Raises:
        feeders.FeederFault: the feeder does not compile, or lacks a bus.
    """
    started = time.perf_counter()
    day = _Day(case, given, state)
    for i in range(len(given)):
        day.interval(i)
    return DayResult(
        rows=day.rows.table().replace_schema_metadata(day.told()),
        state=DayState(
            devices=day.devices.state(),
            regulation=day.truth.regulation,
            previous=day.previous,
            imported_kw=day.head.last_kw,
            peak_kw=day.peak_kw(),
        ),
        seconds=time.perf_counter() - started,
    )


class _NoJournal:
    """Rows are what is kept; implements `Journal`."""

    def append(self, record: CycleRecord) -> None:
        """Keep nothing."""


class _Head:
    """The meter at the feeder's head: what the truth drew; implements `Meter`."""

    def __init__(self, start: datetime | None, last_kw: float) -> None:
        """It keeps one interval, the last one.

        Args:
            start: of that; None: there was none.
            last_kw: its mean import [kW].
        """
        self.start, self.last_kw = start, last_kw

    def imported_kw(
        self,
        since: datetime,
        until: datetime,
        loss_factor: float,  # noqa: ARG002 - the truth has its losses
    ) -> Mapping[datetime, float]:
        """The last interval, where it is asked for."""
        if self.start is None or not since <= self.start < until:
            return {}
        return {self.start: self.last_kw}


class _Day:
    """The parts of a day that is run."""

    def __init__(self, case: Case, given: DayInput, state: DayState) -> None:
        self.case, self.given = case, given
        self.rows = Rows(case, given)
        self.devices = Devices(case.site, state.devices)
        self.truth = Truth(case, state.regulation)
        self.previous = state.previous
        last = state.previous.start if state.previous is not None else None
        self.head = _Head(last, state.imported_kw)
        self.network = feeder_of(case, "model")
        self.foresight = Foresight(case, given)
        self.ports = Ports(
            field=self.devices,
            network=self.network,
            history=NoHistory(),
            forecaster=self.foresight,
            journal=_NoJournal(),
            outlook=self.foresight,
            meter=self.head,
            regulation=self._found,
        )
        self.site, self.policy = site_of(case, self.network.loads), policy_of(case)
        self.prices = prices(case, given)
        self.rules = self.fixed_caps = None
        if case.method == "rules":
            site = within_loads(case.site, given)
            self.rules = rules_of(site, self.network)
            self.fixed_caps = FixedCaps(
                **asdict(self.rules),
                lowest_load_kw=site.load_min_kw,
                highest_load_kw=site.load_max_kw,
            )
        kind = kinds_of(given, case.site.pvs)
        self._share = given.pv_share[:, :, kind].tolist()
        self._before_share = given.before_share[:, kind].tolist()
        rated = np.array([pv.rated_kw for pv in case.site.pvs])
        self._expected_kw = (given.expected_share[:, kind] @ rated).tolist()
        self._load = given.load_kw.tolist()
        self._before_kw = given.before_kw.tolist()
        self._starts = [utc(start) for start in given.starts]
        self._hours = HOURS / given.load_kw.shape[1]
        self._step = INTERVAL / given.load_kw.shape[1]
        before = self._starts[0] - self._step
        self._kvar_per_kw = self.truth.kvar_per_kw(before)
        if state.regulation is None:
            self.truth.rest(before, self.devices.p_kw, self.devices.q_kvar, self._before_kw[0])

    def told(self) -> dict[bytes, bytes]:
        """What goes with the rows: caps that were set up once."""
        return {} if self.fixed_caps is None else self.fixed_caps.metadata()

    def peak_kw(self) -> float:
        """Import that the next interval is held against, 0 where there is none [kW]."""
        if self.previous is None or self.site.demand_charge_usd_per_kw <= 0.0:
            return 0.0
        drawn, after = {self._starts[-1]: self.head.last_kw}, self._starts[-1] + INTERVAL
        return month_peak(self.previous, drawn, self.site.zone, after).kw

    def interval(self, i: int) -> None:
        """Decide, hold, and see what comes of it."""
        began = time.perf_counter()
        self.devices.offer(self._before_share[i])
        self.devices.load_kw = self._before_kw[i]
        self.devices.load_kvar = self._before_kw[i] * self._kvar_per_kw
        record = self._decide(i)
        decided_at = time.perf_counter()
        lived = self._live(i)
        self.head.start, self.head.last_kw = self._starts[i], lived.grid_kw
        truth_s = time.perf_counter() - decided_at
        row = lived.columns(self.devices, self._expected_kw[i])
        flow = record.secured.load_flow if record else self._model_flow(lived)
        row |= decided(record, flow, self.case.site)
        if not self.case.reasons:  # nobody asked what the band costs
            row["caution_usd_per_h"] = None
        stage_s = record.stage_s if record else {}
        row |= timing(stage_s, truth_s, time.perf_counter() - began)
        self.rows.add(row)

    def _found(self) -> Regulation | None:
        """Where taps stand before the first cycle; from then on it goes by its own load flows."""
        return self.truth.regulation if self.previous is None else None

    def _decide(self, i: int) -> CycleRecord | None:
        """Command the devices of an interval."""
        case, devices, price = self.case, self.devices, self.prices[i]
        left = self.given.intervals_left - i
        # Rules that spare the feeder in all other hours spare it on the way back.
        bounds = funnels(case, left - 1, self.rules.bes_share if self.rules else 1.0)
        record = None
        if case.method in DECIDED:
            site, policy = self.site, self.policy
            if case.method in PLANNED:
                policy = planned_to_end(case, policy, left)
            elif bounds:
                site = turned_back(site, bounds, devices.soc_pct, price)
            if bounds:  # where a battery must come to, near is not there
                policy = replace(policy, deadband_pct=0.0)
            self.foresight.at = i
            record = run_cycle(site, policy, price, self.ports, self._starts[i], self.previous)
            self.previous = record
        elif self.rules is not None:
            now = Felt(
                pv_kw=sum(devices.p_kw[pv.name] for pv in case.site.pvs),
                sun_kw=sum(devices.available_kw.values()),
                generating=any(devices.p_kw[dg.name] > 0.0 for dg in case.site.dgs),
            )
            devices.write(self.rules.commands(case.site, now, self._before_kw[i], price))
        else:
            devices.write(uncontrolled(case.site))
        for name, bound in bounds.items():
            devices.bound(name, bound.lowest_pct, bound.highest_pct)
        return record

    def _live(self, i: int) -> Lived:
        """Let the steps of an interval pass."""
        devices, loads = self.devices, self._load[i]
        lived = Lived(self.case.site, self.prices[i], self._hours)
        when = self._starts[i]
        for k, load_kw in enumerate(loads):
            when = self._starts[i] + k * self._step
            devices.offer(self._share[i][k])
            devices.step(self._hours)
            flow = self.truth.solve(when, devices.p_kw, devices.q_kvar, load_kw)
            if flow.converged:
                devices.v_pu.update(self.truth.felt(flow))
            lived.add(devices, load_kw, flow)
        self._kvar_per_kw = self.truth.kvar_per_kw(when)
        return lived

    def _model_flow(self, lived: Lived) -> LoadFlow:
        """The model's load flow of an interval that nobody decided."""
        return self.network.load_flow(
            Injections(
                p_kw=lived.p_kw,
                q_kvar=lived.q_kvar,
                load_kw=lived.load_kw,
                regulation=self.truth.regulation,
            )
        )
