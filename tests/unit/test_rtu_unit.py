"""An RTU's registers: what a device says, what a client writes, and what neither may pretend."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from ems.domain import Command
from ems.errors import BadInput
from ems.outstation import RegisterMap
from ems.protocols.goose import Data, UtcTime
from ems.protocols.scl import (
    CONTROLS,
    METERED,
    SclFile,
    der_model,
    flat,
    read_icd,
    told_by,
    write_icd,
)
from ems.protocols.scl.carried import Sample, filled, places, sample
from ems.protocols.sunspec import MARKER, MAX_READ, ModelBlock, encode, held, model
from ems.rtu import ECHO_S, Unit
from tests.icd import BES, PV, bes_file, load_file, pv_file, third_party

DAY = datetime(2024, 6, 3, 20, tzinfo=UTC)
ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 2, 3, 4
MEASURED = {
    (701, "W"): 800e3, (701, "Var"): -50e3, (701, "VA"): 801.56e3, (701, "LLV"): 489.6,
    (701, "LNV"): 282.67, (701, "Hz"): 59.98, (701, "ConnSt"): 6.0, (715, "LocRemCtl"): 0.0,
    (715, "DERHb"): 77.0, (122, "WAval"): 812e3, (713, "SoC"): 61.5, (713, "WHAvail"): 492e3,
}  # fmt: skip
OFF = {
    (704, "WMaxLimPctEna"): 0.0, (704, "WMaxLimPct"): 100.0, (704, "WMaxLimPctRvrt"): 100.0,
    (704, "WMaxLimPctEnaRvrt"): 0.0, (704, "WMaxLimPctRvrtTms"): 0.0,
    (704, "WMaxLimPctRvrtRem"): 0.0, (704, "WSetEna"): 0.0, (704, "WSet"): 0.0,
    (704, "WSetRvrt"): 0.0, (704, "WSetEnaRvrt"): 0.0, (704, "WSetRvrtTms"): 0.0,
    (704, "WSetRvrtRem"): 0.0, (704, "VarSetEna"): 0.0, (704, "VarSet"): 0.0,
    (704, "VarSetRvrt"): 0.0, (704, "VarSetEnaRvrt"): 0.0, (704, "VarSetRvrtTms"): 0.0,
    (704, "VarSetRvrtRem"): 0.0, (715, "ControllerHb"): 0.0,
}  # fmt: skip
REMAINING = tuple(c.remaining for c in CONTROLS if c.remaining is not None)
ALL = (*told_by(PV), *told_by(BES), *(p for c in CONTROLS for p in c.points), *REMAINING)
CAP = Command(der="pv", p_kw=None, q_kvar=30.0, cap_kw=612.3, reversion_kw=400.0, reversion_s=1800)


class Bench:
    """A unit, a clock to turn by hand, and what it published."""

    def __init__(self, file: SclFile) -> None:
        self.now_s = 100.0
        self.set_by = timedelta()
        """What its clock was set by since."""
        self.published: list[tuple[Data, ...]] = []
        self.unit = Unit(file, self.clock, self.published.append)
        self.file = file

    def clock(self) -> tuple[float, datetime]:
        return self.now_s, DAY + timedelta(seconds=self.now_s) + self.set_by

    def hears(self, told: dict[tuple[int, str], float], t: UtcTime | None = None) -> None:
        """The device says all this."""
        samples = {k: Sample(value=v, t=t or UtcTime.of(DAY)) for k, v in told.items()}
        for block in self.unit.measurements:
            at = places(block, (*ALL, *METERED))
            self.unit.take(block.block.gocb_ref, filled(block, at, samples))

    def silence(self) -> None:
        """The device falls silent."""
        for block in self.unit.measurements:
            self.unit.forget(block.block.gocb_ref)

    def block(self, model_id: int) -> ModelBlock:
        start, size = self.place(model_id)
        image = self.unit.registers.read(start, min(size, MAX_READ))
        assert isinstance(image, list)
        return ModelBlock(model(model_id), image)

    def place(self, model_id: int) -> tuple[int, int]:
        registers: RegisterMap = self.unit.registers
        address = registers.start + len(MARKER)
        while True:
            head = registers.read(address, 2)
            assert isinstance(head, list)
            if head[0] == model_id:
                return address, head[1] + 2
            assert head[0] != 0xFFFF, f"no model {model_id}"
            address += head[1] + 2

    def write(self, command: Command, w_max_w: float) -> list[int | None]:
        start, _ = self.place(704)
        return [
            self.unit.registers.write(start + w.offset, w.registers)
            for w in encode(command, self.block(704), w_max_w)
        ]

    def ordered(self) -> dict[tuple[int, str], Sample]:
        """What the last data set of setpoints says."""
        assert self.unit.setpoints is not None
        simple = flat(self.published[-1])
        at = places(self.unit.setpoints, ALL)
        return {key: sample(place, simple) for key, place in at.items()}


@pytest.fixture
def pv() -> Bench:
    bench = Bench(pv_file())
    bench.hears(MEASURED | OFF)
    return bench


def test_before_the_device_is_heard_nothing_but_its_ratings_can_be_read() -> None:
    bench = Bench(pv_file())
    assert all(bench.block(701).raw(p) is None for p in ("W", "Var", "LLV", "Hz", "St", "ConnSt"))
    assert bench.block(704).raw("WMaxLimPctEna") is None
    assert bench.block(715).raw("DERHb") is None
    assert bench.block(702).value("WMax") == 1e6


def test_what_the_device_says_is_in_the_registers(pv: Bench) -> None:
    measured = pv.block(701)
    assert measured.value("W") == 800e3
    assert measured.value("Var") == -50e3
    assert measured.value("LLV") == pytest.approx(489.6, abs=0.005)
    assert measured.value("Hz") == pytest.approx(59.98)
    assert (measured.raw("St"), measured.raw("ConnSt")) == (1, 1)
    assert pv.block(122).value("WAval") == pytest.approx(812e3, abs=50)
    assert (pv.block(715).raw("LocRemCtl"), pv.block(715).raw("DERHb")) == (0, 77)


def test_a_battery_tells_its_state_of_charge() -> None:
    bench = Bench(bes_file())
    bench.hears(MEASURED | OFF)
    assert bench.block(713).value("SoC") == 61.5
    assert bench.block(713).value("WHRtg") == 800e3
    assert bench.block(702).value("WChaRteMax") == 200e3


def test_loads_are_a_meter() -> None:
    bench = Bench(load_file())
    bench.hears({(203, "W"): 1.2e6, (203, "VAR"): 3e5})
    assert bench.block(203).value("W") == pytest.approx(1.2e6, abs=100)
    assert bench.block(203).raw("VA") is None


def test_a_device_that_falls_silent_reads_as_not_available_and_takes_no_write(pv: Bench) -> None:
    assert pv.write(CAP, 1e6) == [None, None]
    controls = pv.block(704)
    pv.silence()
    assert all(
        pv.block(701).raw(p) is None for p in ("W", "Var", "VA", "LLV", "LNV", "Hz", "ConnSt")
    )
    assert pv.block(704).raw("WMaxLimPct") is None
    start, _ = pv.place(704)
    write = encode(CAP, controls, 1e6)[0]
    assert pv.unit.registers.write(start + write.offset, write.registers) == DEVICE_FAILURE
    assert all(s.value is None for s in pv.ordered().values()), "nothing stands but the withdrawal"


def test_what_the_device_never_confirmed_is_withdrawn_once_it_is_lost(pv: Bench) -> None:
    pv.write(CAP, 1e6)
    cap = {key: s for key, s in pv.ordered().items() if key[1].startswith("WMaxLimPct")}
    held_there = {k: s.value for k, s in cap.items() if s.value is not None}
    pv.hears(MEASURED | OFF | held_there, UtcTime.of(pv.clock()[1]))
    pv.now_s += 1
    order = Command(der="pv", p_kw=None, q_kvar=50.0, cap_kw=612.3, reversion_kw=400.0,
                    reversion_s=1800)  # fmt: skip
    start, _ = pv.place(704)
    reactive = encode(order, pv.block(704), 1e6)[1]
    assert pv.unit.registers.write(start + reactive.offset, reactive.registers) is None
    pv.silence()
    assert pv.ordered()[704, "WMaxLimPct"] == cap[704, "WMaxLimPct"]
    assert pv.ordered()[704, "VarSet"].value is None


def test_a_withdrawal_is_told_once_more_when_the_device_is_heard_again(pv: Bench) -> None:
    pv.write(CAP, 1e6)
    pv.silence()
    pv.published.clear()
    pv.hears(MEASURED | OFF)
    assert pv.ordered()[704, "WMaxLimPct"].value is None


def test_an_order_is_later_than_the_one_before_also_where_the_clock_stands(pv: Bench) -> None:
    pv.write(CAP, 1e6)
    first = pv.ordered()[704, "WMaxLimPct"].t
    pv.write(CAP, 1e6)
    again = pv.ordered()[704, "WMaxLimPct"].t
    assert first is not None
    assert again is not None
    assert again > first


@pytest.mark.parametrize("set_s", [-7200, -3, 7200])
def test_orders_follow_a_clock_that_was_set(pv: Bench, set_s: int) -> None:
    pv.write(CAP, 1e6)
    pv.now_s += 60
    pv.set_by = timedelta(seconds=set_s)
    for _ in range(2):
        pv.write(CAP, 1e6)
        assert pv.ordered()[704, "WMaxLimPct"].t == UtcTime.of(pv.clock()[1])
        pv.now_s += 60


def test_a_clock_that_goes_back_a_little_makes_no_order_older_than_the_one_before(
    pv: Bench,
) -> None:
    pv.write(CAP, 1e6)
    first = pv.ordered()[704, "WMaxLimPct"].t
    pv.now_s += 0.5
    pv.set_by = timedelta(seconds=-2.9)
    pv.write(CAP, 1e6)
    again = pv.ordered()[704, "WMaxLimPct"].t
    assert first is not None
    assert again is not None
    assert again > first
    pv.now_s += 3
    pv.write(CAP, 1e6)
    assert pv.ordered()[704, "WMaxLimPct"].t == UtcTime.of(pv.clock()[1])


def test_a_standing_order_keeps_its_time_when_the_clock_was_set(pv: Bench) -> None:
    """Whoever obeyed it knows it by that time."""
    pv.write(CAP, 1e6)
    before = pv.ordered()[704, "VarSet"]
    pv.set_by = timedelta(hours=-2)
    start, _ = pv.place(704)
    write = encode(CAP, pv.block(704), 1e6)[0]
    assert pv.unit.registers.write(start + write.offset, write.registers) is None
    assert pv.ordered()[704, "VarSet"] == before
    assert pv.ordered()[704, "WMaxLimPct"].t == UtcTime.of(pv.clock()[1])


@pytest.mark.parametrize("point", ["WMaxLimPct", "WMaxLimPctRvrt"])
def test_a_limit_above_the_rating_reads_as_not_available(pv: Bench, point: str) -> None:
    pv.hears(MEASURED | OFF | {(704, point): 150.0})
    assert pv.block(704).raw(point) is None
    assert pv.block(704).raw("WMaxLimPctEna") == 0
    pv.hears(MEASURED | OFF | {(704, point): 100.0})
    assert pv.block(704).value(point) == 100.0


@pytest.mark.parametrize(
    ("model_id", "point", "value"),
    [
        (701, "W", 1e9), (701, "W", -1e9), (701, "LLV", -100.0), (701, "Hz", 1e30),
        (713, "SoC", -10.0), (713, "SoC", 250.0), (713, "WHAvail", -1e3),
        (701, "ConnSt", 42.0), (701, "ConnSt", -6.0),
    ],
)  # fmt: skip
def test_a_measurement_that_cannot_be_so_reads_as_not_available(
    model_id: int, point: str, value: float
) -> None:
    fits = MEASURED | {(701, "W"): -150e3}
    bench = Bench(bes_file())
    bench.hears(fits | OFF)
    assert bench.block(model_id).raw(point) is not None
    bench.hears(fits | OFF | {(model_id, point): value})
    assert bench.block(model_id).raw(point) is None
    assert bench.block(701).value("Var") == -50e3
    bench.hears(fits | OFF)
    assert bench.block(model_id).raw(point) is not None


def test_a_power_somewhat_above_the_rating_can_be_shown(pv: Bench) -> None:
    pv.hears(MEASURED | OFF | {(701, "W"): 1.4e6})
    assert pv.block(701).value("W") == 1.4e6


def mute_about_its_setpoints() -> SclFile:
    """A device that takes setpoints and tells none."""
    text = write_icd(pv_file()).decode()
    return read_icd(
        re.sub(r' *<(GSEControl|GSE) [^>]*"gcbHeld".*?</\1>\n', "", text, flags=re.DOTALL).encode()
    )


def test_what_nobody_wrote_to_a_device_that_tells_no_setpoints_is_not_known() -> None:
    bench = Bench(mute_about_its_setpoints())
    bench.hears(MEASURED)
    before = bench.block(704)
    assert (before.raw("WMaxLimPctEna"), before.raw("WMaxLimPct")) == (0, None)
    assert before.raw("WMaxLimPctRvrtTms") is None
    assert bench.write(CAP, 1e6) == [None, None]
    assert bench.block(704).value("WMaxLimPct") == 61.23
    bench.silence()
    bench.hears(MEASURED)
    assert bench.block(704).raw("WMaxLimPct") is None, "it was withdrawn"


def test_a_point_of_bad_quality_reads_as_not_available_and_the_others_stay(pv: Bench) -> None:
    told = dict(MEASURED | OFF)
    del told[701, "W"]
    pv.hears(told)
    assert pv.block(701).raw("W") is None
    assert pv.block(701).value("Var") == -50e3


def test_a_written_setpoint_is_forwarded_with_the_time_of_the_write(pv: Bench) -> None:
    assert pv.write(CAP, 1e6) == [None, None]
    now = UtcTime.of(pv.clock()[1])
    ordered = pv.ordered()
    assert ordered[704, "WMaxLimPct"].value == pytest.approx(61.23, abs=1e-5)
    assert ordered[704, "WMaxLimPct"].t == now
    assert ordered[704, "WMaxLimPctEna"] == Sample(value=1.0, t=now)
    assert ordered[704, "WMaxLimPctRvrt"] == Sample(value=40.0, t=now)
    assert ordered[704, "WMaxLimPctRvrtTms"] == Sample(value=1800.0, t=now)
    assert ordered[704, "VarSet"] == Sample(value=30e3, t=now)
    assert ordered[715, "ControllerHb"].value is None, "never written, so never ordered"


def test_the_same_setpoint_again_is_a_new_order(pv: Bench) -> None:
    pv.write(CAP, 1e6)
    first = pv.ordered()[704, "WMaxLimPct"]
    pv.now_s += 60
    pv.write(CAP, 1e6)
    again = pv.ordered()[704, "WMaxLimPct"]
    assert (again.value, again.t) == (first.value, UtcTime.of(pv.clock()[1]))


def test_a_setpoint_reads_back_as_written_until_the_device_answers(pv: Bench) -> None:
    pv.write(CAP, 1e6)
    pv.hears(MEASURED | OFF)  # sent before the setpoint arrived
    order = held(pv.block(704), 1e6)
    assert order.cap_kw == pytest.approx(612.3)
    assert pv.block(704).raw("WMaxLimPctRvrtRem") == 1800


def test_a_confirmed_setpoint_gives_way_to_what_the_device_holds(pv: Bench) -> None:
    pv.write(CAP, 1e6)
    t = UtcTime.of(pv.clock()[1])
    ordered = {k: s.value for k, s in pv.ordered().items() if s.value is not None}
    pv.hears(MEASURED | OFF | ordered, t)
    assert held(pv.block(704), 1e6).cap_kw == pytest.approx(612.3)
    fallen_back = {(704, "WMaxLimPct"): 40.0, (704, "WMaxLimPctEna"): 1.0}
    pv.hears(MEASURED | OFF | fallen_back)
    assert held(pv.block(704), 1e6).cap_kw == 400.0


def test_a_setpoint_that_the_device_never_confirms_is_not_shown_for_long(pv: Bench) -> None:
    pv.write(CAP, 1e6)
    assert pv.unit.settle() == pv.now_s + ECHO_S
    pv.now_s += ECHO_S
    assert pv.unit.settle() is None
    assert held(pv.block(704), 1e6).cap_kw is None


@pytest.mark.parametrize(
    ("point", "raw", "code"),
    [
        ("WMaxLimPct", 10_001, ILLEGAL_VALUE),
        ("WMaxLimPctEna", 2, ILLEGAL_VALUE),
        ("VarSetMod", 2, ILLEGAL_VALUE),
        ("VarSetPct", 5, ILLEGAL_VALUE),
        ("WMaxLimPctRvrtRem", 5, ILLEGAL_ADDRESS),
        ("WSetEna", 1, ILLEGAL_ADDRESS),
    ],
)
def test_what_the_device_could_not_do_is_refused(
    pv: Bench, point: str, raw: int, code: int
) -> None:
    at = model(704).points[point]
    start, _ = pv.place(704)
    registers = [0] * (at.size - 1) + [raw]
    assert pv.unit.registers.write(start + at.offset, registers) == code
    assert not pv.published


def test_a_setpoint_beyond_the_ratings_is_refused() -> None:
    bench = Bench(bes_file())
    bench.hears(MEASURED | OFF)
    order = Command(
        der="bes", p_kw=-200.0, q_kvar=0.0, cap_kw=None, reversion_kw=0.0, reversion_s=60
    )
    assert bench.write(order, 200e3) == [None, None]
    start, _ = bench.place(704)
    at = model(704).points["WSet"]
    assert bench.unit.registers.write(start + at.offset, [0xFFFC, 0xF2BF]) == ILLEGAL_VALUE


def test_a_control_that_the_device_does_not_have_cannot_be_written(pv: Bench) -> None:
    start, _ = pv.place(703)
    assert pv.block(703).raw("ES") is None
    at = model(703).points["ES"]
    assert pv.unit.registers.write(start + at.offset, [1]) == ILLEGAL_VALUE


def test_a_device_without_an_rtu_in_its_file_can_only_be_read() -> None:
    bench = Bench(third_party())
    bench.hears(MEASURED)
    assert bench.unit.setpoints is None
    assert bench.block(701).value("W") == 800e3
    assert bench.block(701).value("LLV") == pytest.approx(489.6, abs=0.05)
    assert bench.block(701).raw("LNV") is None, "it tells no voltage to neutral"
    assert bench.block(701).raw("ConnSt") is None
    assert bench.block(702).value("WMax") == 500e3
    assert bench.block(1).registers[2:4] == [0x4143, 0x4D45]  # ACME


def test_a_file_without_ratings_or_goose_is_refused_with_the_mend() -> None:
    text = write_icd(pv_file()).decode()
    bare = text.replace('<DOI name="WMaxRtg">', '<DOI name="WMaxRtg"/><DOI name="VAMaxRtg">', 1)
    with pytest.raises(BadInput, match=r"no value of DGEN\.WMaxRtg\.setMag\.f; give it in a DOI"):
        Bench(read_icd(bare.encode()))
    silent = der_model(PV, 0)
    mute = SclFile(id="x", ieds=silent.ieds[1:])
    with pytest.raises(BadInput, match="publishes no measurement by GOOSE"):
        Bench(mute)


def test_a_count_that_no_register_can_hold_reads_as_not_available(pv: Bench) -> None:
    pv.hears(MEASURED | OFF | {(715, "DERHb"): float(0xFFFF_FFFF)})
    assert pv.block(715).raw("DERHb") is None
    assert pv.block(701).value("W") == 800e3


def test_values_that_did_not_change_are_shown_again_after_a_silence(pv: Bench) -> None:
    """The very same objects: what did not change is not looked at while the device is heard."""
    block = pv.unit.measurements[0]
    told = {k: Sample(value=v, t=UtcTime.of(DAY)) for k, v in (MEASURED | OFF).items()}
    values = filled(block, places(block, ALL), told)
    pv.unit.take(block.block.gocb_ref, values)
    pv.unit.take(block.block.gocb_ref, values)
    assert pv.block(701).value("W") == 800e3
    pv.unit.forget(block.block.gocb_ref)
    assert pv.block(701).raw("W") is None
    pv.unit.take(block.block.gocb_ref, values)
    assert pv.block(701).value("W") == 800e3
    assert pv.block(704).raw("WMaxLimPctEna") == 0, "it is writable again"


def test_an_answer_that_came_while_a_setpoint_was_shown_as_written_is_shown_after_that(
    pv: Bench,
) -> None:
    pv.write(CAP, 1e6)
    pv.hears(MEASURED | OFF | {(704, "WMaxLimPct"): 70.0})
    assert pv.block(704).value("WMaxLimPct") == 61.23
    pv.now_s += ECHO_S
    pv.unit.settle()
    assert pv.block(704).value("WMaxLimPct") == 70.0


def test_without_its_held_setpoints_a_device_is_read_and_takes_no_write(pv: Bench) -> None:
    controls = pv.block(704)
    pv.unit.forget(pv.unit.measurements[1].block.gocb_ref)
    assert pv.block(701).value("W") == 800e3
    assert pv.block(704).raw("WMaxLimPct") is None
    start, _ = pv.place(704)
    write = encode(CAP, controls, 1e6)[0]
    assert pv.unit.registers.write(start + write.offset, write.registers) == DEVICE_FAILURE
