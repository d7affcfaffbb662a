"""What a device says it is doing, in the registers of model 701."""

from datetime import UTC, datetime, timedelta

import pytest

from ems.domain import Dg, Pv
from ems.plant.field_device import FieldDevice
from ems.plant.inverter import State, TripCauses
from ems.plant.operation import inverter_operation
from ems.plant.terminal import Terminal
from ems.protocols.sunspec import ModelBlock, model

NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)
NAMES = ("St", "InvSt", "ConnSt")
NOTHING = TripCauses()


def shown(device: FieldDevice) -> tuple[int | None, ...]:
    address = device.registers.start + 2 + model(1).length
    registers = device.registers.read(address, 20)
    assert not isinstance(registers, int)
    measured = ModelBlock(model(701), registers)
    return tuple(measured.raw(name) for name in NAMES)


@pytest.mark.parametrize(
    ("state", "idle", "held_back", "expected"),
    [
        (State.RUNNING, False, False, (1, 3, 1)),
        (State.RUNNING, False, True, (1, 4, 1)),
        (State.RUNNING, True, False, (1, 1, 1)),
        (State.RIDING_THROUGH, False, False, (1, 3, 1)),
        (State.STARTING, False, True, (1, 2, 1)),
        (State.CEASED, False, True, (1, 7, 1)),
        (State.TRIPPED, False, True, (0, 7, 0)),
    ],
)
def test_states_of_an_inverter(
    state: State, *, idle: bool, held_back: bool, expected: tuple[int, int, int]
) -> None:
    raw = inverter_operation(state, NOTHING, idle=idle, held_back=held_back)
    assert tuple(raw[name] for name in NAMES) == expected
    clipped = held_back and state is not State.TRIPPED
    assert raw["DERMode"] == (5 if clipped else 1)


def test_a_trip_with_an_alarm_is_a_fault() -> None:
    causes = TripCauses(high_voltage=True, low_frequency=True)
    raw = inverter_operation(State.TRIPPED, causes, idle=False, held_back=False)
    assert (raw["InvSt"], raw["Alrm"]) == (6, 1 << 10 | 1 << 9)


def test_a_capped_plant_is_throttled_and_sleeps_at_night() -> None:
    pv = Pv(name="pv", bus="b", rated_kw=1000)
    device = FieldDevice(pv, NOW, 0, inverter="ieee1547")
    for second, sun_kw, expected in ((1, 500, (1, 3, 1)), (2, 0, (1, 1, 1))):
        device.step(NOW + timedelta(seconds=second), sun_kw, Terminal())
        device.show(1.0)
        assert shown(device) == expected


def test_phases_are_shown_where_they_are_known() -> None:
    pv = Pv(name="pv", bus="b", rated_kw=1000)
    device = FieldDevice(pv, NOW, 0, inverter="ieee1547")
    device.show(1.0, 60.0, (1.02, 1.0, 0.98))
    registers = device.registers.read(device.registers.start + 2 + model(1).length, 125)
    assert not isinstance(registers, int)
    measured = ModelBlock(model(701), registers)
    volts = [measured.raw(f"VL{i}") for i in (1, 2, 3)]
    assert volts == [28267, 27713, 27159]  # hundredths; the scale factor lies further on


def test_a_generator_set_starts_runs_and_cools_down() -> None:
    dg = Dg(
        name="dg", bus="b", rated_kw=300, cost_usd_per_kwh=0.3, min_kw=90,
        ramp_up_kw_per_h=108_000, ramp_down_kw_per_h=108_000,
    )  # fmt: skip
    device = FieldDevice(dg, NOW, 0, inverter="ieee1547")
    controls = next(b for b in device.registers._blocks if b.model.id == 704)

    def after(seconds: int, watts: int) -> tuple[int | None, ...]:
        place = (
            device.registers.start
            + 2
            + sum(
                len(b.registers)
                for b in device.registers._blocks[: device.registers._blocks.index(controls)]
            )
        )
        point = model(704).points["WSet"]
        written = device.registers.write(place + point.offset, [watts >> 16, watts & 0xFFFF])
        assert written is None
        device.step(NOW + timedelta(seconds=seconds), 0, Terminal())
        device.show(1.0)
        return shown(device)

    assert after(1, 0) == (0, 0, 0)
    assert after(5, 200_000) == (1, 2, 0)
    assert after(60, 200_000) == (1, 3, 1)
    assert device.behaviour.p_kw == pytest.approx(200, abs=0.1)
    assert after(61, 0) == (1, 5, 1)
    assert after(120, 0) == (1, 5, 0)
    assert after(400, 0) == (0, 0, 0)
