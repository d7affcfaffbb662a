"""The look-ahead over random sites and days: physical, optimal, and worth looking ahead for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from ems.clock import INTERVAL
from ems.domain import (
    Bes,
    Der,
    DerReading,
    Dg,
    Dispatch,
    Forecast,
    Limits,
    LoadReading,
    NetworkRow,
    Pv,
    PvForecast,
    RowKind,
    Site,
    Snapshot,
    SolverStatus,
)
from ems.domain.ahead import Horizon, Plan
from ems.lookahead import lookahead, value_of_storage

NOW = datetime(2024, 6, 3, 19, 0, tzinfo=UTC)
H = 0.25
kw = st.floats(10.0, 5_000.0)
cent = st.integers(-20, 60).map(lambda c: c / 100.0)


@st.composite
def ders(draw: st.DrawFn, most: int = 2) -> tuple[Der, ...]:
    found: list[Der] = []
    for i in range(draw(st.integers(0, most))):
        rated = draw(kw)
        found.append(Pv(name=f"pv{i}", bus="b", rated_kw=rated, q_max_kvar=0.3 * rated))
    for i in range(draw(st.integers(0, most))):
        rated = draw(kw)
        found.append(
            Bes(
                name=f"bes{i}", bus="b", rated_kw=rated,
                capacity_kwh=rated * draw(st.floats(0.2, 4.0)),
                eta_charge=draw(st.floats(0.7, 1.0)), eta_discharge=draw(st.floats(0.7, 1.0)),
            )
        )  # fmt: skip
    for i in range(draw(st.integers(0, most))):
        rated = draw(kw)
        found.append(
            Dg(
                name=f"dg{i}", bus="b", rated_kw=rated,
                cost_usd_per_kwh=draw(st.floats(0.02, 0.6)),
                min_kw=rated * draw(st.sampled_from([0.0, 0.0, 0.2, 0.5])),
                ramp_up_kw_per_h=rated * draw(st.floats(0.2, 5.0)),
                ramp_down_kw_per_h=rated * draw(st.floats(0.2, 5.0)),
            )
        )  # fmt: skip
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Day:
    """One draw: a site, its state, what comes."""

    site: Site
    snapshot: Snapshot
    forecast: Forecast
    horizon: Horizon


@st.composite
def days(draw: st.DrawFn, longest: int = 8, most: int = 2) -> Day:
    site = Site(
        name="random", latitude_deg=40.0, longitude_deg=-105.0,
        ders=draw(ders(most).filter(len)), limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
        load_max_kw=10_000.0, load_min_kw=0.0, loss_factor=draw(st.floats(0.0, 0.1)),
    )  # fmt: skip
    n = draw(st.integers(1, longest))

    def series(values: st.SearchStrategy[float]) -> tuple[float, ...]:
        return tuple(draw(st.lists(values, min_size=n, max_size=n)))

    price = series(cent)
    selling = draw(st.sampled_from(["same", "less", "any"]))
    pv_kw = {p.name: series(st.floats(0.0, 1.0).map(p.rated_kw.__mul__)) for p in site.pvs}
    horizon = Horizon(
        starts=tuple(NOW + i * INTERVAL for i in range(n)),
        price_usd_per_kwh=price,
        export_usd_per_kwh={
            "same": None, "less": tuple(p - 0.05 for p in price), "any": series(cent),
        }[selling],
        load_kw=series(st.floats(0.0, 10_000.0)),
        pv_kw=pv_kw,
        terminal=draw(st.sampled_from(["keep", "free", 50.0])),
    )  # fmt: skip
    return Day(
        site=site,
        snapshot=Snapshot(
            time=NOW,
            load=LoadReading(time=NOW, p_kw=horizon.load_kw[0]),
            ders={
                d.name: DerReading(
                    der=d.name, time=NOW, q_kvar=0.0,
                    p_kw=draw(st.floats(0.0, 1.0)) * d.rated_kw,
                    soc_pct=draw(st.floats(0.0, 100.0)) if isinstance(d, Bes) else None,
                )
                for d in site.ders
            },
        ),
        forecast=forecast_of(pv_kw, horizon.load_kw[0]),
        horizon=horizon,
    )  # fmt: skip


def forecast_of(pv_kw: Any, load_kw: float, start: datetime = NOW, index: int = 0) -> Forecast:
    return Forecast(
        start=start,
        load_kw=load_kw,
        pv={
            name: PvForecast(
                expected_kw=v[index], lower_kw=0.0, upper_kw=v[index], method="given"
            )
            for name, v in pv_kw.items()
        },
    )  # fmt: skip


def solved(day: Day, rows: Sequence[NetworkRow] = ()) -> tuple[Dispatch, Plan]:
    return lookahead(
        day.site, day.snapshot, day.forecast, day.horizon, rows, proof_s=20.0, wall_limit_s=60.0
    )


def missed_usd(plan: Plan) -> float:
    """What missing the terminal policy costs the plan, where it cannot be reached."""
    return sum(s.shortfall_kwh * s.shortfall_usd_per_kwh for s in plan.storage.values())


def cap_worth(price: float) -> float:
    return 0.01 * price if price < 0 else max(0.01 * price, 1e-4)


class Loops:
    """The same horizon written down again, row by row, every either-or a binary from the start."""

    def __init__(self) -> None:
        self.cost: list[float] = []
        self.lo: list[float] = []
        self.hi: list[float] = []
        self.whole: list[int] = []
        self.rows: list[tuple[dict[int, float], float, float]] = []

    def var(self, cost: float = 0.0, lo: float = 0.0, hi: float = np.inf, whole: int = 0) -> int:
        self.cost.append(cost)
        self.lo.append(lo)
        self.hi.append(hi)
        self.whole.append(whole)
        return len(self.cost) - 1

    def row(self, terms: dict[int, float], lo: float, hi: float) -> None:
        self.rows.append((terms, lo, hi))

    def least(self) -> float:
        a = np.zeros((len(self.rows), len(self.cost)))
        for i, (terms, _, _) in enumerate(self.rows):
            for j, v in terms.items():
                a[i, j] += v
        found = milp(
            self.cost,
            integrality=np.array(self.whole),
            bounds=Bounds(self.lo, self.hi),
            constraints=LinearConstraint(a, [r[1] for r in self.rows], [r[2] for r in self.rows]),
            options={"mip_rel_gap": 1e-9},
        )
        assert found.status == 0, found.message
        return float(found.fun)


def dearest(day: Day) -> float:
    prices = [*day.horizon.price_usd_per_kwh, *day.horizon.selling_usd_per_kwh]
    return max([1.0, *map(abs, prices), *(d.cost_usd_per_kwh for d in day.site.dgs)])


Powers = dict[str, list[tuple[int, float]]]
"""Variables that make up each DER's power towards the network, and their signs."""


