"""What a device follows, second by second, against a plain account of the rules.

Events of one and of two programs, drawn windows, polls and restarts at any time, and what a server
says of them meanwhile.
"""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import event as noted
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.enddevice.programs import ReadControl, ReadDefault, ReadProgram, values_of
from ems.enddevice.schedule import Schedule, Turn
from ems.protocols.ieee2030_5 import events, sep

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
W, LIMIT = "opModFixedW", "opModMaxLimW"
LAST_S = 320
"""All events are over by then: 90 + 60, randomisation of 100, a clock set back by 60 [s]."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """An event at its server, and what becomes of it there."""

    event: events.Event
    withdrawn: int | None = None
    """When it is cancelled [s]."""
    randomly: bool = False
    changed: int | None = None
    """When it is set to other values [s]."""

    def at(self, now: int) -> events.Event:
        if self.withdrawn is None or now < self.withdrawn:
            return self.event
        return replace(self.event, cancelled=self.withdrawn, cancelled_randomly=self.randomly)

    def values(self, now: int) -> dict[str, int]:
        more = 1000 if self.changed is not None and now >= self.changed else 0
        return {mode: int(self.event.mrid, 16) + more for mode in sorted(self.event.modes)}


@dataclass(frozen=True, kw_only=True)
class World:
    """Programs and their events, and when a device looks at them."""

    published: Sequence[Published]
    defaults: Sequence[Sequence[str]]
    """Modes of the default control of each program."""
    polls: frozenset[int]
    restarts: frozenset[int]
    kept_s: int
    """How long its server lists an event that is over [s]."""

    def listed(self, now: int) -> list[tuple[Published, events.EventState]]:
        """What is there, and how its server sees it."""
        there = [
            p for p in self.published if p.event.created <= now < p.event.latest_end + self.kept_s
        ]
        all_ = [p.at(now) for p in self.published if p.event.created <= now]
        return [(p, events.status_at(p.at(now), all_, now)) for p in there]

    def programs(self, now: int) -> list[ReadProgram]:
        return [
            ReadProgram(
                mrid=f"P{primacy}",
                primacy=primacy,
                controls=tuple(
                    _read(p, state, now)
                    for p, state in self.listed(now)
                    if p.event.primacy == primacy
                ),
                default=_default(primacy, modes),
            )
            for primacy, modes in enumerate(self.defaults)
        ]


def _read(published: Published, state: events.EventState, now: int) -> ReadControl:
    told = published.event
    base = sep.DERControlBase.model_validate(published.values(now))
    made = sep.DERControl(
        mRID=told.mrid,
        replyTo="/rsps/1/r",
        responseRequired="03",
        creationTime=told.created,
        EventStatus_=sep.EventStatus(
            currentStatus=state.current,
            dateTime=state.since,
            potentiallySuperseded=state.potentially_superseded,
        ),
        interval=sep.DateTimeInterval(start=told.start, duration=told.duration),
        randomizeStart=told.random_start or None,
        randomizeDuration=told.random_duration or None,
        DERControlBase_=base,
    )
    return ReadControl(control=made, values=values_of(base, {}))


def _default(primacy: int, modes: Sequence[str]) -> ReadDefault | None:
    if not modes:
        return None
    base = sep.DERControlBase.model_validate(dict.fromkeys(modes, 9000 + primacy))
    made = sep.DefaultDERControl(mRID=f"{primacy:031X}D", DERControlBase_=base)
    return ReadDefault(control=made, values=values_of(base, {}))


@st.composite
def worlds(
    draw: st.DrawFn, *, programs: int, modes: Sequence[str] = (LIMIT,), changes: bool = False
) -> World:
    spread = st.just(0) | st.integers(-50, 50)
    start = st.integers(0, 9).map(lambda n: 10 * n) | st.integers(0, 90)
    duration = st.integers(1, 6).map(lambda n: 10 * n) | st.integers(1, 60)
    instant = st.none() | st.integers(0, 150) if changes else st.none()
    published = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        primacy = draw(st.integers(0, programs - 1))
        made = events.Event(
            mrid=f"{number:032X}",
            program=f"P{primacy}",
            primacy=primacy,
            created=draw(st.integers(0, 100)),
            start=draw(start),
            duration=draw(duration),
            random_start=draw(spread),
            random_duration=draw(spread),
            modes=draw(st.frozensets(st.sampled_from(modes), min_size=1)),
        )
        withdrawn = draw(instant)
        published.append(
            Published(
                event=made,
                withdrawn=None if withdrawn is None else max(withdrawn, made.created),
                randomly=draw(st.booleans()),
                changed=draw(instant),
            )
        )
    return World(
        published=published,
        defaults=draw(
            st.lists(
                st.lists(st.sampled_from(modes), unique=True),
                min_size=programs,
                max_size=programs,
            )
        ),
        polls=draw(st.frozensets(st.integers(0, 160), max_size=12)) | {0},
        restarts=draw(st.frozensets(st.integers(1, 160), max_size=2)),
        # A clock that is set is a minute apart from the server's.
        kept_s=60 if changes else draw(st.sampled_from([0, 60])),
    )


# --- the plain account ---------------------------------------------------------------------------


@dataclass(kw_only=True)
class Known:
    """An event as a device knows it."""

    event: events.Event
    window: events.Window
    superseded: bool
    over: bool = False
    started: bool = False
    said: list[int] = field(default_factory=list)


def _newer(one: Known, other: Known) -> bool:
    return (
        one.event.program == other.event.program
        and (one.event.created, one.event.mrid) > (other.event.created, other.event.mrid)
        and events.overlap(one.event, other.event)
    )


def _later(one: Known, other: Known) -> bool:
    return other.event.end <= one.event.start and one.event.primacy <= other.event.primacy


class Account:
    """All events ask for the same: at most one of each program runs."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}

    def _alive(self) -> list[Known]:
        found = [k for k in self.known.values() if not k.over]
        found.sort(key=lambda k: (k.event.created, k.event.mrid), reverse=True)
        return sorted(found, key=lambda k: k.event.primacy)

    def _ends(self, one: Known) -> int:
        """When it ends by itself, or by a later one."""
        starts = [
            k.window.start
            for k in self._alive()
            if _later(k, one) and k.window.start < k.window.end
        ]
        return max(min([one.window.end, *starts]), one.window.start)

    def _runs(self, one: Known) -> bool:
        return not one.over and one.window.start < self._ends(one)

    def _kept(self, one: Known) -> int:
        """When the first one starts up to which the state is kept."""
        if one.window.start == one.window.end:
            return 0  # there is none
        return min(
            (
                k.window.start
                for k in self._alive()
                if k.window.start < k.window.end
                and k.event.program == one.event.program
                and (_newer(k, one) or k.event.start == one.event.end)
            ),
            default=0,
        )

    def said(self) -> dict[str, list[int]]:
        return {mrid: one.said for mrid, one in self.known.items() if one.said}

    def learn(self, listed: Iterable[tuple[Published, events.EventState]], now: int) -> None:
        fresh = []
        for published, state in listed:
            told = published.event
            superseded = state.current == events.Status.SUPERSEDED
            if told.mrid in self.known:
                self.known[told.mrid].superseded = superseded
                continue
            draw = random.Random(LFDI + told.mrid).randint
            window = events.drawn(told, draw, now)
            self.known[told.mrid] = one = Known(event=told, window=window, superseded=superseded)
            fresh.append(one)
        expired, ends = [], {k.event.mrid: self._over_at(k) for k in self._alive()}
        for one in [k for k in self._alive() if k in fresh]:
            until = min(
                (k.window.start for k in self._alive() if _newer(k, one) and self._runs(k)),
                default=None,
            )
            if one.superseded and (until is None or until <= max(now, one.window.start)):
                one.over = True
            elif ends[one.event.mrid] <= now:
                expired.append(one)
            else:
                one.said = [1]
        for one in expired:
            self._end(one, 254)

    def _last(self, one: Known) -> int:
        starts = [
            k.window.start
            for k in self._alive()
            if _later(k, one) and k.window.start < k.window.end
        ]
        return max(min([self._kept(one), *starts]), one.window.start)

    def at(self, now: int) -> int | None:
        """What is in force, of the program that goes first."""
        runs = {k.event.mrid: (self._runs(k), self._ends(k)) for k in self._alive()}
        for one in self._alive():
            self._taken(one, runs, now)
        for one in self._alive():
            if not one.started and self._begins(one) > now:
                continue
            if not one.started:
                one.started = True
                one.said.append(2)
            if self._over_at(one) <= now:
                self._end(one, 3)
        running = [k.event for k in self._alive() if k.started]
        assert len({e.program for e in running}) == len(running)
        return next((int(e.mrid, 16) for e in running), None)

    def _begins(self, one: Known) -> int:
        """Its own start, or the end of one of a program that goes first, whose time it was."""
        waits = [
            until
            for k in self._alive()
            if k.event.primacy < one.event.primacy
            and k.event.end <= one.event.start
            and k.window.start <= one.window.start < (until := self._over_at(k))
        ]
        return min(max([one.window.start, *waits]), max(self._over_at(one), one.window.start))

    def _over_at(self, one: Known) -> int:
        return max(self._ends(one), self._last(one))

    def _taken(self, one: Known, runs: dict[str, tuple[bool, int]], now: int) -> None:
        newer = [k for k in self._alive() if _newer(k, one) and runs[k.event.mrid][0]]
        if one.superseded and not newer:
            self._end(one, 7)
        for other in self._alive():
            able, ends = runs[other.event.mrid]
            if not able or one.over:
                continue
            if other in newer and other.window.start <= now:
                self._end(one, 7)
            elif (
                other.event.primacy < one.event.primacy
                and events.overlap(other.event, one.event)
                and other.window.start < one.window.end
                and one.window.start < ends
                and (not one.started or other.window.start <= now)
            ):
                self._end(one, 7 if one.started else 14)

    def _end(self, one: Known, status: int) -> None:
        one.over = True
        one.said.append(status)


