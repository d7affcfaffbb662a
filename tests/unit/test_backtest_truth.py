"""The feeder as it is: apart from the model, apart from the policy, the same for the same seed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ems.backtest import Case, Errors
from ems.backtest.truth import Truth, feeder_of
from ems.domain import Injections, Limits, LoadFlow, Pv, Site
from feeders import Feeder, LineErrors
from tests.backtests import case, given, ran

NOON = datetime(2019, 7, 15, 19, 0, tzinfo=UTC)
P_KW = {"pv": 5000.0, "dg": 1000.0, "bes": 50.0}
Q_KVAR = {"pv": 0.0, "dg": 100.0, "bes": -50.0}


def solved(of: Case, when: datetime = NOON) -> LoadFlow:
    return Truth(of, None).solve(when, P_KW, Q_KVAR, 9000.0)


def test_without_errors_it_is_the_model() -> None:
    of = case()
    model = feeder_of(of, "model").load_flow(Injections(p_kw=P_KW, q_kvar=Q_KVAR, load_kw=9000.0))
    truth = solved(of)
    assert truth.v_pu == pytest.approx(model.v_pu, abs=1e-9)
    assert truth.losses_kw == pytest.approx(model.losses_kw, abs=1e-3)


def test_it_shares_no_engine_with_the_model() -> None:
    of = case()
    assert feeder_of(of, "model") is not feeder_of(of, "truth")
    assert feeder_of(of, "model") is feeder_of(replace(of, method="none", seed=9), "model")


def test_noise_moves_load_between_buses_and_leaves_its_sum() -> None:
    of = case(errors=Errors(load_noise=0.2))
    plain, shaken = solved(case()), solved(of)
    assert max(abs(shaken.v_pu - plain.v_pu)) > 1e-4
    drawn = [f.head_kw - f.losses_kw for f in (plain, shaken)]
    assert drawn[0] == pytest.approx(drawn[1], abs=1e-2)


def test_an_instant_has_one_draw_whatever_the_policy_and_whatever_came_before() -> None:
    of = case(errors=Errors(load_noise=0.2), seed=3)
    truth = Truth(replace(of, method="none"), None)
    truth.solve(NOON - timedelta(hours=1), P_KW, Q_KVAR, 7000.0)
    again = truth.solve(NOON, P_KW, Q_KVAR, 9000.0)
    assert (again.v_pu == solved(of).v_pu).all()
    assert (solved(replace(of, seed=4)).v_pu != again.v_pu).any()
    assert (solved(of, NOON + timedelta(minutes=15)).v_pu != again.v_pu).any()


def test_lines_are_led_astray_by_the_seed_and_the_model_is_not() -> None:
    of = case(errors=Errors(load_noise=0.0, parameter_error=0.1), seed=3)
    plain, astray = solved(case()), solved(of)
    assert 1e-4 < max(abs(astray.v_pu - plain.v_pu)) < 0.05
    assert (solved(replace(of, method="none")).v_pu == astray.v_pu).all()
    assert (solved(replace(of, seed=4)).v_pu != astray.v_pu).any()
    assert feeder_of(of, "model") is feeder_of(case(), "model")


def test_each_line_is_astray_by_itself() -> None:
    """One factor for all of them would be another feeder, not an error."""
    plain = Feeder.open("ieee13")
    at = Injections(p_kw={}, q_kvar={}, load_kw=3000.0)
    before = plain.load_flow(at).v_pu
    moved = Feeder.open("ieee13", line_errors=LineErrors(sd=0.1, seed=1)).load_flow(at).v_pu
    low = before.max() - before > 0.01
    ratio = (moved.max() - moved[low]) / (before.max() - before[low])
    assert ratio.std() > 0.01


@pytest.mark.parametrize("sd", [-0.01, 0.31, float("nan")])
def test_an_error_that_leaves_a_line_without_impedance_is_refused(sd: float) -> None:
    with pytest.raises(ValueError, match=r"expected 0 to 0\.3"):
        LineErrors(sd=sd, seed=1)


def test_another_head_voltage_and_other_reactive_load_are_seen() -> None:
    plain = solved(case())
    lifted = solved(case(errors=Errors(load_noise=0.0, head_v_pu=1.08)))
    less = solved(case(errors=Errors(load_noise=0.0, reactive_share=0.5)))
    assert lifted.highest()[1] > plain.highest()[1] + 0.005
    assert less.head_kvar < plain.head_kvar - 100.0
    assert Truth(case(errors=Errors(reactive_share=0.5)), None).kvar_per_kw(NOON) == pytest.approx(
        0.5 * Truth(case(), None).kvar_per_kw(NOON), rel=0.05
    )


def test_devices_measure_the_mean_of_their_phases() -> None:
    truth = Truth(case(), None)
    flow = truth.solve(NOON, P_KW, Q_KVAR, 9000.0)
    at = [i for i, node in enumerate(flow.nodes) if node.startswith("B13.")]
    assert truth.felt(flow)["pv"] == pytest.approx(flow.v_pu[at].mean())


def test_taps_stay_where_the_day_before_left_them() -> None:
    site = Site(
        name="ieee13", latitude_deg=37.0, longitude_deg=-122.0, load_max_kw=3600.0,
        load_min_kw=500.0, limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
        ders=(Pv(name="pv", bus="680", rated_kw=500.0),),
    )  # fmt: skip
    of = case("none", site=site, feeder="ieee13")
    _, heavy = ran(of, given(of, share=0.0, load_kw=3600.0, intervals=2))
    _, light = ran(of, given(of, share=1.0, load_kw=500.0, intervals=2))
    assert heavy.regulation is not None
    assert heavy.regulation.taps.keys() == light.regulation.taps.keys()  # type: ignore[union-attr]
    assert heavy.regulation != light.regulation
    assert not heavy.agrees(light)
    kept = Truth(of, heavy.regulation)
    kept.solve(NOON, {"pv": 0.0}, {"pv": 0.0}, 3600.0)
    assert kept.regulation == heavy.regulation
