"""What counts of all that an IEEE 2030.5 device mirrors and tells, and how long."""

import pytest

from ems.domain import Command, DerReading, LoadReading
from ems.errors import DeviceError, RefusedWrite, Unreachable
from ems.gateways.ieee2030_5.measured import (
    DC,
    DER,
    PREMISES,
    VAR,
    Measured,
    Voltages,
    W,
    power,
)
from ems.gateways.ieee2030_5.memory import MemoryDevice, MemoryReading
from ems.gateways.ieee2030_5.orders import order
from ems.gateways.ieee2030_5.ratings import ratings
from ems.gateways.ieee2030_5.readings import STATUS_HELD_S, der_reading, load_reading
from ems.protocols.ieee2030_5 import sep, values
from tests.ieee2030_5_field import AT, BES, PV, cap, end_device, field_of
from tests.sites import NOW

FRESH_S = 120.0


def watts(value: float, **told: int) -> MemoryReading:
    return MemoryReading(**{"value": value, "uom": W, "time": AT} | told)  # type: ignore[arg-type]


def injected(*readings: MemoryReading, phases: int | None = 3) -> Measured | None:
    return power(readings, W, phases=phases, at=AT, fresh_s=FRESH_S)


# --- age -----------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_s", [1, 3600, 86_400])
def test_a_reading_is_as_old_as_its_time_or_its_coming_whatever_is_longer(ahead_s: int) -> None:
    device = end_device(PV)
    for reading in device.readings:
        reading.time, reading.came = AT + ahead_s, AT - 121
    fault = der_reading(PV, device, NOW, AT, FRESH_S, Voltages())
    assert isinstance(fault, Unreachable)
    assert "121 s old" in str(fault)


def test_a_state_of_charge_dated_ahead_is_no_fresher_than_it_came() -> None:
    device = end_device(BES)
    device.status = sep.DERStatus(
        readingTime=AT + 900,
        stateOfChargeStatus=sep.StateOfChargeStatus(dateTime=AT + 900, value=6000),
    )
    device.received["status"] = AT - 121
    assert isinstance(der_reading(BES, device, NOW, AT, FRESH_S, Voltages()), Unreachable)


def test_one_direction_is_as_old_as_the_register_for_the_other() -> None:
    found = injected(watts(0.0, flow=1), watts(8000.0, flow=19, time=AT - 500))
    assert found is not None
    assert AT - found.time == 500


# --- which reading counts ------------------------------------------------------------


def test_registers_for_each_direction_are_netted() -> None:
    both = [watts(0.0, flow=19), watts(4e6, flow=1)]
    for readings in (both, both[::-1]):
        meter = MemoryDevice(readings=readings, last_seen=AT)
        found = load_reading(meter, NOW, AT, FRESH_S)
        assert isinstance(found, LoadReading)
        assert found.p_kw == 4000.0


def test_the_same_signed_power_seen_from_both_sides_is_not_doubled() -> None:
    found = injected(watts(-500.0, flow=19), watts(500.0, flow=1))
    assert found is not None
    assert found.value == -500.0


def test_signed_powers_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"contradict each other.*let it mirror"):
        injected(watts(-500.0, flow=19), watts(900.0, flow=1))


def test_single_phases_are_summed_and_as_old_as_the_oldest() -> None:
    found = injected(watts(1.0, phase=129), watts(2.0, phase=65), watts(4.0, phase=33, time=AT - 9))
    assert found == Measured(value=7.0, time=AT - 9)


def test_all_phases_together_go_before_single_ones() -> None:
    found = injected(watts(3.0), *(watts(9.0, phase=p) for p in (128, 64, 32)))
    assert found is not None
    assert found.value == 3.0


@pytest.mark.parametrize("phases", [(128,), (128, 64), (132, 66, 40)])
def test_some_phases_of_a_three_phase_device_are_refused(phases: tuple[int, ...]) -> None:
    with pytest.raises(DeviceError, match=r"some phases only.*every phase"):
        injected(*(watts(1.0, phase=p) for p in phases))


def test_one_phase_is_all_of_a_single_phase_device() -> None:
    found = injected(watts(5.0, phase=128), phases=1)
    assert found is not None
    assert found.value == 5.0


def test_energy_and_extremes_and_direct_current_are_no_power() -> None:
    others = [watts(9e9, kind=12), watts(9e9, qualifier=8), watts(9e9, role=DC), watts(9e9, kind=3)]
    found = injected(*others, watts(1.0, time=AT - 60))
    assert found is not None
    assert found.value == 1.0


def test_what_was_measured_goes_before_a_mean_and_a_demand() -> None:
    found = injected(watts(2.0, qualifier=2), watts(1.0, qualifier=12), watts(3.0, kind=8))
    assert found is not None
    assert found.value == 1.0


def test_a_mean_counts_where_the_reading_as_measured_is_old() -> None:
    found = injected(watts(2.0, qualifier=2), watts(1.0, qualifier=12, time=AT - 3600))
    assert found is not None
    assert found.value == 2.0


def test_a_doubtful_reading_does_not_count() -> None:
    assert injected(watts(9e9, quality=0x10), watts(1.0, quality=0x01)) == Measured(
        value=1.0, time=AT
    )
    with pytest.raises(DeviceError, match="qualityFlags"):
        injected(watts(1.0, quality=0x40))


