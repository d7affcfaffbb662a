"""The field held in memory keeps the same promises as the one on the wire."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ems.domain import Command, DerReading, LoadReading, Readback, Site
from ems.errors import DeviceError, RefusedWrite, Unreachable
from ems.gateways.memory import LOAD, MemoryField
from ems.ports import Field

NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)
CAP = Command(der="pv", p_kw=None, q_kvar=-5, cap_kw=4000, reversion_kw=0, reversion_s=1800)
DG = Command(der="dg", p_kw=1500, q_kvar=10, cap_kw=None, reversion_kw=0, reversion_s=1800)


@pytest.fixture
def memory(site: Site) -> MemoryField:
    return MemoryField(site, load_kw=9000, p_kw={"pv": 7953}, soc_pct={"bes": 42})


def reading(field: Field, der: str) -> DerReading:
    found = field.read(NOW)[der]
    assert isinstance(found, DerReading)
    return found


def test_it_starts_in_the_state_given(memory: MemoryField) -> None:
    assert reading(memory, "pv").p_kw == 7953
    assert reading(memory, "dg").p_kw == 0
    assert reading(memory, "bes").soc_pct == 42
    assert memory.read_load(NOW) == LoadReading(time=NOW, p_kw=9000)


def test_devices_follow_what_is_written(memory: MemoryField) -> None:
    memory.available_kw["pv"] = 5000
    answers = memory.write([CAP, DG])
    assert answers["pv"] == Readback(p_kw=None, q_kvar=-5, cap_kw=4000)
    assert (reading(memory, "pv").p_kw, reading(memory, "pv").cap_kw) == (4000, 4000)
    assert (reading(memory, "dg").p_kw, reading(memory, "dg").q_kvar) == (1500, 10)
    memory.write([replace(CAP, cap_kw=None)])
    assert reading(memory, "pv").p_kw == 5000
    assert memory.written == [CAP, DG, replace(CAP, cap_kw=None)]


def test_plants_tell_what_the_sun_offers_them_only_where_they_can(memory: MemoryField) -> None:
    memory.available_kw["pv"] = 5000
    assert reading(memory, "pv").available_kw is None
    memory.tells_available = True
    assert reading(memory, "pv").available_kw == 5000
    assert reading(memory, "dg").available_kw is None


def test_a_failing_device_disturbs_no_other_and_heals(memory: MemoryField) -> None:
    memory.fail("pv", Unreachable("gone"))
    assert isinstance(memory.read(NOW)["pv"], Unreachable)
    answers = memory.write([CAP, DG])
    assert isinstance(answers["pv"], Unreachable)
    assert isinstance(answers["dg"], Readback)
    assert memory.written == [DG]
    memory.fail("pv", None)
    assert reading(memory, "pv").p_kw == 7953


def test_a_device_that_refuses_writes_can_still_be_read(memory: MemoryField) -> None:
    memory.fail("pv", RefusedWrite("no"))
    assert reading(memory, "pv").p_kw == 7953
    assert isinstance(memory.write([CAP])["pv"], RefusedWrite)
    assert memory.written == []


def test_the_meter_fails_too(memory: MemoryField) -> None:
    memory.fail(LOAD, Unreachable("gone"))
    assert isinstance(memory.read_load(NOW), Unreachable)


def test_a_value_that_is_not_available_is_an_error_not_zero(memory: MemoryField) -> None:
    memory.p_kw["pv"] = float("nan")
    assert isinstance(memory.read(NOW)["pv"], DeviceError)


@pytest.mark.parametrize(
    "command",
    [
        replace(DG, p_kw=float("nan")),
        replace(DG, p_kw=3001.0),
        replace(DG, p_kw=-1.0),
        replace(DG, q_kvar=401.0),
        replace(DG, p_kw=None),
        replace(CAP, p_kw=100.0),
    ],
)
def test_what_a_device_cannot_do_is_refused_and_changes_nothing(
    memory: MemoryField, command: Command
) -> None:
    before = memory.read(NOW)
    assert isinstance(memory.write([command])[command.der], RefusedWrite)
    assert memory.read(NOW) == before
    assert memory.written == []
