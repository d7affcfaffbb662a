"""The look-ahead: what a plan does, why, and how it stands in for the single-interval dispatch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import clarabel  # type: ignore[import-untyped]  # it has no stubs
import cyipopt
import numpy as np
import pyomo.environ as pyo
import pytest
import scipy.sparse as sp
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

from ems.clock import INTERVAL
from ems.constrain import constrain
from ems.dispatch import dispatch
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
    RowBlock,
    RowKind,
    Setpoint,
    Site,
    Snapshot,
    SolverStatus,
    Verified,
)
from ems.domain.ahead import Horizon, HorizonForecast, Plan, StorageValue, TerminalSoc
from ems.errors import BadInput, SolverFault
from ems.lookahead import horizon_of, load_ahead, lookahead, value_of_storage
from ems.tariff import flat, named
from feeders import Feeder
from tests.sites import NOW, segment, sky, snapshot

BATTERY = Bes(
    name="bes", bus="b", rated_kw=100.0, capacity_kwh=200.0, soc_min_pct=0.0, soc_max_pct=100.0,
    eta_charge=0.9, eta_discharge=0.9,
)  # fmt: skip
PLANT = Pv(name="pv", bus="b", rated_kw=500.0)
DIESEL = Dg(name="dg", bus="b", rated_kw=400.0, cost_usd_per_kwh=0.3)


def site_of(*ders: Der, **more: Any) -> Site:
    return Site(
        name="small", latitude_deg=40.0, longitude_deg=-105.0, ders=ders, load_max_kw=5e3,
        load_min_kw=0.0, limits=Limits(v_min_pu=0.9, v_max_pu=1.1), **more,
    )  # fmt: skip


def state(site: Site, soc_pct: float | None = 50.0, **p_kw: float) -> Snapshot:
    return Snapshot(
        time=NOW,
        load=LoadReading(time=NOW, p_kw=300.0),
        ders={
            d.name: DerReading(
                der=d.name, time=NOW, p_kw=p_kw.get(d.name, 0.0), q_kvar=0.0,
                soc_pct=soc_pct if isinstance(d, Bes) else None,
            )
            for d in site.ders
        },
    )  # fmt: skip


def horizon(
    price: Sequence[float],
    *,
    selling: Sequence[float] | None = None,
    load_kw: Sequence[float] | float = 300.0,
    pv_kw: Mapping[str, Sequence[float]] | None = None,
    terminal: TerminalSoc = "keep",
) -> Horizon:
    n = len(price)
    load = (load_kw,) * n if isinstance(load_kw, float) else tuple(load_kw)
    return Horizon(
        starts=tuple(NOW + i * INTERVAL for i in range(n)),
        price_usd_per_kwh=tuple(price),
        export_usd_per_kwh=None if selling is None else tuple(selling),
        load_kw=load,
        pv_kw={k: tuple(v) for k, v in (pv_kw or {}).items()},
        terminal=terminal,
    )


def now(ahead: Horizon, upper_kw: float | None = None) -> Forecast:
    """The first interval of a horizon as the forecast of it."""
    pv = {
        n: PvForecast(expected_kw=v[0], lower_kw=0.0, upper_kw=upper_kw or v[0], method="given")
        for n, v in ahead.pv_kw.items()
    }
    return Forecast(start=NOW, load_kw=ahead.load_kw[0], pv=pv)


def planned(
    site: Site, ahead: Horizon, soc_pct: float | None = 50.0, **more: Any
) -> tuple[Dispatch, Plan]:
    return lookahead(site, state(site, soc_pct), now(ahead), ahead, **more)


def test_a_plant_that_is_not_commanded_is_not_planned_within_a_limit_of_others() -> None:
    site = site_of(PLANT, DIESEL)
    ahead = horizon([0.35] * 4, load_kw=600.0, pv_kw={"pv": [450.0] * 4})
    limited = now(ahead).within({"pv": 100.0})
    pins = {"pv": Setpoint(der="pv", p_kw=450.0, q_kvar=0.0)}
    first, _ = lookahead(site, state(site), limited, ahead, (), pins)
    assert first.setpoints["pv"].p_kw == pytest.approx(450.0)
    commanded, _ = lookahead(site, state(site), limited, ahead)
    assert commanded.setpoints["pv"].p_kw == pytest.approx(100.0)


# --- storage -------------------------------------------------------------------------


def test_a_battery_buys_cheap_and_gives_back_when_energy_is_dear() -> None:
    ahead = horizon([0.1] * 4 + [0.4] * 4)
    first, plan = planned(site_of(BATTERY), ahead, soc_pct=0.0)
    # An hour at 100 kW stores 90 kWh, of which 81 kWh come back.
    assert sum(p for p in plan.p_kw["bes"] if p < 0) * 0.25 == pytest.approx(-100.0)
    assert sum(p for p in plan.p_kw["bes"] if p > 0) * 0.25 == pytest.approx(81.0)
    idle = 300.0 * (0.1 + 0.4)
    assert plan.total_cost_usd == pytest.approx(idle + 100.0 * 0.1 - 81.0 * 0.4)
    assert first.setpoints["bes"].p_kw == pytest.approx(plan.p_kw["bes"][0])
    assert first.grid_kw == pytest.approx(plan.grid_kw[0])


def test_a_battery_rests_where_the_round_trip_costs_more_than_it_earns() -> None:
    ahead = horizon([0.25] * 4 + [0.3] * 4)  # 0.25 / 0.81 is more than 0.3
    _, plan = planned(site_of(BATTERY), ahead)
    assert plan.p_kw["bes"] == pytest.approx([0.0] * 8)


@pytest.mark.parametrize(("terminal", "end_pct"), [("keep", 50.0), ("free", 0.0), (70.0, 70.0)])
def test_the_horizon_ends_as_its_policy_says(terminal: TerminalSoc, end_pct: float) -> None:
    ahead = horizon([0.3] * 8, terminal=terminal)
    _, plan = planned(site_of(BATTERY), ahead)
    assert plan.storage["bes"].soc_pct[-1] == pytest.approx(end_pct)
    assert plan.storage["bes"].shortfall_kwh == pytest.approx(0.0)


def test_a_policy_that_cannot_be_reached_in_time_is_missed_by_as_little_as_can_be() -> None:
    _, plan = planned(site_of(BATTERY), horizon([0.3], terminal=100.0))
    assert plan.storage["bes"].kwh[-1] == pytest.approx(100.0 + 22.5)
    assert plan.storage["bes"].shortfall_kwh == pytest.approx(77.5)


def test_a_full_battery_does_not_burn_energy_at_a_negative_price() -> None:
    """Both at once would burn 19 % of what it takes; one after the other is what it can do."""
    ahead = horizon([-0.2] * 3, terminal="free")
    _, plan = planned(site_of(BATTERY), ahead, soc_pct=100.0)
    assert plan.either_or > 0
    assert plan.status is SolverStatus.OPTIMAL
    # It earns only what makes room: discharge d kWh in one interval, charge d / 0.81 in others.
    # 25 kWh taken in each of two intervals is 45 kWh stored, for which 40.5 kWh must leave,
    # and only 25 kWh can in the third: 25 / 0.81 kWh taken for 25 kWh given.
    assert plan.total_cost_usd == pytest.approx(-0.2 * (3 * 75.0 + 25.0 / 0.81 - 25.0))


def test_a_battery_of_unknown_charge_holds_still() -> None:
    _, plan = planned(site_of(BATTERY), horizon([0.1] * 4 + [0.5] * 4), soc_pct=None)
    assert plan.p_kw["bes"] == pytest.approx([0.0] * 8)
    assert value_of_storage(site_of(BATTERY), plan) == {}


def test_a_battery_found_below_its_limit_may_stay_and_never_goes_further_down() -> None:
    site = site_of(replace(BATTERY, soc_min_pct=20.0))
    _, plan = planned(site, horizon([0.5] * 8, terminal="free"), soc_pct=10.0)
    assert min(plan.storage["bes"].soc_pct) >= 10.0 - 1e-9


def test_sold_for_less_than_bought_a_battery_takes_the_suns_surplus() -> None:
    ahead = horizon(
        [0.3] * 8, selling=[0.05] * 8, load_kw=100.0, pv_kw={"pv": [160.0] * 4 + [0.0] * 4}
    )
    first, plan = planned(site_of(PLANT, BATTERY), ahead, soc_pct=0.0)
    assert plan.p_kw["bes"][:4] == pytest.approx([-60.0] * 4)
    assert plan.grid_kw[:4] == pytest.approx([0.0] * 4)
    assert first.setpoints["pv"].cap_kw is None


# --- generators ----------------------------------------------------------------------


def test_a_generator_ramps_up_in_time_for_dear_energy() -> None:
    site = site_of(replace(DIESEL, ramp_up_kw_per_h=400.0))
    _, plan = planned(site, horizon([0.29] * 3 + [0.9]))
    # 100 kW per interval; running early loses 1 ct/kWh, being at 400 kW in the end earns 60.
    assert plan.p_kw["dg"] == pytest.approx([100.0, 200.0, 300.0, 400.0])


def test_a_generator_is_off_or_above_its_least_power() -> None:
    site = site_of(replace(DIESEL, min_kw=200.0, ramp_up_kw_per_h=400.0, ramp_down_kw_per_h=400.0))
    _, plan = planned(site, horizon([0.2, 0.2, 0.31, 0.2, 0.2]))
    assert plan.p_kw["dg"] == pytest.approx([0.0, 0.0, 200.0, 0.0, 0.0])
    # Least power of 200 kW for 0.5 ct where 40 kW would do: it stays off.
    ahead = horizon([0.2, 0.2, 0.305, 0.2], selling=[0.0] * 4, load_kw=40.0)
    _, plan = planned(site, ahead)
    assert plan.p_kw["dg"] == pytest.approx([0.0] * 4)


def test_a_generator_on_its_way_down_stops_no_sooner_than_it_can() -> None:
    site = site_of(replace(DIESEL, min_kw=100.0, ramp_down_kw_per_h=400.0))
    ahead = horizon([0.1] * 5)
    first, plan = lookahead(site, state(site, dg=400.0), now(ahead), ahead)
    assert plan.p_kw["dg"] == pytest.approx([300.0, 200.0, 0.0, 0.0, 0.0])
    held, _ = lookahead(site, state(site, dg=400.0), now(ahead), ahead, generators_may_fall=False)
    assert held.setpoints["dg"].p_kw == pytest.approx(400.0)
    assert first.setpoints["dg"].p_kw == pytest.approx(300.0)


# --- the point of common coupling ----------------------------------------------------


def test_a_demand_charge_shaves_the_peak() -> None:
    site = site_of(BATTERY, demand_charge_usd_per_kw=10.0)
    ahead = horizon([0.3] * 4, load_kw=[200.0, 200.0, 280.0, 200.0])
    _, plan = planned(site, ahead, peak_kw=210.0)
    # x = 280 − 0.81 · 3 · (x − 200): every interval gives the peak what the round trip leaves.
    assert plan.grid_kw == pytest.approx([766.0 / 3.43] * 4)
    assert plan.total_cost_usd == pytest.approx(0.3 * 766.0 / 3.43 + 10.0 * (766.0 / 3.43 - 210.0))
    _, careless = planned(site, ahead)
    assert max(careless.grid_kw) == pytest.approx(280.0)


@pytest.mark.parametrize(
    ("load_kw", "usd_per_kwh"), [([200.0, 280.0], 0.0), ([280.0, 200.0], 4 * 10.0)]
)
def test_an_interval_bears_the_demand_charge_only_where_it_sets_the_peak(
    load_kw: list[float], usd_per_kwh: float
) -> None:
    site = site_of(PLANT, demand_charge_usd_per_kw=10.0)
    ahead = horizon([0.3] * 2, load_kw=load_kw, pv_kw={"pv": [0.0] * 2})
    first, _ = planned(site, ahead, peak_kw=0.0)
    assert first.demand_usd_per_kwh == pytest.approx(usd_per_kwh)
    uncharged, _ = planned(site, ahead)
    assert uncharged.demand_usd_per_kwh is None


def test_import_and_export_limits_are_kept_and_priced_in_the_first_interval() -> None:
    site = site_of(BATTERY, import_limit_kw=250.0)
    first, plan = planned(site, horizon([0.3] * 4, terminal="free"))
    assert max(plan.grid_kw) <= 250.0 + 1e-6
    site = site_of(PLANT, BATTERY, export_limit_kw=50.0)
    ahead = horizon([0.3] * 4, load_kw=0.0, pv_kw={"pv": [200.0] * 4})
    first, plan = planned(site, ahead)
    assert min(plan.grid_kw) >= -50.0 - 1e-6
    assert [b.row.kind for b in first.binding] == [RowKind.EXPORT]
    cap_kw = first.setpoints["pv"].cap_kw
    assert cap_kw is not None
    assert cap_kw + first.setpoints["bes"].p_kw == pytest.approx(50.0)


def test_a_limit_no_der_can_keep_is_broken_by_as_little_as_can_be() -> None:
    first, _ = planned(site_of(BATTERY, import_limit_kw=100.0), horizon([0.3], terminal="free"))
    assert first.setpoints["bes"].p_kw == pytest.approx(100.0)
    assert first.binding[0].slack == pytest.approx(100.0)


def test_energy_that_costs_money_to_give_away_is_capped() -> None:
    ahead = horizon([-0.1] * 2, pv_kw={"pv": [400.0] * 2})
    first, plan = planned(site_of(PLANT), ahead)
    assert first.setpoints["pv"].cap_kw == pytest.approx(0.0)
    assert plan.p_kw["pv"] == pytest.approx([0.0, 0.0])


# --- network rows and pins -----------------------------------------------------------


def row(
    bound: float, c_p: Mapping[str, float], c_q: Mapping[str, float] | None = None
) -> NetworkRow:
    return NetworkRow(
        kind=RowKind.V_MAX, place="n.1", limit=1.1, c_p=c_p, c_q=c_q or {}, bound=bound
    )  # fmt: skip


def test_without_storage_it_decides_and_prices_rows_as_the_single_interval_does() -> None:
    site = site_of(replace(PLANT, q_max_kvar=50.0), replace(DIESEL, q_max_kvar=100.0, min_kw=50.0))
    ahead = horizon([0.35] * 3, pv_kw={"pv": [400.0] * 3})
    forecast = now(ahead, upper_kw=450.0)
    c_p, c_q = {"pv": 1e-4, "dg": 5e-5}, {"pv": 4e-5, "dg": 6e-5}
    rows = [row(0.03, c_p, c_q)]
    measured = state(site, dg=100.0)
    first, _ = lookahead(site, measured, forecast, ahead, rows)
    single = dispatch(site, measured, forecast, 0.35, rows)
    for name in site.names:
        ours, theirs = first.setpoints[name], single.setpoints[name]
        assert ours.p_kw == pytest.approx(theirs.p_kw, abs=1e-3)
        assert ours.q_kvar == pytest.approx(theirs.q_kvar, abs=1e-3)
    assert first.setpoints["pv"].cap_kw == pytest.approx(single.setpoints["pv"].cap_kw, abs=1e-3)
    assert first.cost_usd_per_h == pytest.approx(single.cost_usd_per_h, abs=1e-5)
    assert first.binding[0].price == pytest.approx(single.binding[0].price, rel=1e-5)
    assert first.kkt_residual <= 1e-6


def test_a_row_of_a_later_interval_moves_what_is_stored_before() -> None:
    """Noon's surplus may not leave: the battery must have room for it."""
    site = site_of(PLANT, BATTERY)
    ahead = horizon([0.3] * 8, load_kw=0.0, pv_kw={"pv": [0.0] * 4 + [200.0] * 4})
    _, free = planned(site, ahead, soc_pct=100.0)
    rows = RowBlock.of([row(0.01, {"pv": 1e-4, "bes": 1e-4})], site.names)  # 100 kW at most
    _, held = planned(site, ahead, soc_pct=100.0, later=dict.fromkeys(range(4, 8), rows))
    assert sum(held.p_kw["pv"]) == pytest.approx(sum(free.p_kw["pv"]))
    assert all(
        pv + bes <= 100.0 + 1e-6
        for pv, bes in zip(held.p_kw["pv"][4:], held.p_kw["bes"][4:], strict=True)
    )
    # Room for 100 kW over an hour has to be there when it starts.
    assert held.storage["bes"].kwh[3] <= 200.0 - 90.0 + 1e-6
    assert held.storage["bes"].bus_usd_per_kwh[4] < 0.3


