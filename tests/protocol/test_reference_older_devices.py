"""Our client against devices made of pysunspec2's definitions alone: models 101 to 124, 802."""

from collections.abc import Iterator

import pytest

from ems.domain import DerReading, Dg, Readback
from ems.errors import RefusedWrite
from ems.protocols.loop_thread import LoopThread
from tests.protocol import reference
from tests.protocol.reference import ReferenceDevice
from tests.protocol.solo import NOW, OLD_BES, OLD_PV, Open, cap, opened_field, reading, setpoint


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread("test-devices")
    yield loop
    loop.close()


@pytest.fixture
def open_field(loop: LoopThread, free_port: int) -> Iterator[Open]:
    with opened_field(loop, free_port) as opened:
        yield opened


def test_an_older_pv_plant_is_read(open_field: Open) -> None:
    assert reading(open_field(reference.older_pv(), OLD_PV)) == DerReading(
        der="der", time=NOW, p_kw=12.34, q_kvar=0.5, v_pu=405 / 400, hz=50.01, available_kw=15,
        rated_kw=20, connected=True,
    )  # fmt: skip


def test_an_older_plants_cap_is_rounded_down_and_acts_at_once(open_field: Open) -> None:
    device = reference.older_pv()
    field = open_field(device, OLD_PV)
    answer = field.write([cap(13.39, 4.567, reversion_kw=20)])["der"]
    assert answer == Readback(p_kw=None, q_kvar=4.56, cap_kw=13.2)  # 66 % of 20, 38.0 % of 12
    assert (device.point(123, "WMaxLimPct"), device.point(123, "WMaxLim_Ena")) == (66, 1)
    assert device.point(123, "WMaxLimPct_WinTms") == 0  # no random delay
    assert device.point(123, "WMaxLimPct_RvrtTms") == 1800
    assert device.point(123, "VArMaxPct") == 38.0
    assert (device.point(123, "VArPct_Mod"), device.point(123, "VArPct_Ena")) == (2, 1)
    assert reading(field).cap_kw == 13.2


def test_absorption_relates_to_its_own_quadrant(open_field: Open) -> None:
    device = reference.older_pv()
    field = open_field(device, OLD_PV)
    assert field.write([cap(13, -5)])["der"] == Readback(
        p_kw=None, q_kvar=-5, cap_kw=13, reverts=False
    )
    assert device.point(123, "VArMaxPct") == -50.0


def test_no_cap_is_a_cap_that_is_off(open_field: Open) -> None:
    device = reference.older_pv()
    field = open_field(device, OLD_PV)
    field.write([cap(13)])
    assert field.write([cap(None)])["der"] == Readback(
        p_kw=None, q_kvar=0, cap_kw=None, reverts=False
    )
    assert device.point(123, "WMaxLim_Ena") == 0


def test_a_timer_that_would_lift_a_cap_beyond_the_reversion_is_not_armed(open_field: Open) -> None:
    """Model 123 knows no cap to fall back to: held is safer than lifted."""
    device = reference.older_pv()
    answer = open_field(device, OLD_PV).write([cap(13, 1, reversion_kw=5)])["der"]
    assert answer == Readback(p_kw=None, q_kvar=0.996, cap_kw=13, reverts=False)
    assert device.point(123, "WMaxLimPct_RvrtTms") == 0
    assert device.point(123, "VArPct_RvrtTms") == 1800  # reactive power falls to none by itself


def test_reactive_power_the_device_cannot_take_is_refused(open_field: Open) -> None:
    device = reference.older_pv()
    device.put(123, "VArMaxPct", None)
    field = open_field(device, OLD_PV)
    answer = field.write([cap(13, 1)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "takes no reactive power" in str(answer)
    assert "set q_max_kvar = 0" in str(answer)
    assert isinstance(field.write([cap(13, 0)])["der"], Readback)


def test_reactive_power_in_percent_of_active_power_is_the_other_way(open_field: Open) -> None:
    device = reference.older_pv()
    device.put(123, "VArMaxPct", None)
    device.put(123, "VArWMaxPct", 0)
    field = open_field(device, OLD_PV)
    assert field.write([cap(13, -5)])["der"] == Readback(
        p_kw=None, q_kvar=-5, cap_kw=13, reverts=False
    )
    assert (device.point(123, "VArWMaxPct"), device.point(123, "VArPct_Mod")) == (-25.0, 1)


def test_a_setpoint_for_a_plant_that_knows_caps_is_refused(open_field: Open) -> None:
    answer = open_field(reference.older_pv(), OLD_PV).write([setpoint(5)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "takes a cap, not a setpoint" in str(answer)


def test_a_generator_that_knows_caps_alone_is_capped_at_its_setpoint(open_field: Open) -> None:
    device = reference.older_pv()
    dg = Dg(name="der", bus="B1", rated_kw=20, cost_usd_per_kwh=0.1, q_max_kvar=10)
    field = open_field(device, dg)
    assert field.write([setpoint(13.39)])["der"] == Readback(
        p_kw=13.2, q_kvar=0, cap_kw=None, reverts=False
    )
    assert isinstance(field.write([setpoint(-1)])["der"], RefusedWrite)


def test_an_older_rating_is_compared_too(open_field: Open) -> None:
    device = reference.older_pv()
    device.put(120, "WRtg_SF", 2)
    answer = open_field(device, OLD_PV).write([cap(5)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "rated 2 kW (120.WRtg), the site file says 20 kW" in str(answer)


def test_the_batterys_own_state_of_charge_counts(open_field: Open) -> None:
    device = reference.older_bes()
    field = open_field(device, OLD_BES)
    found = reading(field)
    assert (found.p_kw, found.soc_pct, found.heartbeat, found.local) == (3, 61.5, 9, False)
    device.put(802, "SoC", None)
    assert reading(field).soc_pct == 60
    device.put(124, "ChaState", None)
    assert "state of charge reads as not available" in str(field.read(NOW)["der"])


@pytest.mark.parametrize(
    ("asked", "held", "rates"),
    [(3.456, 3.45, (34.5, -43.2)), (-2.0, -2.0, (-20.0, 25.0)), (0.0, 0.0, (0.0, 0.0))],
)
def test_an_older_battery_is_bound_from_both_sides(
    open_field: Open, asked: float, held: float, rates: tuple[float, float]
) -> None:
    device = reference.older_bes()
    field = open_field(device, OLD_BES)
    assert field.write([setpoint(asked)])["der"] == Readback(p_kw=held, q_kvar=0, cap_kw=None)
    assert (device.point(124, "OutWRte"), device.point(124, "InWRte")) == rates
    assert device.point(124, "StorCtl_Mod") == 3
    assert device.point(124, "InOutWRte_RvrtTms") == 1800


def test_a_battery_under_local_control_is_left_alone(open_field: Open) -> None:
    device = reference.older_bes()
    device.put(802, "LocRemCtl", 1)
    field = open_field(device, OLD_BES)
    assert reading(field).local
    assert "802.LocRemCtl" in str(field.write([setpoint(1)])["der"])
    assert device.point(124, "StorCtl_Mod") == 0


def test_an_older_plant_without_controls_is_read_and_not_written(open_field: Open) -> None:
    models = [m for m in reference.older_pv().models if m[0] not in (123, 160)]
    field = open_field(ReferenceDevice(models), OLD_PV)
    assert reading(field).p_kw == 12.34
    answer = field.write([cap(5)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "lacks SunSpec model 123" in str(answer)
