"""Our client against devices made of pysunspec2's definitions alone: models 701 to 715."""

from collections.abc import Iterator

import pytest
from pymodbus.constants import ExcCodes

from ems.domain import DerReading, Readback
from ems.errors import DeviceError, RefusedWrite, Unreachable
from ems.protocols.loop_thread import LoopThread
from tests.protocol import reference
from tests.protocol.reference import ReferenceDevice
from tests.protocol.solo import BES, NOW, PV, Open, cap, opened_field, reading, setpoint


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread("test-devices")
    yield loop
    loop.close()


@pytest.fixture
def open_field(loop: LoopThread, free_port: int) -> Iterator[Open]:
    with opened_field(loop, free_port) as opened:
        yield opened


# --- models 701 to 715 ------------------------------------------------------------------


@pytest.mark.parametrize("base", [0, 40_000, 50_000])
def test_a_pv_plant_is_read_wherever_its_chain_begins(open_field: Open, base: int) -> None:
    device = reference.newest_pv()
    device.base = base
    assert reading(open_field(device, PV)) == DerReading(
        der="der", time=NOW, p_kw=61.3, q_kvar=-5.2, v_pu=489 / 480, hz=59.98, available_kw=72,
        rated_kw=100, connected=True, heartbeat=17, local=False, p_set_kw=0.0, q_set_kvar=0.0,
    )  # fmt: skip


def test_a_base_of_its_own_is_named_in_the_site_file(open_field: Open) -> None:
    device = reference.newest_pv()
    device.base = 1234
    field = open_field(device, PV, base=1234)
    assert reading(field).p_kw == 61.3


def test_a_cap_is_written_as_the_reference_reads_it(open_field: Open) -> None:
    device = reference.newest_pv()
    field = open_field(device, PV)
    answer = field.write([cap(65.19, -12.34)])["der"]
    assert answer == Readback(p_kw=None, q_kvar=-12.3, cap_kw=65.1)  # WMaxLimPct_SF −1, VarSet_SF 2
    held = {n: device.point(704, n) for n in ("WMaxLimPctEna", "WMaxLimPct", "WMaxLimPctRvrt")}
    assert held == {"WMaxLimPctEna": 1, "WMaxLimPct": 65.1, "WMaxLimPctRvrt": 10.0}
    assert device.point(704, "WMaxLimPctRvrtTms") == device.point(704, "VarSetRvrtTms") == 1800
    assert (device.point(704, "VarSetMod"), device.point(704, "VarSet")) == (4, -12_300)
    assert reading(field).cap_kw == 65.1


def test_the_controllers_heartbeat_goes_on_with_every_command(open_field: Open) -> None:
    device = reference.newest_pv()
    field = open_field(device, PV)
    field.write([cap(50)])
    assert device.point(715, "ControllerHb") == 42
    field.write([cap(50)])
    assert device.point(715, "ControllerHb") == 43


def test_a_refresh_that_started_no_timer_anew_is_not_believed(open_field: Open) -> None:
    device = reference.newest_pv()
    field = open_field(device, PV)
    device.put(704, "WMaxLimPctRvrtRem", 700)
    answer = field.write([cap(50)])["der"]
    assert isinstance(answer, DeviceError)
    assert "700 s are left (WMaxLimPctRvrtRem): the timer was not started anew" in str(answer)


def test_a_device_that_takes_no_heartbeat_is_commanded_all_the_same(open_field: Open) -> None:
    device = reference.newest_pv()
    beats = device.start_of(715) + 5
    asked: list[int] = []

    def refuse(_: ReferenceDevice, address: int, written: list[int] | None, __: int) -> int | None:
        if written is not None and address == beats:
            asked.append(address)
            return ExcCodes.ILLEGAL_ADDRESS
        return None

    device.watch = refuse
    field = open_field(device, PV)
    for _ in range(2):
        assert isinstance(field.write([cap(50)])["der"], Readback)
    assert len(asked) == 1


def test_a_battery_is_read_and_set(open_field: Open) -> None:
    device = reference.newest_bes()
    field = open_field(device, BES)
    found = reading(field)
    assert (found.p_kw, found.soc_pct, found.rated_kw) == (-20.0, 55.5, 50)
    assert (found.heartbeat, found.connected, found.v_pu, found.hz) == (None, None, None, None)
    answer = field.write([setpoint(-12.347, 7)])["der"]
    assert answer == Readback(p_kw=-12.34, q_kvar=7, cap_kw=None)
    assert device.point(704, "WSet") == -12_340
    assert device.point(704, "WSetRvrtTms") == 1800


def test_a_repeated_command_costs_no_discovery(open_field: Open) -> None:
    device = reference.newest_pv()
    field = open_field(device, PV)
    field.write([cap(50)])
    asked: list[tuple[bool, int]] = []
    device.watch = lambda _, __, written, count: asked.append((written is not None, count))
    field.write([cap(50)])
    # Ratings and controls once (status lies before 715, so that takes a read of its own), three
    # writes of a block each, and what is read back.
    assert [writes for writes, _ in asked] == [False, False, True, True, True, False]
    assert [count for writes, count in asked if writes] == [6, 12, 2]