def test_an_inverters_reactive_power_stays_within_its_circle() -> None:
    site = site_of(replace(PLANT, q_max_kvar=300.0, s_max_kva=500.0))
    ahead = horizon([0.3] * 2, pv_kw={"pv": [500.0] * 2})
    first, _ = planned(site, ahead, rows=[row(0.03, {"pv": 1e-4}, {"pv": 1e-4})])
    at = first.setpoints["pv"]
    assert math.hypot(at.p_kw, at.q_kvar) <= 500.0 + 1e-6
    assert math.hypot(at.p_kw, at.q_kvar) >= 0.995 * 500.0
    assert at.q_kvar < 0.0


def test_what_cannot_be_moved_is_planned_around() -> None:
    site = site_of(PLANT, BATTERY, DIESEL)
    ahead = horizon([0.1] * 2 + [0.5] * 2, pv_kw={"pv": [400.0] * 4})
    pins = {
        "bes": Setpoint(der="bes", p_kw=80.0, q_kvar=5.0),
        "dg": Setpoint(der="dg", p_kw=120.0, q_kvar=-7.0),
        "pv": Setpoint(der="pv", p_kw=90.0, q_kvar=0.0, cap_kw=90.0),
    }
    first, plan = lookahead(site, state(site, 5.0), now(ahead), ahead, (), pins)
    for name, pin in pins.items():
        assert first.setpoints[name].p_kw == pytest.approx(pin.p_kw)
        assert first.setpoints[name].q_kvar == pytest.approx(pin.q_kvar)
    assert first.setpoints["pv"].cap_kw == pytest.approx(90.0)
    # 20 kW leave for 15 min with 10 kWh in store: empty it cannot be, and no plan is refused.
    assert plan.storage["bes"].kwh[0] == pytest.approx(10.0 - 20.0 / 0.9)


