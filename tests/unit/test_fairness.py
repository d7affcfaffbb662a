"""Who bears curtailment, on rows small enough to solve by hand."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import pytest

from ems.dispatch import dispatch
from ems.dispatch.fairness import jain_index
from ems.domain import (
    DerReading,
    Dispatch,
    Forecast,
    Limits,
    LoadReading,
    NetworkRow,
    Pv,
    PvForecast,
    RowKind,
    Setpoint,
    Site,
    Snapshot,
)

NOW = datetime(2026, 6, 21, 19, 0, tzinfo=UTC)
PRICE = 0.3
NO_PINS: Mapping[str, Setpoint] = {}
Fairness = Literal["least_cost", "equal_share", "proportional"]
Solver = Literal["ipopt", "highs"]
BOTH = pytest.mark.parametrize("solver", ["highs", "ipopt"])


def two_plants(fairness: Fairness, solver: Solver = "highs", groups: str = "aa") -> Site:
    """`near` and `far` of 100 kW each."""
    return Site(
        name="two", latitude_deg=40.0, longitude_deg=-105.0, load_max_kw=500.0, load_min_kw=0.0,
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1), fairness=fairness, solver=solver,
        ders=(
            Pv(name="near", bus="b1", rated_kw=100.0, group=groups[0]),
            Pv(name="far", bus="b2", rated_kw=100.0, group=groups[1]),
        ),
    )  # fmt: skip


def held(
    site: Site,
    bound_kw: float | None = 150.0,
    *,
    price: float = PRICE,
    expected: float = 1.0,
    pins: Mapping[str, Setpoint] = NO_PINS,
) -> Dispatch:
    """Dispatch where a kW of `far` weighs twice as much on the one row as a kW of `near`."""
    snapshot = Snapshot(
        time=NOW,
        load=LoadReading(time=NOW, p_kw=100.0),
        ders={n: DerReading(der=n, time=NOW, p_kw=0.0, q_kvar=0.0) for n in site.names},
    )
    skies = {
        pv.name: PvForecast(
            expected_kw=expected * pv.rated_kw, lower_kw=0.0, upper_kw=pv.rated_kw, method="given"
        )
        for pv in site.pvs
    }
    weights = {n: 1e-5 * (1.0 if n.startswith("near") else 2.0) for n in site.names}
    rows = []
    if bound_kw is not None:
        rows = [
            NetworkRow(
                kind=RowKind.V_MAX, place="b2.1", limit=1.1, bound=1e-5 * bound_kw,
                c_p=weights, c_q={},
            )
        ]  # fmt: skip
    return dispatch(site, snapshot, Forecast(start=NOW, pv=skies, load_kw=100.0), price, rows, pins)


def caps(decided: Dispatch) -> dict[str, float | None]:
    return {name: s.cap_kw for name, s in decided.setpoints.items()}


def test_least_cost_takes_all_from_the_plant_that_weighs_most() -> None:
    assert caps(held(two_plants("least_cost"))) == {"near": None, "far": pytest.approx(25.0)}


@BOTH
def test_equal_share_keeps_the_same_fraction_of_both(solver: Solver) -> None:
    # f · (100 + 2 · 100) = 150
    decided = held(two_plants("equal_share", solver))
    assert caps(decided) == {"near": pytest.approx(50.0), "far": pytest.approx(50.0)}


@BOTH
def test_proportional_keeps_the_same_weight_on_the_row(solver: Solver) -> None:
    # max log p₁ + log p₂ with p₁ + 2 p₂ = 150 and p₁ ≤ 100 has p₁ = 2 p₂ = 75
    decided = held(two_plants("proportional", solver))
    assert decided.setpoints["near"].p_kw == pytest.approx(75.0, abs=0.15)
    assert decided.setpoints["far"].p_kw == pytest.approx(37.5, abs=0.1)


def test_groups_share_each_by_itself() -> None:
    decided = held(two_plants("equal_share", groups="ab"))
    assert caps(decided) == {"near": None, "far": pytest.approx(25.0)}


@pytest.mark.parametrize("fairness", ["equal_share", "proportional"])
def test_no_plant_has_a_cap_where_no_row_binds(fairness: Fairness) -> None:
    assert caps(held(two_plants(fairness), None)) == {"near": None, "far": None}
    assert caps(held(two_plants(fairness), 301.0)) == {"near": None, "far": None}


def test_caps_above_what_is_expected_are_shared_like_what_is_expected() -> None:
    # f · 300 = 240 allows 80 kW each, of which 50 are expected
    decided = held(two_plants("equal_share"), 240.0, expected=0.5)
    assert caps(decided) == {"near": pytest.approx(80.0), "far": pytest.approx(80.0)}
    assert [s.p_kw for s in decided.setpoints.values()] == [50.0, 50.0]


@pytest.mark.parametrize("fairness", ["equal_share", "proportional"])
def test_a_pinned_plant_has_no_part_in_the_shares(fairness: Fairness) -> None:
    site = two_plants(fairness)
    third = Pv(name="near too", bus="b1", rated_kw=100.0, group="a")
    pin = {"near too": Setpoint(der="near too", p_kw=30.0, q_kvar=0.0, cap_kw=30.0)}
    decided = held(replace(site, ders=(*site.ders, third)), 180.0, pins=pin)
    alone = held(site, 150.0)
    for name in ("near", "far"):
        assert decided.setpoints[name].p_kw == pytest.approx(alone.setpoints[name].p_kw, abs=0.01)
    assert decided.setpoints["near too"].cap_kw == 30.0


@pytest.mark.parametrize("fairness", ["equal_share", "proportional"])
def test_cost_and_objective_are_those_of_the_energy_alone(fairness: Fairness) -> None:
    decided = held(two_plants(fairness))
    made_kw = sum(s.p_kw for s in decided.setpoints.values())
    assert decided.cost_usd_per_h == pytest.approx(PRICE * (100.0 - made_kw))
    assert decided.objective_usd_per_h == pytest.approx(decided.cost_usd_per_h)


def test_proportional_adds_nothing_where_kept_energy_is_worth_nothing() -> None:
    fair, cheap = (held(two_plants(f), price=-0.2) for f in ("proportional", "least_cost"))
    assert caps(fair) == caps(cheap)


def test_without_sun_there_is_nothing_to_share() -> None:
    dark = held(two_plants("proportional"), expected=0.0)
    assert [s.p_kw for s in dark.setpoints.values()] == [0.0, 0.0]


def test_the_jain_index_is_one_where_all_keep_alike_and_one_nth_where_one_keeps_all() -> None:
    assert jain_index([0.7, 0.7, 0.7]) == pytest.approx(1.0)
    assert jain_index([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain_index([0.0, 0.0]) == 1.0
    assert math.isclose(jain_index([1.0, 0.5]), 2.25 / (2 * 1.25))
