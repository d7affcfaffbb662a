"""What a subscriber's parent is told when things go wrong on the wire, each with its outcome."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from ems.protocols.goose import (
    Counts,
    Frame,
    GooseProcess,
    Heard,
    LinkFault,
    Lost,
    RawLink,
    Reason,
    Standing,
    Station,
    encode,
)
from ems.protocols.goose.station import OLDEST_ORDER_S
from tests.goose_frames import CONTROL, ELSEWHERE, START, frame, saying, values
from tests.namespaces import End, wire

pytestmark = pytest.mark.needs("ip")
PATIENCE_S = 20.0
"""Longest wait for what must come; a fault shows as this wait, never as a wrong outcome."""
GOCB = CONTROL.gocb_ref


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    with wire() as found:
        yield found


@pytest.fixture
def attacker(ends: tuple[End, End]) -> Iterator[RawLink]:
    """Sends whatever it is given."""
    a, _ = ends
    with a.inside():
        link = RawLink(a.interface)
    with link:
        yield link


@pytest.fixture
def subscriber(ends: tuple[End, End]) -> Iterator[GooseProcess]:
    _, b = ends
    station = Station(interface=b.interface, subscribes=(CONTROL,))
    with GooseProcess(station, prefix=b.prefix) as process:
        yield process


def heard(subscriber: GooseProcess) -> Heard:
    found = subscriber.receive(PATIENCE_S)
    assert isinstance(found, Heard), found
    assert subscriber.values(GOCB) == found.values
    return found


def lost(subscriber: GooseProcess) -> Standing:
    found = subscriber.receive(PATIENCE_S)
    assert isinstance(found, Lost), found
    assert subscriber.values(GOCB) is None
    return found.standing


def counts(subscriber: GooseProcess, frames: int) -> Counts:
    """What became of the frames, once so many have come in."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = subscriber.counts().subscriptions[GOCB]
        if found.accepted + sum(found.ignored.values()) >= frames:
            return found
        assert time.monotonic() < deadline, found


LIFE_S = 0.8
"""Soon enough for a test, and long enough that a busy machine sees the values before they go."""


def brief(found: Frame) -> Frame:
    """A frame whose values run out soon."""
    return saying(found, time_allowed_to_live_ms=round(1000 * LIFE_S))


def test_values_cross_and_run_out_when_their_publisher_ends(
    ends: tuple[End, End], subscriber: GooseProcess
) -> None:
    a, _ = ends
    station = Station(interface=a.interface, publishes=(CONTROL,))
    with GooseProcess(station, prefix=a.prefix) as publisher:
        for i in range(1, 20):
            publisher.publish(GOCB, values(float(i)), START + timedelta(seconds=i))
            found = heard(subscriber)
            assert found.values == values(float(i))
            assert (found.st_num, found.t.when) == (i, START + timedelta(seconds=i))
    assert lost(subscriber) is Standing.SILENT
    with GooseProcess(station, prefix=a.prefix) as publisher:
        publisher.publish(GOCB, values(99.0), START + timedelta(hours=1))
        assert heard(subscriber).values == values(99.0)


def test_a_publisher_that_repeats_keeps_its_values_alive(
    ends: tuple[End, End], subscriber: GooseProcess
) -> None:
    a, _ = ends
    station = Station(interface=a.interface, publishes=(CONTROL,))
    with GooseProcess(station, prefix=a.prefix) as publisher:
        publisher.publish(GOCB, values(1.0), START)
        heard(subscriber)
        repeated = counts(subscriber, 8)  # 4 + 8 + … + 256 ms: longer than the first frame lives
        assert subscriber.receive(0.0) is None, "repetitions are no news"
        assert subscriber.values(GOCB) == values(1.0)
        assert repeated.lost == 0


def test_malformed_frames_between_good_ones_change_nothing(
    subscriber: GooseProcess, attacker: RawLink
) -> None:
    good = encode(frame(1))
    attacker.send(good)
    assert heard(subscriber).values == values(1.0)
    # Shorter ones than 20 octets the kernel itself takes for no tagged frame.
    bad = [good[:size] for size in range(20, len(good))]
    bad += [good[:at] + b"\x80" + good[at + 1 :] for at in (27, 29, 50, 75)]
    for octets in bad:
        attacker.send(octets)
    attacker.send(encode(frame(2)))
    assert heard(subscriber).values == values(2.0)
    assert subscriber.counts().malformed == len(bad)


