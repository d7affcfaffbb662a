"""The published reference case, side by side with what GEEMS makes of it.

Hafiz et al., "Real-time Implementation of Grid Code Compliant Grid Edge Energy Management
System", minute 840. The publication prints no feeder: `segment13` is one that reproduces its
numbers, and every assumption is stated with the result.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import (
    Bes,
    DerReading,
    Dg,
    Dispatch,
    Forecast,
    Injections,
    Limits,
    Linearisation,
    LoadFlow,
    LoadReading,
    NetworkRow,
    Pv,
    PvForecast,
    RowBlock,
    Setpoint,
    Site,
    Snapshot,
)
from ems.explain import explain
from feeders import Feeder

LOAD_KW = 13204.397
PRICE_USD_PER_KWH = 0.57397
"""PG&E A-6, summer peak [$/kWh]."""
MINUTE_840 = datetime(2019, 7, 15, 21, 0, tzinfo=UTC)
"""14:00 Pacific daylight time on a summer weekday."""

PUBLISHED = {
    "pv_kw": 6515.0, "pv_kvar": 0.0, "dg_kw": 2999.0, "dg_kvar": 199.0, "bes_kw": 199.0,
    "bes_kvar": 199.0, "grid_kw": None, "nodes_above": 0, "nodes_below": None,
    "v_max_pu": None, "v_max_bus": None, "cost_usd_per_h": None, "solve_s": 0.343,
    "loadflow_s": None,
}  # fmt: skip
"""The publication's constrained column; None where it prints no figure."""

ASSUMPTIONS = (
    "The feeder is segment13, found by calculation: the publication prints no line data.",
    "BES capacity 800 kWh: not printed; no bearing on one interval from 59.99 %.",
    "Grid price 0.57397 $/kWh: PG&E A-6, summer peak, legacy hours, 2019.",
    "DG 0.1 $/kWh and storage weight 0.16 $/kWh as published.",
    "Load and available PV are taken as known (no band), so the limit itself is reached.",
    "Limits 0.88-1.10 pu, in IEEE 1547-2018 the continuous-operation range.",
    "Q of the DG within 400 kvar and of the BES within 200 kvar, either sign; of the PV 0.",
    "geems_mode_pv_q lets the PV take 2000 kvar too: an inverter of 10.2 MVA.",
    "solve_s is the time in the optimiser here, of the whole method on a Raspberry Pi there.",
)


def reference_site(*, pv_q_max_kvar: float = 0.0) -> Site:
    """The reference case: 10 MW PV at B13, 3 MW DG at B7, 200 kW BES at B11."""
    return Site(
        name="segment13",
        latitude_deg=37.77,
        longitude_deg=-122.42,
        load_max_kw=14500.0,
        load_min_kw=6000.0,
        limits=Limits(v_min_pu=0.88, v_max_pu=1.10, load_band_pct=0.0),
        ders=(
            Pv(name="pv", bus="B13", rated_kw=10000.0, q_max_kvar=pv_q_max_kvar),
            Dg(
                name="dg", bus="B7", rated_kw=3000.0, cost_usd_per_kwh=0.1,
                ramp_up_kw_per_h=3000.0, ramp_down_kw_per_h=3000.0, q_max_kvar=400.0,
            ),
            Bes(
                name="bes", bus="B11", rated_kw=200.0, capacity_kwh=800.0, soc_min_pct=20.0,
                soc_max_pct=100.0, weight_usd_per_kwh=0.16, q_max_kvar=200.0,
            ),
        ),
    )  # fmt: skip


def reproduce() -> dict[str, object]:
    """The published table and ours, as plain values ready for JSON."""
    plain, with_pv_q = reference_site(), reference_site(pv_q_max_kvar=2000.0)
    paper_mode, free, _ = _run(plain, "paper")
    geems_mode, _, sentence = _run(plain, "geems")
    geems_mode_pv_q, _, _ = _run(with_pv_q, "geems")
    return {
        "paper": dict(PUBLISHED),
        "unconstrained": free,
        "paper_mode": paper_mode,
        "geems_mode": geems_mode,
        "geems_mode_pv_q": geems_mode_pv_q,
        "why": sentence,
        "assumptions": list(ASSUMPTIONS),
    }