def written_again(day: Day, rows: Sequence[NetworkRow] = ()) -> Loops:
    site, hz, m = day.site, day.horizon, Loops()
    big = 20_000.0 + 2 * sum(d.rated_kw for d in site.ders)
    before: dict[str, int] = {}
    for t in range(len(hz)):
        buys = m.var(H * hz.price_usd_per_kwh[t], hi=big)
        sells = m.var(-H * hz.selling_usd_per_kwh[t], hi=big)
        either = m.var(hi=1.0, whole=1)
        m.row({buys: 1.0, either: -big}, -np.inf, 0.0)
        m.row({sells: 1.0, either: big}, -np.inf, big)
        power: Powers = {}
        for d in site.ders:
            match d:
                case Pv():
                    power[d.name] = [(m.var(hi=hz.pv_kw[d.name][t]), 1.0)]
                case Bes():
                    power[d.name] = battery(m, day, d, t, before)
                case Dg():
                    power[d.name] = generator(m, day, d, t, before)
        balance = {buys: 1.0, sells: -1.0}
        balance |= {j: sign for terms in power.values() for j, sign in terms}
        demand = (1 + site.loss_factor) * hz.load_kw[t]
        m.row(balance, demand, demand)
        if t == 0:
            network(m, day, power, rows)
    return m


def battery(m: Loops, day: Day, d: Bes, t: int, before: dict[str, int]) -> list[tuple[int, float]]:
    c, g, z = m.var(hi=d.rated_kw), m.var(hi=d.rated_kw), m.var(hi=1.0, whole=1)
    m.row({c: 1.0, z: -d.rated_kw}, -np.inf, 0.0)
    m.row({g: 1.0, z: d.rated_kw}, -np.inf, d.rated_kw)
    start = (day.snapshot.ders[d.name].soc_pct or 0.0) / 100.0 * d.capacity_kwh
    low = min(d.soc_min_pct / 100.0 * d.capacity_kwh, start)
    high = max(d.soc_max_pct / 100.0 * d.capacity_kwh, start)
    e = m.var(lo=low, hi=high)
    terms = {e: 1.0, c: -H * d.eta_charge, g: H / d.eta_discharge}
    if t:
        terms[before[d.name]] = -1.0
    m.row(terms, *[0.0 if t else start] * 2)
    before[d.name] = e
    if t == len(day.horizon) - 1 and day.horizon.terminal != "free":
        end = start if day.horizon.terminal == "keep" else 0.5 * d.capacity_kwh
        short = m.var(10.0 * dearest(day))
        m.row({e: 1.0, short: 1.0}, min(end, high), np.inf)
    return [(g, 1.0), (c, -1.0)]