@pytest.mark.parametrize("rating", [10, 130, 10_000])
def test_a_rating_that_is_another_stops_the_write_and_names_both(
    open_field: Open, rating: int
) -> None:
    device = reference.newest_pv()
    device.put(702, "WMaxRtg", rating)
    before = list(device.registers)
    answer = open_field(device, PV).write([cap(50)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert f"rated {rating / 10:g} kW (702.WMaxRtg), the site file says 100 kW" in str(answer)
    assert "mend rated_kw, the address, or the device's scale factor" in str(answer)
    assert device.registers == before


def test_a_scale_factor_of_ratings_that_is_wrong_stops_the_write(open_field: Open) -> None:
    device = reference.newest_pv()
    device.put(702, "W_SF", 3)
    answer = open_field(device, PV).write([cap(50)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "rated 1000 kW" in str(answer)


@pytest.mark.parametrize(
    ("number", "factor", "point"),
    [(701, "W_SF", "W"), (701, "Var_SF", "Var"), (701, "V_SF", "LLV"), (702, "W_SF", "WMax")],
)
def test_a_missing_scale_factor_is_an_error_that_names_it(
    open_field: Open, number: int, factor: str, point: str
) -> None:
    device = reference.newest_pv()
    device.put(number, factor, None)
    found = open_field(device, PV).read(NOW)["der"]
    assert isinstance(found, DeviceError)
    assert f"{point} of model {number} cannot be read" in str(found)
    assert f"its scale factor {factor} reads as not available (NaN)" in str(found)


def test_a_scale_factor_no_device_has_is_an_error(open_field: Open) -> None:
    device = reference.newest_pv()
    device.put(701, "W_SF", 200)
    assert "W_SF holds 200" in str(open_field(device, PV).read(NOW)["der"])


def test_a_control_without_its_scale_factor_is_not_written(open_field: Open) -> None:
    device = reference.newest_pv()
    device.put(704, "WMaxLimPct_SF", None)
    answer = open_field(device, PV).write([cap(50)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "WMaxLimPct_SF of model 704 reads as not available" in str(answer)


@pytest.mark.parametrize("name", ["W", "Var"])
def test_power_that_is_not_measured_is_an_error_and_never_zero(open_field: Open, name: str) -> None:
    device = reference.newest_pv()
    device.put(701, name, None)
    found = open_field(device, PV).read(NOW)["der"]
    assert isinstance(found, DeviceError)
    assert f"{name} of model 701 reads as not available (NaN)" in str(found)


@pytest.mark.parametrize(("model", "point", "raw"), [(704, "WMaxLimPct_SF", 0), (702, "WMax", 900)])
def test_a_meaning_that_changes_while_it_is_written_is_found_out(
    open_field: Open, model: int, point: str, raw: int
) -> None:
    device = reference.newest_pv()

    def meddle(own: ReferenceDevice, _: int, written: list[int] | None, __: int) -> None:
        if written is not None:
            own.put(model, point, raw)

    device.watch = meddle
    answer = open_field(device, PV).write([cap(50)])["der"]
    assert isinstance(answer, DeviceError)
    assert not isinstance(answer, RefusedWrite | Unreachable)
    assert "scale factors or ratings changed" in str(answer)


def test_local_control_is_told_and_respected(open_field: Open) -> None:
    device = reference.newest_pv()
    device.put(715, "LocRemCtl", 1)
    field = open_field(device, PV)
    assert reading(field).local
    answer = field.write([cap(50)])["der"]
    assert isinstance(answer, RefusedWrite)
    assert "local control" in str(answer)
    assert device.point(715, "ControllerHb") == 41


def test_a_device_that_refuses_reads_over_two_models_is_read_one_by_one(open_field: Open) -> None:
    device = reference.newest_pv()
    starts = [device.start_of(m) for m in (701, 702, 704, 122, 715)]

    def picky(_: ReferenceDevice, address: int, __: object, count: int) -> int | None:
        crosses = any(address < start < address + count for start in starts)
        return ExcCodes.ILLEGAL_ADDRESS if crosses and count > 2 else None

    device.watch = picky
    field = open_field(device, PV)
    assert reading(field).p_kw == 61.3
    assert isinstance(field.write([cap(50)])["der"], Readback)


def test_a_device_that_got_another_chain_is_found_anew(open_field: Open) -> None:
    device = reference.newest_pv()
    field = open_field(device, PV)
    assert reading(field).p_kw == 61.3
    other = ReferenceDevice([reference.COMMON, (160, {"module": []}), *device.models[1:]])
    device.registers, device._models = other.registers, other._models
    assert reading(field).p_kw == 61.3


# --- busy devices -------------------------------------------------------------------------


@pytest.mark.parametrize("code", [ExcCodes.ACKNOWLEDGE, ExcCodes.DEVICE_BUSY])
def test_a_busy_device_is_asked_again_when_it_is_read_too(open_field: Open, code: int) -> None:
    device = reference.newest_pv()
    answers = [code, code]
    device.watch = lambda *_: answers.pop() if answers else None
    assert reading(open_field(device, PV)).p_kw == 61.3


def test_a_device_that_stays_busy_is_told_so(open_field: Open) -> None:
    device = reference.newest_pv()
    device.watch = lambda *_: ExcCodes.DEVICE_BUSY
    found = open_field(device, PV, timeout_s=0.3).read(NOW)["der"]
    assert isinstance(found, Unreachable)
    assert "busy for 0.3 s" in str(found)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 8, 10, 11])
def test_no_other_refusal_of_a_write_is_repeated(open_field: Open, code: int) -> None:
    device = reference.newest_pv()
    writes: list[int] = []

    def refuse(_: ReferenceDevice, address: int, written: list[int] | None, __: int) -> int | None:
        if written is None:
            return None
        writes.append(address)
        return code

    device.watch = refuse
    answer = open_field(device, PV).write([cap(50)])["der"]
    assert isinstance(answer, DeviceError)
    assert isinstance(answer, RefusedWrite) == (code in (1, 2, 3))
    assert len(writes) == 1
