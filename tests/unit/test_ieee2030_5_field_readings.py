"""Dispatch over IEEE 2030.5: mirrors as readings, and the cycle with such devices in it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ems.command import command
from ems.cycle import run_cycle
from ems.domain import (
    DerReading,
    EndDeviceAddress,
    LoadReading,
    Partial,
    Readback,
    Sent,
    Setpoint,
)
from ems.errors import Unreachable
from ems.gateways.ieee2030_5.field import Ieee2030Field
from ems.gateways.ieee2030_5.memory import MemoryDevice, MemoryReading, MemoryServer
from ems.protocols.ieee2030_5 import sep, values
from tests.ieee2030_5_field import (
    ANSWER_S,
    AT,
    BES,
    PV,
    REVERSION_S,
    SITE,
    cap,
    end_device,
    field_of,
    limit_of,
    setpoint,
    world,
)
from tests.sites import AUTO, NOW, PRICE_USD_PER_KWH, ports, snapshot

# --- readings ------------------------------------------------------------------------


def test_readings_carry_the_time_they_were_taken_and_the_oldest_that_is_needed() -> None:
    device = end_device(BES, p_kw=100.0)
    device.readings[1].time = AT - 30
    assert device.status is not None
    assert device.status.stateOfChargeStatus is not None
    device.status.stateOfChargeStatus.dateTime = device.status.readingTime = AT - 50
    field, _ = field_of(bes=device)
    shown = field.read(NOW)["bes"]
    assert isinstance(shown, DerReading)
    assert shown.time == NOW - timedelta(seconds=50)
    assert (shown.p_kw, shown.soc_pct) == (100.0, 60.0)


def test_the_flow_direction_says_which_way_is_counted() -> None:
    device = end_device(PV)
    device.readings = [
        MemoryReading(value=-2_000_000.0, uom=38, time=AT, flow=1),
        MemoryReading(value=1_000_000.0, uom=63, time=AT, flow=19),
        MemoryReading(value=9e9, uom=38, time=AT, qualifier=8),
    ]
    field, _ = field_of(pv=device)
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert (shown.p_kw, shown.q_kvar) == (2000.0, 1000.0)


def test_voltage_is_told_per_unit_and_power_with_what_is_in_reserve_while_it_is_fresh() -> None:
    device = end_device(PV, p_kw=1000.0)
    device.readings += [
        MemoryReading(value=277.1, uom=29, time=AT), MemoryReading(value=60.02, uom=33, time=AT),
    ]  # fmt: skip
    device.availability = sep.DERAvailability(
        readingTime=AT - 100, statWAvail=values.active_power(6_000_000.0)
    )
    field, server = field_of(pv=device)
    shown = field.read(NOW)["pv"]
    assert isinstance(shown, DerReading)
    assert shown.v_pu == pytest.approx(1.0, abs=1e-3)
    assert (shown.hz, shown.available_kw) == (60.02, 7000.0)
    server.pass_s(30.0)
    for reading in device.readings[:2]:
        reading.time = server.now()
    later = field.read(NOW)["pv"]
    assert isinstance(later, DerReading)
    assert later.available_kw is None


def test_readings_that_are_too_old_are_as_good_as_none() -> None:
    field, server = field_of(pv=end_device(PV))
    server.pass_s(120.0)
    assert isinstance(field.read(NOW)["pv"], DerReading)
    server.pass_s(1.0)
    answer = field.read(NOW)["pv"]
    assert isinstance(answer, Unreachable)
    assert "its last readings are 121 s old" in str(answer)


def test_a_device_that_mirrors_nothing_says_so_and_when_it_asked_last() -> None:
    device = end_device(PV)
    device.readings = []
    device.last_seen = AT - 7
    field, _ = field_of(pv=device)
    answer = field.read(NOW)["pv"]
    assert isinstance(answer, Unreachable)
    assert "asked 7 s ago" in str(answer)
    assert "W and var" in str(answer)


def test_an_end_device_that_is_not_registered_is_named() -> None:
    server = MemoryServer({}, AT)
    address = EndDeviceAddress(enddevice="INVERTER-7", answer_s=ANSWER_S)
    field = Ieee2030Field(SITE, {"pv": address}, server, fresh_s=120.0)
    assert "not registered" in str(field.read(NOW)["pv"])
    assert "INVERTER-7" in str(field.write([cap(1.0)])["pv"])


def test_a_meter_that_is_a_client_is_read_as_consumption() -> None:
    meter = MemoryDevice(readings=[MemoryReading(value=3_000_000.0, uom=38, time=AT, flow=1)])
    server = MemoryServer({"load": meter}, AT)
    address = EndDeviceAddress(enddevice="METER", answer_s=ANSWER_S)
    field = Ieee2030Field(SITE, {"load": address}, server, fresh_s=120.0)
    assert field.read_load(NOW) == LoadReading(time=NOW, p_kw=3000.0)


# --- in the cycle --------------------------------------------------------------------


def test_a_joined_field_routes_by_der() -> None:
    field, server, others = world(pv=end_device(PV, p_kw=7000.0))
    assert set(field.read(NOW)) == set(SITE.names)
    answers = field.write([cap(5000.0), setpoint(BES, 100.0)])
    assert all(isinstance(a, Readback) for a in answers.values())
    assert [name for name, _ in server.published] == ["pv"]
    assert [c.der for c in others.written] == ["bes"]
    with pytest.raises(ValueError, match="each once"):
        field.write([setpoint(BES, 1.0), setpoint(BES, 2.0)])
    field.close()
    assert others.closed


def test_a_cycle_sends_over_the_protocol_and_records_what_is_held() -> None:
    field, _, _ = world(pv=end_device(PV, p_kw=7953.0))
    policy_site = ports(SITE)
    policy = replace(AUTO, reversion_s=REVERSION_S)
    record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, replace(policy_site, field=field), NOW)
    outcome = record.outcomes["pv"]
    assert isinstance(outcome, Sent)
    assert outcome.readback.ends_s == REVERSION_S
    assert record.in_force["pv"].latest == NOW + timedelta(seconds=REVERSION_S)


def test_a_plant_that_our_own_server_limits_is_commanded_within_that_limit() -> None:
    """And what is proved is what it can give: a limit that is lifted does not raise its cap."""
    device = end_device(PV, p_kw=5000.0)
    device.others = [limit_of(50.0)]
    field, server, _ = world(pv=device)
    policy = replace(AUTO, reversion_s=REVERSION_S)
    record = None
    for _ in range(2):
        at = replace(ports(SITE), field=field)
        record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, at, NOW, record)
        outcome = record.outcomes["pv"]
        assert isinstance(outcome, Sent)
        assert outcome.command.cap_kw == 5000.0
        assert record.status == "verified"
        assert record.forecast.pv["pv"].upper_kw == 5000.0
        assert not record.alarms
    device.others = []
    field.write([outcome.command])
    assert device.orders[0].base.opModMaxLimW == 5000
    assert len(server.published) == 1


def test_a_silent_device_is_partial_and_the_mix_is_judged_with_what_it_falls_back_to() -> None:
    device = end_device(PV, p_kw=7953.0)
    device.answers_after_s = None
    field, _, _ = world(pv=device)
    policy = replace(AUTO, reversion_s=REVERSION_S)
    record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, replace(ports(SITE), field=field), NOW)
    outcome = record.outcomes["pv"]
    assert isinstance(outcome, Partial)
    assert "no Response" in outcome.reason
    assert record.status != "verified"
    assert any(alarm.startswith("after a write that failed") for alarm in record.alarms)


def test_a_device_that_opted_out_may_do_what_it_falls_back_to_from_now_on() -> None:
    device = end_device(PV, p_kw=7953.0)
    field, server, _ = world(pv=device)
    policy = replace(AUTO, reversion_s=3600)
    at = replace(ports(SITE), field=field)
    first = run_cycle(SITE, policy, PRICE_USD_PER_KWH, at, NOW)
    assert isinstance(first.outcomes["pv"], Sent)
    assert first.in_force["pv"].earliest == NOW + timedelta(hours=1)
    server.respond("pv", 4)
    record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, at, NOW, first)
    outcome = record.outcomes["pv"]
    assert isinstance(outcome, Partial)
    assert outcome.fell_back
    assert record.in_force["pv"].earliest == NOW
    assert record.in_force["pv"].latest == NOW + timedelta(hours=1)


def test_what_loads_waits_for_the_answer_of_what_relieves() -> None:
    """A battery goes on charging only once the plant's cap is known to be taken."""
    device = end_device(PV, p_kw=7953.0)
    device.answers_after_s = None
    field, _, others = world(pv=device)
    to = {
        "pv": Setpoint(der="pv", p_kw=4000.0, q_kvar=0.0, cap_kw=4000.0),
        "bes": Setpoint(der="bes", p_kw=500.0, q_kvar=0.0),
        "dg": Setpoint(der="dg", p_kw=2997.0, q_kvar=0.0),
    }
    outcomes = command(SITE, AUTO, snapshot(SITE), to, (), {}, field)
    assert isinstance(outcomes["pv"], Partial)
    assert not others.written