def resolving(ahead: Horizon, site: Site, measured: Snapshot, forecast: Forecast) -> Any:
    def resolve(
        rows: Sequence[NetworkRow] | RowBlock,
        pins: Mapping[str, Setpoint],
        *,
        generators_may_fall: bool = True,
    ) -> Dispatch:
        return lookahead(
            site, measured, forecast, ahead, rows, pins, generators_may_fall=generators_may_fall
        )[0]

    return resolve


def test_the_constraint_loop_verifies_a_plans_first_interval() -> None:
    site = segment()
    forecast = sky(10_000.0, 10_000.0)
    ahead = horizon_of(
        forecast,
        HorizonForecast(load_kw=(forecast.load_kw,) * 96, pv_kw={"pv": (10_000.0,) * 96}),
        named("pge_a6_2019_summer", outside_season_usd_per_kwh=0.2),
    )
    measured = snapshot(site)
    resolve = resolving(ahead, site, measured, forecast)
    free = resolve((), {})
    feeder = Feeder.open("segment13", site.placements)
    secured = constrain(site, measured, forecast, free, feeder, resolve)
    assert isinstance(secured, Verified)
    assert secured.dispatch.binding
    assert secured.dispatch.objective_usd_per_h > free.objective_usd_per_h


# --- what stored energy is worth -----------------------------------------------------