def generator(m: Loops, day: Day, d: Dg, t: int, before: dict[str, int]) -> list[tuple[int, float]]:
    up, down = H * d.ramp_up_kw_per_h, H * d.ramp_down_kw_per_h
    p, on = m.var(H * d.cost_usd_per_kwh), m.var(hi=1.0, whole=1)
    m.row({p: 1.0, on: -d.rated_kw}, -np.inf, 0.0)
    m.row({p: 1.0, on: -d.min_kw}, 0.0, np.inf)
    if t:
        q, ran = before[d.name], before[f"{d.name} on"]
        # It starts at its least power; it stops from as high as that and a ramp.
        over = max(0.0, d.min_kw - up)
        m.row({p: 1.0, q: -1.0, ran: over}, -np.inf, up + over)
        m.row({q: 1.0, p: -1.0, on: d.min_kw}, -np.inf, down + d.min_kw)
    else:
        now = day.snapshot.ders[d.name].p_kw
        m.row({p: 1.0}, -np.inf, max(now + up, d.min_kw))
        m.row({p: -1.0, on: d.min_kw}, -np.inf, down + d.min_kw - now)
    before[d.name], before[f"{d.name} on"] = p, on
    return [(p, 1.0)]


def network(m: Loops, day: Day, power: Powers, rows: Sequence[NetworkRow]) -> None:
    """Caps of the first interval, reactive power, and elastic rows of eq. (10)."""
    towards = dict(power)
    for d in day.site.pvs:
        p, _ = power[d.name][0]
        cap = m.var(
            -H
            * cap_worth(min(day.horizon.price_usd_per_kwh[0], day.horizon.selling_usd_per_kwh[0])),
            hi=day.horizon.pv_kw[d.name][0],
        )
        m.row({p: 1.0, cap: -1.0}, -np.inf, 0.0)
        towards[d.name] = [(cap, 1.0)]
    reactive = {
        d.name: [m.var(H * 1e-4, hi=d.q_max_kvar), m.var(H * 1e-4, hi=d.q_max_kvar)]
        for d in day.site.ders
    }
    for r in rows:
        scale = max(map(abs, [*r.c_p.values(), *r.c_q.values(), 0.0])) or 1.0
        terms = {m.var(H * 1e3 * dearest(day)): -1.0}
        for name in day.site.names:
            terms |= {j: sign * r.c_p[name] / scale for j, sign in towards[name]}
            inject, absorb = reactive[name]
            terms |= {inject: r.c_q[name] / scale, absorb: -r.c_q[name] / scale}
        m.row(terms, -np.inf, r.bound / scale)


def objective_usd(day: Day, dispatch: Dispatch, plan: Plan, rows: Sequence[NetworkRow]) -> float:
    """What was minimised, from what is told: cost, policy missed, |Q|, caps, rows not kept."""
    worth = cap_worth(min(day.horizon.price_usd_per_kwh[0], day.horizon.selling_usd_per_kwh[0]))
    caps = sum(
        day.horizon.pv_kw[p.name][0] if (cap := dispatch.setpoints[p.name].cap_kw) is None else cap
        for p in day.site.pvs
    )
    unkept = 0.0
    for b in dispatch.binding:
        assert b.row in rows
        unkept += b.slack / (max(map(abs, [*b.row.c_p.values(), *b.row.c_q.values()])) or 1.0)
    reactive = sum(abs(s.q_kvar) for s in dispatch.setpoints.values())
    hourly = 1e-4 * reactive - worth * caps + 1e3 * dearest(day) * unkept
    return plan.total_cost_usd + missed_usd(plan) + H * hourly


@settings(max_examples=120)
@given(day=days())
def test_a_plan_costs_what_another_formulation_with_every_binary_finds(day: Day) -> None:
    dispatch, plan = solved(day)
    assert plan.status is SolverStatus.OPTIMAL
    assert dispatch.kkt_residual <= 1e-6
    other = written_again(day).least()
    ours = objective_usd(day, dispatch, plan, [])
    assert ours == pytest.approx(other, abs=1e-6 * max(1.0, abs(other)))


