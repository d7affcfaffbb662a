"""Fault drills: a device goes wrong while the service runs over real sockets; what is expected.

The plant is the truth: whatever the drill, no limit of the feeder is broken from the moment the
service can know of it, nobody is written to who must not be, and the other devices are controlled.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sunspec2.modbus import client

from ems.clock import INTERVAL, SteppedClock, interval_start
from ems.cycle import run_cycle
from ems.daemon import Service
from ems.domain import (
    CycleRecord,
    DeviceAddress,
    Outcome,
    Partial,
    Policy,
    Pv,
    Quality,
    Refused,
    Sent,
    Watched,
)
from ems.gateways.sunspec import SunSpecField
from ems.plant import Misbehaviour, Plant
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


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Drill] = []
    with closing(Store.open(tmp_path / "geems.sqlite")) as store:

        def drill(
            addresses: Callable[[str, DeviceAddress], DeviceAddress] = lambda _, at: at,
        ) -> Drill:
            made.append(Drill(store, addresses))
            return made[-1]

        yield drill
        for one in made:
            one.close()


@pytest.fixture
def drill(make: Make) -> Drill:
    """In control: everything written, read back and followed."""
    one = make()
    one.cycle()
    one.live(60)
    assert one.last.alarms == ()
    assert one.service.health().alarms == ()
    assert {d.response for n, d in one.service.health().devices.items() if n != "load"} == {
        "followed"
    }
    one.plant.excursions(SITE.limits)  # from here on none may be broken
    return one


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What one drill must come to, at the first decision after it."""

    device: str
    how: Misbehaviour | str
    outcome: type[Outcome]
    said: str
    """What the operator is told."""
    quality: Quality = Quality.GOOD


DRILLS = [
    Expected(device="dg", how="dead", outcome=Refused, quality=Quality.STALE, said="no connection"),
    Expected(device="dg", how=Misbehaviour.SLOW, outcome=Refused, quality=Quality.STALE,
             said="no answer within 0.4 s"),
    Expected(device="bes", how=Misbehaviour.BLIND, outcome=Refused, quality=Quality.STALE,
             said="reads as not available (NaN)"),
    Expected(device="pv", how=Misbehaviour.WRONG_SCALE, outcome=Refused, quality=Quality.STALE,
             said="rated 10000 kW"),
    Expected(device="bes", how=Misbehaviour.LOCAL, outcome=Refused, said="under local control"),
    Expected(device="dg", how=Misbehaviour.FROZEN, outcome=Refused, quality=Quality.STALE,
             said="its heartbeat has stood still"),
]  # fmt: skip


@pytest.mark.parametrize("expected", DRILLS, ids=lambda e: f"{e.device} {e.how}")
def test_a_device_that_cannot_be_counted_on_is_told_and_the_others_make_room(
    drill: Drill, expected: Expected
) -> None:
    if expected.how == "dead":
        drill.plant.unplug(expected.device)
    else:
        drill.plant.misbehave(expected.device, Misbehaviour(expected.how))
    drill.live(200)
    assert len(drill.records) == 2, "one decision, before it was time"
    record = drill.last
    outcome = record.outcomes[expected.device]
    assert isinstance(outcome, expected.outcome)
    assert expected.said in drill.alarms
    assert record.snapshot.ders[expected.device].quality is expected.quality
    others = [o for name, o in record.outcomes.items() if name != expected.device]
    assert all(isinstance(o, Sent) for o in others)
    drill.live(400)  # beyond its reversion time: it has fallen back
    assert drill.broken() == []
    truth = drill.plant.truth()
    assert truth.q_kvar[expected.device] == 0.0
    # Mended, it takes part again from the next cycle on.
    if expected.how == "dead":
        drill.plant.replug(expected.device)
    else:
        drill.plant.misbehave(expected.device, None)
    mended = drill.next_cycle()
    assert isinstance(mended.outcomes[expected.device], Sent)
    drill.live(60)
    assert drill.broken() == []
    assert drill.service.health().alarms == ()