def test_the_multiplier_of_stored_energy_is_a_slope_of_its_worth() -> None:
    site = site_of(BATTERY)
    ahead = horizon([0.1 + 0.02 * ((7 * i) % 13) for i in range(24)])
    _, plan = planned(site, ahead)
    value = value_of_storage(site, plan)["bes"]
    stored, marginal = plan.storage["bes"].kwh[0], plan.storage["bes"].marginal_usd_per_kwh
    assert plan.storage["bes"].bus_usd_per_kwh == pytest.approx(ahead.price_usd_per_kwh)
    before = value.worth_usd(stored) - value.worth_usd(max(stored - 0.01, value.kwh[0]))
    after = value.worth_usd(min(stored + 0.01, value.kwh[-1])) - value.worth_usd(stored)
    assert before >= 0.01 * marginal - 1e-9 or stored == value.kwh[0]
    assert after <= 0.01 * marginal + 1e-9


def test_worth_has_no_value_where_the_battery_cannot_be() -> None:
    value = StorageValue(kwh=(10.0, 20.0, 30.0), usd_per_kwh=(0.4, 0.1))
    assert value.worth_usd(25.0) == pytest.approx(4.5)
    with pytest.raises(ValueError, match="outside"):
        value.worth_usd(31.0)


# --- what comes ahead ----------------------------------------------------------------


