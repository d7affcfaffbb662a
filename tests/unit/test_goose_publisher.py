"""What a publisher sends, and when."""

import pytest

from ems.errors import BadInput
from ems.protocols.goose import (
    BitString,
    Boolean,
    ControlBlock,
    Entry,
    Float32,
    Kind,
    OctetString,
    Publisher,
    Station,
    UtcTime,
    decode,
)
from ems.protocols.goose.control import ArrayOf, fits
from tests.goose_frames import CONTROL, HERE, START, values


@pytest.fixture
def publisher() -> Publisher:
    return Publisher(CONTROL, HERE)


def sent(octets: bytes | None) -> tuple[int, int, int]:
    """Of a frame: stNum, sqNum, time allowed to live [ms]."""
    assert octets is not None
    message = decode(octets).message
    return message.st_num, message.sq_num, message.time_allowed_to_live_ms


def test_nothing_is_due_before_the_first_values(publisher: Publisher) -> None:
    assert publisher.next_due is None
    assert publisher.due(1e9) is None


def test_a_change_starts_a_state_and_is_sent_at_once(publisher: Publisher) -> None:
    octets = publisher.publish(values(1.0), 10.0, START)
    assert sent(octets)[:2] == (1, 0)
    assert decode(octets or b"").message.t == UtcTime.of(START)
    assert sent(publisher.publish(values(2.0), 10.1, START))[:2] == (2, 0)


def test_values_in_force_are_not_published_again(publisher: Publisher) -> None:
    publisher.publish(values(1.0), 10.0, START)
    due = publisher.next_due
    assert publisher.publish(values(1.0), 10.001, START) is None
    assert publisher.next_due == due


def test_a_state_is_repeated_after_delays_that_double_up_to_the_longest(
    publisher: Publisher,
) -> None:
    publisher.publish(values(), 0.0, START)
    delays, lives, now = [], [], 0.0
    for number in range(1, 13):
        due = publisher.next_due
        assert due is not None
        assert publisher.due(due - 1e-6) is None
        delays.append(round(1000 * (due - now)))
        now = due
        st_num, sq_num, life_ms = sent(publisher.due(now))
        assert (st_num, sq_num) == (1, number)
        lives.append(life_ms)
    assert delays == [4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000, 1000, 1000]
    # Each frame lives until two more are due, and never so shortly that a busy machine breaks it.
    assert lives == [500, 500, 500, 500, 500, 512, 1024, 2000, 2000, 2000, 2000, 2000]


def test_the_repetition_keeps_time_and_values(publisher: Publisher) -> None:
    first = decode(publisher.publish(values(3.0), 0.0, START) or b"")
    again = decode(publisher.due(5.0) or b"")
    assert again.message.t == first.message.t
    assert again.message.all_data == first.message.all_data
    assert (again.dst, again.src, again.vlan_id, again.vlan_priority, again.appid) == (
        CONTROL.dst_mac, HERE, 5, 4, 1,
    )  # fmt: skip


def test_a_late_repetition_is_not_caught_up(publisher: Publisher) -> None:
    publisher.publish(values(), 0.0, START)
    publisher.due(100.0)
    assert publisher.next_due == pytest.approx(100.008)


def test_both_counters_go_on_with_1_after_the_largest_number(publisher: Publisher) -> None:
    publisher.resume(0xFFFF_FFFE)
    assert sent(publisher.publish(values(1.0), 0.0, START))[:2] == (0xFFFF_FFFF, 0)
    publisher.resume(0xFFFF_FFFF, 0xFFFF_FFFE)
    assert sent(publisher.due(1.0))[:2] == (0xFFFF_FFFF, 0xFFFF_FFFF)
    assert sent(publisher.due(2.0))[:2] == (0xFFFF_FFFF, 1)
    assert sent(publisher.publish(values(2.0), 3.0, START))[:2] == (1, 0)


def test_simulation_stands_in_header_and_message() -> None:
    publisher = Publisher(CONTROL, HERE, simulation=True, nds_com=True)
    found = decode(publisher.publish(values(), 0.0, START) or b"")
    assert found.simulation
    assert found.message.simulation
    assert found.message.nds_com


def test_values_of_another_data_set_are_not_sent(publisher: Publisher) -> None:
    with pytest.raises(ValueError, match="2 entries, the data set has 5"):
        publisher.publish(values()[:2], 0.0, START)
    with pytest.raises(ValueError, match=r"entry 0 \(TotW.mag.f \[MX\]\) is Boolean"):
        publisher.publish((Boolean(True), *values()[1:]), 0.0, START)
    assert publisher.next_due is None


def test_values_too_long_for_a_frame_are_not_sent_and_do_not_count() -> None:
    control = ControlBlock(
        gocb_ref="a", dat_set="b", go_id="c", appid=1, dst_mac=CONTROL.dst_mac, conf_rev=1,
        entries=(Entry(reference="x", shape=Kind.OCTET_STRING),),
    )  # fmt: skip
    publisher = Publisher(control, HERE)
    with pytest.raises(ValueError, match="divide the data set"):
        publisher.publish((OctetString(bytes(1490)),), 0.0, START)
    assert publisher.state == (0, 0)
    longest = 1500 - 64 - 3 * 4 - 4  # beside the values, names of one letter, tag and length
    publisher.resume(0xFFFF_FFFE)
    assert publisher.publish((OctetString(bytes(longest)),), 0.0, START) is not None


def test_a_control_block_tells_all_its_faults_at_once() -> None:
    with pytest.raises(BadInput) as told:
        ControlBlock(
            gocb_ref="", dat_set="é", go_id="x" * 130, appid=0x4000, dst_mac=HERE, vlan_id=4095,
            vlan_priority=8, conf_rev=-1, min_time_ms=10, max_time_ms=5, entries=(),
        )  # fmt: skip
    places = [fault.place.split(": ")[-1] for fault in told.value.faults]
    assert places == [
        "gocb_ref", "dat_set", "go_id", "appid", "dst_mac", "vlan_id", "vlan_priority", "conf_rev",
        "min_time_ms", "entries",
    ]  # fmt: skip


def test_a_shape_fits_its_values_only() -> None:
    assert fits(Kind.QUALITY, BitString(0, 13))
    assert not fits(Kind.QUALITY, BitString(0, 2))
    assert fits(Kind.DBPOS, BitString(0, 2))
    assert fits(Kind.BIT_STRING, BitString(0, 5))
    assert not fits(Kind.FLOAT64, Float32(0))
    assert not fits(ArrayOf(Kind.BOOLEAN, 2), Boolean(True))


def test_a_station_holds_each_control_block_once() -> None:
    with pytest.raises(BadInput, match="PV1LD0/LLN0\\$GO\\$gcb1 stands twice"):
        Station(interface="eth0", subscribes=(CONTROL, CONTROL))
