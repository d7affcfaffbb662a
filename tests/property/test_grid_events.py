"""Event lists: what is written is what is felt, and no file makes the reader stumble."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from ems.errors import BadInput, Fault
from ems.plant.events import read_events
from ems.plant.terminal import Terminal

DERS = ("pv1", "pv-2", "bes_3")
voltage = st.none() | st.floats(0, 2)
frequency = st.none() | st.floats(40, 70)
Rows = dict[float, dict[str, tuple[float | None, float | None]]]
rows = st.dictionaries(
    st.floats(0, 1e6),
    st.dictionaries(st.sampled_from(DERS), st.tuples(voltage, frequency), min_size=1),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events") / "events.csv"


def cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def long(told: Rows) -> str:
    lines = [
        f"{t!r},{der},{cell(v)},{cell(hz)}"
        for t in sorted(told)
        for der, (v, hz) in told[t].items()
    ]
    return "\n".join(["time,der,voltage_pu,frequency_hz", *lines])


def wide(told: Rows) -> str:
    names = [f"{der}.{quantity}" for der in DERS for quantity in ("voltage_pu", "frequency_hz")]
    lines = [
        ",".join([repr(t), *(cell(x) for der in DERS for x in told[t].get(der, (None, None)))])
        for t in sorted(told)
    ]
    return "\n".join([",".join(["time", *names]), *lines])


@given(rows, st.floats(0, 1e6))
def test_both_forms_tell_what_was_last_written_of_each_value(
    file: Path, told: Rows, t: float
) -> None:
    felt = dict.fromkeys(DERS, Terminal())
    for when in sorted(told):
        if when <= t:
            for der, (v, hz) in told[when].items():
                was = felt[der]
                felt[der] = Terminal(
                    v_pu=was.v_pu if v is None else v, hz=was.hz if hz is None else hz
                )
    for text in (long(told), wide(told)):
        file.write_text(text, encoding="utf-8")
        found = read_events(file, DERS).at(t)
        assert {der: found.get(der, Terminal()) for der in DERS} == felt


piece = st.sampled_from(
    [
        *("time", "der", "voltage_pu", "frequency_hz", "pv1.voltage_pu", "pv1 frequency_hz", "pv1"),
        *(",", ",", ",", "\n", "\n", " ", ";", '"', "*", "0", "1", "0.9", "60", "-1", "nan", "inf"),
        *("9" * 400, "2026-06-01T00:00Z", "2026-06-01", "0001-01-01T00:00+23:00", "\x00", "é"),
    ]
)


@given(st.lists(piece, max_size=40).map("".join) | st.binary(max_size=200))
def test_whatever_a_file_holds_it_is_read_or_told(file: Path, content: str | bytes) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    faults: tuple[Fault, ...] = ()
    felt: Mapping[str, Terminal] = {}
    try:
        felt = read_events(file, DERS).at(1e12)
    except BadInput as error:
        faults = error.faults
        event(f"{min(len(faults), 3)} faults or more")
    assert all(str(file) in fault.place for fault in faults)
    for terminal in felt.values():
        assert 0.0 <= terminal.v_pu <= 2.0
        assert 40.0 <= terminal.hz <= 70.0
