"""GOOSE: what a frame costs, and how long values take from parent to parent over a wire."""

import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ems.protocols.goose import (
    GOOD,
    Data,
    Entry,
    Float32,
    GooseProcess,
    Heard,
    Kind,
    MalformedFrame,
    Publisher,
    RawLink,
    Station,
    Subscription,
    decode,
    encode,
)
from ems.protocols.goose.recurring import FrameReader
from tests.bench.table import median_ms, tell
from tests.goose_frames import CONTROL, HERE, START
from tests.namespaces import wire

ENTRIES = 20
"""Ten measurements with their quality: what a DER of this project publishes."""
BLOCK = replace(
    CONTROL,
    entries=tuple(
        Entry(reference=str(i), shape=Kind.QUALITY if i % 2 else Kind.FLOAT32)
        for i in range(ENTRIES)
    ),
)
PATIENCE_S = 20.0
"""Longest wait for values that must come."""
TIMES = 1000


def measured(first: float) -> tuple[Data, ...]:
    return tuple(GOOD if i % 2 else Float32(first + i) for i in range(ENTRIES))


def best_us(work: Callable[[], object], times: int = 5000, rounds: int = 7) -> float:
    """Processor time of one call, in the quietest of some rounds [µs]."""
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            work()
        spent.append((time.process_time() - began) / times)
    return 1e6 * min(spent)


def test_bench_goose_frame() -> None:
    octets = Publisher(BLOCK, HERE).publish(measured(1.0), 0.0, START)
    assert octets is not None
    found = decode(octets)
    reader, other = FrameReader(), Publisher(BLOCK, HERE)
    other.publish(measured(0.0), 0.0, START)
    alike = itertools.cycle([other.publish(measured(float(p)), 0.0, START) or b"" for p in (1, 2)])
    repeating = Publisher(BLOCK, HERE)
    repeating.publish(measured(1.0), 0.0, START)
    subscription = Subscription(BLOCK)
    clock = itertools.count(100, 100)  # nothing before counts any more, and the next is due

    work: dict[str, Callable[[], object]] = {
        "encode": lambda: encode(found),
        "decode": lambda: decode(octets),
        "read, all numbers new": lambda: reader.read(next(alike)),
        "decode, cut short": lambda: _refused(octets[:-1]),
        "repeat": lambda: repeating.due(next(clock)),
        "accept": lambda: subscription.receive(found, next(clock)),
    }
    tell(
        "goose_frame",
        [
            {"what": what, "entries": ENTRIES, "octets": len(octets), "cpu_us": best_us(call)}
            for what, call in work.items()
        ],
    )


def _refused(octets: bytes) -> None:
    with contextlib.suppress(MalformedFrame):
        decode(octets)


@pytest.mark.needs("ip")
def test_bench_goose_latency() -> None:
    with wire() as (a, b):
        publishes = Station(interface=a.interface, publishes=(BLOCK,))
        subscribes = Station(interface=b.interface, subscribes=(BLOCK,))
        with a.inside():
            link = RawLink(a.interface)
        state = Publisher(BLOCK, HERE)

        def send(values: tuple[Data, ...]) -> None:
            octets = state.publish(values, 0.0, datetime.now(UTC))
            assert octets is not None
            link.send(octets)

        with link, GooseProcess(subscribes, prefix=b.prefix) as subscriber:
            heard = spent_s(send, subscriber)
        with (
            GooseProcess(publishes, prefix=a.prefix) as publisher,
            GooseProcess(subscribes, prefix=b.prefix) as subscriber,
        ):
            crossed = spent_s(
                lambda v: publisher.publish(BLOCK.gocb_ref, v, datetime.now(UTC)), subscriber
            )
    tell(
        "goose_latency",
        [
            {
                "what": what,
                "times": TIMES,
                "median_ms": median_ms(spent),
                "p99_ms": 1e3 * sorted(spent)[round(0.99 * TIMES) - 1],
                "asked_ms": 1.0,
            }
            for what, spent in (
                ("frame sent to values in the parent", heard),
                ("parent to parent, over two processes and the wire", crossed),
            )
        ],
    )


def spent_s(send: Callable[[tuple[Data, ...]], None], subscriber: GooseProcess) -> list[float]:
    """Time from sending each of some values until the subscriber's parent has them [s]."""
    spent = []
    for i in range(TIMES):
        values = measured(float(i))
        began = time.perf_counter()
        send(values)
        found = subscriber.receive(PATIENCE_S)
        spent.append(time.perf_counter() - began)
        assert isinstance(found, Heard)
        assert found.values == values
    return spent
