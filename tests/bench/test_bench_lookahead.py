"""Time of a 96-step plan from its numbers to its answer, and what its shortcuts cost."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from ems.clock import INTERVAL
from ems.domain import (
    Bes,
    Der,
    DerReading,
    Dg,
    Forecast,
    Limits,
    LoadReading,
    NetworkRow,
    Pv,
    PvForecast,
    RowBlock,
    RowKind,
    Site,
    Snapshot,
    SolverStatus,
)
from ems.domain.ahead import Horizon, Plan, StorageValue
from ems.lookahead import lookahead, value_of_storage
from tests.bench.table import median_ms, tell
from tests.sites import NOW

STEPS = 96
ASKED_S = {3: 0.5, 200: 3.0}


def site_of(count: int, rng: np.random.Generator, *, least_kw: bool) -> Site:
    """Of ten DERs six PV plants, three batteries and a diesel; of three one of each."""
    ders: list[Der] = []
    for i in range(count):
        kind = i % 3 if count < 10 else (0, 0, 0, 0, 0, 0, 1, 1, 1, 2)[i % 10]
        rated = float(rng.uniform(50.0, 2_000.0))
        if kind == 0:
            ders.append(Pv(name=f"pv{i}", bus="b", rated_kw=rated, q_max_kvar=0.44 * rated))
        elif kind == 1:
            ders.append(
                Bes(
                    name=f"bes{i}", bus="b", rated_kw=rated, q_max_kvar=0.44 * rated,
                    capacity_kwh=rated * float(rng.uniform(1.0, 5.0)),
                    eta_charge=float(rng.uniform(0.88, 0.97)),
                    eta_discharge=float(rng.uniform(0.88, 0.97)),
                )
            )  # fmt: skip
        else:
            ders.append(
                Dg(
                    name=f"dg{i}", bus="b", rated_kw=rated,
                    cost_usd_per_kwh=float(rng.uniform(0.1, 0.4)),
                    min_kw=0.3 * rated if least_kw else 0.0,
                    ramp_up_kw_per_h=rated * float(rng.uniform(0.2, 2.0)),
                    ramp_down_kw_per_h=rated * float(rng.uniform(0.2, 2.0)),
                )
            )  # fmt: skip
    return Site(
        name=f"{count}", latitude_deg=40.0, longitude_deg=-105.0, ders=tuple(ders),
        limits=Limits(v_min_pu=0.95, v_max_pu=1.05), load_max_kw=2e5, load_min_kw=0.0,
        loss_factor=0.03,
    )  # fmt: skip


def day_of(
    site: Site, rng: np.random.Generator, *, split: bool, negative: bool
) -> tuple[Snapshot, Forecast, Horizon]:
    """A time-of-use tariff with noise, a day's sun and load."""
    hour = np.arange(STEPS) / 4.0
    rated = sum(p.rated_kw for p in site.pvs) or 1_000.0
    load = rated * (0.5 + 0.2 * np.sin(hour / 12.0 * np.pi) + 0.02 * rng.standard_normal(STEPS))
    sun = np.clip(np.cos(hour / 12.0 * np.pi), 0.0, None)
    price = np.select([(hour > 12) & (hour < 18), (hour > 8) & (hour < 21)], [0.57, 0.28], 0.2)
    price = price + 0.01 * rng.standard_normal(STEPS)
    if negative:
        price = np.where((hour > 2) & (hour < 7), -0.05 + 0.01 * rng.standard_normal(STEPS), price)
    pv = {
        p.name: tuple((p.rated_kw * sun * rng.uniform(0.6, 1.0, STEPS)).tolist()) for p in site.pvs
    }
    horizon = Horizon(
        starts=tuple(NOW + i * INTERVAL for i in range(STEPS)),
        price_usd_per_kwh=tuple(price.tolist()),
        export_usd_per_kwh=tuple(np.minimum(0.4 * price, price).tolist()) if split else None,
        load_kw=tuple(load.tolist()),
        pv_kw=pv,
    )
    snapshot = Snapshot(
        time=NOW,
        load=LoadReading(time=NOW, p_kw=float(load[0])),
        ders={
            d.name: DerReading(
                der=d.name, time=NOW, q_kvar=0.0, p_kw=0.5 * d.rated_kw,
                soc_pct=float(rng.uniform(20.0, 100.0)) if isinstance(d, Bes) else None,
            )
            for d in site.ders
        },
    )  # fmt: skip
    return snapshot, forecast_of(horizon), horizon


