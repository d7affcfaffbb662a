"""The plant, its servers and the service over them, for drills in which a device goes wrong."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ems.clock import INTERVAL, SteppedClock, interval_start
from ems.cycle import run_cycle
from ems.daemon import Service
from ems.domain import (
    CycleRecord,
    DeviceAddress,
    Policy,
    Pv,
    Watched,
)
from ems.gateways.sunspec import SunSpecField
from ems.plant import Plant
from ems.store import Store
from tests.sites import LOAD_KW, NOW, PRICE_USD_PER_KWH, GivenForecast, ports, segment

SITE = segment()
POLICY = Policy(
    control="auto", reversion_s=300, keep_alive_s=60.0, response_s=30.0, deadband_pct=0.5
)
START = interval_start(NOW)
SUN_KW = 9000.0
POLL_S = 10
BUDGET_S = 0.4
"""Time budget of a request: long for loopback, short for a test."""
WRITE = 16
"""Function code of a write of several registers."""
Floats = NDArray[np.float64]


class Noon:
    """Sun and load of a still noon; the load breathes so that meters move."""

    sun_kw = SUN_KW

    def pv_available_kw(self, pv: Pv, times: pd.DatetimeIndex) -> Floats:  # noqa: ARG002
        return np.full(len(times), self.sun_kw)

    def load_kw(self, times: pd.DatetimeIndex) -> Floats:
        return LOAD_KW + 20.0 * np.sin(times.minute.to_numpy(dtype=np.float64))


class Drill:
    """The plant, its servers, and the service over them, on one clock that the test moves."""

    def __init__(
        self, store: Store, addresses: Callable[[str, DeviceAddress], DeviceAddress]
    ) -> None:
        self.sky = Noon()
        self.plant = Plant(SITE, "segment13", self.sky, START)
        there = {
            name: replace(addresses(name, at), timeout_s=BUDGET_S)
            for name, at in self.plant.start().items()
        }
        self.there = there
        self.field = SunSpecField(SITE, there)
        self.clock = SteppedClock(START)
        self.world = replace(
            ports(SITE, forecast=GivenForecast(SUN_KW, SUN_KW)), field=self.field, journal=store
        )
        self.records: list[CycleRecord] = []
        self.service = Service(
            site=SITE, policy=POLICY, ports=self.world, store=store, run=self.run,
            clock=self.clock,
        )  # fmt: skip

    def run(self, now: Any, watched: Watched | None) -> CycleRecord:
        before = self.records[-1] if self.records else None
        self.records.append(
            run_cycle(SITE, POLICY, PRICE_USD_PER_KWH, self.world, now, before, watched)
        )
        return self.records[-1]

    def cycle(self) -> CycleRecord:
        record = self.service.cycle()
        assert record is not None, self.service.health().last_error
        self.plant.advance_to(self.clock.now())
        return record

    def live(self, seconds: float) -> None:
        """Let time pass in the plant, polled as the service polls."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < end:
            self.clock.move_to(min(end, self.clock.now() + timedelta(seconds=POLL_S)))
            self.plant.advance_to(self.clock.now())
            self.service.poll()

    def shade(self, sun_kw: float) -> None:
        """Less sun from now on, as was foretold."""
        self.sky.sun_kw = sun_kw
        self.world = replace(self.world, forecaster=GivenForecast(sun_kw, sun_kw))
        self.plant.advance_to(self.clock.now())

    def next_cycle(self) -> CycleRecord:
        """At the next quarter of an hour."""
        self.live((interval_start(self.clock.now()) + INTERVAL - self.clock.now()).total_seconds())
        return self.cycle()

    @property
    def last(self) -> CycleRecord:
        return self.records[-1]

    @property
    def alarms(self) -> str:
        """Of the last cycle and of the service."""
        return "\n".join([*self.last.alarms, *self.service.health().alarms])

    def broken(self) -> list[Any]:
        """Steps since the last call in which the true feeder broke a limit."""
        return [e for e in self.plant.excursions(SITE.limits) if e.violated]

    def close(self) -> None:
        self.service.stop()
        self.field.close()
        self.plant.close()


Make = Callable[..., Drill]


class Cut:
    """A wire between the service and a device that can be cut between a write and its answer."""

    def __init__(self, device: DeviceAddress) -> None:
        self._device = device
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._then: Callable[[], None] | None = None
        self.done = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def at_next_write(self, then: Callable[[], None]) -> None:
        self._then = then

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        """One request, one answer, and again, until either side ends."""
        with near, socket.create_connection((self._device.host, self._device.port)) as far:
            while request := near.recv(4096):
                far.sendall(request)
                answer = far.recv(4096)
                if self._then is not None and request[7] == WRITE:
                    then, self._then = self._then, None
                    then()
                    self.done.set()
                    return
                if not answer:
                    return
                near.sendall(answer)


@contextmanager
def drills(folder: Path) -> Iterator[Make]:
    made: list[Drill] = []
    with closing(Store.open(folder / "geems.sqlite")) as store:

        def drill(
            addresses: Callable[[str, DeviceAddress], DeviceAddress] = lambda _, at: at,
        ) -> Drill:
            made.append(Drill(store, addresses))
            return made[-1]

        yield drill
        for one in made:
            one.close()


def in_control(make: Make) -> Drill:
    """In control: everything written, read back and followed, a generator step by step."""
    one = make()
    one.cycle()
    one.live(60)
    assert one.last.alarms == ()
    assert one.service.health().alarms == ()
    found = {d.response for name, d in one.service.health().devices.items() if name != "load"}
    assert found <= {"followed", "ramping"}
    one.plant.excursions(SITE.limits)  # from here on none may be broken
    return one
