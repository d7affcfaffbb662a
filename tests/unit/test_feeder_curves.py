"""Volt-var and volt-watt in the inverters: part of the load flow, and of its slopes."""

from dataclasses import replace

import numpy as np
import pytest

from feeders import DerPlacement, Feeder, FeederFault, Injections, InverterCurves
from tests.slopes import errors, nominal_kw, published, settled, spread_ders

VOLT_VAR = ((0.92, 0.44), (0.98, 0.0), (1.02, 0.0), (1.08, -0.44))
"""IEEE 1547-2018, table 8, category B, as by default."""
STRAIGHT = ((0.90, 0.44), (1.10, -0.44))
VOLT_WATT = ((1.06, 1.0), (1.10, 0.2))
PLACES = (
    DerPlacement(name="pv", bus="B13"),
    DerPlacement(name="dg", bus="B7"),
    DerPlacement(name="bes", bus="B11"),
)


def inverter(kw: float = 10_000.0, **curves: tuple[tuple[float, float], ...]) -> InverterCurves:
    return InverterCurves(rated_kva=1.1 * kw, rated_kw=kw, **curves)


@pytest.fixture
def feeder() -> Feeder:
    return Feeder.open("segment13", PLACES)


def point(**curves: InverterCurves) -> Injections:
    return Injections(
        p_kw={"pv": 9_000.0, "dg": 2_000.0}, q_kvar={"pv": 100.0}, load_kw=9_000.0, curves=curves
    )


def voltage_of(feeder: Feeder, at: Injections, bus: str) -> float:
    flow = feeder.load_flow(at)
    assert flow.converged, flow.note
    own = [flow.nodes.index(f"{bus}.{phase}") for phase in (1, 2, 3)]
    return float(np.mean(flow.v_pu[own]))


def test_the_reactive_power_is_that_of_the_curve_at_its_own_voltage(feeder: Feeder) -> None:
    at = point(pv=inverter(volt_var=VOLT_VAR))
    v = voltage_of(feeder, at, "B13")
    p, q = feeder.load_flow(at).by_curves["pv"]
    x, y = np.array(VOLT_VAR).T
    assert p == 9_000.0
    assert q == pytest.approx(100.0 + 11_000.0 * np.interp(v, x, y), abs=1e-3)
    assert v < voltage_of(feeder, point(), "B13")


def test_volt_watt_holds_back_what_the_voltage_does_not_bear(feeder: Feeder) -> None:
    at = point(pv=inverter(volt_watt=VOLT_WATT))
    v = voltage_of(feeder, at, "B13")
    p, q = feeder.load_flow(at).by_curves["pv"]
    x, y = np.array(VOLT_WATT).T
    assert p < 9_000.0
    assert p == pytest.approx(10_000.0 * np.interp(v, x, y), abs=1e-3)
    assert q == 100.0


def test_a_load_flow_with_curves_is_the_one_with_their_powers(feeder: Feeder) -> None:
    at = point(pv=inverter(volt_var=VOLT_VAR, volt_watt=VOLT_WATT))
    flow = feeder.load_flow(at)
    p, q = flow.by_curves["pv"]
    plain = feeder.load_flow(
        Injections(p_kw={"pv": p, "dg": 2_000.0}, q_kvar={"pv": q}, load_kw=9_000.0)
    )
    np.testing.assert_allclose(flow.v_pu, plain.v_pu, atol=1e-8)
    assert plain.by_curves == {}


def test_volt_watt_at_rest_is_no_curve_at_all(feeder: Feeder) -> None:
    idle = point(pv=inverter(volt_watt=((1.4, 1.0), (1.45, 0.0))))
    np.testing.assert_array_equal(feeder.load_flow(idle).v_pu, feeder.load_flow(point()).v_pu)


def test_an_answer_with_curves_depends_on_its_question_alone(feeder: Feeder) -> None:
    at = point(pv=inverter(volt_var=VOLT_VAR, volt_watt=VOLT_WATT))
    first = feeder.load_flow(at)
    feeder.load_flow(point())
    feeder.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=90_000.0))
    np.testing.assert_array_equal(feeder.load_flow(at).v_pu, first.v_pu)