def forecast_of(horizon: Horizon) -> Forecast:
    pv = {
        n: PvForecast(expected_kw=v[0], lower_kw=0.0, upper_kw=1.2 * v[0], method="given")
        for n, v in horizon.pv_kw.items()
    }
    return Forecast(start=horizon.starts[0], load_kw=horizon.load_kw[0], pv=pv)


CASES = {
    "one price": {"split": False, "negative": False, "least_kw": False},
    "sold for less": {"split": True, "negative": False, "least_kw": False},
    "least powers": {"split": False, "negative": False, "least_kw": True},
    "negative prices": {"split": False, "negative": True, "least_kw": False},
    "all of it": {"split": True, "negative": True, "least_kw": True},
}


def test_bench_lookahead_of_96_steps() -> None:
    rows: list[Mapping[str, object]] = []
    for count in (3, 200):
        for name, kind in CASES.items():
            spent, plans = [], []
            for seed in range(3):
                rng = np.random.default_rng(seed)
                site = site_of(count, rng, least_kw=kind["least_kw"])
                snapshot, forecast, horizon = day_of(
                    site, rng, split=kind["split"], negative=kind["negative"]
                )
                started = time.perf_counter()
                _, plan = lookahead(site, snapshot, forecast, horizon)  # builds its matrices too
                spent.append(time.perf_counter() - started)
                plans.append(plan)
            rows.append(
                {
                    "ders": count,
                    "case": name,
                    "median_ms": median_ms(spent),
                    "worst_ms": 1e3 * max(spent),
                    "asked_ms": 1e3 * ASKED_S[count],
                    "binaries": max(p.either_or for p in plans),
                    "proved": sum(p.status is SolverStatus.OPTIMAL for p in plans) / len(plans),
                    "gap_pct": max(100.0 * p.gap_usd / abs(p.total_cost_usd) for p in plans),
                }
            )
    tell("lookahead", rows)
    for row in rows:
        if row["case"] in {"one price", "sold for less"}:
            assert row["proved"] == 1.0


def test_bench_lookahead_solved_again_with_rows() -> None:
    rng = np.random.default_rng(7)
    site = site_of(200, rng, least_kw=False)
    snapshot, forecast, horizon = day_of(site, rng, split=False, negative=False)
    _, free = lookahead(site, snapshot, forecast, horizon)
    rows = []
    for count in (1, 8, 40):
        block = RowBlock.of(
            [
                NetworkRow(
                    kind=RowKind.V_MAX, place=f"n{i}.1", limit=1.05, bound=0.01,
                    c_p=dict(zip(site.names, rng.uniform(0.0, 2e-6, 200).tolist(), strict=True)),
                    c_q=dict(zip(site.names, rng.uniform(0.0, 2e-6, 200).tolist(), strict=True)),
                )
                for i in range(count)
            ],
            site.names,
        )  # fmt: skip
        spent = []
        for _ in range(5):
            started = time.perf_counter()
            first, plan = lookahead(site, snapshot, forecast, horizon, block)
            spent.append(time.perf_counter() - started)
        rows.append(
            {
                "rows": count,
                "median_ms": median_ms(spent),
                "binding": len(first.binding),
                "cost_more_usd": plan.total_cost_usd - free.total_cost_usd,
            }
        )
    tell("lookahead_rows", rows)


