"""The RTU: from a GOOSE frame on the wire to the register that a Modbus client reads."""

import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event, Thread

import pytest

from ems.protocols.goose import Data, Publisher, RawLink, UtcTime
from ems.protocols.scl import control_blocks, told_by
from ems.protocols.scl.carried import Sample, filled, places
from ems.rtu import Rtu
from tests.bench.table import tell
from tests.icd import PV, pv_file
from tests.namespaces import wire

STARTED = UtcTime.of(datetime.now(UTC))
FRAMES = 300
IDLE_S = 0.005
"""Pause between frames in which both processes fall asleep, and the processor with them [s]."""
WARM_UP = 20
"""Frames that are not counted: the first ones fill caches."""


@pytest.mark.needs("ip")
def test_bench_goose_to_register() -> None:
    """From the moment the frame is handed to the wire to the moment its value is shown."""
    block = control_blocks(pv_file())[0]
    at = places(block, told_by(PV))
    shown: dict[int, float] = {}
    with wire() as (a, b), Rtu([pv_file()], b.interface, prefix=b.prefix) as rtu:
        unit = rtu.units[0]
        take, w = unit.take, Event()

        def taken(gocb_ref: str, values: Sequence[Data]) -> None:
            take(gocb_ref, values)
            watts = unit._blocks[701].value("W")
            shown[round(watts or 0)] = time.perf_counter()
            w.set()

        unit.take = taken  # type: ignore[method-assign]  # to take the time
        stop = Event()
        serving = Thread(target=rtu.run, args=(stop,))
        serving.start()
        with a.inside():
            link = RawLink(a.interface)
        publisher = Publisher(block.block, link.mac)

        def spent_ms(idle_s: float, first: int) -> list[float]:
            sent: dict[int, float] = {}
            for k in range(WARM_UP + FRAMES):
                watts = first + 100 * k
                # As a device does it: what has not changed keeps its time stamp.
                samples = {key: Sample(value=1.0, t=STARTED) for key in at}
                samples[701, "W"] = Sample(value=float(watts), t=UtcTime.of(datetime.now(UTC)))
                frame = publisher.publish(
                    filled(block, at, samples), time.monotonic(), datetime.now(UTC)
                )
                assert frame is not None
                w.clear()
                if idle_s:
                    time.sleep(idle_s)
                sent[watts] = time.perf_counter()
                link.send(frame)
                assert w.wait(5)
            return [1e3 * (shown[x] - began) for x, began in list(sent.items())[WARM_UP:]]

        busy, idle = spent_ms(0.0, 100_000), spent_ms(IDLE_S, 500_000)
        link.close()
        stop.set()
        serving.join()
    tell(
        "rtu",
        [
            {
                "frames": what,
                "values in each": len(block.points),
                "median ms": statistics.median(took),
                "95 % ms": statistics.quantiles(took, n=20)[-1],
                "largest ms": max(took),
            }
            for what, took in (("one after the other", busy), ("after 5 ms of sleep", idle))
        ],
    )
    assert statistics.median(busy) <= 1.0
    assert statistics.median(idle) <= 1.0