def test_a_horizon_takes_its_prices_from_the_tariff_and_its_first_numbers_from_the_forecast() -> (
    None
):
    tariff = named("pge_a6_2019_summer", outside_season_usd_per_kwh=0.2)
    forecast = sky(1_000.0, 1_200.0, load_kw=5_000.0)
    given = HorizonForecast(load_kw=(1.0, 4_000.0), pv_kw={"pv": (2.0, 900.0)})
    ahead = horizon_of(forecast, given, tariff, selling=flat(0.04), terminal="free")
    assert ahead.starts == (forecast.start, forecast.start + timedelta(minutes=15))
    assert ahead.price_usd_per_kwh == tuple(tariff.price(s) for s in ahead.starts)
    assert ahead.export_usd_per_kwh == (0.04, 0.04)
    assert ahead.load_kw == (5_000.0, 4_000.0)
    assert ahead.pv_kw["pv"] == (1_000.0, 900.0)


def test_the_load_ahead_is_yesterdays_drawn_towards_the_present() -> None:
    assert load_ahead(50.0, intervals=3) == (50.0, 50.0, 50.0)
    ahead = load_ahead(120.0, [100.0] * 96)
    assert ahead[0] == pytest.approx(120.0)
    assert ahead[8] == pytest.approx(110.0)
    assert ahead[16:] == pytest.approx([100.0] * 80)
    assert load_ahead(60.0, [math.nan, 100.0, math.nan], intervals=4) == (60.0, 100.0, 60.0, 60.0)