def test_lost_and_reordered_frames_are_counted_and_the_newest_holds(
    subscriber: GooseProcess, attacker: RawLink
) -> None:
    for state, number in ((1, 0), (1, 3), (1, 2), (3, 0), (2, 0), (3, 1), (3, 1)):
        attacker.send(encode(frame(state, number)))
    found = counts(subscriber, 7)
    assert (found.accepted, found.lost) == (4, 3)
    assert found.ignored == {Reason.REORDERED: 2, Reason.DUPLICATE: 1}
    assert subscriber.receive(PATIENCE_S) is not None
    while subscriber.receive(0.0) is not None:
        pass
    assert subscriber.values(GOCB) == values(3.0)


def test_a_state_number_that_rolls_over_is_followed(
    subscriber: GooseProcess, attacker: RawLink
) -> None:
    attacker.send(encode(frame(0xFFFF_FFFF, 4, t_s=0, p_kw=1.0)))
    assert heard(subscriber).st_num == 0xFFFF_FFFF
    attacker.send(encode(frame(1, 0, t_s=1, p_kw=2.0)))
    assert heard(subscriber).values == values(2.0)
    assert counts(subscriber, 2).restarts == 0


def test_values_run_out_with_their_time_to_live(
    subscriber: GooseProcess, attacker: RawLink
) -> None:
    attacker.send(encode(brief(frame())))
    heard(subscriber)
    assert lost(subscriber) is Standing.SILENT
    attacker.send(encode(brief(frame(1, 1))))
    assert heard(subscriber).values == values(1.0)


def test_two_publishers_are_both_distrusted_until_one_falls_silent(
    subscriber: GooseProcess, attacker: RawLink
) -> None:
    attacker.send(encode(saying(frame(5), time_allowed_to_live_ms=9000)))
    assert heard(subscriber).values == values(5.0)
    attacker.send(encode(brief(frame(7, src=ELSEWHERE))))
    assert lost(subscriber) is Standing.SUSPICIOUS
    assert heard(subscriber).values == values(5.0), "the second one fell silent"
    assert counts(subscriber, 2).ignored == {Reason.TWO_PUBLISHERS: 1}


def test_another_revision_and_a_simulator_are_ignored(
    subscriber: GooseProcess, attacker: RawLink
) -> None:
    attacker.send(encode(frame(1)))
    heard(subscriber)
    attacker.send(encode(saying(frame(2), conf_rev=8)))
    attacker.send(encode(replace(saying(frame(2), simulation=True), simulation=True)))
    attacker.send(encode(saying(frame(2), gocb_ref="other")))
    found = counts(subscriber, 3)
    assert found.ignored == {Reason.OTHER_REVISION: 1, Reason.SIMULATED: 1}
    assert subscriber.values(GOCB) == values(1.0)


def test_a_parent_that_does_not_read_is_told_what_stands_then(
    subscriber: GooseProcess, attacker: RawLink
) -> None:
    last = 3000
    for state in range(1, last + 1):
        attacker.send(encode(frame(state)))
        if state % 50 == 0:  # no faster than they are taken
            select.select([], [], [], 0.005)
    found = subscriber.receive(PATIENCE_S)
    while isinstance(found, Heard) and found.st_num < last:
        found = subscriber.receive(PATIENCE_S)
    assert isinstance(found, Heard)
    assert found.values == values(float(last))


def test_hundreds_of_control_blocks_are_counted_one_by_one(
    ends: tuple[End, End], attacker: RawLink
) -> None:
    _, b = ends
    blocks = tuple(replace(CONTROL, gocb_ref=f"PV{i}LD0/LLN0$GO$gcb1") for i in range(500))
    station = Station(interface=b.interface, subscribes=blocks)
    with GooseProcess(station, prefix=b.prefix) as process:
        for block in blocks:
            attacker.send(encode(saying(frame(), gocb_ref=block.gocb_ref)))
            found = process.receive(PATIENCE_S)
            assert isinstance(found, Heard)
            assert found.gocb_ref == block.gocb_ref
        counted = process.counts().subscriptions
    assert {reference: c.accepted for reference, c in counted.items()} == {
        block.gocb_ref: 1 for block in blocks
    }


