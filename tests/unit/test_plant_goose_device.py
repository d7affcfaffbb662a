"""A simulated device on GOOSE: what it publishes, what it obeys, and when it falls back."""

from datetime import UTC, datetime, timedelta

import pytest

from ems.domain import Command
from ems.plant.field_device import FieldDevice
from ems.plant.goose_device import Device
from ems.plant.misbehaviour import Misbehaviour
from ems.protocols.goose import UtcTime
from ems.protocols.scl import CONTROLS, control_blocks, flat, told_by
from ems.protocols.scl.carried import Key, Sample, filled, places, sample
from tests.icd import NOON, PV, pv_device, pv_file

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
ORDERED = tuple(p for c in CONTROLS for p in c.points)
CAP = {
    (704, "WMaxLimPctEna"): 1.0,
    (704, "WMaxLimPct"): 61.23,
    (704, "WMaxLimPctRvrt"): 40.0,
    (704, "WMaxLimPctEnaRvrt"): 1.0,
    (704, "WMaxLimPctRvrtTms"): 600.0,
}


class Bench:
    """A device with its GOOSE end."""

    def __init__(self) -> None:
        self.field: FieldDevice = pv_device()
        *own, self.rtu = control_blocks(pv_file())
        self.own = tuple(own)
        self.device = Device(self.field.registers, self.own, self.rtu, started=UtcTime.of(STARTED))

    def order(
        self, wanted: dict[Key, float], after_s: float, received_s: float | None = None
    ) -> UtcTime:
        """An order of one instant, received then or later."""
        t = UtcTime.of(STARTED + timedelta(seconds=after_s))
        samples = {key: Sample(value=value, t=t) for key, value in wanted.items()}
        now = STARTED + timedelta(seconds=after_s if received_s is None else received_s)
        self.device.follow(filled(self.rtu, places(self.rtu, ORDERED), samples), now)
        return t

    def told(self, after_s: float) -> dict[Key, Sample]:
        found: dict[Key, Sample] = {}
        t = UtcTime.of(STARTED + timedelta(seconds=after_s))
        for block, values in zip(self.own, self.device.values(t), strict=True):
            assert not block.block.mismatches(values)
            at = places(block, (*told_by(PV), *ORDERED))
            found |= {key: sample(place, flat(values)) for key, place in at.items()}
        return found


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_publishes_what_its_registers_show(bench: Bench) -> None:
    told = bench.told(1)
    assert told[701, "W"].value == 800e3
    assert told[701, "LLV"].value == pytest.approx(489.6)
    assert told[701, "ConnSt"].value == 6
    assert told[122, "WAval"].value == 800e3
    assert told[704, "WMaxLimPctEna"].value == 0


def test_a_value_keeps_its_time_until_it_changes(bench: Bench) -> None:
    first = bench.told(1)[701, "W"]
    assert bench.told(2)[701, "W"] == first
    bench.field.step(NOON + timedelta(seconds=60), 700.0)
    bench.field.show(1.02)
    third = bench.told(3)
    assert third[701, "W"] == Sample(value=700e3, t=UtcTime.of(STARTED + timedelta(seconds=3)))
    assert third[701, "Hz"].t == first.t


def test_measurements_that_are_not_available_are_invalid(bench: Bench) -> None:
    bench.field.misbehave(Misbehaviour.BLIND)
    bench.field.show(1.02)
    assert bench.told(1)[701, "W"].value is None


def test_an_order_is_obeyed_and_confirmed_by_its_time(bench: Bench) -> None:
    bench.told(1)
    t = bench.order(CAP, 2)
    assert bench.field.orders.cap_kw == pytest.approx(612.3)
    told = bench.told(3)[704, "WMaxLimPct"]
    assert told.value == pytest.approx(61.23, abs=1e-5)
    assert told.t == t


def test_its_timer_runs_in_the_device_and_a_repeated_frame_does_not_arm_it(bench: Bench) -> None:
    bench.order(CAP, 2)
    bench.field.step(NOON + timedelta(seconds=400), 800.0)
    bench.order(CAP, 2)
    bench.field.step(NOON + timedelta(seconds=601), 800.0)
    assert bench.field.orders.cap_kw == 400.0
    told = bench.told(4)[704, "WMaxLimPct"]
    assert told == Sample(value=40.0, t=UtcTime.of(STARTED + timedelta(seconds=4)))