def test_a_horizon_of_unequal_series_is_refused_with_all_of_them() -> None:
    with pytest.raises(ValueError, match=r"load_kw has 1 values; pv_kw\[pv\] has 3"):
        Horizon(
            starts=(NOW, NOW + INTERVAL), price_usd_per_kwh=(0.1, 0.1), load_kw=(1.0,),
            pv_kw={"pv": (1.0, 1.0, 1.0)},
        )  # fmt: skip


def test_a_horizon_without_a_plants_sky_is_refused_by_name() -> None:
    ahead = horizon([0.3] * 2)
    site = site_of(PLANT)
    forecast = replace(now(ahead), pv=sky(1.0, 1.0).pv)
    with pytest.raises(BadInput, match="lacks pv"):
        lookahead(site, state(site), forecast, ahead)


# --- how it ends ---------------------------------------------------------------------


def test_too_late_it_says_so_and_names_the_way_out() -> None:
    site = site_of(*(replace(BATTERY, name=f"bes{i}") for i in range(40)))
    ahead = horizon([0.1 + 0.01 * (i % 30) for i in range(96)])
    with pytest.raises(SolverFault, match="dispatch the single interval"):
        lookahead(site, state(site), now(ahead), ahead, wall_limit_s=1e-6)


def test_without_time_for_a_proof_a_plan_tells_its_gap() -> None:
    site = site_of(BATTERY)
    ahead = horizon([-0.2, -0.1, -0.3, -0.2, 0.1, 0.2], terminal="free")
    _, hasty = planned(site, ahead, soc_pct=100.0, proof_s=0.0)
    _, proved = planned(site, ahead, soc_pct=100.0)
    assert hasty.status is SolverStatus.ACCEPTABLE
    assert hasty.total_cost_usd - hasty.gap_usd <= proved.total_cost_usd + 1e-9
    assert proved.total_cost_usd <= hasty.total_cost_usd + 1e-9