def test_an_interface_that_goes_down_and_comes_up_again(
    ends: tuple[End, End], subscriber: GooseProcess
) -> None:
    a, b = ends
    with GooseProcess(
        Station(interface=a.interface, publishes=(CONTROL,)), prefix=a.prefix
    ) as publisher:
        publisher.publish(GOCB, values(1.0), START)
        heard(subscriber)
        b.ip("link", "set", b.interface, "down")
        assert lost(subscriber) is Standing.SILENT
        b.ip("link", "set", b.interface, "up")
        assert heard(subscriber).values == values(1.0)


def test_an_interface_that_is_removed_ends_the_station_with_its_reason(
    ends: tuple[End, End], subscriber: GooseProcess
) -> None:
    _, b = ends
    b.ip("link", "del", b.interface)
    with pytest.raises(LinkFault, match=f"{b.interface}: no such interface"):
        subscriber.receive(PATIENCE_S)
    assert subscriber.pid is None


def test_values_run_out_also_when_the_process_stands_still(
    subscriber: GooseProcess, attacker: RawLink
) -> None:
    attacker.send(encode(brief(frame())))
    heard(subscriber)
    assert subscriber.pid is not None
    os.kill(subscriber.pid, signal.SIGSTOP)
    try:
        assert subscriber.receive(LIFE_S) is None
        assert subscriber.values(GOCB) is None
    finally:
        os.kill(subscriber.pid, signal.SIGCONT)


def test_what_was_ordered_while_the_process_stood_still_is_not_sent_afterwards(
    ends: tuple[End, End], subscriber: GooseProcess
) -> None:
    a, _ = ends
    station = Station(interface=a.interface, publishes=(CONTROL,))
    with GooseProcess(station, prefix=a.prefix) as publisher:
        publisher.publish(GOCB, values(1.0), START)
        heard(subscriber)
        assert publisher.pid is not None
        os.kill(publisher.pid, signal.SIGSTOP)
        try:
            publisher.publish(GOCB, values(2.0), START)
            assert lost(subscriber) is Standing.SILENT
            assert subscriber.receive(OLDEST_ORDER_S) is None
        finally:
            os.kill(publisher.pid, signal.SIGCONT)
        assert heard(subscriber).values == values(1.0), "it repeats what it sent last"
        publisher.publish(GOCB, values(3.0), START)
        assert heard(subscriber).values == values(3.0)
        assert publisher.counts().unsent == 1


def test_a_process_that_dies_is_told(subscriber: GooseProcess, attacker: RawLink) -> None:
    attacker.send(encode(frame()))
    heard(subscriber)
    assert subscriber.pid is not None
    os.kill(subscriber.pid, signal.SIGKILL)
    with pytest.raises(LinkFault, match="the GOOSE process is gone"):
        subscriber.receive(PATIENCE_S)
    assert subscriber.values(GOCB) is None


def test_the_process_ends_when_its_parent_is_killed(ends: tuple[End, End]) -> None:
    a, _ = ends
    program = (
        "from ems.protocols.goose import *; import sys, time\n"
        f"p = GooseProcess(Station(interface={a.interface!r}))\n"
        "p.start(); print(p.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [*a.prefix, sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        watched = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        try:
            assert select.select([watched], [], [], PATIENCE_S)[0], "it outlived its parent"
        finally:
            os.close(watched)


def test_values_of_another_data_set_are_refused_before_they_are_sent(
    ends: tuple[End, End],
) -> None:
    a, _ = ends
    station = Station(interface=a.interface, publishes=(CONTROL,))
    with GooseProcess(station, prefix=a.prefix) as publisher:
        with pytest.raises(ValueError, match="2 entries, the data set has 5"):
            publisher.publish(GOCB, values()[:2], START)
        with pytest.raises(KeyError):
            publisher.publish("other", values(), START)