def test_the_same_order_written_again_arms_it_anew(bench: Bench) -> None:
    bench.order(CAP, 2)
    bench.field.step(NOON + timedelta(seconds=400), 800.0)
    bench.order(CAP, 3)
    bench.field.step(NOON + timedelta(seconds=601), 800.0)
    assert bench.field.orders.cap_kw == pytest.approx(612.3)


def test_an_old_order_does_not_come_back_after_the_fall_back(bench: Bench) -> None:
    bench.order(CAP, 2)
    bench.field.step(NOON + timedelta(seconds=601), 800.0)
    bench.told(3)
    bench.order(CAP, 2)
    assert bench.field.orders.cap_kw == 400.0


def test_orders_of_before_it_started_are_nobodys(bench: Bench) -> None:
    bench.order(CAP, -1)
    assert bench.field.orders.cap_kw is None


def test_it_falls_back_when_the_rtu_is_not_heard_any_more(bench: Bench) -> None:
    bench.order(CAP, 2)
    bench.told(3)
    bench.device.revert()
    assert bench.field.orders.cap_kw == 400.0
    bench.told(4)
    bench.order(CAP, 2)
    assert bench.field.orders.cap_kw == 400.0, "the RTU's memory is no order"
    bench.order(CAP, 5)
    assert bench.field.orders.cap_kw == pytest.approx(612.3)


def test_what_nobody_ordered_is_left_alone_when_the_rtu_falls_silent(bench: Bench) -> None:
    before = bench.told(1)
    bench.device.revert()
    assert bench.told(2) == before


def test_an_order_older_than_its_timer_is_nobodys(bench: Bench) -> None:
    bench.order(CAP, 2, received_s=602)
    assert bench.field.orders.cap_kw is None


def test_the_timer_of_an_order_runs_from_when_it_was_made(bench: Bench) -> None:
    bench.order(CAP, 2, received_s=502)
    assert bench.field.orders.cap_kw == pytest.approx(612.3)
    assert bench.told(503)[704, "WMaxLimPctRvrtTms"].value == 100
    bench.field.step(NOON + timedelta(seconds=101), 800.0)
    assert bench.field.orders.cap_kw == 400.0


@pytest.mark.parametrize(("received_s", "cap_kw"), [(11.0, 612.3), (12.0, None)])
def test_an_order_without_a_timer_is_taken_for_ten_seconds(
    bench: Bench, received_s: float, cap_kw: float | None
) -> None:
    bench.order(CAP | {(704, "WMaxLimPctRvrtTms"): 0.0}, 2, received_s=received_s)
    assert bench.field.orders.cap_kw == (cap_kw and pytest.approx(cap_kw))


def test_an_older_order_never_replaces_a_newer_one(bench: Bench) -> None:
    bench.order(CAP, 5)
    bench.order(CAP | {(704, "WMaxLimPct"): 90.0}, 4, received_s=6)
    assert bench.field.orders.cap_kw == pytest.approx(612.3)


def test_an_order_from_the_future_is_refused_and_does_not_wait(bench: Bench) -> None:
    bench.order(CAP, 100, received_s=94)
    bench.order(CAP, 100, received_s=101)
    assert bench.field.orders.cap_kw is None
    bench.order(CAP, 100.5, received_s=96)
    assert bench.field.orders.cap_kw == pytest.approx(612.3), "its clock may be five seconds ahead"


def test_orders_of_an_rtu_whose_clock_was_set_back_as_the_devices_are_obeyed(bench: Bench) -> None:
    bench.order(CAP, 7300)
    bench.device.clock_set(timedelta(hours=-2))
    bench.order(CAP | {(704, "WMaxLimPct"): 50.0}, 105)
    assert bench.field.orders.cap_kw == 500.0


@pytest.mark.parametrize("set_s", [-7200, -60, -4, 4, 7200])
def test_no_order_comes_back_when_the_clock_was_set(bench: Bench, set_s: int) -> None:
    times = (8000.0, 8001.0, 8002.0)
    for at in times:
        bench.order(CAP, at)
    bench.device.revert()
    bench.device.clock_set(timedelta(seconds=set_s))
    for at in times:  # repeated at once, and where its time comes once more
        bench.order(CAP, at, received_s=8003 + set_s)
        bench.order(CAP, at, received_s=at)
    assert bench.field.orders.cap_kw == 400.0


def test_what_was_ordered_before_it_started_is_nobodys_also_when_its_clock_was_set_back(
    bench: Bench,
) -> None:
    bench.order(CAP, -10, received_s=1)
    bench.device.clock_set(timedelta(seconds=-60))
    bench.order(CAP, -10, received_s=-9)
    bench.order(CAP, -70, received_s=-55)
    assert bench.field.orders.cap_kw is None
    bench.order(CAP, -50)
    assert bench.field.orders.cap_kw == pytest.approx(612.3)