# --- which worth of storage the single interval should be given ---------------------


def alone(site: Site, horizon: Horizon, plan: Plan, worth: Mapping[str, StorageValue]) -> Plan:
    """The first interval by itself, its batteries valued by `worth`: a plan of that interval.

    A linear program of pieces: what a single-interval dispatch has to minimise.
    """
    cost, upper, balance = [horizon.price_usd_per_kwh[0] / 4.0], [np.inf], [1.0]
    cost.append(-horizon.selling_usd_per_kwh[0] / 4.0)
    upper.append(np.inf)
    balance.append(-1.0)
    stores, rights = [], []
    for bes in site.bess:
        value, at = worth[bes.name], plan.storage[bes.name].start_kwh
        first = len(cost)
        cost += [1e-9, 1e-9, *(-s for s in value.usd_per_kwh)]
        upper += [bes.rated_kw, bes.rated_kw, *np.diff(value.kwh).tolist()]
        balance += [1.0, -1.0, *[0.0] * len(value.usd_per_kwh)]
        stores.append((first, bes, len(value.usd_per_kwh)))
        rights.append(at - value.kwh[0])
    a = np.zeros((1 + len(stores), len(cost)))
    a[0] = balance
    for i, (first, bes, pieces) in enumerate(stores, start=1):
        a[i, first : first + 2] = 0.25 / bes.eta_discharge, -0.25 * bes.eta_charge
        a[i, first + 2 : first + 2 + pieces] = 1.0
    sun = sum(v[0] for v in horizon.pv_kw.values())
    demand = (1.0 + site.loss_factor) * horizon.load_kw[0] - sun
    found = linprog(
        cost, A_eq=a, b_eq=[demand, *rights], bounds=[(0.0, u) for u in upper], method="highs-ds"
    )
    assert found.status == 0, found.message
    x = np.asarray(found.x)
    power = {b.name: (float(x[f] - x[f + 1]),) for f, b, _ in stores}
    bill = float(x[:2] @ cost[:2])
    return replace(plan, p_kw=power, cost_usd=(bill,))


def by_one_slope(site: Site, plan: Plan) -> Mapping[str, StorageValue]:
    """The multiplier alone: one price of stored energy."""
    return {
        b.name: StorageValue(
            kwh=(plan.storage[b.name].lowest_kwh, plan.storage[b.name].highest_kwh),
            usd_per_kwh=(plan.storage[b.name].marginal_usd_per_kwh,),
        )
        for b in site.bess
    }


def by_solving_again(site: Site, snapshot: Snapshot, horizon: Horizon) -> dict[str, StorageValue]:
    """Each battery's rest of the day, solved from seven states of charge, others as they are."""
    rest = shorter(horizon)
    found = {}
    for bes in site.bess:
        per_pct = bes.capacity_kwh / 100.0
        reading = snapshot.ders[bes.name]
        assert reading.soc_pct is not None
        pct = np.unique([*np.linspace(bes.soc_min_pct, bes.soc_max_pct, 6), reading.soc_pct])
        usd = []
        for soc in pct.tolist():
            ders = {**snapshot.ders, bes.name: replace(reading, soc_pct=soc)}
            state = replace(snapshot, ders=ders)
            plan = lookahead(site, state, forecast_of(rest), rest)[1]
            missed = sum(s.shortfall_kwh * s.shortfall_usd_per_kwh for s in plan.storage.values())
            usd.append(plan.total_cost_usd + missed)
        slopes = -np.diff(usd) / np.diff(pct * per_pct)
        found[bes.name] = StorageValue(
            kwh=tuple((pct * per_pct).tolist()),
            usd_per_kwh=tuple(np.minimum.accumulate(slopes).tolist()),
        )
    return found


