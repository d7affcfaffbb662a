"""The ledger closes, its prices are what re-solving gives, and load flows say how far it is off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import (
    Bes,
    Der,
    Dg,
    Dispatch,
    Forecast,
    Injections,
    Ledger,
    Limits,
    LoadFlow,
    NetworkRow,
    Pv,
    PvForecast,
    RowKind,
    Secured,
    Setpoint,
    Site,
    Snapshot,
    Verified,
)
from ems.explain import alternatives, counterfactuals, explain, proved
from ems.explain.counterfactual import Resolve
from feeders import Feeder
from tests.sites import LOAD_KW, PRICE_USD_PER_KWH, ports, segment, sky, snapshot
from tests.unit.explained import verified

CLOSES = 1e-6
"""How well a ledger closes, as a share of the sums in it."""


def test_a_new_peak_is_told_once_and_apart_from_what_is_paid_by_the_hour() -> None:
    site = replace(segment(), demand_charge_usd_per_kw=10.0)
    free = dispatch(site, snapshot(site), sky(3000.0, 3000.0), 0.3, peak_kw=0.0)
    held = replace(
        free, grid_kw=free.grid_kw + 100.0,
        cost_usd_per_h=free.cost_usd_per_h + 100.0 * (0.3 + 4 * 10.0),
    )  # fmt: skip
    ledger = explain(site, free, verified(held))
    assert ledger.compliance_usd_per_h == pytest.approx(30.0)
    assert ledger.compliance_demand_usd == pytest.approx(1000.0)
    assert ledger.demand_usd == pytest.approx(10.0 * held.grid_kw)
    assert ledger.compliance_usd == pytest.approx(30.0 / 4 + 1000.0)
    assert ledger.energy_usd_per_h(held) == pytest.approx(held.cost_usd_per_h - 40.0 * held.grid_kw)


def test_a_kwh_saves_demand_charge_only_where_a_plan_says_so() -> None:
    site = replace(segment(), demand_charge_usd_per_kw=10.0)
    free = dispatch(site, snapshot(site), sky(3000.0, 3000.0), 0.3, peak_kw=0.0)
    setpoints = dict(free.setpoints)
    setpoints["pv"] = replace(setpoints["pv"], p_kw=setpoints["pv"].p_kw - 100.0)
    for per_kwh, saved in ((None, 40.3), (40.0, 40.3), (0.0, 0.3)):
        held = replace(free, setpoints=setpoints, demand_usd_per_kwh=per_kwh)
        (entry,) = (e for e in explain(site, free, verified(held)).entries if e.der == "pv")
        assert entry.energy_usd_per_kwh == pytest.approx(saved)


# --- any site, any linear rows -------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A site and its interval with rows: a linear problem."""

    site: Site
    snapshot: Snapshot
    forecast: Forecast
    price: float
    rows: Sequence[NetworkRow]

    def solve(self, rows: Sequence[NetworkRow], site: Site | None = None) -> Dispatch:
        return dispatch(site or self.site, self.snapshot, self.forecast, self.price, rows)

    def resolve(self, site: Site, rows: Sequence[NetworkRow]) -> Dispatch:
        return self.solve(rows, site)

    def held(self) -> Dispatch:
        return self.solve(self.rows)

    def ledger(self) -> Ledger:
        return explain(self.site, self.solve(()), verified(self.held()))