# --- what is promised ----------------------------------------------------------------------------


def refuses_nothing(_control: object) -> None:
    return None


class Device:
    def __init__(self) -> None:
        self.schedule = Schedule(LFDI, refuses_nothing)
        self.said: dict[str, list[int]] = {}

    def at(self, now: int) -> Turn:
        turn = self.schedule.advance(now)
        for answer in turn.answers:
            self.said.setdefault(answer.subject, []).append(int(answer.status))
        return turn


def follow_like_the_account(world: World) -> None:
    device, account = Device(), Account()
    for now in range(LAST_S):
        if now in world.restarts:
            device, account = Device(), Account()
        if now in world.polls or now in world.restarts:
            device.schedule.learn(world.programs(now), now)
            account.learn(world.listed(now), now)
        turn, expected = device.at(now), account.at(now)
        if expected is None:
            expected = next((9000 + n for n, m in enumerate(world.defaults) if m), None)
        assert turn.control.value(LIMIT) == expected, now
        assert device.said == account.said(), now
    for said in device.said.values():
        noted(str(said))


@settings(max_examples=300, deadline=None)  # an example is 260 turns; a loaded machine's pace
@given(world=worlds(programs=1))
def test_of_one_program_a_device_follows_what_the_rules_say_at_every_second(world: World) -> None:
    follow_like_the_account(world)


