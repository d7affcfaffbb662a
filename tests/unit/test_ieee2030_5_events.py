"""Which control is in force when, at the server and at the client."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.protocols.ieee2030_5.events import (
    Event,
    InForce,
    Status,
    Window,
    drawn,
    plan,
    status_at,
)

LIMIT = frozenset({"opModMaxLimW"})
FIXED = frozenset({"opModFixedW"})
OLD = Event(mrid="A", program="P", primacy=5, created=0, start=100, duration=100, modes=LIMIT)
NEW = replace(OLD, mrid="B", created=10, start=150)


def window(event: Event) -> Window:
    return Window(start=event.start, end=event.end)


def planned(*events: Event, now: int = 0) -> list[tuple[str, int, int]]:
    held = {e.mrid: (e, window(e)) for e in events}
    return [(piece.event.mrid, piece.start, piece.end) for piece in plan(held, now)]


# ---- status, as the server tells it


def test_an_event_is_scheduled_then_active() -> None:
    assert status_at(OLD, [OLD], 99).current is Status.SCHEDULED
    assert status_at(OLD, [OLD], 99).since == 0
    assert status_at(OLD, [OLD], 100).current is Status.ACTIVE
    assert status_at(OLD, [OLD], 100).since == 100


def test_an_event_is_active_from_the_earliest_start_that_randomisation_allows() -> None:
    early = replace(OLD, random_start=-30)
    assert status_at(early, [], 69).current is Status.SCHEDULED
    assert status_at(early, [], 70).current is Status.ACTIVE
    late = replace(OLD, random_start=30)
    assert status_at(late, [], 100).current is Status.ACTIVE


def test_an_event_that_starts_at_once_is_never_scheduled() -> None:
    at_once = replace(OLD, created=100, start=90)
    state = status_at(at_once, [], 100)
    assert (state.current, state.since) == (Status.ACTIVE, 100)


def test_a_cancelled_event_says_when_and_how() -> None:
    cancelled = replace(OLD, cancelled=120)
    assert status_at(cancelled, [], 130).current is Status.CANCELLED
    assert status_at(cancelled, [], 130).since == 120
    spread = replace(cancelled, cancelled_randomly=True)
    assert status_at(spread, [], 130).current is Status.CANCELLED_RANDOMLY


def test_a_newer_event_of_the_program_supersedes_from_its_earliest_start() -> None:
    new = replace(NEW, random_start=-20)
    assert status_at(OLD, [OLD, new], 129).current is Status.ACTIVE
    state = status_at(OLD, [OLD, new], 130)
    assert (state.current, state.since) == (Status.SUPERSEDED, 130)
    assert status_at(new, [OLD, new], 150).current is Status.ACTIVE


def test_an_event_created_while_the_other_runs_supersedes_at_once() -> None:
    sudden = replace(NEW, created=160, start=140)
    assert status_at(OLD, [sudden], 165).since == 160


def test_nothing_supersedes_across_programs() -> None:
    other = replace(NEW, program="Q", primacy=0)
    state = status_at(OLD, [other], 160)
    assert (state.current, state.potentially_superseded) == (Status.ACTIVE, False)


def test_another_control_at_the_same_time_supersedes_nothing() -> None:
    state = status_at(OLD, [replace(NEW, modes=FIXED)], 160)
    assert (state.current, state.potentially_superseded) == (Status.ACTIVE, False)


def test_a_newer_event_with_some_of_the_controls_supersedes_potentially() -> None:
    both = replace(OLD, modes=LIMIT | FIXED)
    assert status_at(both, [NEW], 5).potentially_superseded is False
    state = status_at(both, [NEW], 160)
    assert state.current is Status.ACTIVE
    assert (state.potentially_superseded, state.potentially_superseded_since) == (True, 10)


def test_a_newer_event_for_other_kinds_of_devices_supersedes_nothing() -> None:
    """The same deviceCategory and controls: EventStatus.currentStatus 4, Annex B."""
    ours, theirs = replace(OLD, category=0b01), replace(NEW, category=0b10)
    state = status_at(ours, [theirs], 160)
    assert (state.current, state.potentially_superseded) == (Status.ACTIVE, False)
    for takes_all in (0b01, 0b11, None):
        state = status_at(ours, [replace(NEW, category=takes_all)], 160)
        assert (state.current, state.potentially_superseded) == (Status.SUPERSEDED, False)


@pytest.mark.parametrize(("older", "newer"), [(None, 0b01), (0b11, 0b01)])
def test_a_newer_event_for_some_of_the_devices_supersedes_potentially(
    older: int | None, newer: int | None
) -> None:
    state = status_at(replace(OLD, category=older), [replace(NEW, category=newer)], 160)
    assert (state.current, state.potentially_superseded) == (Status.ACTIVE, True)


def test_events_that_only_touch_do_not_overlap() -> None:
    assert status_at(OLD, [replace(NEW, start=200)], 200).current is Status.ACTIVE


def test_an_event_cancelled_before_it_began_supersedes_nothing() -> None:
    assert status_at(OLD, [replace(NEW, cancelled=140)], 160).current is Status.ACTIVE
    assert status_at(OLD, [replace(NEW, cancelled=155)], 160).current is Status.SUPERSEDED


def test_what_is_superseded_stays_so_when_it_is_cancelled_later() -> None:
    assert status_at(replace(OLD, cancelled=180), [NEW], 190).current is Status.SUPERSEDED
    assert status_at(replace(OLD, cancelled=140), [NEW], 190).current is Status.CANCELLED


def test_of_two_events_created_together_the_larger_mrid_goes_first() -> None:
    twin = replace(NEW, created=0)
    assert status_at(OLD, [twin], 160).current is Status.SUPERSEDED
    assert status_at(twin, [OLD], 160).current is Status.ACTIVE


# ---- randomisation, as a device draws it


def test_without_randomisation_the_window_is_the_interval() -> None:
    assert drawn(OLD, Random(1).randint) == Window(start=100, end=200)


@given(start=st.integers(-3600, 3600), duration=st.integers(-3600, 3600), seed=st.integers(0, 99))
def test_a_drawn_window_stays_within_what_was_asked(start: int, duration: int, seed: int) -> None:
    event = replace(OLD, start=10_000, duration=600, random_start=start, random_duration=duration)
    window = drawn(event, Random(seed).randint)
    assert min(0, start) <= window.start - event.start <= max(0, start)
    length = window.end - window.start
    assert max(600 + min(0, duration), 0) <= length <= 600 + max(0, duration)
    assert event.earliest_start <= window.start
    assert window.end <= event.latest_end


def test_a_start_that_moves_takes_the_end_along() -> None:
    event = replace(OLD, random_start=40)
    assert drawn(event, lambda _, high: high) == Window(start=140, end=240)


def test_an_event_received_while_it_runs_starts_within_its_randomisation_from_then() -> None:
    event = replace(OLD, random_start=-40, random_duration=-20)
    late = drawn(event, lambda low, _: low, received=130)
    assert late == Window(start=170, end=180)
    assert drawn(event, lambda low, _: low, received=50) == Window(start=60, end=140)
    assert drawn(OLD, Random(1).randint, received=130) == Window(start=130, end=200)
    over = drawn(replace(event, random_start=-3600), lambda low, _: low, received=190)
    assert over.start == over.end


def test_a_cancelled_event_ends_at_once_and_a_randomly_cancelled_one_within_its_spread() -> None:
    event = replace(OLD, random_start=-20, random_duration=50, cancelled=120)
    assert drawn(event, lambda *_: 0).end == 120
    spread = replace(event, cancelled_randomly=True)
    assert drawn(spread, lambda _, high: high).end == 120 + 50


# ---- what a device follows, over all programs


def test_the_program_of_lower_primacy_goes_first_and_the_other_does_not_come_back() -> None:
    nested = replace(OLD, mrid="N", program="Q", primacy=1, start=120, duration=20)
    assert planned(OLD, nested) == [("A", 100, 120), ("N", 120, 140)]


def test_within_a_program_the_newer_event_ends_the_older_for_good() -> None:
    nested = replace(NEW, start=120, duration=20)
    assert planned(OLD, nested) == [("A", 100, 120), ("B", 120, 140)]


def test_the_older_event_of_the_program_waits_for_nothing_once_it_is_superseded() -> None:
    newer = replace(NEW, start=50, duration=60)
    assert planned(OLD, newer) == [("B", 50, 110)]


def test_among_programs_of_one_primacy_the_newer_event_goes_first() -> None:
    other = replace(NEW, program="Q")
    assert planned(OLD, other) == [("A", 100, 150), ("B", 150, 250)]


def test_different_controls_are_in_force_side_by_side() -> None:
    other = replace(NEW, modes=FIXED)
    assert planned(OLD, other) == [("A", 100, 200), ("B", 150, 250)]


def test_of_an_event_with_two_controls_only_the_one_that_is_free_is_in_force() -> None:
    both = replace(OLD, modes=LIMIT | FIXED)
    other = replace(OLD, mrid="N", program="Q", primacy=1, start=120, duration=20)
    pieces = plan({e.mrid: (e, window(e)) for e in (both, other)}, 0)
    assert [(p.event.mrid, p.start, p.end, p.modes) for p in pieces] == [
        ("A", 100, 120, LIMIT | FIXED),
        ("N", 120, 140, LIMIT),
        ("A", 120, 140, FIXED),
        ("A", 140, 200, LIMIT | FIXED),
    ]


def test_what_is_over_is_not_planned() -> None:
    assert planned(OLD, now=150) == [("A", 150, 200)]
    assert planned(OLD, now=200) == []


EVENTS = st.lists(
    st.builds(
        Event,
        mrid=st.integers(0, 10**6).map(str),
        program=st.sampled_from(["P", "Q", "R"]),
        primacy=st.just(0),
        created=st.integers(0, 50),
        start=st.integers(0, 60),
        duration=st.integers(1, 40),
        modes=st.frozensets(st.sampled_from(["a", "b", "c"]), min_size=1),
    ),
    max_size=6,
    unique_by=lambda e: e.mrid,
).map(lambda made: [replace(e, primacy={"P": 1, "Q": 1, "R": 3}[e.program]) for e in made])


@given(EVENTS, st.integers(0, 100))
def test_a_mode_has_one_event_at_a_time_the_first_of_those_not_superseded(
    events: list[Event], now: int
) -> None:
    pieces = plan({e.mrid: (e, window(e)) for e in events}, now)
    for second, expected in by_brute_force(events, now).items():
        here = [p for p in pieces if p.start <= second < p.end]
        assert sum(len(p.modes) for p in here) == len(expected)
        assert {m: p.event.mrid for p in here for m in p.modes} == expected


def by_brute_force(events: list[Event], now: int) -> dict[int, dict[str, str]]:
    """Second by second: who has each mode, of those that nobody has wholly displaced yet."""
    gone: set[str] = set()
    held: dict[int, dict[str, str]] = {}
    order = sorted(events, key=lambda e: e.mrid, reverse=True)
    order.sort(key=lambda e: (e.primacy, -e.created))
    for second in range(now, 110):
        held[second] = {}
        for event in order:
            if event.mrid in gone or not event.start <= second < event.end:
                continue
            free = [mode for mode in event.modes if mode not in held[second]]
            held[second] |= dict.fromkeys(free, event.mrid)
            if not free:
                gone.add(event.mrid)
    return held


def test_pieces_say_from_when_to_when() -> None:
    [piece] = plan({"A": (OLD, window(OLD))}, 0)
    assert piece == InForce(event=OLD, start=100, end=200, modes=LIMIT)


@pytest.mark.parametrize("now", [0, 150])
def test_an_event_without_controls_is_in_force_nowhere(now: int) -> None:
    empty = replace(OLD, modes=frozenset())
    assert planned(empty, now=now) == []