def test_an_overtaken_order_does_not_pass_because_the_clock_was_set_back(bench: Bench) -> None:
    bench.order(CAP, 100)
    bench.device.clock_set(timedelta(seconds=-60))
    bench.order(CAP | {(704, "WMaxLimPct"): 90.0}, 39, received_s=41)
    assert bench.field.orders.cap_kw == pytest.approx(612.3)


def test_a_clock_set_right_again_leaves_all_as_it_was(bench: Bench) -> None:
    bench.order(CAP, 100)
    bench.device.clock_set(timedelta(hours=2))
    bench.device.clock_set(timedelta(hours=-2))
    bench.order(CAP | {(704, "WMaxLimPct"): 90.0}, 99, received_s=101)
    assert bench.field.orders.cap_kw == pytest.approx(612.3)
    bench.order(CAP | {(704, "WMaxLimPct"): 50.0}, 101)
    assert bench.field.orders.cap_kw == 500.0


def test_a_clock_set_to_the_beginning_of_time_is_a_time_as_well(bench: Bench) -> None:
    bench.device.clock_set(datetime(1970, 1, 1, tzinfo=UTC) - STARTED - timedelta(hours=1))
    assert bench.told(1)[701, "W"].value == 800e3


def test_why_an_order_of_an_older_time_is_none_is_said_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """As of an RTU that started again after its clock, and only its clock, was set back."""
    bench.order(CAP, 7300)
    for _ in range(3):
        bench.order(CAP, 100, received_s=7301)
    bench.order(CAP, 101, received_s=7302)
    older = "2026-01-01 00:01:40.000+00:00, older than the order of 2026-01-01 02:01:40.000+00:00"
    assert len(caplog.messages) == 2
    assert f"refuses a setpoint (704.WMaxLimPctEna): it is of {older}" in caplog.messages[0]
    assert "was a clock set back? Set RTU and device to the same time" in caplog.messages[0]


def test_that_an_order_is_of_before_the_device_started_is_said_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.order(CAP, -1, received_s=1)
    bench.order(CAP, -1, received_s=2)
    (said,) = caplog.messages
    assert "and the device started at 2026-01-01 00:00:00.000+00:00; write it again" in said


def test_a_fall_back_that_is_refused_is_tried_again(bench: Bench) -> None:
    bench.order(CAP, 2)
    bench.field.registers.sealed = True
    assert not bench.device.revert()
    bench.field.registers.sealed = False
    assert bench.device.revert()
    assert bench.field.orders.cap_kw == 400.0


def test_half_an_order_is_none(bench: Bench) -> None:
    bench.order({k: v for k, v in CAP.items() if k[1] != "WMaxLimPctRvrtTms"}, 2)
    assert bench.field.orders.cap_kw is None


@pytest.mark.parametrize("percent", [150.0, -5.0])
def test_an_order_beyond_its_range_is_refused_whole_and_not_confirmed(
    bench: Bench, percent: float
) -> None:
    t = bench.order(CAP | {(704, "WMaxLimPct"): percent}, 2)
    assert bench.field.orders.cap_kw is None
    assert all(s.t != t for s in bench.told(3).values())


def test_a_device_under_local_control_takes_no_order_and_remembers_none(bench: Bench) -> None:
    bench.field.registers.sealed = True
    bench.order(CAP, 2)
    bench.field.registers.sealed = False
    bench.order(CAP, 2)
    assert bench.field.orders.cap_kw is None


def test_a_command_means_the_same_on_both_ways() -> None:
    """The registers that GOOSE writes are those that Modbus writes."""
    from ems.protocols.sunspec import ModelBlock, encode, model

    bench = Bench()
    bench.order(CAP, 2)
    direct = pv_device()
    command = Command(
        der="pv", p_kw=None, q_kvar=0.0, cap_kw=612.3, reversion_kw=400.0, reversion_s=600
    )
    start = direct.registers.start + 2 + sum(model(m).length for m in (1, 701, 702))
    image = direct.registers.read(start, model(704).length)
    assert isinstance(image, list)
    write = encode(command, ModelBlock(model(704), image), 1e6)[0]
    assert direct.registers.write(start + write.offset, write.registers) is None
    there = bench.field.registers.read(start, model(704).length)
    assert there == direct.registers.read(start, model(704).length)
