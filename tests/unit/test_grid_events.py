"""Grid event lists as a user writes them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ems.errors import BadInput
from ems.plant.events import EventList, read_events
from ems.plant.terminal import Terminal

DERS = ("pv1", "pv2", "bes1")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def read(tmp_path: Path, text: str, start: datetime | None = None) -> EventList:
    path = tmp_path / "events.csv"
    path.write_text(text, encoding="utf-8")
    return read_events(path, DERS, start)


def told(tmp_path: Path, text: str, start: datetime | None = None) -> list[str]:
    with pytest.raises(BadInput) as raised:
        read(tmp_path, text, start)
    return [str(fault).removeprefix(f"{tmp_path}/") for fault in raised.value.faults]


def test_a_value_holds_until_a_row_changes_it_and_a_blank_leaves_it(tmp_path: Path) -> None:
    events = read(
        tmp_path,
        "time,der,voltage_pu,frequency_hz\n"
        "10,pv1,0.9,\n"
        "20,pv1,,60.5\n"
        "20,bes1,1.1,59\n"
        "30.5,pv1,1.0,60\n",
    )
    assert events.at(9.999) == dict.fromkeys(("pv1", "bes1"), Terminal())
    assert events.at(10)["pv1"] == Terminal(v_pu=0.9)
    assert events.at(25)["pv1"] == Terminal(v_pu=0.9, hz=60.5)
    assert events.at(1e9) == {"pv1": Terminal(), "bes1": Terminal(v_pu=1.1, hz=59)}
    assert "pv2" not in events.at(25)
    assert events.last_s == 30.5


def test_both_forms_of_the_same_events_read_the_same(tmp_path: Path) -> None:
    long = read(
        tmp_path, "time,der,voltage_pu,frequency_hz\n0,pv1,0.9,\n0,bes1,,61\n5,bes1,0.8,60\n"
    )
    wide = read(
        tmp_path,
        "time,pv1.voltage_pu,pv1.frequency_hz,bes1 voltage_pu,bes1 frequency_hz\n"
        "0,0.9,,,61\n"
        "5,,,0.8,60\n",
    )
    for t in (0, 1, 5, 6):
        assert wide.at(t) == long.at(t)


def test_a_star_is_everybody_and_a_later_row_outdoes_it(tmp_path: Path) -> None:
    events = read(tmp_path, "time,der,voltage_pu,frequency_hz\n1,*,,59.5\n1,pv2,0.7,\n")
    assert events.at(2) == {
        "pv1": Terminal(hz=59.5),
        "pv2": Terminal(v_pu=0.7, hz=59.5),
        "bes1": Terminal(hz=59.5),
    }


def test_timestamps_count_from_the_first_or_from_a_start(tmp_path: Path) -> None:
    text = (
        "time,der,voltage_pu,frequency_hz\n"
        "2026-06-01T12:00:10Z,pv1,0.9,\n"
        "2026-06-01T14:00:20+02:00,pv1,1.0,\n"
    )
    alone = read(tmp_path, text)
    assert alone.start == datetime(2026, 6, 1, 12, 0, 10, tzinfo=UTC)
    assert [alone.at(t)["pv1"].v_pu for t in (0, 9, 10)] == [0.9, 0.9, 1.0]
    started = read(tmp_path, text, NOON)
    assert started.start == NOON
    assert [started.at(t)["pv1"].v_pu for t in (9, 10, 20)] == [1.0, 0.9, 1.0]


def test_a_list_without_rows_disturbs_nobody(tmp_path: Path) -> None:
    events = read(tmp_path, "time,der,voltage_pu,frequency_hz\n")
    assert (events.at(1), events.last_s) == ({}, 0.0)


def test_a_byte_order_mark_blank_lines_and_spaces_are_nothing_wrong(tmp_path: Path) -> None:
    events = read(tmp_path, "\ufeffTime, DER, voltage_pu, frequency_hz\n\n 3 , pv1 , 0.95 ,\n,,,\n")
    assert events.at(3)["pv1"].v_pu == 0.95


def test_a_timestamp_before_the_start_is_told_with_the_start(tmp_path: Path) -> None:
    faults = told(
        tmp_path,
        "time,der,voltage_pu,frequency_hz\n2026-06-01T11:59:59Z,pv1,0.9,\n",
        NOON,
    )
    assert faults == ["events.csv: row 2, column time: is before the start, 2026-06-01T12:00:00Z"]


def test_more_faults_than_anybody_reads_are_counted(tmp_path: Path) -> None:
    faults = told(tmp_path, "time,der,voltage_pu,frequency_hz\n" + "0,pv1,9,\n" * 80)
    assert len(faults) == 51
    assert faults[-1].endswith("more faults")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_events(tmp_path / "none.csv", DERS)