def test_the_premises_meter_is_not_the_ders_and_is_the_loads() -> None:
    premises, der = watts(-7.0, role=PREMISES | 1), watts(1.0, role=DER | 1)
    of_der, of_load = injected(premises, der), injected(premises, der, phases=None)
    assert of_der is not None
    assert of_load is not None
    assert (of_der.value, of_load.value) == (1.0, -7.0)
    with pytest.raises(DeviceError, match=r"isPremisesAggregationPoint.*isDER"):
        injected(premises)


def test_two_readings_that_nothing_tells_apart_are_refused_with_the_mend() -> None:
    device = end_device(PV, p_kw=100.0)
    device.readings.append(watts(700e3))
    fault = der_reading(PV, device, NOW, AT, FRESH_S, Voltages())
    assert isinstance(fault, DeviceError)
    assert "pv: it mirrors two readings of W that nothing tells apart" in str(fault)
    device.readings[-1].value = 100.2e3
    assert isinstance(der_reading(PV, device, NOW, AT, FRESH_S, Voltages()), DerReading)


def test_reactive_power_is_netted_likewise() -> None:
    readings = [
        MemoryReading(value=5.0, uom=VAR, time=AT, flow=1),
        MemoryReading(value=2.0, uom=VAR, time=AT, flow=19),
    ]
    assert power(readings, VAR, phases=3, at=AT, fresh_s=FRESH_S) == Measured(value=-3.0, time=AT)


# --- voltage -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [1.0, 3**0.5, 3**-0.5])
@pytest.mark.parametrize("pu", [0.6, 0.75, 1.3])
def test_a_sag_or_a_swell_stays_one_once_the_kind_of_voltage_is_known(
    kind: float, pu: float
) -> None:
    voltages = Voltages()
    assert voltages.per_unit("pv", 0, 480.0 / kind, 480.0) == pytest.approx(1.0)
    assert voltages.per_unit("pv", 0, pu * 480.0 / kind, 480.0) == pytest.approx(pu)


def test_a_voltage_far_off_nominal_from_the_start_is_not_guessed() -> None:
    assert Voltages().per_unit("pv", 0, 0.75 * 480.0, 480.0) is None


def test_a_kind_that_was_found_during_a_sag_is_mended_with_the_first_impossible_voltage() -> None:
    voltages = Voltages()
    voltages.per_unit("pv", 0, 0.6 * 480.0, 480.0)
    assert voltages.per_unit("pv", 0, 480.0, 480.0) == pytest.approx(1.0)


# --- status --------------------------------------------------------------------------


def test_local_control_is_not_believed_for_ever_and_that_is_told() -> None:
    device = end_device(PV)
    day = AT - 86_400
    device.status = sep.DERStatus(
        readingTime=day,
        localControlModeStatus=sep.StatusValue(dateTime=day, value=0),
        genConnectStatus=sep.ConnectStatus(dateTime=day, value="00"),
    )
    field, server = field_of(pv=device)
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert not shown.local
    assert shown.connected is None
    assert "86400 s old" in shown.note
    field.write([cap(5000.0)])
    assert len(server.published) == 1


def test_local_control_is_believed_over_a_few_lost_posts() -> None:
    device = end_device(PV)
    told = AT - int(STATUS_HELD_S)
    device.status = sep.DERStatus(
        readingTime=told, localControlModeStatus=sep.StatusValue(dateTime=told, value=0)
    )
    field, _ = field_of(pv=device)
    assert isinstance(field.write([cap(5000.0)])["pv"], RefusedWrite)


# --- nought is told ------------------------------------------------------------------


def asked(p_kw: float | None, q_kvar: float) -> Command:
    der = PV if p_kw is None else BES
    return Command(
        der=der.name, p_kw=p_kw, q_kvar=q_kvar, cap_kw=None, reversion_kw=0.0, reversion_s=300
    )


def test_a_battery_that_says_it_cannot_charge_is_not_commanded_as_rated() -> None:
    device = end_device(BES)
    assert device.capability is not None
    device.capability.rtgMaxChargeRateW = values.active_power(0.0)
    of = ratings(device)
    assert of is not None
    assert (of.charge_w, of.discharge_w) == (0.0, BES.rated_kw * 1000.0)
    with pytest.raises(RefusedWrite, match=r"setMaxChargeRateW.*mend rated_kw"):
        order(BES, asked(-10.0, 0.0), of)


def test_no_reactive_power_is_asked_of_a_device_that_says_it_has_none() -> None:
    device = end_device(PV)
    assert device.capability is not None
    device.capability.rtgMaxVar = values.reactive_power(0.0)
    of = ratings(device)
    assert of is not None
    with pytest.raises(RefusedWrite, match="says it can none"):
        order(PV, asked(None, 100.0), of)
    base = order(PV, asked(None, 0.0), of)
    assert base.opModFixedVar == sep.FixedVar(refType=values.REF_MAX_W, value=0)


def test_absorbing_is_bounded_by_what_the_device_says_it_absorbs() -> None:
    device = end_device(PV)
    assert device.capability is not None
    device.capability.rtgMaxVarNeg = values.reactive_power(-PV.rated_kw * 100.0)
    of = ratings(device)
    assert of is not None
    with pytest.raises(RefusedWrite, match="450 % of what its end device says"):
        order(PV, asked(None, -0.45 * PV.rated_kw), of)
    most = order(PV, asked(None, -0.1 * PV.rated_kw), of).opModFixedVar
    assert most == sep.FixedVar(refType=values.REF_MAX_W, value=-1000)