@st.composite
def network_rows(draw: st.DrawFn, site: Site) -> list[NetworkRow]:
    small = st.floats(-1e-5, 1e-4).map(lambda x: 0.0 if abs(x) < 1e-7 else x)
    return [
        NetworkRow(
            kind=RowKind.V_MAX, place=f"n{i}.1", limit=1.1, bound=draw(st.floats(-0.01, 0.2)),
            c_p={n: draw(small) for n in site.names}, c_q={n: draw(small) for n in site.names},
        )
        for i in range(draw(st.integers(1, 3)))
    ]  # fmt: skip


@settings(max_examples=60)
@given(data=st.data())
def test_rows_of_the_first_interval_cost_what_another_formulation_finds(
    data: st.DataObject,
) -> None:
    day = data.draw(days(longest=5))
    rows = data.draw(network_rows(day.site))
    dispatch, plan = solved(day, rows)
    assert plan.status is SolverStatus.OPTIMAL
    other = written_again(day, rows).least()
    ours = objective_usd(day, dispatch, plan, rows)
    assert ours == pytest.approx(other, abs=1e-5 * max(1.0, abs(other)))


@settings(max_examples=120)
@given(day=days(longest=16, most=3))
def test_a_plan_is_physical_in_every_interval(day: Day) -> None:
    _, plan = lookahead(day.site, day.snapshot, day.forecast, day.horizon, proof_s=1.0)
    n = len(day.horizon)
    for t in range(n):
        total = plan.grid_kw[t] + sum(p[t] for p in plan.p_kw.values())
        demand = (1 + day.site.loss_factor) * day.horizon.load_kw[t]
        assert total == pytest.approx(demand, abs=1e-6)
    for pv in day.site.pvs:
        for p, most in zip(plan.p_kw[pv.name], day.horizon.pv_kw[pv.name], strict=True):
            assert -1e-9 <= p <= most + 1e-9
    for bes in day.site.bess:
        stored, s = plan.storage[bes.name].start_kwh, plan.storage[bes.name]
        low = min(bes.soc_min_pct / 100.0 * bes.capacity_kwh, stored)
        high = max(bes.soc_max_pct / 100.0 * bes.capacity_kwh, stored)
        for p, after in zip(plan.p_kw[bes.name], s.kwh, strict=True):
            # One power in each interval: it charges or it discharges, and its energy follows.
            stored -= H * (p / bes.eta_discharge if p > 0.0 else p * bes.eta_charge)
            assert abs(p) <= bes.rated_kw + 1e-9
            assert after == pytest.approx(stored, abs=1e-5)
            assert low - 1e-6 <= after <= high + 1e-6
            stored = after
        if s.terminal_kwh is not None:
            assert stored >= s.terminal_kwh - s.shortfall_kwh - 1e-6
    for dg in day.site.dgs:
        before = day.snapshot.ders[dg.name].p_kw
        up, down = H * dg.ramp_up_kw_per_h, H * dg.ramp_down_kw_per_h
        for p in plan.p_kw[dg.name]:
            assert p <= 1e-6 or dg.min_kw - 1e-5 <= p <= dg.rated_kw + 1e-6
            assert p <= max(before + up, dg.min_kw) + 1e-5
            assert p >= before - down - 1e-5 or (p <= 1e-6 and before - down <= dg.min_kw + 1e-5)
            before = p


@settings(max_examples=40)
@given(day=days(longest=6))
def test_looking_ahead_never_costs_more_than_deciding_interval_by_interval(day: Day) -> None:
    day = replace(day, horizon=replace(day.horizon, terminal="keep"))
    _, plan = solved(day)
    snapshot, myopic = day.snapshot, 0.0
    for t in range(len(day.horizon)):
        one = Horizon(
            starts=day.horizon.starts[t : t + 1],
            price_usd_per_kwh=day.horizon.price_usd_per_kwh[t : t + 1],
            export_usd_per_kwh=day.horizon.selling_usd_per_kwh[t : t + 1],
            load_kw=day.horizon.load_kw[t : t + 1],
            pv_kw={n: v[t : t + 1] for n, v in day.horizon.pv_kw.items()},
        )
        forecast = forecast_of(one.pv_kw, one.load_kw[0], one.starts[0])
        decided, step = solved(replace(day, snapshot=snapshot, forecast=forecast, horizon=one))
        myopic += step.total_cost_usd
        snapshot = replace(
            snapshot,
            ders={
                n: replace(
                    r, p_kw=decided.setpoints[n].p_kw,
                    soc_pct=step.storage[n].soc_pct[0] if n in step.storage else None,
                )
                for n, r in snapshot.ders.items()
            },
        )  # fmt: skip
    assert plan.total_cost_usd + missed_usd(plan) <= myopic + 1e-6 * max(1.0, abs(myopic))