@settings(max_examples=300, deadline=None)  # as above
@given(world=worlds(programs=2))
def test_of_two_programs_a_device_follows_what_the_rules_say_at_every_second(world: World) -> None:
    follow_like_the_account(world)


# --- several modes, and servers that change their minds ------------------------------------------

WHOLE = re.compile("254|1 (2 )?[367]|1 14")
"""The Responses to an event, from the first to the last."""


class Watched(Device):
    """What a device must have known, beside what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}
        self.told: dict[str, tuple[Published, events.Event, events.Window, dict[str, int]]] = {}

    def read(self, world: World, clock: int, now: int) -> None:
        self.schedule.learn(world.programs(clock), now)
        for published, _ in world.listed(clock):
            told = published.at(clock)
            first = self.seen.setdefault(told.mrid, now)
            draw = random.Random(LFDI + told.mrid).randint
            window = events.drawn(told, draw, first)
            self.told[told.mrid] = published, told, window, published.values(clock)

    def over(self, mrid: str) -> bool:
        return mrid not in self.said or self.said[mrid][-1] > 2

    def check(self, turn: Turn, default: Sequence[Sequence[str]], now: int) -> None:
        ordered = turn.control.ordered
        for mode, one in ordered.items():
            if one.event:
                _, told, _, values = self.told[one.source]
                assert self.said[one.source] == [1, 2]
                assert one.value == values[mode]
                assert not any(
                    self.said[mrid] == [1, 2]
                    and other.primacy < told.primacy
                    and mode in other.modes
                    for mrid, (_, other, _, _) in self.told.items()
                    if not self.over(mrid)
                )
            else:
                assert one.value == next(9000 + n for n, m in enumerate(default) if mode in m)
        for mrid, (_, told, window, _) in self.told.items():
            if not self.over(mrid) and window.start <= now < window.end:
                assert all(mode in ordered and ordered[mode].event for mode in told.modes)
        for modes in default:
            assert set(modes) <= ordered.keys()

    def check_ends(self, turn: Turn, now: int) -> None:
        """No event ends for nothing."""
        for answer in turn.answers:
            if answer.status <= 2 or answer.status == 254:
                continue
            _, told, window, _ = self.told[answer.subject]
            others = [o for m, (_, o, _, _) in self.told.items() if m != answer.subject]
            match int(answer.status):
                case 3:
                    assert now >= window.end or any(
                        o.start >= told.end
                        and o.primacy <= told.primacy
                        and told.modes <= o.modes
                        and now >= self.told[o.mrid][2].start
                        for o in others
                    )
                case 6:
                    assert told.cancelled is not None
                case status:
                    assert any(
                        events.overlap(o, told)
                        and told.modes <= o.modes
                        and (o.primacy < told.primacy or o.goes_before(told))
                        and (status == 14 or self.has_begun(o, now))
                        for o in others
                    )

    def has_begun(self, other: events.Event, now: int) -> bool:
        """Or will not, at this device."""
        window = self.told[other.mrid][2]
        return now >= window.start or window.start == window.end or self.over(other.mrid)


@settings(max_examples=300, deadline=None)  # as above
@given(
    world=worlds(programs=2, modes=(LIMIT, W), changes=True),
    steps=st.dictionaries(st.integers(0, 160), st.integers(-30, 30), max_size=2),
)
def test_nothing_is_left_open_or_ended_for_nothing_and_all_is_answered_once(
    world: World, steps: dict[int, int]
) -> None:
    device, ahead = Watched(), 0
    lives = [device]
    for clock in range(LAST_S):
        ahead += steps.get(clock, 0)
        now = clock + ahead
        if clock in world.restarts:
            device = Watched()
            lives.append(device)
        if clock in world.polls or clock in world.restarts:
            device.read(world, clock, now)
        turn = device.at(now)
        device.check_ends(turn, now)
        device.check(turn, world.defaults, now)
    for life in lives:
        for said in life.said.values():
            told = " ".join(map(str, said))
            noted(told)
            if life is device:
                assert WHOLE.fullmatch(told), told
            else:  # it was cut off by the restart
                assert WHOLE.fullmatch(told) or told in {"1", "1 2"}, told