def shorter(horizon: Horizon) -> Horizon:
    return replace(
        horizon, starts=horizon.starts[1:], price_usd_per_kwh=horizon.price_usd_per_kwh[1:],
        export_usd_per_kwh=horizon.export_usd_per_kwh and horizon.export_usd_per_kwh[1:],
        load_kw=horizon.load_kw[1:], pv_kw={n: v[1:] for n, v in horizon.pv_kw.items()},
    )  # fmt: skip


Worth = Callable[[Site, Snapshot, Horizon, Plan], Mapping[str, StorageValue]]
WORTHS: dict[str, Worth] = {
    "one slope": lambda site, _snapshot, _horizon, plan: by_one_slope(site, plan),
    "pieces by dynamic programming": lambda site, _s, _h, plan: value_of_storage(site, plan),
    "pieces by solving again": lambda site, snapshot, horizon, _plan: by_solving_again(
        site, snapshot, horizon
    ),
}


def rolled(
    site: Site, snapshot: Snapshot, horizon: Horizon, worth: Worth
) -> tuple[float, float, list[float]]:
    """A whole day decided interval by interval; its bill, energy missing at the end, times."""
    bill, spent = 0.0, []
    while len(horizon) > 1:
        plan = lookahead(site, snapshot, forecast_of(horizon), horizon)[1]
        started = time.perf_counter()
        values = worth(site, snapshot, horizon, plan)
        spent.append(time.perf_counter() - started)
        step = alone(site, horizon, plan, values)
        bill += step.cost_usd[0]
        ders = dict(snapshot.ders)
        for bes in site.bess:
            p = step.p_kw[bes.name][0]
            drawn = p / bes.eta_discharge if p > 0.0 else p * bes.eta_charge
            pct = plan.storage[bes.name].start_kwh - 0.25 * drawn
            ders[bes.name] = replace(
                ders[bes.name], soc_pct=float(np.clip(100.0 * pct / bes.capacity_kwh, 20.0, 100.0))
            )
        snapshot = replace(snapshot, ders=ders)
        horizon = shorter(horizon)
    last = lookahead(site, snapshot, forecast_of(horizon), horizon)[1]
    missing_kwh = sum(s.shortfall_kwh for s in last.storage.values())
    return bill + last.total_cost_usd, missing_kwh, spent


@pytest.mark.parametrize("split", [False, True])
def test_bench_worth_of_storage(split: bool) -> None:
    """How much more a day costs when the single interval decides by a worth of storage.

    The end of the horizon is fixed at half full, so that every policy ends alike.
    """
    rng = np.random.default_rng(3)
    site = site_of(10, rng, least_kw=False)
    site = replace(site, ders=tuple(d for d in site.ders if not isinstance(d, Dg)))
    snapshot, _, horizon = day_of(site, rng, split=split, negative=False)
    horizon = replace(
        horizon, terminal=50.0, load_kw=tuple(0.5 * kw for kw in horizon.load_kw)
    )  # fmt: skip
    best = lookahead(site, snapshot, forecast_of(horizon), horizon)[1].total_cost_usd
    idle = sum(
        _idle_usd(site, horizon, t) for t in range(STEPS)
    )  # fmt: skip
    rows = []
    for name, worth in WORTHS.items():
        bill, missing_kwh, spent = rolled(site, snapshot, horizon, worth)
        rows.append(
            {
                "prices": "sold for less" if split else "one price",
                "worth": name,
                "lost_of_arbitrage_pct": 100.0 * (bill - best) / (idle - best),
                "missing_kwh": missing_kwh,
                "worth_ms": median_ms(spent),
            }
        )
    tell(f"lookahead_worth_{'split' if split else 'one'}", rows)


def _idle_usd(site: Site, horizon: Horizon, t: int) -> float:
    sun = sum(v[t] for v in horizon.pv_kw.values())
    grid = (1.0 + site.loss_factor) * horizon.load_kw[t] - sun
    return 0.25 * grid * (horizon.price_usd_per_kwh if grid > 0 else horizon.selling_usd_per_kwh)[t]
