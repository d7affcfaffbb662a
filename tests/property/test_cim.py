"""CIM: whatever the names and the values, the text has its statements and messages read back."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.protocols.cim_difference import (
    DeviceChange,
    SignConvention,
    decode,
    difference_document,
    encode,
)
from feeders.cim.naming import Names
from feeders.statements import statements

watts = st.floats(-1e9, 1e9)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=20))
def test_names_are_one_word_each_and_never_the_same(wanted: list[str]) -> None:
    names = Names()
    given_names = [names.give(w) for w in wanted]
    assert len(set(given_names)) == len(given_names)
    text = "".join(f"New Load.{n} bus1={n}.1 kW=1\n" for n in given_names)
    read = list(statements(text))
    assert len(read) == len(given_names)
    for statement, name in zip(read, given_names, strict=True):
        assert [w.value for w in statement.words] == ["New", f"Load.{name}", f"{name}.1", "1"]


@settings(max_examples=50)
@given(
    powers=st.lists(st.tuples(watts, watts, watts, watts), max_size=8),
    sign=st.sampled_from(SignConvention),
    second=st.integers(0, 2**32),
)
def test_messages_read_back_to_the_thousandth_of_a_watt(
    powers: list[tuple[float, float, float, float]], sign: SignConvention, second: int
) -> None:
    changes = [
        DeviceChange(mrid=f"D{i}", p_w=a, q_var=b, p_before_w=c, q_before_var=d)
        for i, (a, b, c, d) in enumerate(powers)
    ]
    timestamp = datetime.fromtimestamp(second, UTC)
    text = encode(difference_document(changes, simulation_id="s", timestamp=timestamp, sign=sign))
    message = decode(text)
    assert message.timestamp == timestamp
    assert [c.mrid for c in message.changes] == [c.mrid for c in changes]
    for got, meant in zip(message.changes, changes, strict=True):
        assert got.p_w == pytest.approx(meant.p_w, abs=6e-4)
        assert got.q_before_var == pytest.approx(meant.q_before_var, abs=6e-4)
