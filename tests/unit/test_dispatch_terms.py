"""Each term and limit of the dispatch that a site file can switch on, on a site small enough to
work out by hand."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ems.constrain.rungs import priced
from ems.dispatch import dispatch, fitted_loss_factor
from ems.dispatch.model import DispatchModel, IntervalData
from ems.domain import (
    Bes,
    Der,
    DerReading,
    Dg,
    Dispatch,
    Forecast,
    Injections,
    Limits,
    LoadReading,
    NetworkRow,
    Pv,
    PvForecast,
    RowKind,
    RowPrice,
    Setpoint,
    Site,
    Snapshot,
)
from feeders import Feeder
from tests.sites import LOAD_KW, segment

NOW = datetime(2024, 6, 3, 19, 0, tzinfo=UTC)
PV = Pv(name="pv", bus="b", rated_kw=1000.0, q_max_kvar=600.0)
DG = Dg(name="dg", bus="b", rated_kw=500.0, cost_usd_per_kwh=0.1)
BES = Bes(name="bes", bus="b", rated_kw=100.0, capacity_kwh=400.0, q_max_kvar=60.0)


def solved(
    *ders: Der,
    load_kw: float,
    price: float = 0.3,
    expected_kw: float = 800.0,
    rows: tuple[NetworkRow, ...] = (),
    pins: Mapping[str, Setpoint] | None = None,
    peak_kw: float | None = None,
    load_kvar: float | None = None,
    loss_factor: float | None = None,
    **terms: float,
) -> Dispatch:
    """The dispatch of a site with some terms on. PV may make 1000 kW and is expected to make
    `expected_kw`; the battery is half full."""
    site = site_of(*ders, **terms)
    sky = PvForecast(expected_kw=expected_kw, lower_kw=0.0, upper_kw=1000.0, method="given")
    return dispatch(
        site,
        Snapshot(
            time=NOW,
            load=LoadReading(time=NOW, p_kw=load_kw),
            ders={
                d.name: DerReading(
                    der=d.name, time=NOW, p_kw=0.0, q_kvar=0.0,
                    soc_pct=50.0 if isinstance(d, Bes) else None,
                )
                for d in ders
            },
        ),
        Forecast(start=NOW, pv={p.name: sky for p in site.pvs}, load_kw=load_kw),
        price, rows, pins or {},
        peak_kw=peak_kw, load_kvar=load_kvar, loss_factor=loss_factor,
    )  # fmt: skip


def site_of(*ders: Der, **terms: float) -> Site:
    plain = Site(
        name="small", latitude_deg=40.0, longitude_deg=-105.0, ders=ders,
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1), load_max_kw=2000.0, load_min_kw=0.0,
    )  # fmt: skip
    return replace(plain, **terms)  # type: ignore[arg-type]  # fields are given by name


def only(decided: Dispatch) -> RowPrice:
    (bound,) = decided.binding
    return bound


def test_a_plant_that_is_not_commanded_is_not_taken_to_keep_to_a_limit_of_others() -> None:
    site = site_of(PV, DG, export_limit_kw=50.0)
    sky = PvForecast(expected_kw=800.0, lower_kw=0.0, upper_kw=1000.0, method="given")
    free = Forecast(start=NOW, pv={"pv": sky}, load_kw=600.0)
    known = Snapshot(
        time=NOW, load=LoadReading(time=NOW, p_kw=600.0),
        ders={n: DerReading(der=n, time=NOW, p_kw=0.0, q_kvar=0.0) for n in site.names},
    )  # fmt: skip
    pins = {"pv": Setpoint(der="pv", p_kw=800.0, q_kvar=0.0)}
    limited = dispatch(site, known, free.within({"pv": 200.0}), 0.3, (), pins)
    assert limited.setpoints == dispatch(site, known, free, 0.3, (), pins).setpoints
    assert limited.setpoints["pv"].p_kw == pytest.approx(800.0)
    commanded = dispatch(site, known, free.within({"pv": 200.0}), 0.3)
    assert commanded.setpoints["pv"].p_kw == pytest.approx(200.0)


# --- prices --------------------------------------------------------------------------


def test_without_an_export_price_export_earns_what_import_costs() -> None:
    decided = solved(DG, load_kw=300.0)
    assert decided.grid_kw == pytest.approx(-200.0)
    assert decided.cost_usd_per_h == pytest.approx(0.1 * 500.0 - 0.3 * 200.0)


def test_below_its_fuel_cost_nothing_is_exported() -> None:
    decided = solved(DG, load_kw=300.0, export_price_usd_per_kwh=0.05)
    assert decided.setpoints["dg"].p_kw == pytest.approx(300.0)
    assert decided.grid_kw == pytest.approx(0.0, abs=1e-6)


def test_where_export_is_dearer_than_import_nothing_is_bought_to_be_sold() -> None:
    dg = replace(DG, cost_usd_per_kwh=0.2)
    decided = solved(dg, load_kw=100.0, price=0.1, export_price_usd_per_kwh=0.3)
    assert decided.grid_kw == pytest.approx(-400.0)
    assert decided.cost_usd_per_h == pytest.approx(0.2 * 500.0 - 0.3 * 400.0)


def test_where_export_costs_pv_is_capped_at_the_load_and_not_only_expected_there() -> None:
    decided = solved(PV, load_kw=300.0, export_price_usd_per_kwh=-0.1)
    assert decided.setpoints["pv"].cap_kw == pytest.approx(300.0)
    assert decided.setpoints["pv"].p_kw == pytest.approx(300.0)


def test_a_curtailment_price_keeps_pv_running_at_a_negative_price() -> None:
    off = solved(PV, load_kw=300.0, price=-0.05)
    on = solved(PV, load_kw=300.0, price=-0.05, curtailment_usd_per_kwh=0.1)
    assert off.setpoints["pv"].cap_kw == pytest.approx(0.0, abs=1e-6)
    assert on.setpoints["pv"].p_kw == pytest.approx(800.0)
    assert on.setpoints["pv"].cap_kw is None


def test_what_is_curtailed_counts_in_the_objective_and_not_in_the_bill() -> None:
    decided = solved(PV, load_kw=300.0, export_limit_kw=100.0, curtailment_usd_per_kwh=0.1)
    assert decided.cost_usd_per_h == pytest.approx(-0.3 * 100.0)
    assert decided.objective_usd_per_h - decided.cost_usd_per_h == pytest.approx(0.1 * 400.0)


# --- limits at the head --------------------------------------------------------------


def test_the_export_limit_holds_with_pv_at_its_cap() -> None:
    decided = solved(PV, load_kw=300.0, export_limit_kw=600.0)
    assert decided.setpoints["pv"].p_kw == pytest.approx(800.0)
    assert decided.setpoints["pv"].cap_kw == pytest.approx(900.0)
    assert decided.binding[0].row.kind is RowKind.EXPORT


def test_a_generator_dearer_than_the_grid_runs_for_the_import_limit_alone() -> None:
    dg = replace(DG, cost_usd_per_kwh=0.5)
    decided = solved(dg, load_kw=700.0, import_limit_kw=500.0)
    assert decided.setpoints["dg"].p_kw == pytest.approx(200.0)
    assert only(decided).row.kind is RowKind.IMPORT
    assert only(decided).price == pytest.approx(0.2)
    assert only(decided).slack == pytest.approx(0.0, abs=1e-6)


def test_an_import_limit_that_cannot_be_kept_is_told_with_the_kw_that_are_over() -> None:
    decided = solved(DG, load_kw=1200.0, import_limit_kw=500.0)
    assert decided.setpoints["dg"].p_kw == pytest.approx(500.0)
    assert decided.grid_kw == pytest.approx(700.0)
    assert (only(decided).row.kind, only(decided).row.place) == (RowKind.IMPORT, "grid")
    assert only(decided).slack == pytest.approx(200.0)


def test_a_voltage_goes_before_an_import_limit() -> None:
    row = NetworkRow(
        kind=RowKind.V_MAX, place="b.1", limit=1.1, c_p={"dg": 1e-5}, c_q={"dg": 0.0}, bound=1e-3
    )
    decided = solved(DG, load_kw=700.0, import_limit_kw=300.0, rows=(row,))
    assert decided.setpoints["dg"].p_kw == pytest.approx(100.0)
    assert {b.row.kind: round(b.slack, 3) for b in decided.binding} == {
        RowKind.V_MAX: 0.0,
        RowKind.IMPORT: 300.0,
    }


@pytest.mark.parametrize(("peak_kw", "made_kw"), [(None, 0.0), (800.0, 0.0), (500.0, 200.0)])
def test_a_demand_charge_is_worth_fuel_only_above_the_peak_of_the_month(
    peak_kw: float | None, made_kw: float
) -> None:
    dg = replace(DG, cost_usd_per_kwh=0.5)
    decided = solved(dg, load_kw=700.0, peak_kw=peak_kw, demand_charge_usd_per_kw=1.0)
    assert decided.setpoints["dg"].p_kw == pytest.approx(made_kw, abs=1e-6)


def test_a_new_peak_is_paid_within_its_interval() -> None:
    decided = solved(DG, load_kw=1100.0, peak_kw=500.0, demand_charge_usd_per_kw=1.0)
    assert decided.cost_usd_per_h == pytest.approx(0.1 * 500.0 + 0.3 * 600.0 + 4.0 * 100.0)


@pytest.mark.parametrize(("load_kw", "import_kw"), [(1000.0, 200.0), (300.0, -500.0)])
@pytest.mark.parametrize("load_kvar", [500.0, -500.0])
def test_the_power_factor_at_the_head_is_kept_both_ways_and_for_both_signs(
    load_kw: float, import_kw: float, load_kvar: float
) -> None:
    decided = solved(PV, load_kw=load_kw, load_kvar=load_kvar, power_factor_min=0.9)
    assert decided.grid_kw == pytest.approx(import_kw)
    head_kvar = load_kvar - decided.setpoints["pv"].q_kvar
    most_kvar = math.tan(math.acos(0.9)) * abs(import_kw)
    assert abs(head_kvar) == pytest.approx(most_kvar, abs=1e-4)
    row = only(decided).row
    at = decided.setpoints["pv"]
    assert row.kind is RowKind.POWER_FACTOR
    assert row.c_p["pv"] * at.p_kw + row.c_q["pv"] * at.q_kvar == pytest.approx(row.bound)


def test_without_a_meter_the_loads_reactive_power_is_that_of_its_power_factor() -> None:
    decided = solved(PV, load_kw=1000.0, power_factor_min=0.99, load_power_factor=0.9)
    head_kvar = 1000.0 * math.tan(math.acos(0.9)) - decided.setpoints["pv"].q_kvar
    assert head_kvar == pytest.approx(200.0 * math.tan(math.acos(0.99)), abs=1e-4)


# --- inverter capability -------------------------------------------------------------

ROW = NetworkRow(
    kind=RowKind.V_MAX, place="b.1", limit=1.1,
    c_p={"pv": 1e-4}, c_q={"pv": 1e-4}, bound=0.06,
)  # fmt: skip
"""P + Q ≤ 600."""


def test_without_a_capability_p_and_q_go_each_to_its_own_limit() -> None:
    at = solved(PV, load_kw=2000.0, expected_kw=1000.0, rows=(ROW,)).setpoints["pv"]
    assert [at.p_kw, at.q_kvar] == pytest.approx([1000.0, -400.0])


def test_with_one_p_and_q_stay_within_the_circle() -> None:
    pv = replace(PV, s_max_kva=1000.0)
    decided = solved(pv, load_kw=2000.0, expected_kw=1000.0, rows=(ROW,))
    at = decided.setpoints["pv"]
    corner = 300.0 + math.sqrt(500_000.0 - 90_000.0)  # where P + Q = 600 meets the circle
    assert [at.p_kw, at.q_kvar] == pytest.approx([corner, 600.0 - corner])
    assert decided.solver == "highs"


def test_a_battery_has_a_circle_too() -> None:
    bes = replace(BES, s_max_kva=100.0)
    row = replace(ROW, c_p={"bes": 1e-4}, c_q={"bes": 1e-4}, bound=0.006)
    at = solved(bes, load_kw=2000.0, rows=(row,)).setpoints["bes"]
    assert at.p_kw > 0.0
    assert math.hypot(at.p_kw, at.q_kvar) == pytest.approx(100.0)
    assert at.p_kw + at.q_kvar == pytest.approx(60.0)


def test_a_circle_around_all_that_the_inverter_does_leaves_the_problem_linear() -> None:
    data = IntervalData(
        price_usd_per_kwh=0.3, load_kw=2000.0, pv_expected_kw={"pv": 800.0},
        pv_upper_kw={"pv": 1000.0}, soc_pct={}, dg_kw={},
    )  # fmt: skip
    for s_max_kva, circles in ((1200.0, ()), (1000.0, ("pv",))):
        site = site_of(replace(PV, s_max_kva=s_max_kva))
        assert DispatchModel(site).extract(data)[1].circles == circles


def test_an_inverter_that_was_measured_outside_its_circle_and_cannot_be_moved_is_no_fault() -> None:
    pv, other = replace(PV, s_max_kva=1000.0), replace(PV, name="other", s_max_kva=1000.0)
    pin = Setpoint(der="pv", p_kw=1000.0, q_kvar=100.0)
    decided = solved(pv, other, load_kw=300.0, expected_kw=1000.0, pins={"pv": pin})
    assert decided.setpoints["pv"] == pin
    assert decided.setpoints["other"].p_kw == pytest.approx(1000.0, abs=1e-4)


def test_a_generator_that_was_measured_beyond_its_q_and_cannot_be_moved_is_no_fault() -> None:
    dg = replace(DG, q_max_kvar=200.0)
    pin = Setpoint(der="dg", p_kw=10.0, q_kvar=250.0)
    assert solved(dg, load_kw=300.0, pins={"dg": pin}).setpoints["dg"] == pin


# --- losses, and one price for all ---------------------------------------------------


def test_the_loss_factor_handed_in_takes_the_place_of_the_sites() -> None:
    assert solved(DG, load_kw=1000.0, loss_factor=0.02).grid_kw == pytest.approx(520.0)
    by_site = site_of(DG, loss_factor=0.05)
    assert by_site.loss_factor == 0.05
    assert solved(DG, load_kw=1000.0, loss_factor=None).grid_kw == pytest.approx(500.0)


def test_with_the_fitted_loss_factor_the_balance_is_that_of_the_load_flow() -> None:
    site = segment()
    feeder = Feeder.open("segment13", site.placements)
    at = {n: Setpoint(der=n, p_kw=p, q_kvar=0.0) for n, p in (("pv", 5e3), ("bes", 0), ("dg", 3e3))}
    flow = feeder.load_flow(
        Injections(
            p_kw={n: s.p_kw for n, s in at.items()}, q_kvar=dict.fromkeys(at, 0.0), load_kw=LOAD_KW
        )
    )
    feeder.close()
    k = fitted_loss_factor(flow, at, LOAD_KW)
    assert 0.0 < k < 0.1
    assert (1.0 + k) * LOAD_KW - 8e3 == pytest.approx(flow.head_kw)
    assert fitted_loss_factor(flow, at, 0.0) == 0.0


def test_setpoints_priced_from_outside_cost_what_the_dispatch_says() -> None:
    terms: dict[str, Any] = {
        "export_price_usd_per_kwh": 0.1, "export_limit_kw": 300.0, "curtailment_usd_per_kwh": 0.02,
        "demand_charge_usd_per_kw": 2.0, "import_limit_kw": 100.0, "power_factor_min": 0.8,
    }  # fmt: skip
    for load_kw in (100.0, 900.0, 1700.0):
        decided = solved(
            PV, DG, BES, load_kw=load_kw, peak_kw=50.0, loss_factor=0.03, load_kvar=90.0, **terms
        )
        sky = PvForecast(expected_kw=800.0, lower_kw=0.0, upper_kw=1000.0, method="given")
        again = priced(
            site_of(PV, DG, BES, **terms),
            Forecast(start=NOW, pv={"pv": sky}, load_kw=load_kw),
            decided,
            decided.setpoints,
        )
        assert again == decided