@st.composite
def linear_problems(draw: st.DrawFn) -> Drawn:
    """PV, batteries half full and generators that may idle: nothing in it is either, or."""
    kw = st.floats(10.0, 10_000.0)
    share = st.floats(0.0, 1.0)
    ders: list[Der] = []
    for i in range(draw(st.integers(1, 4))):
        rated = draw(kw)
        ders.append(Pv(name=f"pv{i}", bus="b", rated_kw=rated, q_max_kvar=draw(share) * rated))
    for i in range(draw(st.integers(0, 2))):
        rated = draw(kw)
        ders.append(
            Bes(
                name=f"bes{i}", bus="b", rated_kw=rated, capacity_kwh=8.0 * rated,
                weight_usd_per_kwh=draw(st.floats(0.01, 0.6)), q_max_kvar=draw(share) * rated,
            )
        )  # fmt: skip
    for i in range(draw(st.integers(0, 2))):
        rated = draw(kw)
        fuel = draw(st.floats(0.02, 0.8))
        ders.append(
            Dg(
                name=f"dg{i}", bus="b", rated_kw=rated, cost_usd_per_kwh=fuel,
                q_max_kvar=draw(share) * rated,
            )
        )  # fmt: skip
    slope = st.floats(1e-7, 1e-4)
    rows = [
        NetworkRow(
            kind=RowKind.V_MAX, place=f"n{i}.1", limit=1.1, bound=draw(st.floats(0.0, 0.2)),
            c_p={d.name: draw(slope) for d in ders}, c_q={d.name: draw(slope) for d in ders},
        )
        for i in range(draw(st.integers(1, 4)))
    ]  # fmt: skip
    site = Site(
        name="drawn", latitude_deg=40.0, longitude_deg=-105.0, ders=tuple(ders),
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1), load_max_kw=5e4, load_min_kw=0.0,
    )  # fmt: skip
    state = snapshot_of(site)
    skies = {
        pv.name: PvForecast(
            expected_kw=draw(share) * pv.rated_kw, lower_kw=0.0, upper_kw=pv.rated_kw,
            method="given",
        )
        for pv in site.pvs
    }  # fmt: skip
    return Drawn(
        site=site, snapshot=state, forecast=replace(sky(0.0, 0.0), pv=skies),
        price=draw(st.floats(0.02, 1.0)), rows=rows,
    )  # fmt: skip


def snapshot_of(site: Site) -> Snapshot:
    like = snapshot(segment())
    reading = replace(like.ders["bes"], soc_pct=60.0)
    return replace(like, ders={n: replace(reading, der=n, p_kw=0.0) for n in site.names})


@settings(max_examples=80)
@given(linear_problems())
def test_the_ledger_closes_on_every_linear_problem(problem: Drawn) -> None:
    """Nothing is left unattributed: every move is paid by prices, to the last 1e-6."""
    ledger = problem.ledger()
    tolerance = CLOSES * max(1.0, abs(ledger.objective_usd_per_h), ledger.relief_usd_per_h)
    assert abs(ledger.unattributed_usd_per_h) <= tolerance
    assert ledger.objective_usd_per_h == pytest.approx(
        ledger.relief_usd_per_h - ledger.device_usd_per_h + ledger.unattributed_usd_per_h
    )
    assert sum(limit.relief_usd_per_h for limit in ledger.limits) == pytest.approx(
        ledger.relief_usd_per_h
    )
    for entry in ledger.entries:
        assert entry.unattributed_usd_per_h <= tolerance
        assert entry.device_usd_per_h >= 0.0
        assert entry.cost_usd_per_h == pytest.approx(
            entry.relief_usd_per_h - entry.device_usd_per_h + entry.unattributed_usd_per_h,
            abs=tolerance,
        )


@settings(max_examples=80)
@given(linear_problems())
def test_a_der_held_between_its_own_limits_is_worth_what_its_energy_is(problem: Drawn) -> None:
    """The limits' prices stop it just where one more kWh costs what it saves."""
    held, ledger = problem.held(), problem.ledger()
    for entry in ledger.entries:
        der = next(d for d in problem.site.ders if d.name == entry.der)
        at = held.setpoints[der.name].p_kw
        if isinstance(der, Pv):
            expected = problem.forecast.pv[der.name].expected_kw
            slack_of_cap = 0.01 * problem.price + 1e-4  # a cap has a worth of its own
            if 1e-3 < at < expected - 1e-3:
                over = entry.limits_usd_per_kwh - entry.energy_usd_per_kwh
                assert -1e-6 <= over <= slack_of_cap + 1e-6
        elif _least_kw(der) < abs(at) < der.rated_kw - 1e-3:
            assert entry.limits_usd_per_kwh == pytest.approx(entry.energy_usd_per_kwh, abs=1e-6)


def _least_kw(der: Der) -> float:
    """Below a tenth of its rating a generator's power also buys reactive power."""
    return 0.11 * der.rated_kw if isinstance(der, Dg) else 1e-3