@settings(max_examples=40)
@given(data=st.data())
def test_the_order_of_the_ders_in_the_site_file_does_not_change_the_cost(
    data: st.DataObject,
) -> None:
    day = data.draw(days())
    order = tuple(data.draw(st.permutations(day.site.ders)))
    _, here = solved(day)
    _, there = solved(replace(day, site=replace(day.site, ders=order)))
    scale = max(1.0, abs(here.total_cost_usd))
    ours, others = (p.total_cost_usd + missed_usd(p) for p in (here, there))
    assert ours == pytest.approx(others, abs=1e-6 * scale)


@settings(max_examples=60)
@given(day=days(longest=10), share=st.floats(0.0, 1.0))
def test_the_worth_of_storage_is_the_cost_of_the_days_rest_begun_with_so_much_more(
    day: Day, share: float
) -> None:
    """One price for both directions, never negative: the worth is exact at every energy."""
    prices = tuple(abs(p) for p in day.horizon.price_usd_per_kwh)
    horizon = replace(
        day.horizon, price_usd_per_kwh=prices, export_usd_per_kwh=None,
        terminal="free" if day.horizon.terminal == "keep" else day.horizon.terminal,
    )  # fmt: skip
    bess = tuple(b for b in day.site.bess if day.snapshot.ders[b.name].soc_pct is not None)
    if not bess or len(horizon) < 2:
        return
    site = replace(day.site, ders=bess[:1])
    bes, start_pct = bess[0], max(bess[0].soc_min_pct, day.snapshot.ders[bess[0].name].soc_pct or 0)

    def begun(kwh: float, at: Horizon) -> Plan:
        reading = replace(
            day.snapshot.ders[bes.name], soc_pct=100.0 * kwh / bes.capacity_kwh
        )  # fmt: skip
        state = replace(day.snapshot, ders={bes.name: reading})
        first = Forecast(start=at.starts[0], pv={}, load_kw=at.load_kw[0])
        return lookahead(site, state, first, replace(at, pv_kw={}))[1]

    rest = replace(
        horizon, starts=horizon.starts[1:], price_usd_per_kwh=prices[1:],
        load_kw=horizon.load_kw[1:], pv_kw={},
    )  # fmt: skip
    value = value_of_storage(site, begun(start_pct / 100.0 * bes.capacity_kwh, horizon))[bes.name]
    assert list(value.usd_per_kwh) == sorted(value.usd_per_kwh, reverse=True)
    kwh = value.kwh[0] + share * (value.kwh[-1] - value.kwh[0])
    more, less = begun(kwh, rest), begun(value.kwh[0], rest)
    saved = (less.total_cost_usd + missed_usd(less)) - (more.total_cost_usd + missed_usd(more))
    assert value.worth_usd(kwh) == pytest.approx(saved, abs=1e-6 * max(1.0, abs(saved)))


@settings(max_examples=60)
@given(day=days(longest=10))
def test_the_first_interval_decided_alone_by_the_worth_of_storage_costs_what_the_plan_does(
    day: Day,
) -> None:
    """No power of the battery in the first interval does better than the plan's own."""
    prices = tuple(abs(p) for p in day.horizon.price_usd_per_kwh)
    horizon = replace(day.horizon, price_usd_per_kwh=prices, export_usd_per_kwh=None)
    _, plan = lookahead(day.site, day.snapshot, day.forecast, horizon)
    for name, value in value_of_storage(day.site, plan).items():
        bes = next(b for b in day.site.bess if b.name == name)
        start, planned = plan.storage[name].start_kwh, plan.storage[name].kwh[0]
        assert value.kwh[0] - 1e-6 <= planned <= value.kwh[-1] + 1e-6

        def usd(kwh: float, bes: Bes = bes, start: float = start, value: Any = value) -> float:
            drawn = start - kwh
            p_kwh = drawn * bes.eta_discharge if drawn > 0 else drawn / bes.eta_charge
            return float(prices[0] * p_kwh + value.worth_usd(kwh))

        reachable = [
            kwh
            for kwh in (*value.kwh, start)
            if start - H * bes.rated_kw / bes.eta_discharge <= kwh
            <= start + H * bes.rated_kw * bes.eta_charge
        ]  # fmt: skip
        best = max([usd(planned), *map(usd, reachable)])
        assert usd(planned) == pytest.approx(best, abs=1e-6 * max(1.0, abs(best)))