def test_the_same_question_has_the_same_answer_whatever_was_asked_between() -> None:
    site = site_of(PLANT, BATTERY, DIESEL)
    ahead = horizon([0.3] * 12, pv_kw={"pv": [400.0] * 12})
    other = horizon([0.1, 0.5] * 6, pv_kw={"pv": [100.0] * 12})
    rows = [row(0.02, {"pv": 1e-4, "bes": 1e-4, "dg": 1e-4})]
    before = planned(site, ahead, rows=rows)
    planned(site, other)
    after = planned(site, ahead, rows=rows)
    assert replace(before[0], solve_s=0.0) == replace(after[0], solve_s=0.0)
    assert replace(before[1], wall_s=0.0) == replace(after[1], wall_s=0.0)


def test_a_plan_is_shown_as_one_flat_row_per_interval() -> None:
    ahead = horizon([0.1] * 2 + [0.5] * 2, pv_kw={"pv": [10.0] * 4})
    _, plan = planned(site_of(PLANT, BATTERY), ahead)
    rows = json.loads(json.dumps(plan.to_rows()))
    assert len(rows) == 4
    assert rows[0]["start"] == NOW.isoformat()
    assert rows[0].keys() == {
        "start", "price_usd_per_kwh", "load_kw", "grid_kw", "cost_usd", "pv_kw", "bes_kw",
        "bes_soc_pct",
    }  # fmt: skip
    assert rows[3]["bes_soc_pct"] == pytest.approx(50.0)


# --- other solvers -------------------------------------------------------------------


def battery_day() -> tuple[Site, Horizon]:
    hours = np.arange(96) / 4.0
    price = 0.2 + 0.1 * np.sin(hours / 12.0 * np.pi) + 0.02 * np.cos(hours * 5.0)
    sun = 150.0 * np.clip(np.sin((hours - 6.0) / 12.0 * np.pi), 0.0, None)
    load = 120.0 + 60.0 * np.cos(hours / 6.0 * np.pi)
    ahead = horizon(
        price.tolist(), selling=(0.4 * price).tolist(), load_kw=load.tolist(),
        pv_kw={"pv": sun.tolist()},
    )  # fmt: skip
    ramped = replace(
        DIESEL, rated_kw=100.0, cost_usd_per_kwh=0.22, ramp_up_kw_per_h=60.0,
        ramp_down_kw_per_h=80.0,
    )  # fmt: skip
    return site_of(PLANT, BATTERY, ramped), ahead


