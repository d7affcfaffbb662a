"""Fault drills: a device goes wrong while the service runs over real sockets; what is expected.

The plant is the truth: whatever the drill, no limit of the feeder is broken from the moment the
service can know of it, nobody is written to who must not be, and the other devices are controlled.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from ems.clock import INTERVAL
from ems.domain import (
    Outcome,
    Partial,
    Quality,
    Refused,
    Sent,
)
from ems.plant import Misbehaviour
from tests.protocol.drills import POLICY, POLL_S, SITE, START, Drill, Make, drills, in_control


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with drills(tmp_path) as made:
        yield made


@pytest.fixture
def drill(make: Make) -> Drill:
    return in_control(make)


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