def test_a_device_that_acknowledges_and_does_nothing_is_found_out_by_its_measurement(
    drill: Drill,
) -> None:
    """The battery goes on discharging, whatever it is told and shows in its registers."""
    drill.plant.misbehave("bes", Misbehaviour.STUCK)
    drill.live((START + INTERVAL - drill.clock.now()).total_seconds())
    assert drill.service.health().devices["bes"].response == "followed", "asked for what it does"
    drill.shade(2000.0)
    drill.cycle()
    wanted_kvar = drill.last.secured.dispatch.setpoints["bes"].q_kvar
    assert abs(wanted_kvar - drill.plant.truth().q_kvar["bes"]) > 50.0, "asked for something else"
    drill.live(90)
    outcome = drill.last.outcomes["bes"]
    assert isinstance(outcome, Partial)
    assert outcome.readback is not None, "its registers say otherwise"
    assert "bes: does not follow: acknowledged, but for" in drill.alarms
    assert drill.service.health().devices["bes"].response == "ignored"
    pinned = drill.last.secured.dispatch.setpoints["bes"]
    assert pinned.q_kvar == pytest.approx(drill.plant.truth().q_kvar["bes"], abs=0.1)
    drill.live(300)
    assert drill.broken() == []
    drill.plant.misbehave("bes", None)
    drill.live(30)
    assert drill.service.health().devices["bes"].response == "followed"
    assert isinstance(drill.next_cycle().outcomes["bes"], Sent)


def test_a_wrong_scale_that_could_be_true_is_found_out_because_it_does_not_follow(
    drill: Drill,
) -> None:
    """The generator makes some hundred kilowatts and shows ten times as much: it has the size."""
    drill.plant.misbehave("dg", Misbehaviour.WRONG_SCALE)
    drill.live(90)
    assert isinstance(drill.last.outcomes["dg"], Partial)
    assert "dg: does not follow" in drill.alarms
    drill.live(300)
    assert drill.broken() == []


def test_a_device_that_applies_no_write_holds_something_else_than_it_was_asked(
    drill: Drill,
) -> None:
    drill.plant.misbehave("bes", Misbehaviour.DEAF)
    drill.shade(2000.0)
    record = drill.cycle()
    outcome = record.outcomes["bes"]
    assert isinstance(outcome, Partial)
    assert "asked" in outcome.reason
    assert "held" in outcome.reason
    assert isinstance(record.outcomes["pv"], Sent)
    drill.live(600)  # its timer has run out
    assert drill.plant.truth().p_kw["bes"] == 0.0
    assert drill.broken() == []


def test_a_device_that_does_not_take_a_refresh_is_found_out_before_it_falls_back(
    drill: Drill,
) -> None:
    """Its registers read back as asked, being what they were; only its timer was not started."""
    fell = drill.clock.now() + timedelta(seconds=POLICY.reversion_s)
    drill.plant.misbehave("bes", Misbehaviour.DEAF)
    drill.live(POLICY.reversion_s - 2 * POLL_S)
    assert drill.clock.now() < fell
    assert len(drill.records) == 2, "decided again"
    outcome = drill.last.outcomes["bes"]
    assert isinstance(outcome, Partial)
    assert "the timer was not started anew" in outcome.reason
    assert isinstance(drill.last.outcomes["pv"], Sent)
    assert "the other DERs made room" in drill.alarms
    drill.live(300)
    assert drill.plant.truth().p_kw["bes"] == 0.0, "it fell back"
    assert drill.broken() == []


def test_a_busy_device_is_asked_again_and_stays_in_control(drill: Drill) -> None:
    for _ in range(3):
        drill.plant.misbehave("bes", Misbehaviour.BUSY, requests=2)
        drill.live(60)
    assert isinstance(drill.last.outcomes["bes"], Sent)
    drill.live(10)
    assert drill.service.health().devices["bes"].response == "followed"
    assert drill.service.health().alarms == ()
    assert drill.broken() == []


def test_a_device_that_restarted_has_lost_its_cap_and_is_commanded_anew_within_a_poll(
    drill: Drill,
) -> None:
    drill.live(60)
    drill.broken()
    drill.plant.misbehave("pv", Misbehaviour.REBOOT)
    drill.live(10)
    assert len(drill.records) == 2
    assert isinstance(drill.last.outcomes["pv"], Sent)
    drill.plant.advance_to(drill.clock.now())
    drill.broken()  # without a cap for ten seconds, which nobody outside the device prevents
    drill.live(300)
    assert drill.broken() == []
    assert drill.service.health().alarms == ()