@settings(max_examples=40)
@given(linear_problems())
def test_the_limits_named_of_a_der_are_its_dearest_and_sum_up_with_the_rest(
    problem: Drawn,
) -> None:
    held, ledger = problem.held(), problem.ledger()
    for entry in ledger.entries:
        assert len(entry.worth) <= 3
        assert entry.limits == tuple(w.place for w in entry.worth)
        by_row = [b.price * b.row.c_p[entry.der] for b in held.binding]
        assert entry.limits_usd_per_kwh == pytest.approx(sum(by_row))
        if len(held.binding) <= 3:
            named = sum(w.usd_per_kwh for w in entry.worth)
            assert named == pytest.approx(entry.limits_usd_per_kwh)


@settings(max_examples=40)
@given(linear_problems())
def test_re_solving_never_saves_more_than_the_price_promises(problem: Drawn) -> None:
    """The optimal cost is convex in a bound, so a price is the best the next step can do."""
    secured = verified(problem.held())
    ledger = problem.ledger()
    asked = alternatives(problem.site, secured, ledger.limits)
    for told in counterfactuals(problem.site, secured, asked, problem.resolve):
        promised = told.price_usd_per_h_per_unit * told.step
        # What is minimised also holds the small worth of caps, which is no money.
        caps = sum(pv.rated_kw for pv in problem.site.pvs) * max(0.01 * problem.price, 1e-4)
        scale = caps + 1e-6 * abs(secured.dispatch.objective_usd_per_h)
        assert -scale <= told.saves_usd_per_h <= promised + scale
        assert not told.verified


# --- the reference segment: prices by re-solving, and against load flows -------------


@dataclass(slots=True, kw_only=True)
class Segment:
    """One interval of the reference segment, decided."""

    site: Site
    feeder: Feeder
    free: Dispatch
    secured: Secured

    state = snapshot(segment())
    forecast = sky(10_000.0, 10_000.0)

    @property
    def ledger(self) -> Ledger:
        return explain(self.site, self.free, self.secured)

    @classmethod
    def resolve(cls, site: Site, rows: Sequence[NetworkRow]) -> Dispatch:
        return dispatch(site, cls.state, cls.forecast, PRICE_USD_PER_KWH, rows)

    def secure(self, site: Site) -> Secured:
        solve = partial(dispatch, site, self.state, self.forecast, PRICE_USD_PER_KWH)
        return constrain(site, self.state, self.forecast, solve((), {}), self.feeder, solve)

    def flow(self, setpoints: dict[str, Setpoint]) -> LoadFlow:
        return self.feeder.load_flow(
            Injections(
                p_kw={n: s.p_kw for n, s in setpoints.items()},
                q_kvar={n: s.q_kvar for n, s in setpoints.items()},
                load_kw=LOAD_KW,
            )
        )


@pytest.fixture(scope="module", params=[0.0, 500.0])
def decided(request: pytest.FixtureRequest) -> Iterator[Segment]:
    """The published case without a band, the PV with and without reactive power."""
    site = segment(band_pct=0.0, pv_q_max_kvar=request.param)
    world = ports(site)
    assert isinstance(world.network, Feeder)
    solve = partial(dispatch, site, Segment.state, Segment.forecast, PRICE_USD_PER_KWH)
    free = solve((), {})
    secured = constrain(site, Segment.state, Segment.forecast, free, world.network, solve)
    assert isinstance(secured, Verified)
    yield Segment(site=site, feeder=world.network, free=free, secured=secured)
    world.network.close()


def test_the_ledger_of_the_reference_segment_closes(decided: Segment) -> None:
    ledger = decided.ledger
    assert ledger.objective_usd_per_h > 0.0
    assert abs(ledger.unattributed_usd_per_h) <= CLOSES * ledger.relief_usd_per_h
    assert {e.der for e in ledger.entries} >= {"pv", "dg", "bes"}
    assert sum(e.relief_usd_per_h for e in ledger.entries) == pytest.approx(ledger.relief_usd_per_h)
    assert ledger.compliance_usd == pytest.approx(ledger.compliance_usd_per_h / 4.0)