def test_the_steepest_sensible_curves_of_every_der_together_agree() -> None:
    places, kw = spread_ders(Feeder.open("ieee123"), 85)
    feeder = Feeder.open("ieee123", places)
    names = [p.name for p in places]
    steep = ((0.97, 0.6), (1.0, 0.0), (1.03, -0.6))
    at = Injections(
        p_kw={n: 2.0 * k for n, k in zip(names, kw, strict=True)},
        q_kvar={},
        load_kw=0.3 * nominal_kw(feeder),
        curves={
            n: InverterCurves(
                rated_kva=2.0 * k, rated_kw=2.0 * k, volt_var=steep, volt_watt=VOLT_WATT
            )
            for n, k in zip(names, kw, strict=True)
        },
    )
    for controls in (False, True):
        flow = feeder.load_flow(at, controls=controls)
        assert flow.converged, flow.note
    again = feeder.load_flow(replace(at, regulation=flow.regulation), controls=True)
    assert again.regulation == flow.regulation


def test_slopes_on_segment13_are_those_of_the_closed_loop(feeder: Feeder) -> None:
    at = point(
        pv=inverter(volt_var=STRAIGHT),
        dg=inverter(3_000.0, volt_watt=((0.95, 0.8), (1.15, 0.2))),
    )
    plain = feeder.linearise(point())
    slope = feeder.linearise(at)
    b13 = [slope.flow.nodes.index("B13.1")]
    assert 0.0 < slope.voltage_rows(b13)[0][0, 0] < plain.voltage_rows(b13)[0][0, 0]
    assert not slope.voltage_rows(b13)[0][0, 1], "a DER that volt-watt holds back moves no more"
    found = errors(feeder, at, {"pv": 20.0, "dg": 20.0, "bes": 20.0})
    assert found.voltage < 1e-5
    assert found.loading < 1e-5


@pytest.mark.parametrize(
    ("source", "count", "looked_at", "limit"),
    [
        ("ieee13", 8, 8, 1e-5),
        ("ieee123", 85, 6, 1e-5),
        (published("ieee9500_dss", "Master-unbal-initial-config.dss"), 60, 1, 5e-5),
    ],
    ids=["ieee13", "ieee123", "9500 nodes"],
)
def test_slopes_with_curves_at_work(source: str, count: int, looked_at: int, limit: float) -> None:
    """Volt-var in all of them, volt-watt that holds back every third; two- and three-phase too."""
    empty = Feeder.open(source, own_ders="off")
    places, kw = spread_ders(empty, count)
    three = [b for b in empty.buses if {f"{b}.{i}" for i in (1, 2, 3)} <= set(empty.nodes)][5]
    places.append(DerPlacement(name="three", bus=three))
    kw.append(20.0)
    feeder = Feeder.open(source, places, own_ders="off")
    names = [p.name for p in places]
    held = ((0.8, 0.9), (1.2, 0.3))
    at = Injections(
        p_kw=dict(zip(names, kw, strict=True)),
        q_kvar={},
        load_kw=0.5 * nominal_kw(feeder),
        curves={
            n: InverterCurves(
                rated_kva=k, rated_kw=k, volt_var=STRAIGHT, volt_watt=held if i % 3 == 0 else ()
            )
            for i, (n, k) in enumerate(zip(names, kw, strict=True))
        },
    )
    at = settled(feeder, at)
    steps = {n: 0.01 * k for n, k in [*zip(names, kw, strict=True)][: looked_at - 1]}
    found = errors(feeder, at, {**steps, "three": 2.0}, without=feeder.floating)
    assert found.voltage < limit
    assert found.loading < 10.0 * limit


def test_curves_of_what_is_not_there_and_curves_that_turn_back_are_told(feeder: Feeder) -> None:
    with pytest.raises(FeederFault, match="curves are given for x; the DERs here are pv, dg, bes"):
        feeder.load_flow(point(x=inverter(volt_var=VOLT_VAR)))
    with pytest.raises(ValueError, match=r"volt_var: voltages must rise.*1\.0, 0\.9"):
        inverter(volt_var=((1.0, 0.1), (0.9, 0.0)))
