"""IEEE 1547 inverters from outside: curves written by pysunspec2's client, P and Q read back.

Voltage and frequency are imposed on the device; time is simulated. What is expected is computed
here from the default settings of IEEE Std 1547-2018, category B and III, not asked of the device.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ems.domain import Bes, Pv
from tests.protocol.inverters import (
    BES,
    P_KW,
    PV,
    SETTLED_S,
    VA,
    WITHIN,
    Bench,
    Open,
    adopt,
    adopted,
    enable,
    inverters,
    store,
)


@pytest.fixture
def bench() -> Iterator[Open]:
    with inverters() as opened:
        yield opened


@pytest.fixture
def pv(bench: Open) -> Bench:
    return bench(PV)


@pytest.fixture
def bes(bench: Open) -> Bench:
    return bench(BES)


# --- what is there -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("der", "models"),
    [
        (PV, [1, 701, 702, 703, 704, 705, 706, 707, 708, 709, 710, 711, 712, 715]),
        (BES, [1, 701, 702, 703, 704, 705, 706, 707, 708, 709, 710, 711, 712, 713, 715]),
    ],
)
def test_an_inverter_has_all_models_of_ieee_1547(
    bench: Open, der: Pv | Bes, models: list[int]
) -> None:
    found = bench(der).client
    assert [m.model_id for m in found.model_list] == models
    assert not [m.error_info for m in found.model_list if m.error_info]
    capacity = found.DERCapacity[0]
    assert (capacity.NorOpCatRtg.value, capacity.AbnOpCatRtg.value) == (1, 2)
    assert capacity.VAMaxRtg.cvalue == pytest.approx(VA * 1000)
    modes = {0, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13}
    assert modes <= {bit for bit in range(32) if capacity.CtrlModes.value >> bit & 1}


def test_only_ride_through_and_droop_are_on_by_default(pv: Bench) -> None:
    on = {m.model_id: m.Ena.value for m in pv.client.model_list if 705 <= m.model_id <= 712}
    assert on == {705: 0, 706: 0, 707: 1, 708: 1, 709: 1, 710: 1, 711: 1, 712: 0}
    assert pv.after(60, v=1.09) == (1.0, 0.0)


def test_the_default_curves_stand_in_the_registers(pv: Bench) -> None:
    curve = pv.client.DERVoltVar[0].Crv[0]
    assert curve.ReadOnly.value == 1
    assert [(p.V.cvalue, p.Var.cvalue) for p in curve.Pt] == [
        (92, 44), (98, 0), (102, 0), (108, -44),
    ]  # fmt: skip
    must = pv.client.DERTripLV[0].Crv[0].MustTrip
    points = [(p.V.cvalue, p.Tms.cvalue) for p in must.Pt[: must.ActPt.value]]
    assert points == [(0, 2), (50, 2), (50, 21), (88, 21)]
    droop = pv.client.DERFreqDroop[0].Ctl[0]
    assert (droop.DbOf.cvalue, droop.KOf.cvalue, droop.RspTms.cvalue) == (0.036, 0.05, 5)


# --- curves --------------------------------------------------------------------------


VOLT_VAR = [(0.90, 0.44), (0.92, 0.44), (0.95, 0.22), (0.98, 0.0), (1.0, 0.0), (1.02, 0.0),
            (1.05, -0.22), (1.08, -0.44), (1.095, -0.44)]  # fmt: skip


def test_volt_var_by_its_default_points(pv: Bench) -> None:
    enable(pv.client.DERVoltVar[0])
    for v, q in VOLT_VAR:
        p_pu, q_pu = pv.after(SETTLED_S, v=v)
        assert q_pu == pytest.approx(q, abs=WITHIN), v
        assert p_pu == pytest.approx(1.0, abs=WITHIN)


def test_volt_var_by_points_that_were_written(pv: Bench) -> None:
    volt_var = pv.client.DERVoltVar[0]
    store(volt_var, "V", "Var", [(90, 30), (97, 0), (103, 0), (110, -30)])
    assert adopted(volt_var)
    assert volt_var.Crv[0].Pt[3].Var.cvalue == -30  # the first curve is the one in force
    enable(volt_var)
    for v, q in [(0.90, 0.30), (0.935, 0.15), (1.0, 0.0), (1.065, -0.15), (1.09, -0.2571)]:
        assert pv.after(SETTLED_S, v=v)[1] == pytest.approx(q, abs=WITHIN), v


def test_volt_var_reaches_90_percent_in_its_response_time(pv: Bench) -> None:
    enable(pv.client.DERVoltVar[0])
    pv.after(SETTLED_S, v=1.0)
    assert abs(pv.after(3, v=1.08)[1]) < 0.9 * 0.44
    assert abs(pv.after(3)[1]) > 0.88 * 0.44


def test_volt_watt_by_its_default_points(pv: Bench) -> None:
    enable(pv.client.DERVoltWatt[0])
    for v, p in [(1.0, 1.0), (1.06, 1.0), (1.07, 0.75), (1.08, 0.5), (1.09, 0.25), (1.10, 0.0)]:
        p_pu, q_pu = pv.after(SETTLED_S, v=v)
        assert p_pu == pytest.approx(p, abs=WITHIN), v
        assert q_pu == 0


def test_volt_watt_by_points_that_were_written(pv: Bench) -> None:
    volt_watt = pv.client.DERVoltWatt[0]
    store(volt_watt, "V", "W", [(105, 100), (109, 20)])
    assert adopted(volt_watt)
    enable(volt_watt)
    for v, p in [(1.05, 1.0), (1.07, 0.6), (1.09, 0.2), (1.098, 0.2)]:
        assert pv.after(SETTLED_S, v=v)[0] == pytest.approx(p, abs=WITHIN), v


def test_watt_var_by_its_default_points(pv: Bench) -> None:
    enable(pv.client.DERWattVar[0])
    for p, q in [(0.1, 0.0), (0.2, 0.0), (0.5, 0.0), (0.75, -0.22), (1.0, -0.44)]:
        pv.sun_kw = p * P_KW
        assert pv.after(SETTLED_S) == pytest.approx((p, q), abs=WITHIN)


def test_watt_var_of_a_battery_goes_on_into_charging(bes: Bench) -> None:
    watt_var = bes.client.DERWattVar[0]
    enable(watt_var)
    for p, q in [(-1.0, 0.44), (-0.75, 0.22), (-0.5, 0.0), (0.3, 0.0), (0.75, -0.22)]:
        bes.controls.WSet.cvalue = p * P_KW * 1000
        bes.controls.write()
        assert bes.after(SETTLED_S) == pytest.approx((p, q), abs=WITHIN)


def test_watt_var_by_points_that_were_written(bes: Bench) -> None:
    watt_var = bes.client.DERWattVar[0]
    store(watt_var, "W", "Var", [(-100, 20), (-40, 0), (-20, 0), (20, 0), (40, 0), (100, -20)])
    assert adopted(watt_var)
    enable(watt_var)
    for p, q in [(-1.0, 0.2), (-0.7, 0.1), (0.4, 0.0), (0.7, -0.1)]:
        bes.controls.WSet.cvalue = p * P_KW * 1000
        bes.controls.write()
        assert bes.after(SETTLED_S) == pytest.approx((p, q), abs=WITHIN)


def drooped(hz: float, deadband: float = 0.036, k: float = 0.05) -> float:
    """Change of power, IEEE Std 1547-2018, table 23 [pu]."""
    off = abs(hz - 60) - deadband
    return 0.0 if off <= 0 else -off / (60 * k) if hz > 60 else off / (60 * k)


@pytest.mark.parametrize("hz", [59.2, 59.6, 59.97, 60.03, 60.5, 61.0])
def test_frequency_droop_by_its_defaults(bes: Bench, hz: float) -> None:
    bes.controls.WSet.cvalue = 0.4 * P_KW * 1000
    bes.controls.write()
    assert bes.after(SETTLED_S)[0] == pytest.approx(0.4)
    assert bes.after(SETTLED_S, hz=hz)[0] == pytest.approx(0.4 + drooped(hz), abs=WITHIN)
    assert bes.after(SETTLED_S, hz=60)[0] == pytest.approx(0.4, abs=WITHIN)


def test_droop_takes_a_capped_plant_above_its_cap_when_frequency_is_low(pv: Bench) -> None:
    pv.controls.WMaxLimPct.cvalue = 50
    pv.controls.WMaxLimPctEna.value = 1
    pv.controls.write()
    assert pv.after(SETTLED_S)[0] == pytest.approx(0.5)
    assert pv.after(SETTLED_S, hz=59.4)[0] == pytest.approx(0.5 + drooped(59.4), abs=WITHIN)


def test_frequency_droop_by_settings_that_were_written(pv: Bench) -> None:
    droop = pv.client.DERFreqDroop[0]
    droop.Ctl[1].DbOf.cvalue, droop.Ctl[1].KOf.cvalue = 0.1, 0.03
    droop.write()
    droop.AdptCtlReq.value = 2
    droop.write()
    droop.read()
    assert droop.AdptCtlRslt.value == 1
    expected = 1.0 + drooped(60.7, deadband=0.1, k=0.03)
    assert pv.after(SETTLED_S, hz=60.7)[0] == pytest.approx(expected, abs=WITHIN)
    enable(droop, on=False)
    assert pv.after(SETTLED_S)[0] == pytest.approx(1.0)


# --- setpoints -----------------------------------------------------------------------


@pytest.mark.parametrize("q", [-0.44, -0.2, 0.3])
def test_constant_reactive_power(pv: Bench, q: float) -> None:
    pv.controls.VarSet.cvalue = q * VA * 1000
    pv.controls.VarSetEna.value = 1
    pv.controls.write()
    assert pv.after(SETTLED_S) == pytest.approx((1.0, q), abs=WITHIN)


@pytest.mark.parametrize(("factor", "ext", "sign"), [(0.95, 0, 1), (0.9, 1, -1), (1.0, 0, 1)])
def test_constant_power_factor(pv: Bench, factor: float, ext: int, sign: int) -> None:
    pv.controls.PFWInj.PF.cvalue = factor
    pv.controls.PFWInj.Ext.value = ext
    pv.controls.PFWInjEna.value = 1
    pv.controls.write()
    for sun in (1.0, 0.5):
        pv.sun_kw = sun * P_KW
        q = sign * sun * P_KW * (1 / factor**2 - 1) ** 0.5 / VA
        assert pv.after(SETTLED_S) == pytest.approx((sun, q), abs=WITHIN)


def test_a_charging_battery_has_a_power_factor_of_its_own(bes: Bench) -> None:
    bes.controls.PFWInjEna.value = bes.controls.PFWAbsEna.value = 1
    bes.controls.PFWAbs.PF.cvalue = 0.9
    bes.controls.PFWAbs.Ext.value = 0  # over-excited: injects vars
    bes.controls.WSet.cvalue = -0.8 * P_KW * 1000
    bes.controls.write()
    q = 0.8 * P_KW * (1 / 0.9**2 - 1) ** 0.5 / VA
    assert bes.after(SETTLED_S) == pytest.approx((-0.8, q), abs=WITHIN)
    bes.controls.WSet.cvalue = 0.8 * P_KW * 1000
    bes.controls.write()
    assert bes.after(SETTLED_S) == pytest.approx((0.8, 0.0), abs=WITHIN)


def test_a_cap_is_reached_in_fifteen_seconds_and_exactly(pv: Bench) -> None:
    pv.controls.WMaxLimPct.cvalue = 40
    pv.controls.WMaxLimPctEna.value = 1
    pv.controls.write()
    assert pv.after(1)[0] > 0.9
    assert pv.after(14)[0] == 0.4


def test_a_batterys_cap_and_volt_watt_leave_its_demand_alone(bes: Bench) -> None:
    enable(bes.client.DERVoltWatt[0])
    bes.controls.WMaxLimPct.cvalue = 60
    bes.controls.WMaxLimPctEna.value = 1
    for demand, p in [(-0.5, -0.5), (0.2, 0.2), (0.9, 0.6)]:
        bes.controls.WSet.cvalue = demand * P_KW * 1000
        bes.controls.write()
        assert bes.after(SETTLED_S)[0] == pytest.approx(p, abs=WITHIN)
    assert bes.after(SETTLED_S, v=1.09)[0] == pytest.approx(0.25, abs=WITHIN)


def test_one_reactive_mode_at_a_time_the_last_one_that_was_enabled(pv: Bench) -> None:
    controls, volt_var, watt_var = pv.controls, pv.client.DERVoltVar[0], pv.client.DERWattVar[0]
    modes = [
        (controls, "VarSetEna"), (volt_var, "Ena"), (controls, "PFWInjEna"), (watt_var, "Ena"),
        (controls, "VarSetEna"),
    ]  # fmt: skip
    for model, point in modes:
        model.points[point].value = 1
        model.write()
        for each in (controls, volt_var, watt_var):
            each.read()
        on = [
            controls.VarSetEna.value, controls.PFWInjEna.value, volt_var.Ena.value,
            watt_var.Ena.value,
        ]  # fmt: skip
        assert sum(on) == 1
        assert model.points[point].value == 1


# --- reversion -----------------------------------------------------------------------


def test_a_curve_that_nobody_refreshes_reverts(pv: Bench) -> None:
    volt_var = pv.client.DERVoltVar[0]
    enable(volt_var)
    volt_var.RvrtTms.value, volt_var.RvrtCrv.value = 300, 3
    volt_var.write()
    store(volt_var, "V", "Var", [(90, 20), (98, 0), (102, 0), (110, -20)])
    assert pv.after(SETTLED_S, v=1.06)[1] == pytest.approx(-0.10, abs=WITHIN)
    volt_var.read()
    assert volt_var.RvrtRem.value == 180
    assert pv.after(170)[1] == pytest.approx(-0.10, abs=WITHIN)
    assert pv.after(10 + SETTLED_S)[1] == pytest.approx(-0.2933, abs=WITHIN)  # the default
    volt_var.read()
    assert volt_var.Crv[0].Pt[3].V.cvalue == 108


def test_a_power_factor_that_nobody_refreshes_reverts(pv: Bench) -> None:
    controls = pv.controls
    controls.PFWInj.PF.cvalue, controls.PFWInjRvrt.PF.cvalue = 0.9, 1.0
    controls.PFWInjEna.value = controls.PFWInjEnaRvrt.value = 1
    controls.PFWInjRvrtTms.value = 200
    controls.write()
    assert pv.after(SETTLED_S)[1] == pytest.approx(0.4036, abs=WITHIN)
    assert pv.after(80 + SETTLED_S)[1] == pytest.approx(0.0, abs=WITHIN)
    controls.read()
    assert (controls.PFWInj.PF.cvalue, controls.PFWInjRvrtRem.value) == (1.0, 0)


# --- what is refused -----------------------------------------------------------------


@pytest.mark.parametrize(
    "points",
    [
        [(92, 44), (91, 0), (102, 0), (108, -44)],  # falls back
        [(92, 0), (98, 44), (102, 0), (108, -44)],  # more vars at higher voltage
        [(70, 44), (98, 0), (102, 0), (108, -44)],  # V1 out of its range
        [(92, 44)],  # no curve
    ],
)
def test_a_curve_that_does_not_conform_is_stored_and_not_adopted(
    pv: Bench, points: list[tuple[float, float]]
) -> None:
    volt_var = pv.client.DERVoltVar[0]
    enable(volt_var)
    store(volt_var, "V", "Var", points)
    assert volt_var.AdptCrvRslt.value == 2
    assert [p.V.cvalue for p in volt_var.Crv[0].Pt] == [92, 98, 102, 108]
    assert pv.after(SETTLED_S, v=1.05)[1] == pytest.approx(-0.22, abs=WITHIN)


def test_a_sloping_trip_curve_is_not_adopted(pv: Bench) -> None:
    trip = pv.client.DERTripLV[0]
    curve = trip.Crv[1].MustTrip
    curve.ActPt.value = 2
    for place, (v, s) in zip(curve.Pt, [(50, 2), (88, 21)], strict=False):
        place.V.cvalue, place.Tms.cvalue = v, s
    trip.write()
    adopt(trip)
    assert trip.AdptCrvRslt.value == 2


Point = Callable[[Any], Any]
REFUSED: list[tuple[str, Point, int, int]] = [
    ("DERVoltVar", lambda m: m.Crv[0].Pt[0].V, 9000, 2),  # the curve in force
    ("DERVoltVar", lambda m: m.AdptCrvRslt, 1, 2),
    ("DERVoltVar", lambda m: m.AdptCrvReq, 4, 3),
    ("DERVoltVar", lambda m: m.AdptCrvReq, 0, 3),
    ("DERVoltVar", lambda m: m.Ena, 2, 3),
    ("DERVoltVar", lambda m: m.Crv[1].DeptRef, 2, 3),  # available vars: not known here
    ("DERVoltVar", lambda m: m.Crv[1].Pri, 0, 3),
    ("DEREnterService", lambda m: m.ESVHi, 12_000, 3),
    ("DEREnterService", lambda m: m.ESDlyTms, 601, 3),
    ("DERCtlAC", lambda m: m.PFWInj.PF, 1001, 3),
    ("DERCtlAC", lambda m: m.VarSetPri, 0, 3),
    ("DERCapacity", lambda m: m.WMax, 1, 2),
    ("DERCtl", lambda m: m.LocRemCtl, 1, 2),
]


@pytest.mark.parametrize(("model", "point", "raw", "code"), REFUSED)
def test_what_the_inverter_cannot_take_gets_the_right_exception(
    pv: Bench, model: str, point: Point, raw: int, code: int
) -> None:
    target = getattr(pv.client, model)[0]
    point(target).value = raw
    with pytest.raises(Exception, match=rf"exception.*{code}"):
        target.write()


def test_half_a_time_of_a_curve_cannot_be_written(pv: Bench) -> None:
    volt_var = pv.client.DERVoltVar[0]
    response = volt_var.Crv[1].points["RspTms"]
    address = volt_var.model_addr + response.offset
    with pytest.raises(Exception, match=r"exception.*2"):
        pv.client.write(address, b"\x00\x01")
