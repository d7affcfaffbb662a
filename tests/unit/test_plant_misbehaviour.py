"""Devices that go wrong on purpose: what each drill changes, and that mending ends it."""

from datetime import UTC, datetime, timedelta

import pytest

from ems.domain import Bes, Pv
from ems.outstation.registers import BUSY, DEVICE_FAILURE
from ems.plant import Misbehaviour
from ems.plant.field_device import FieldDevice, Inverter
from ems.plant.inverter import State
from ems.plant.load_meter import LoadMeter
from ems.protocols.sunspec import ModelBlock, model

NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)
PV = Pv(name="pv", bus="b", rated_kw=10_000, q_max_kvar=1000, reversion_kw=3000)
BES = Bes(name="bes", bus="b", rated_kw=200, capacity_kwh=400, q_max_kvar=200)


class Seen:
    """A device as a client sees it, without a socket in between."""

    def __init__(self, device: FieldDevice | LoadMeter) -> None:
        self.device = device

    def model(self, model_id: int) -> ModelBlock:
        address = self.device.registers.start + 2
        while True:
            head = self.device.registers.read(address, 2)
            assert not isinstance(head, int), head
            if head[0] == model_id:
                count = min(head[1] + 2, 125)
                found = self.device.registers.read(address, count)
                assert not isinstance(found, int)
                self.address = address
                return ModelBlock(model(model_id), found)
            address += head[1] + 2

    def write(self, model_id: int, point: str, raw: int) -> int | None:
        block = self.model(model_id)
        at = block.model.points[point]
        words = [(raw >> 16 * i) & 0xFFFF for i in reversed(range(at.size))]
        return self.device.registers.write(self.address + at.offset, words)


@pytest.fixture(params=["ideal", "ieee1547"])
def device(request: pytest.FixtureRequest) -> FieldDevice:
    inverter: Inverter = request.param
    device = FieldDevice(PV, NOW, 50, inverter=inverter)
    live(device, 1)
    return device


def live(device: FieldDevice, seconds: int, sun_kw: float = 8000) -> None:
    device.step(NOW + timedelta(seconds=seconds), sun_kw)
    device.show(1.0)


def test_a_frozen_device_shows_neither_power_nor_heartbeat_and_still_obeys(
    device: FieldDevice,
) -> None:
    seen = Seen(device)
    device.misbehave(Misbehaviour.FROZEN)
    assert seen.write(704, "WMaxLimPctEna", 1) is None
    assert seen.write(704, "WMaxLimPct", 5000) is None
    live(device, 60)
    assert device.behaviour.p_kw == 5000
    assert (seen.model(701).value("W"), seen.model(715).raw("DERHb")) == (8_000_000, 1)
    assert seen.model(704).raw("WMaxLimPct") == 5000
    device.misbehave(None)
    live(device, 61)
    assert (seen.model(701).value("W"), seen.model(715).raw("DERHb")) == (5_000_000, 61)


def test_a_busy_device_turns_so_many_requests_away(device: FieldDevice) -> None:
    seen = Seen(device)
    device.misbehave(Misbehaviour.BUSY, requests=2)
    assert device.registers.read(40_000, 2) == BUSY
    assert device.registers.write(40_000, [1]) == BUSY
    assert seen.write(704, "VarSetEna", 1) is None


def test_a_device_in_local_control_says_so_and_refuses_writes(device: FieldDevice) -> None:
    seen = Seen(device)
    device.misbehave(Misbehaviour.LOCAL)
    assert seen.model(715).raw("LocRemCtl") == 1
    assert seen.write(704, "WMaxLimPct", 5000) == DEVICE_FAILURE
    assert seen.write(704, "WMaxLimPct", 20_000) == 3  # what it could never take, it says first
    assert seen.model(704).raw("WMaxLimPct") == 10_000
    device.misbehave(None)
    assert seen.model(715).raw("LocRemCtl") == 0
    assert seen.write(704, "WMaxLimPct", 5000) is None


def test_a_wrong_scale_shows_ten_times_the_power(device: FieldDevice) -> None:
    seen = Seen(device)
    device.misbehave(Misbehaviour.WRONG_SCALE)
    live(device, 2)
    assert seen.model(701).value("W") == 80_000_000
    device.misbehave(None)
    live(device, 3)
    assert seen.model(701).value("W") == 8_000_000


def test_a_stuck_device_takes_orders_and_goes_on_as_before(device: FieldDevice) -> None:
    seen = Seen(device)
    device.misbehave(Misbehaviour.STUCK)
    assert seen.write(704, "WMaxLimPctEna", 1) is None
    assert seen.write(704, "WMaxLimPct", 5000) is None
    live(device, 60)
    assert seen.model(704).raw("WMaxLimPct") == 5000
    assert device.behaviour.p_kw == 8000
    device.misbehave(None)
    live(device, 120)
    assert device.behaviour.p_kw == 5000


def test_a_deaf_device_acknowledges_and_holds_nothing(device: FieldDevice) -> None:
    seen = Seen(device)
    device.misbehave(Misbehaviour.DEAF)
    assert seen.write(704, "WMaxLimPct", 5000) is None
    assert seen.model(704).raw("WMaxLimPct") == 10_000


def test_a_blind_device_measures_nothing(device: FieldDevice) -> None:
    device.misbehave(Misbehaviour.BLIND)
    live(device, 2)
    measured = Seen(device).model(701)
    assert (measured.raw("W"), measured.raw("LLV"), measured.raw("Hz")) == (None, None, None)


def test_after_a_restart_controls_are_as_after_power_up() -> None:
    device = FieldDevice(BES, NOW, 50)
    seen = Seen(device)
    seen.write(704, "WSet", 100_000)
    seen.write(704, "WSetRvrtTms", 600)
    live(device, 10)
    device.restart()
    live(device, 11)
    controls = seen.model(704)
    assert (controls.raw("WSet"), controls.raw("WSetRvrtRem"), controls.raw("WSetEna")) == (0, 0, 1)
    assert device.behaviour.p_kw == 0
    assert seen.model(715).raw("DERHb") == 1
    live(device, 700)
    assert seen.model(704).raw("WSet") == 0  # no timer of the time before runs on


def test_an_inverter_keeps_its_curves_over_a_restart_and_enters_service_anew() -> None:
    device = FieldDevice(PV, NOW, 50, inverter="ieee1547")
    seen = Seen(device)
    live(device, 1)
    assert seen.write(706, "Ena", 1) is None
    device.restart()
    live(device, 2)
    assert seen.model(706).raw("Ena") == 1
    assert seen.model(701).raw("ConnSt") == 0
    assert getattr(device.behaviour, "state", None) is State.TRIPPED


@pytest.mark.parametrize(
    ("how", "shown_w"),
    [
        (Misbehaviour.FROZEN, 1_000_000),
        (Misbehaviour.BLIND, None),
        (Misbehaviour.WRONG_SCALE, 20_000_000),
        (None, 2_000_000),
    ],
)
def test_the_load_meter_can_go_wrong_too(how: Misbehaviour | None, shown_w: float | None) -> None:
    meter = LoadMeter(14_500)
    meter.show(1000, 100)
    meter.misbehave(how)
    meter.show(2000, 200)
    assert Seen(meter).model(203).value("W") == shown_w
    meter.misbehave(Misbehaviour.BUSY, requests=1)
    assert meter.registers.read(40_000, 2) == BUSY
