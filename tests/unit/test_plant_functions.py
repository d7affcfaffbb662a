"""Curves in registers and the settings they stand for, without an inverter behind them."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.domain import Bes, Pv
from ems.plant.devices import Orders
from ems.plant.functions import AutonomousFunctions
from ems.plant.functions.stored import CURVES
from ems.plant.inverter import DEFAULTS, BesInverter, TripStep
from ems.plant.terminal import Terminal
from ems.protocols.sunspec import ModelBlock, counts_of

NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)
PV = Pv(name="pv", bus="b", rated_kw=900, q_max_kvar=500, s_max_kva=1000)
BES = Bes(name="bes", bus="b", rated_kw=900, capacity_kwh=900, q_max_kvar=500, s_max_kva=1000)


def block(functions: AutonomousFunctions, model_id: int) -> ModelBlock:
    return next(b for b in functions.blocks if b.model.id == model_id)


def adopt(functions: AutonomousFunctions, model_id: int, number: int = 2) -> bool:
    there = block(functions, model_id)
    request = "AdptCtlReq" if model_id == 711 else "AdptCrvReq"
    there.set_raw(request, number)
    functions.written(frozenset({(model_id, request)}), NOW)
    return there.raw(request.replace("Req", "Rslt")) == 1


def put(
    there: ModelBlock, prefix: str, names: tuple[str, str], points: Sequence[tuple[float, float]]
) -> None:
    there.set_raw(f"{prefix}.ActPt", len(points))
    for i, at in enumerate(points, start=1):
        for name, value in zip(names, at, strict=True):
            there.set_value(f"{prefix}.Pt[{i}].{name}", value)


@pytest.mark.parametrize("der", [PV, BES])
def test_the_registers_after_power_up_stand_for_the_defaults(der: Pv | Bes) -> None:
    assert AutonomousFunctions(der).settings() == DEFAULTS


@pytest.mark.parametrize("der", [PV, BES])
def test_every_default_curve_conforms_and_means_the_same_after_adoption(der: Pv | Bes) -> None:
    functions = AutonomousFunctions(der)
    for there in functions.blocks:
        for number in range(1, CURVES + 1):
            assert adopt(functions, there.model.id, number)
    adopted = functions.settings()
    assert adopted.volt_var == DEFAULTS.volt_var
    assert adopted.volt_watt == DEFAULTS.volt_watt
    assert adopted.low_voltage == DEFAULTS.low_voltage
    assert adopted.high_voltage == DEFAULTS.high_voltage
    assert adopted.low_frequency == DEFAULTS.low_frequency
    assert adopted.high_frequency == DEFAULTS.high_frequency
    assert adopted.watt_var.p_pu[3:] == DEFAULTS.watt_var.p_pu[3:]
    assert adopted.droop.k_over == DEFAULTS.droop.k_over


def test_blocks_are_laid_out_as_their_counts_say() -> None:
    for there in AutonomousFunctions(BES).blocks:
        assert counts_of(there.model.id, there.registers) == there.model.counts
        assert len(there.registers) == there.model.length


def test_devices_do_not_share_registers() -> None:
    one, other = AutonomousFunctions(PV), AutonomousFunctions(PV)
    block(one, 705).set_raw("Ena", 1)
    assert not other.is_on(705)


@pytest.mark.parametrize(("base", "q_pu"), [(0, 0.3 * 0.9), (1, 0.3 * 0.5), (3, 0.3)])
def test_vars_relate_to_the_rating_that_is_named(base: int, q_pu: float) -> None:
    functions = AutonomousFunctions(PV)
    there = block(functions, 705)
    put(there, "Crv[2]", ("V", "Var"), [(92, 30), (98, 0), (102, 0), (108, -30)])
    there.set_raw("Crv[2].DeptRef", base)
    assert adopt(functions, 705)
    assert functions.settings().volt_var.q_pu == pytest.approx((q_pu, 0, 0, -q_pu))


def test_a_volt_var_curve_of_two_points_is_flat_beyond_them() -> None:
    functions = AutonomousFunctions(PV)
    put(block(functions, 705), "Crv[3]", ("V", "Var"), [(95, 20), (105, -20)])
    assert adopt(functions, 705, 3)
    assert functions.settings().volt_var.v_pu == pytest.approx((0.95, 1.05, 1.05, 1.05))
    assert functions.settings().volt_var.q_pu == pytest.approx((0.2, -0.2, -0.2, -0.2))


def steps(*pairs: tuple[float, float]) -> tuple[TripStep | None, TripStep | None]:
    found = [TripStep(threshold=x, seconds=s) for x, s in pairs]
    return found[0], found[1] if len(found) > 1 else None


@pytest.mark.parametrize(
    ("model_id", "points", "expected"),
    [
        # the level that goes on for ever need not be drawn to its end
        (707, [(50, 2), (50, 21), (88, 21)], steps((0.88, 21), (0.5, 2))),
        # from the other end
        (707, [(88, 21), (50, 21), (50, 2), (0, 2)], steps((0.88, 21), (0.5, 2))),
        # one level
        (707, [(0, 30), (80, 30)], steps((0.8, 30))),
        (708, [(112, 5), (120, 5), (120, 0.16), (140, 0.16)], steps((1.12, 5), (1.2, 0.16))),
        (709, [(50, 10), (55, 10), (55, 200), (58, 200)], steps((58, 200), (55, 10))),
        (710, [(61.5, 400), (63, 400), (63, 1), (66, 1)], steps((61.5, 400), (63, 1))),
    ],
)
def test_trip_steps_are_the_levels_of_the_staircase(
    model_id: int, points: list[tuple[float, float]], expected: tuple[TripStep, TripStep | None]
) -> None:
    functions = AutonomousFunctions(PV)
    x = "V" if model_id < 709 else "Hz"
    put(block(functions, model_id), "Crv[2].MustTrip", (x, "Tms"), points)
    assert adopt(functions, model_id)
    sides = {707: "low_voltage", 708: "high_voltage", 709: "low_frequency", 710: "high_frequency"}
    trip = getattr(functions.settings(), sides[model_id])
    assert (trip.near, trip.far) == expected


@pytest.mark.parametrize(
    ("model_id", "points"),
    [
        (707, []),  # nothing at all
        (707, [(50, 2), (88, 21)]),  # across
        (707, [(0, 2), (50, 2), (50, 21), (70, 21), (70, 30), (88, 30)]),  # three levels
        (707, [(0, 21), (50, 21), (50, 2), (88, 2)]),  # the fast step on the near side
        (707, [(0, 2), (50, 2), (50, 21), (90, 21)]),  # threshold out of its range
        (707, [(0, 1), (50, 1), (50, 21), (88, 21)]),  # time out of its range
        (708, [(110, 13), (121, 13), (121, 0.16), (130, 0.16)]),  # 1.20 pu is fixed
    ],
)
def test_a_trip_curve_that_is_none_of_the_standards_is_not_adopted(
    model_id: int, points: list[tuple[float, float]]
) -> None:
    functions = AutonomousFunctions(PV)
    put(block(functions, model_id), "Crv[2].MustTrip", ("V", "Tms"), points)
    assert not adopt(functions, model_id)
    assert functions.settings() == DEFAULTS


@pytest.mark.parametrize(
    ("model_id", "point", "value"),
    [
        (705, "Crv[2].RspTms", 91),
        (705, "Crv[2].VRef", 94),
        (706, "Crv[2].RspTms", 0.4),
        (706, "Crv[2].Pt[1].V", 110),
        (706, "Crv[2].Pt[2].W", -10),  # a PV plant does not absorb
        (711, "Ctl[2].DbOf", 0.01),
        (711, "Ctl[2].KUf", 0.06),
        (711, "Ctl[2].RspTms", 11),
        (712, "Crv[2].Pt[2].W", 90),
        (712, "Crv[2].ActPt", 6),  # three are the PV plant's
    ],
)
def test_a_setting_out_of_the_standards_range_is_not_adopted(
    model_id: int, point: str, value: float
) -> None:
    functions = AutonomousFunctions(PV)
    block(functions, model_id).set_value(point, value)
    assert not adopt(functions, model_id)
    assert functions.settings() == DEFAULTS


def test_a_reversion_curve_that_does_not_conform_leaves_what_is_in_force() -> None:
    functions = AutonomousFunctions(PV)
    there = block(functions, 705)
    put(there, "Crv[2]", ("V", "Var"), [(92, 20), (98, 0), (102, 0), (108, -20)])
    there.set_raw("RvrtTms", 60)
    there.set_raw("RvrtCrv", 3)
    there.set_raw("Crv[3].ActPt", 1)
    assert adopt(functions, 705)
    assert functions.expire(NOW + timedelta(seconds=60))
    assert functions.settings().volt_var.q_pu[0] == pytest.approx(0.2)
    assert not functions.expire(NOW + timedelta(seconds=600))


@settings(max_examples=50, deadline=None)  # the first example builds what the others copy
@given(st.data())
def test_whatever_is_written_is_adopted_whole_or_not_at_all_and_can_be_followed(data: Any) -> None:
    functions = AutonomousFunctions(BES)
    there = data.draw(st.sampled_from(functions.blocks))
    taken = {n: a for (m, n), a in functions.accepts().items() if m == there.model.id}
    names = sorted(n for n in taken if "[2]" in n)
    for name in data.draw(st.lists(st.sampled_from(names), max_size=6)):
        bits = 16 * there.model.points[name].size
        signed = there.model.points[name].type.startswith("int")
        low, high = (-(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 2)
        raw = data.draw(st.integers(low, high) | st.integers(0, 6) | st.integers(9000, 11_000))
        if taken[name](raw):
            there.set_raw(name, raw)
    before = functions.settings()
    if not adopt(functions, there.model.id):
        assert functions.settings() == before
        return
    there.set_raw("Ena", 1)
    inverter = BesInverter(BES, 50)
    inverter.settings = functions.settings()
    for v_pu, hz in ((0.93, 60.0), (1.0, 59.5), (1.07, 60.4), (1.2, 62.0), (0.3, 56.0)):
        inverter.at = Terminal(v_pu=v_pu, hz=hz)
        inverter.step(5 / 3600, Orders(p_kw=300), 0)
        assert math.hypot(inverter.p_kw, inverter.q_kvar) <= 1000 * (1 + 1e-6)
