"""Drills over real sockets: a device restarts, or somebody else commands it.

As in `test_fault_drills`, the plant is the truth: no limit of the feeder is broken from the moment
the service can know of it.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sunspec2.modbus import client

from ems.domain import (
    DeviceAddress,
    Refused,
    Sent,
)
from ems.plant import Misbehaviour
from tests.protocol.drills import Cut, Drill, Make, drills, in_control


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with drills(tmp_path) as made:
        yield made


@pytest.fixture
def drill(make: Make) -> Drill:
    return in_control(make)


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