@pytest.mark.parametrize(
    "asked",
    [
        {"s_max_kva": 9_800.0},
        {"power_factor_min": 0.95},
        {"curtailment_usd_per_kwh": 0.2, "q_max_kvar": 0.0},
        {"export_limit_kw": 0.0, "load_kw": 9_000.0},
        {"export_price_usd_per_kwh": 0.05, "load_kw": 8_000.0},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_it_closes_with_inverter_circles_and_with_the_terms_of_the_grid_connection(
    asked: dict[str, float],
) -> None:
    """Circles are no linear rows, but a convex set: what they take up is the device's."""
    load_kw = asked.get("load_kw", LOAD_KW)
    site = segment(band_pct=0.0, pv_q_max_kvar=asked.get("q_max_kvar", 2000.0), v_max_pu=1.07)
    own: dict[str, Any] = {k: v for k, v in asked.items() if k == "s_max_kva"}
    ders = tuple(replace(d, **own) if isinstance(d, Pv) else d for d in site.ders)
    terms: dict[str, Any] = {
        k: v for k, v in asked.items() if k not in {"s_max_kva", "q_max_kvar", "load_kw"}
    }
    site = replace(site, ders=ders, **terms)
    state, forecast = snapshot(site, load_kw), sky(10_000.0, 10_000.0, load_kw)
    solve = partial(dispatch, site, state, forecast, PRICE_USD_PER_KWH)
    world = ports(site)
    secured = constrain(site, state, forecast, solve((), {}), world.network, solve)
    assert isinstance(secured, Verified)
    ledger = explain(site, solve((), {}), secured)
    assert ledger.objective_usd_per_h > 0.0
    assert abs(ledger.unattributed_usd_per_h) <= 1e-5 * ledger.relief_usd_per_h


def test_the_price_of_a_limit_is_what_a_small_step_of_it_saves(decided: Segment) -> None:
    step = 1e-5
    held = decided.secured.dispatch
    rows = [replace(b.row, bound=b.row.bound + step) for b in held.binding]
    wider = decided.resolve(decided.site, rows)
    saves = held.objective_usd_per_h - wider.objective_usd_per_h
    price = sum(limit.price for limit in decided.ledger.limits)
    # The ledger's price counts one per cent of the energy that a cap is worth beside it.
    assert saves == pytest.approx(price * step, rel=0.011)


def test_a_devices_own_limit_is_worth_what_the_ledger_says_it_takes_up(decided: Segment) -> None:
    """One more kvar of the generator: the limits' worth of it, less its small price."""
    held = decided.secured.dispatch
    more = tuple(
        replace(d, q_max_kvar=d.q_max_kvar + 1.0) if d.name == "dg" else d
        for d in decided.site.ders
    )
    other = decided.resolve(replace(decided.site, ders=more), [b.row for b in held.binding])
    entry = next(e for e in decided.ledger.entries if e.der == "dg")
    net = entry.limits_usd_per_kvarh - decided.site.q_cost_usd_per_kvarh
    assert held.objective_usd_per_h - other.objective_usd_per_h == pytest.approx(net, rel=0.011)
    assert entry.device_usd_per_h == pytest.approx(400.0 * net, rel=1e-6)


def test_prices_hold_within_3_per_cent_of_load_flows_for_a_hundred_kilowatts(
    decided: Segment,
) -> None:
    """The voltage that 100 kW of PV really move, at the ledger's price."""
    setpoints = dict(decided.secured.dispatch.setpoints)
    bound = decided.secured.dispatch.binding[0]
    node = decided.secured.load_flow.nodes.index(bound.row.place)
    here = decided.flow(setpoints).v_pu[node]
    (limit,) = decided.ledger.limits
    for step_kw in (-100.0, 100.0):
        pv = replace(setpoints["pv"], p_kw=setpoints["pv"].p_kw + step_kw)
        moved = decided.flow(setpoints | {"pv": pv}).v_pu[node] - here
        said = bound.row.c_p["pv"] * step_kw
        assert limit.price * abs(moved - said) <= 0.03 * limit.price * abs(said)


def test_over_the_whole_move_the_ledger_is_within_12_per_cent_of_load_flows(
    decided: Segment,
) -> None:
    """What the limits were relieved of, by the voltage that really fell; the compliance cost
    itself is a difference of two costs and has no such error."""
    secured = decided.secured
    assert secured.free_load_flow is not None
    node = secured.load_flow.nodes.index(secured.dispatch.binding[0].row.place)
    fell = secured.free_load_flow.v_pu[node] - secured.load_flow.v_pu[node]
    (limit,) = decided.ledger.limits
    assert limit.relief_usd_per_h == pytest.approx(limit.price * fell, rel=0.12)


def test_a_counterfactual_solved_again_is_within_7_per_cent_of_one_proved_by_load_flows(
    decided: Segment,
) -> None:
    asked = alternatives(decided.site, decided.secured, decided.ledger.limits)
    linear = counterfactuals(decided.site, decided.secured, asked, decided.resolve)
    true = proved(decided.secured, asked, decided.secure)
    assert [c.what for c in linear] == [c.what for c in true]
    assert all(c.verified for c in true)
    assert linear[0].what == "voltage allowed up to 1.11 instead of 1.10 pu"
    assert linear[1].what.startswith("4400 kvar of pv instead of ")
    for said, found in zip(linear, true, strict=True):
        assert said.saves_usd_per_h == pytest.approx(found.saves_usd_per_h, rel=0.07)


# --- what the cycle asks -------------------------------------------------------------


def test_with_a_resolve_the_ledger_tells_what_the_dearest_limit_would_have_saved(
    decided: Segment,
) -> None:
    calls: list[Sequence[NetworkRow]] = []

    def resolve(site: Site, rows: Sequence[NetworkRow]) -> Dispatch:
        calls.append(rows)
        return decided.resolve(site, rows)

    ledger = explain(decided.site, decided.free, decided.secured, resolve)
    (told,) = ledger.counterfactuals
    assert told.saves_usd_per_h > 0.0
    assert len(calls) == 1  # one linear solve, no more


def test_where_no_limit_binds_nothing_is_asked_again() -> None:
    site = segment()
    free = dispatch(site, Segment.state, sky(0.0, 0.0), PRICE_USD_PER_KWH)
    never: Resolve = pytest.fail  # type: ignore[assignment]  # raises when called at all
    ledger = explain(site, free, verified(free), never)
    assert ledger.counterfactuals == ()
    assert ledger.entries == ()
    assert ledger.compliance_usd_per_h == 0.0


def test_a_cost_that_no_price_explains_is_named_and_the_ledger_still_closes(
    decided: Segment,
) -> None:
    """Caps held back after the optimum."""
    held = decided.secured.dispatch
    back = replace(held.setpoints["pv"], p_kw=5000.0, cap_kw=5000.0)
    lost = PRICE_USD_PER_KWH * (held.setpoints["pv"].p_kw - 5000.0)
    moved = replace(
        held,
        setpoints={**held.setpoints, "pv": back},
        cost_usd_per_h=held.cost_usd_per_h + lost,
        objective_usd_per_h=held.objective_usd_per_h + lost,
        binding=tuple(replace(b, price=0.5 * b.price) for b in held.binding),
    )
    ledger = explain(decided.site, decided.free, verified(moved, decided.secured.load_flow))
    (pv,) = [e for e in ledger.entries if e.der == "pv"]
    assert pv.unattributed_usd_per_h > 0.0
    assert ledger.objective_usd_per_h == pytest.approx(
        ledger.relief_usd_per_h - ledger.device_usd_per_h + ledger.unattributed_usd_per_h
    )


def test_a_dispatch_off_its_rows_is_solved_again_before_it_is_compared(decided: Segment) -> None:
    held = decided.secured.dispatch
    back = replace(held.setpoints["pv"], p_kw=5000.0, cap_kw=5000.0)
    off = replace(held, setpoints={**held.setpoints, "pv": back}, objective_usd_per_h=1e9)
    secured = verified(off, decided.secured.load_flow)
    asked = alternatives(decided.site, secured, decided.ledger.limits)[:1]
    (told,) = counterfactuals(decided.site, secured, asked, decided.resolve)
    assert told.saves_usd_per_h <= told.price_usd_per_h_per_unit * told.step + 1e-3