@dataclass(slots=True)
class _Stopwatch:
    """The feeder, with the time of its load flows."""

    feeder: Feeder
    spent_s: list[float] = field(default_factory=list)

    @property
    def regulated(self) -> bool:
        return self.feeder.regulated

    def load_flow(self, at: Injections, *, controls: bool = False) -> LoadFlow:
        started = time.perf_counter()
        flow = self.feeder.load_flow(at, controls=controls)
        self.spent_s.append(time.perf_counter() - started)
        return flow

    def load_flows(self, points: Sequence[Injections]) -> list[LoadFlow]:
        return [self.load_flow(at) for at in points]

    def linearise(self, at: Injections) -> Linearisation:
        return self.feeder.linearise(at)


def _run(
    site: Site, mode: Literal["geems", "paper"]
) -> tuple[dict[str, object], dict[str, object], str]:
    """Constrained row, unconstrained row, and the reason."""
    feeder = Feeder.open("segment13", site.placements)
    network = _Stopwatch(feeder)
    snapshot, forecast = _minute_840()
    solved: list[float] = []

    def resolve(
        rows: Sequence[NetworkRow] | RowBlock,
        pins: Mapping[str, Setpoint],
        *,
        generators_may_fall: bool = True,
    ) -> Dispatch:
        decided = solve(rows, pins, generators_may_fall=generators_may_fall)
        solved.append(decided.solve_s)
        return decided

    solve = partial(dispatch, site, snapshot, forecast, PRICE_USD_PER_KWH)
    resolve((), {})  # once to warm up: building the model is not part of an interval
    solved.clear()
    network.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=LOAD_KW))
    network.spent_s.clear()
    free = resolve((), {})
    free_s = solved[0]
    secured = constrain(site, snapshot, forecast, free, network, resolve, mode)
    feeder.close()
    if secured.free_load_flow is None:
        raise AssertionError("the reference case breaks limits, so its free load flow is kept")
    flow_s = sum(network.spent_s) / len(network.spent_s)
    return (
        _row(site, secured.dispatch, secured.load_flow, sum(solved), flow_s),
        _row(site, free, secured.free_load_flow, free_s, flow_s),
        explain(site, free, secured).sentence,
    )


def _minute_840() -> tuple[Snapshot, Forecast]:
    now = MINUTE_840
    before = {"pv": (7953.0, None), "dg": (2997.0, None), "bes": (499.0, 59.99)}
    snapshot = Snapshot(
        time=now,
        load=LoadReading(time=now, p_kw=LOAD_KW),
        ders={
            name: DerReading(der=name, time=now, p_kw=p_kw, q_kvar=0.0, soc_pct=soc)
            for name, (p_kw, soc) in before.items()
        },
    )
    sky = PvForecast(expected_kw=10000.0, lower_kw=10000.0, upper_kw=10000.0, method="given")
    return snapshot, Forecast(start=now, pv={"pv": sky}, load_kw=LOAD_KW)


def _row(
    site: Site, decided: Dispatch, flow: LoadFlow, solve_s: float, loadflow_s: float
) -> dict[str, object]:
    row: dict[str, object] = {}
    for name in site.names:
        row[f"{name}_kw"] = round(decided.setpoints[name].p_kw, 3)
        row[f"{name}_kvar"] = round(decided.setpoints[name].q_kvar, 3)
    node, v = flow.highest()
    live = flow.v_pu[flow.v_pu > 0.0]
    return row | {
        "grid_kw": round(decided.grid_kw, 3),
        "nodes_above": int((live > site.limits.v_max_pu).sum()),
        "nodes_below": int((live < site.limits.v_min_pu).sum()),
        "v_max_pu": round(v, 6),
        "v_max_bus": node.partition(".")[0],
        "cost_usd_per_h": round(decided.cost_usd_per_h, 2),
        "solve_s": round(solve_s, 5),
        "loadflow_s": round(loadflow_s, 6),
    }
