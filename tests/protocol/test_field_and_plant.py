"""The EMS's end of the links against the plant's, over real sockets."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from ems.domain import Command, DerReading, DeviceAddress, LoadReading, Readback, Site
from ems.errors import BadInput, DeviceError, PortInUse, RefusedWrite, Unreachable
from ems.gateways.sunspec import SunSpecField
from ems.plant import GeneratedProfile, Plant

NOW = datetime.fromisoformat("2024-06-03T20:00:00+00:00")


def cap(kw: float | None, q_kvar: float = 0.0) -> Command:
    return Command(
        der="pv", p_kw=None, q_kvar=q_kvar, cap_kw=kw, reversion_kw=3000, reversion_s=1800
    )


def setpoint(der: str, kw: float, q_kvar: float = 0.0, reversion_s: int = 1800) -> Command:
    return Command(
        der=der, p_kw=kw, q_kvar=q_kvar, cap_kw=None, reversion_kw=0, reversion_s=reversion_s
    )


def test_readings_are_what_the_plant_really_does(plant: Plant, field: SunSpecField) -> None:
    truth = plant.truth()
    readings = field.read(NOW)
    assert list(readings) == ["pv", "dg", "bes"]
    for name, reading in readings.items():
        assert isinstance(reading, DerReading)
        assert reading.time == NOW
        assert reading.p_kw == pytest.approx(truth.p_kw[name], abs=0.5)  # W_SF 3 at 10 MW
        assert reading.q_kvar == pytest.approx(truth.q_kvar[name], abs=0.05)
        bus = {"pv": "B13", "dg": "B7", "bes": "B11"}[name]
        node = truth.load_flow.nodes.index(f"{bus}.1")
        assert reading.v_pu == pytest.approx(truth.load_flow.v_pu[node], abs=2e-5)
    pv, bes = readings["pv"], readings["bes"]
    assert isinstance(pv, DerReading)
    assert isinstance(bes, DerReading)
    assert (pv.rated_kw, pv.soc_pct, pv.cap_kw) == (10_000, None, None)
    assert (bes.rated_kw, bes.soc_pct) == (200, 60.0)


def test_load_meter_shows_consumption_positive(plant: Plant, field: SunSpecField) -> None:
    load = field.read_load(NOW)
    assert isinstance(load, LoadReading)
    assert load.p_kw == pytest.approx(plant.truth().load_kw, abs=0.5)
    assert load.q_kvar == pytest.approx(plant.truth().load_kvar, abs=0.5)


def test_every_write_is_answered_with_what_the_registers_hold(field: SunSpecField) -> None:
    answers = field.write(
        [cap(6515.37, -500.3), setpoint("dg", 1500.5, -99), setpoint("bes", -150)]
    )
    assert answers["pv"] == Readback(p_kw=None, q_kvar=-500.3, cap_kw=6515.0)
    assert answers["dg"] == Readback(p_kw=1500.5, q_kvar=-99, cap_kw=None)
    assert answers["bes"] == Readback(p_kw=-150, q_kvar=0, cap_kw=None)


def test_devices_follow_what_was_written(plant: Plant, field: SunSpecField) -> None:
    field.write([cap(6515.0, -500.0), setpoint("dg", 3000), setpoint("bes", -150, 100)])
    plant.advance_to(plant.now)
    assert plant.truth().p_kw == {"pv": 6515.0, "dg": 0.0, "bes": -150.0}  # dg needs time to ramp
    plant.advance_to(plant.now + timedelta(minutes=15))
    truth = plant.truth()
    assert truth.p_kw["dg"] == pytest.approx(750)
    assert truth.q_kvar == {"pv": -500.0, "dg": 0.0, "bes": 100.0}
    assert truth.soc_pct["bes"] == pytest.approx(60 + 100 * 150 * 0.92 * 0.25 / 1000)


def test_no_cap_is_written_as_a_cap_that_is_off(plant: Plant, field: SunSpecField) -> None:
    field.write([cap(2000)])
    assert field.write([cap(None)])["pv"] == Readback(p_kw=None, q_kvar=0, cap_kw=None)
    plant.advance_to(plant.now)
    assert plant.truth().p_kw["pv"] == plant.truth().pv_available_kw["pv"]


def test_a_cap_in_force_is_read(field: SunSpecField) -> None:
    field.write([cap(2000)])
    reading = field.read(NOW)["pv"]
    assert isinstance(reading, DerReading)
    assert reading.cap_kw == 2000


def test_a_plant_that_tells_what_the_sun_offers_is_read_under_its_cap_too(site: Site) -> None:
    plant = Plant(
        site, "segment13", GeneratedProfile(site, 1, NOW.date()), NOW, tell_available=["pv"]
    )
    field = SunSpecField(site, plant.start())
    try:
        field.write([cap(2000)])
        plant.advance_to(plant.now)
        readings = field.read(NOW)
    finally:
        field.close()
        plant.close()
    pv, bes = readings["pv"], readings["bes"]
    assert isinstance(pv, DerReading)
    assert isinstance(bes, DerReading)
    assert pv.p_kw == 2000
    # A register of 16 bits holds 10 MW in steps of 1 kW.
    assert pv.available_kw == pytest.approx(plant.truth().pv_available_kw["pv"], abs=0.5)
    assert bes.available_kw is None


def test_a_plant_that_does_not_tell_has_no_available_power(field: SunSpecField) -> None:
    reading = field.read(NOW)["pv"]
    assert isinstance(reading, DerReading)
    assert reading.available_kw is None


@pytest.mark.parametrize("kw", [8000.0, None])
def test_silence_makes_every_device_fall_back_by_itself(
    plant: Plant, field: SunSpecField, kw: float | None
) -> None:
    field.write([cap(kw, -500), setpoint("dg", 3000, -100), setpoint("bes", 100, 50)])
    plant.advance_to(plant.now + timedelta(seconds=1799))
    assert plant.truth().p_kw["pv"] > 3000
    assert plant.truth().q_kvar["pv"] == -500
    plant.advance_to(plant.now + timedelta(seconds=1))
    truth = plant.truth()
    assert truth.p_kw["pv"] == 3000
    assert truth.p_kw["bes"] == 0
    assert set(truth.q_kvar.values()) == {0}
    plant.advance_to(plant.now + timedelta(minutes=40))
    assert plant.truth().p_kw["dg"] == 0


def test_a_refresh_in_time_keeps_devices_from_falling_back(
    plant: Plant, field: SunSpecField
) -> None:
    for _ in range(4):
        field.write([cap(8000)])
        plant.advance_to(plant.now + timedelta(minutes=15))
    assert plant.truth().p_kw["pv"] > 3000


def test_a_setpoint_beyond_the_rating_is_refused_and_changes_nothing(
    plant: Plant, field: SunSpecField
) -> None:
    field.write([setpoint("bes", 50)])
    answer = field.write([setpoint("bes", 500)])["bes"]
    assert isinstance(answer, RefusedWrite)
    assert "exception 3" in str(answer)
    assert "nothing was written" in str(answer)
    plant.advance_to(plant.now)
    assert plant.truth().p_kw["bes"] == 50


def test_a_refused_second_half_is_not_called_a_refusal(field: SunSpecField) -> None:
    answer = field.write([setpoint("bes", 120, 500)])["bes"]
    assert isinstance(answer, DeviceError)
    assert not isinstance(answer, RefusedWrite)
    assert "VarSet: asked 500000, held 0" in str(answer)
    assert "VarSetEna…VarSetRvrtTms" in str(answer)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_never_reach_a_device(field: SunSpecField, bad: float) -> None:
    answers = field.write([cap(100, bad), setpoint("dg", bad), setpoint("bes", 10)])
    for name in ("pv", "dg"):
        assert isinstance(answers[name], RefusedWrite)
        assert "not a finite number" in str(answers[name])
    assert isinstance(answers["bes"], Readback)


def test_cap_and_setpoint_are_not_confused(field: SunSpecField) -> None:
    answers = field.write([setpoint("pv", 100), replace(cap(100), der="dg")])
    assert all(isinstance(a, RefusedWrite) for a in answers.values())


def test_a_pulled_plug_costs_one_device_only_and_heals(plant: Plant, field: SunSpecField) -> None:
    field.read(NOW)
    plant.unplug("bes")
    readings = field.read(NOW)
    assert isinstance(readings["bes"], Unreachable)
    assert "bes at 127.0.0.1:" in str(readings["bes"])
    assert isinstance(readings["pv"], DerReading)
    assert isinstance(field.write([setpoint("bes", 1)])["bes"], Unreachable)
    plant.replug("bes")
    assert isinstance(field.read(NOW)["bes"], DerReading)
    assert isinstance(field.write([setpoint("bes", 1)])["bes"], Readback)


def test_a_device_that_restarted_between_calls_goes_unnoticed(
    plant: Plant, field: SunSpecField
) -> None:
    field.read(NOW)
    plant.unplug("pv")
    plant.replug("pv")
    assert isinstance(field.read(NOW)["pv"], DerReading)
    plant.unplug("pv")
    plant.replug("pv")
    assert isinstance(field.write([cap(5000)])["pv"], Readback)


def test_an_unplugged_device_still_reverts(plant: Plant, field: SunSpecField) -> None:
    field.write([cap(9000)])
    plant.unplug("pv")
    plant.advance_to(plant.now + timedelta(minutes=31))
    assert plant.truth().p_kw["pv"] == 3000


def test_a_taken_port_is_named_and_no_server_is_left(site: Site, plant: Plant) -> None:
    ports = plant.start()
    other = Plant(site, "segment13", GeneratedProfile(site, 1, NOW.date()), NOW)
    try:
        with pytest.raises(PortInUse, match=f"port {ports['pv'].port} .*'dg'.*another port"):
            other.start({"dg": ports["pv"].port})
        assert not other.serving
    finally:
        other.close()


def test_ports_can_be_chosen(plant: Plant) -> None:
    free = plant.start()["bes"].port
    assert plant.start({"bes": free})["bes"].port == free


def test_a_port_for_a_device_that_is_not_there_is_bad_input(plant: Plant) -> None:
    with pytest.raises(BadInput, match=r"port of bess: no such device; there are pv"):
        plant.start({"bess": 0})


def test_every_missing_address_is_told_at_once(
    site: Site, addresses: Mapping[str, DeviceAddress]
) -> None:
    with pytest.raises(BadInput) as caught:
        SunSpecField(site, {"pv": addresses["pv"], "wind": addresses["pv"]})
    assert [f.place for f in caught.value.faults] == ["bes", "dg", "load", "wind"]


def test_reading_while_the_plant_lives_is_always_consistent(
    plant: Plant, field: SunSpecField
) -> None:
    """A battery swings between +200 and −200 kW; no reading may show anything else."""
    seen: list[float] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            reading = field.read(NOW)["bes"]
            assert isinstance(reading, DerReading)
            seen.append(reading.p_kw)

    poller = threading.Thread(target=poll)
    poller.start()
    for i in range(20):
        field.write([setpoint("bes", 200 if i % 2 else -200)])
        plant.advance_to(plant.now + timedelta(seconds=10))
    done.set()
    poller.join()
    assert set(seen) <= {-200.0, 0.0, 200.0}
    assert len(seen) > 5