def by_pyomo(ahead: Horizon) -> Any:
    """The same day in Pyomo's own words: no shared matrix, column or bound."""
    m: Any = pyo.ConcreteModel()
    t = range(len(ahead))
    m.t = pyo.Set(initialize=t, ordered=True)
    m.buy, m.sell = pyo.Var(m.t, bounds=(0, None)), pyo.Var(m.t, bounds=(0, None))
    m.sun = pyo.Var(m.t, bounds=lambda _, i: (0, ahead.pv_kw["pv"][i]))
    m.into, m.out = pyo.Var(m.t, bounds=(0, 100)), pyo.Var(m.t, bounds=(0, 100))
    m.kwh = pyo.Var(m.t, bounds=(0, 200))
    m.oil = pyo.Var(m.t, bounds=(0, 100))
    m.meter = pyo.Constraint(
        m.t,
        rule=lambda m, i: (
            m.buy[i] - m.sell[i] + m.sun[i] + m.out[i] - m.into[i] + m.oil[i] == ahead.load_kw[i]
        ),
    )
    m.store = pyo.Constraint(
        m.t,
        rule=lambda m, i: (
            m.kwh[i] == (m.kwh[i - 1] if i else 100.0) + 0.25 * (0.9 * m.into[i] - m.out[i] / 0.9)
        ),
    )
    m.up = pyo.Constraint(
        m.t, rule=lambda m, i: m.oil[i] - (m.oil[i - 1] if i else 0.0 * m.oil[0]) <= 15.0
    )
    m.down = pyo.Constraint(
        m.t, rule=lambda m, i: (m.oil[i - 1] if i else 0.0 * m.oil[0]) - m.oil[i] <= 20.0
    )
    m.end = pyo.Constraint(expr=m.kwh[len(ahead) - 1] >= 100.0)
    prices, selling = ahead.price_usd_per_kwh, ahead.selling_usd_per_kwh
    m.bill = pyo.Objective(
        expr=0.25 * sum(prices[i] * m.buy[i] - selling[i] * m.sell[i] + 0.22 * m.oil[i] for i in t)
    )
    return LinearStandardFormCompiler().write(m, mixed_form=True)


class _Linear:
    """What Ipopt asks of a linear program."""

    def __init__(self, form: Any) -> None:
        self.c, self.a = form.c.toarray()[0], sp.coo_array(form.A)

    def objective(self, x: Any) -> float:
        return float(self.c @ x)

    def gradient(self, _x: Any) -> Any:
        return self.c

    def constraints(self, x: Any) -> Any:
        return self.a @ x

    def jacobian(self, _x: Any) -> Any:
        return self.a.data

    def jacobianstructure(self) -> Any:
        return self.a.row, self.a.col

    def hessianstructure(self) -> Any:
        return np.empty(0, dtype=int), np.empty(0, dtype=int)

    def hessian(self, _x: Any, _lam: Any, _factor: float) -> Any:
        return np.empty(0)


def test_pyomo_with_ipopt_and_clarabel_find_the_same_cost_of_a_day() -> None:
    site, ahead = battery_day()
    _, plan = planned(site, ahead)
    assert plan.status is SolverStatus.OPTIMAL
    form = by_pyomo(ahead)
    kinds, rhs = np.array([r.bound_type for r in form.rows]), np.asarray(form.rhs, dtype=float)
    low, high = np.where(kinds <= 0, rhs, -2e19), np.where(kinds >= 0, rhs, 2e19)
    bounds = [v.bounds for v in form.columns]
    x_lo = np.array([-2e19 if lo is None else lo for lo, _ in bounds], dtype=float)
    x_hi = np.array([2e19 if hi is None else hi for _, hi in bounds], dtype=float)

    ipopt = cyipopt.Problem(
        n=len(x_lo), m=len(rhs), problem_obj=_Linear(form), lb=x_lo, ub=x_hi, cl=low, cu=high
    )
    for key, value in {"print_level": 0, "sb": "yes", "tol": 1e-10}.items():
        ipopt.add_option(key, value)
    _, info = ipopt.solve(np.clip(np.ones(len(x_lo)), x_lo, x_hi))
    assert info["status"] == 0
    assert plan.total_cost_usd == pytest.approx(info["obj_val"], rel=1e-6)

    eye = sp.eye_array(len(x_lo))
    rows = sp.vstack([form.A, -form.A, eye, -eye]).tocsc()
    right = np.concatenate([high, -low, x_hi, -x_lo])
    kept = right < 1e19
    quiet = clarabel.DefaultSettings()
    quiet.verbose = False
    cones = [clarabel.NonnegativeConeT(int(kept.sum()))]
    none = sp.csc_matrix((len(x_lo), len(x_lo)))
    found = clarabel.DefaultSolver(
        none, form.c.toarray()[0], sp.csc_matrix(rows[kept]), right[kept], cones, quiet
    ).solve()
    assert plan.total_cost_usd == pytest.approx(found.obj_val, rel=1e-6)