@pytest.mark.parametrize("name", ["bes", "dg"])
def test_a_device_whose_controls_are_off_after_a_restart_is_commanded_anew_within_a_poll(
    drill: Drill, name: str
) -> None:
    drill.plant.misbehave(name, Misbehaviour.REBOOT)
    drill.live(10)
    assert len(drill.records) == 2
    assert isinstance(drill.last.outcomes[name], Sent)
    drill.live(300)
    assert drill.broken() == []
    assert drill.service.health().alarms == ()


def caps(drill: Drill, percent: float | None) -> None:
    """Another client writes a cap into the plant, or lifts it."""
    at = drill.there["pv"]
    device = client.SunSpecModbusClientDeviceTCP(
        slave_id=at.unit, ipaddr=at.host, ipport=at.port, timeout=5
    )
    try:
        device.scan()
        controls = device.DERCtlAC[0]
        if percent is not None:
            controls.WMaxLimPct.cvalue = percent
        controls.WMaxLimPctEna.value = int(percent is not None)
        controls.write()
    finally:
        device.close()


def test_a_lower_cap_that_somebody_else_wrote_is_not_raised_until_it_is_lifted(
    drill: Drill,
) -> None:
    """Not even when our own timer, that still ran, has put the reversion value in its place."""
    caps(drill, 20.0)
    drill.live(90)
    outcome = drill.last.outcomes["pv"]
    assert isinstance(outcome, Refused)
    assert outcome.reason == "held at 2000 kW by somebody else; lift that limit at the device"
    assert "pv: not written: held at 2000 kW by somebody else" in drill.alarms
    assert drill.plant.truth().p_kw["pv"] <= 2000.0
    for _ in range(2):
        record = drill.next_cycle()
        assert isinstance(record.outcomes["pv"], Refused)
        assert drill.plant.truth().p_kw["pv"] <= 2000.0
    assert drill.broken() == []
    caps(drill, None)
    drill.live(20)
    assert isinstance(drill.last.outcomes["pv"], Sent), "free at once"
    drill.live(40)
    assert drill.service.health().alarms == ()


def test_a_device_that_restarts_in_the_middle_of_a_write_is_in_doubt_and_then_commanded_anew(
    make: Make,
) -> None:
    """The write arrives, the connection breaks before the answer, the controls are off again."""
    cut: list[Cut] = []

    def between(name: str, at: DeviceAddress) -> DeviceAddress:
        if name != "bes":
            return at
        cut.append(Cut(at))
        return replace(at, port=cut[0].port)

    drill = make(between)
    drill.cycle()
    drill.live(50)
    drill.broken()
    cut[0].at_next_write(lambda: drill.plant.misbehave("bes", Misbehaviour.REBOOT))
    try:
        drill.live(10)  # a refresh is due
        assert cut[0].done.is_set()
        assert len(drill.records) == 2
        watched = drill.last.watched
        assert watched is not None
        held = watched.in_force["bes"]
        assert held.earliest < held.latest, "it may have got the refresh, or not"
        drill.live(120)
        assert isinstance(drill.last.outcomes["bes"], Sent)
        assert drill.service.health().devices["bes"].response == "followed"
        assert drill.service.health().alarms == ()
        assert drill.broken() == []
    finally:
        cut[0].close()


def test_a_wrong_unit_is_never_heard_and_anything_the_device_can_do_is_reckoned_with(
    make: Make,
) -> None:
    drill = make(lambda name, at: replace(at, unit=9) if name == "bes" else at)
    record = drill.cycle()
    assert isinstance(record.outcomes["bes"], Refused)
    assert record.snapshot.ders["bes"].quality is Quality.ASSUMED
    assert "anything it can do is reckoned with" in drill.alarms
    assert isinstance(record.outcomes["pv"], Sent)
    drill.plant.excursions(SITE.limits)
    drill.live(300)
    assert drill.broken() == []
    assert len(drill.records) == 1


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
