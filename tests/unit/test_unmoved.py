"""What a device may be doing that cannot be commanded."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ems.clock import INTERVAL
from ems.domain import (
    Command,
    CycleRecord,
    Ignored,
    InForce,
    Partial,
    Quality,
    Readback,
    Sent,
    Setpoint,
    Snapshot,
    Unmoved,
    Watched,
)
from ems.record import from_json
from ems.unmoved import (
    HOLD_OVER_S,
    MARGIN_S,
    after_writes,
    disobeying,
    left_behind,
    refreshed,
    unconfirmed,
    unmoved,
)
from tests.sites import NOW, segment, snapshot
from tests.unit.test_record import SAMPLE

SITE = segment()
CAPPED = Setpoint(der="pv", p_kw=5000.0, q_kvar=0.0, cap_kw=5000.0)
TOLD = Command(der="pv", p_kw=None, q_kvar=0.0, cap_kw=5000.0, reversion_kw=1000.0, reversion_s=300)
READBACK = Readback(p_kw=None, q_kvar=0.0, cap_kw=5000.0)


def seconds(s: float) -> timedelta:
    return timedelta(seconds=s)


def seen(**changes: object) -> Snapshot:
    """Everything measured well, but for the PV plant."""
    at = snapshot(SITE)
    return replace(at, ders={**at.ders, "pv": replace(at.ders["pv"], **changes)})  # type: ignore[arg-type]


def silent(held: InForce) -> Unmoved:
    now = seen(quality=Quality.STALE, note="gone")
    return unmoved(SITE, now, {"pv": held})["pv"]


def caps(of: Unmoved) -> tuple[float | None, float, float]:
    """Widest cap, most and least power."""
    return of.high.cap_kw, of.high.p_kw, of.low.p_kw


def written(ago_s: float) -> InForce:
    return refreshed(None, CAPPED, TOLD, NOW - seconds(ago_s), READBACK)


def test_a_device_that_falls_silent_holds_its_last_refresh_or_falls_back_meanwhile() -> None:
    assert caps(silent(written(10))) == (5000.0, 5000.0, 1000.0)


def test_long_after_its_last_refresh_it_has_fallen_back() -> None:
    assert caps(silent(written(300 + MARGIN_S))) == (1000.0, 1000.0, 1000.0)


def test_a_refresh_that_was_not_confirmed_leaves_both_possible() -> None:
    """The timer may run from the last one that was, or from the one that was not."""
    early = written(350)
    late = refreshed(early, CAPPED, TOLD, NOW - seconds(290), None)
    assert late.setpoints == (CAPPED,)
    assert (late.earliest, late.latest) == (NOW - seconds(50), NOW + seconds(10))
    assert caps(silent(late)) == (5000.0, 5000.0, 1000.0)
    assert silent(replace(late, reverts_until=late.earliest - seconds(60))).high.cap_kw == 1000.0


def test_a_write_that_was_not_confirmed_leaves_old_and_new_values_until_the_last_timer_ends() -> (
    None
):
    old = written(200)
    wider = replace(CAPPED, cap_kw=7000.0)
    found = after_writes(
        {"pv": old}, {"pv": wider},
        {"pv": Partial(command=replace(TOLD, cap_kw=7000.0), reason="no answer")}, NOW,
    )["pv"]  # fmt: skip
    assert {s.cap_kw for s in found.setpoints} == {5000.0, 7000.0}
    assert (found.earliest, found.latest) == (NOW + seconds(100), NOW + seconds(300))


def test_a_step_on_the_way_is_what_a_generator_holds() -> None:
    asked = Command(
        der="dg", p_kw=550.0, q_kvar=-40.0, cap_kw=None, reversion_kw=0.0, reversion_s=300
    )
    outcome = Sent(command=asked, readback=Readback(p_kw=550.0, q_kvar=-40.0, cap_kw=None))
    target = Setpoint(der="dg", p_kw=2000.0, q_kvar=-40.0)
    held = after_writes({}, {"dg": target}, {"dg": outcome}, NOW)["dg"]
    assert held.setpoints == (replace(target, p_kw=550.0),)


def test_what_a_process_left_behind_may_have_been_refreshed_until_its_decision_lapsed() -> None:
    record: CycleRecord = from_json(SAMPLE)
    held = record.in_force["pv"]
    left = left_behind(record, record.snapshot.time)["pv"]
    lapsed = record.start + INTERVAL + seconds(HOLD_OVER_S)
    assert left.earliest == held.earliest
    assert left.latest == lapsed + (held.earliest - held.written)


@pytest.mark.parametrize("down", [seconds(0), timedelta(hours=3), timedelta(days=9000)])
def test_however_long_ago_the_clock_says_it_was_left_it_may_hold_its_command_for_a_timer_more(
    down: timedelta,
) -> None:
    """The clock may have been set forward while nobody ran."""
    record: CycleRecord = from_json(SAMPLE)
    held, timer = {"pv": written(0)}, seconds(TOLD.reversion_s)
    record = replace(
        record, start=NOW, in_force=held, snapshot=replace(record.snapshot, time=NOW)
    )  # fmt: skip
    began = NOW + down
    left = left_behind(record, began)
    assert left["pv"].earliest == held["pv"].earliest
    for later, widest in ((seconds(0), 5000.0), (timer + seconds(MARGIN_S - 1), 5000.0)):
        at = replace(seen(quality=Quality.STALE, note="gone"), time=began + later)
        assert caps(unmoved(SITE, at, left)["pv"]) == (widest, 5000.0, 1000.0)
    lapsed = INTERVAL + seconds(HOLD_OVER_S) + timer + seconds(MARGIN_S)
    at = replace(seen(quality=Quality.STALE, note="gone"), time=began + lapsed)
    assert caps(unmoved(SITE, at, left)["pv"]) == (1000.0, 1000.0, 1000.0)


def test_what_had_fallen_back_when_the_last_record_was_made_is_not_thought_to_hold_again() -> None:
    record: CycleRecord = from_json(SAMPLE)
    long_ago = written(7 * 3600)
    record = replace(
        record, start=NOW - timedelta(hours=7), in_force={"pv": long_ago},
        snapshot=replace(record.snapshot, time=NOW),
    )  # fmt: skip
    at = seen(quality=Quality.STALE, note="gone")
    assert caps(unmoved(SITE, at, left_behind(record, NOW))["pv"]) == (1000.0, 1000.0, 1000.0)


@pytest.mark.parametrize(
    ("cap_kw", "counts"),
    [(7953.0, 7953.0), (7000.0, None)],
)
def test_under_local_control_a_device_stays_as_it_shows_itself_and_a_cap_counts_if_it_keeps_it(
    cap_kw: float, counts: float | None
) -> None:
    at = seen(local=True, cap_kw=cap_kw)
    found = unmoved(SITE, at, {"pv": written(10)})["pv"]
    assert found.expected.p_kw == 7953.0
    assert found.high.cap_kw == counts
    assert "under local control" in disobeying(at, None)["pv"]


def test_one_that_does_not_follow_does_what_it_shows_or_what_it_was_asked_or_falls_back() -> None:
    watched = Watched(responses={"pv": Ignored(reason="it makes 7953 kW")})
    at = seen(cap_kw=5000.0)  # its registers say so, its power does not
    found = unmoved(SITE, at, {"pv": written(10)}, watched)["pv"]
    assert found.expected.cap_kw is None
    assert caps(found) == (None, 7953.0, 1000.0)
    assert list(unmoved(SITE, at, {}, watched)) == ["pv"]


def test_one_that_is_silent_is_judged_by_its_timer_not_by_how_it_followed() -> None:
    watched = Watched(responses={"pv": Ignored(reason="it makes 7953 kW")})
    at = seen(quality=Quality.STALE, note="gone")
    assert disobeying(at, watched) == {}
    assert caps(unmoved(SITE, at, {"pv": written(10)}, watched)["pv"])[0] == 5000.0


def test_a_first_write_that_was_not_confirmed_makes_no_device_ours() -> None:
    """It may hold the new cap, go on as it shows itself, or fall back: and no timer ends that."""
    outcome = Partial(command=TOLD, reason="no answer")
    outcomes = dict.fromkeys(("pv",), outcome) | {
        name: Sent(command=TOLD, readback=READBACK) for name in ("dg", "bes")
    }
    held = after_writes({}, dict.fromkeys(SITE.names, CAPPED), outcomes, NOW)
    assert "pv" not in held
    found = unconfirmed(SITE, snapshot(SITE), outcomes, held)["pv"]
    assert found.high.cap_kw is None
    assert found.high.p_kw == 7953.0
    assert found.low.p_kw == 1000.0


def test_one_that_does_what_somebody_else_asks_may_do_anything_it_can() -> None:
    asked = Command(
        der="bes", p_kw=20.0, q_kvar=0.0, cap_kw=None, reversion_kw=0.0, reversion_s=300
    )
    outcomes = {
        name: Sent(command=TOLD, readback=READBACK) for name in ("pv", "dg")
    } | {"bes": Partial(command=asked, reason="Response 14", contested=True)}  # fmt: skip
    found = unconfirmed(SITE, snapshot(SITE), outcomes, {})["bes"]
    rated_kw = SITE.bess[0].rated_kw
    assert (found.low.p_kw, found.high.p_kw) == (-rated_kw, rated_kw)


def test_a_device_without_a_timer_holds_its_last_command_however_long_it_is_silent() -> None:
    kept = refreshed(None, CAPPED, TOLD, NOW - timedelta(days=1), replace(READBACK, reverts=False))
    assert caps(silent(kept)) == (5000.0, 5000.0, 1000.0)
    assert silent(kept).expected == CAPPED
