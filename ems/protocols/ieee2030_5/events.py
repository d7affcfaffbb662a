"""Which control is in force when: pure functions of events and time, for server and client.

The server computes the status of its events and marks superseding within one program
(`status_at`). Which program goes first is the client's to decide, by primacy (`plan`).
All times are whole seconds of the server's clock since 1970.

Sources: IEEE 2030.5-2018 clause 10.2.3 (events, randomisation, overlapping events), EventStatus of
its Annex B; CSIP Conformance Test Procedures, AGG-006 … AGG-012 (events of several programs).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise


class Status(IntEnum):
    """EventStatus.currentStatus."""

    SCHEDULED = 0
    ACTIVE = 1
    CANCELLED = 2
    CANCELLED_RANDOMLY = 3
    SUPERSEDED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A control as the calculus needs it."""

    mrid: str
    """Global identifier."""
    program: str
    """Whose event it is; superseding is marked within one program only."""
    primacy: int
    """Of the program; lower goes first."""
    created: int
    """creationTime [s]."""
    start: int
    """Scheduled start [s]."""
    duration: int
    """[s]."""
    random_start: int = 0
    """randomizeStart, −3600 … 3600 [s]."""
    random_duration: int = 0
    """randomizeDuration, −3600 … 3600 [s]."""
    cancelled: int | None = None
    """When it was cancelled [s]."""
    cancelled_randomly: bool = False
    """Whether devices shall spread its end."""
    modes: frozenset[str] = frozenset()
    """What it controls: names of `modes`."""
    category: int | None = None
    """DeviceCategoryType of the devices that it is for; None: all."""

    @property
    def end(self) -> int:
        """Scheduled end [s]."""
        return self.start + self.duration

    @property
    def earliest_start(self) -> int:
        """When the first device may start [s]."""
        return self.start + min(self.random_start, 0)

    @property
    def latest_end(self) -> int:
        """When the last device ends [s]."""
        return self.end + max(self.random_start, 0) + max(self.random_duration, 0)

    def goes_before(self, other: "Event") -> bool:
        """Of two events of one program, whether this is the newer."""
        return (self.created, self.mrid) > (other.created, other.mrid)

    def is_for_all_of(self, other: "Event") -> bool:
        """Whether all devices that another event is for take this one, too."""
        if self.category is None or other.category is None:
            return self.category is None
        return not other.category & ~self.category


@dataclass(frozen=True, slots=True, kw_only=True)
class EventState:
    """What EventStatus says."""

    current: Status
    """currentStatus."""
    since: int
    """dateTime: when it became so [s]."""
    potentially_superseded: bool
    """Whether a newer event touches a part of it."""
    potentially_superseded_since: int | None
    """When that became known [s]."""


def overlap(one: Event, other: Event) -> bool:
    """Whether two events share any of their scheduled time."""
    return one.start < other.end and other.start < one.end


def status_at(event: Event, siblings: Iterable[Event], now: int) -> EventState:
    """The status a server tells of an event, among the other events of its program.

    A newer event of the same program that overlaps it supersedes it: as a whole where it sets
    exactly the same controls, of all of its devices, from the newer one's earliest effective start;
    potentially where it sets some of them, but not all, or of some devices, and the client has to
    sort it out (EventStatus.currentStatus 4 and potentiallySuperseded).
    """
    newer = [s for s in siblings if _touches(s, event)]
    partly = min(
        (s.created for s in newer if not _takes_all(s, event) and s.created <= now), default=None
    )
    current, since = _current(event, newer, now)
    return EventState(
        current=current,
        since=since,
        potentially_superseded=partly is not None,
        potentially_superseded_since=partly,
    )


def _touches(newer: Event, event: Event) -> bool:
    """Whether a newer event of the program takes something of an event over."""
    withdrawn = newer.cancelled is not None and newer.cancelled <= newer.earliest_start
    return (
        newer.program == event.program
        and newer.mrid != event.mrid
        and newer.goes_before(event)
        and overlap(newer, event)
        and bool(newer.modes & event.modes)
        and _share_devices(newer, event)
        and not withdrawn
    )


def _share_devices(one: Event, other: Event) -> bool:
    """Whether there may be a device that two events are both for."""
    return one.category is None or other.category is None or bool(one.category & other.category)


def _takes_all(newer: Event, event: Event) -> bool:
    """Whether a newer event sets the same controls, of all devices that the older one is for."""
    return newer.modes == event.modes and newer.is_for_all_of(event)


def _current(event: Event, newer: Sequence[Event], now: int) -> tuple[Status, int]:
    replaced = min(
        (max(s.earliest_start, s.created) for s in newer if _takes_all(s, event)), default=None
    )
    if replaced is not None and replaced >= event.latest_end:
        replaced = None
    if event.cancelled is not None and (replaced is None or event.cancelled <= replaced):
        cancelled = Status.CANCELLED_RANDOMLY if event.cancelled_randomly else Status.CANCELLED
        return cancelled, event.cancelled
    if replaced is not None and replaced <= now:
        return Status.SUPERSEDED, replaced
    if now >= event.earliest_start:
        return Status.ACTIVE, max(event.earliest_start, event.created)
    return Status.SCHEDULED, event.created


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From when to when one device follows an event."""

    start: int
    """Effective start [s]."""
    end: int
    """Effective end, not included [s]."""


def drawn(event: Event, draw: Callable[[int, int], int], received: int | None = None) -> Window:
    """The window of one device: `draw(low, high)` gives a whole number, both ends included.

    The start moves by 0 … randomizeStart and takes the end along; the duration changes by
    0 … randomizeDuration. An event first `received` [s] while it runs starts within the amount of
    randomizeStart from then, and its scheduled end stands, but for randomizeDuration. A randomly
    cancelled event ends within the larger of the two amounts.
    """
    shift = _drawn(event.random_start, draw)
    longer = _drawn(event.random_duration, draw)
    start = event.start + shift
    end = start + max(event.duration + longer, 0)
    if received is not None and start < received < event.end:
        start, end = received + abs(shift), event.end + longer
    if event.cancelled is not None:
        most = max(abs(event.random_start), abs(event.random_duration))
        spread = _drawn(most, draw) if event.cancelled_randomly else 0
        end = min(end, event.cancelled + spread)
    return Window(start=start, end=max(end, start))


def _drawn(bound: int, draw: Callable[[int, int], int]) -> int:
    if bound == 0:
        return 0
    return draw(min(bound, 0), max(bound, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """An event, a piece of its time, and what it controls then."""

    event: Event
    """Of any program."""
    start: int
    """[s]."""
    end: int
    """Not included [s]."""
    modes: frozenset[str]
    """Those of its modes that no other event took over."""


def plan(events: Mapping[str, tuple[Event, Window]], now: int) -> list[InForce]:
    """What is in force from now on, by time: per control mode the event that goes first.

    `events` by mRID: those that are not over yet. Lower primacy goes first, then the newer event.
    An event whose controls are all taken over, by one event or by several, is superseded at that
    moment and does not come back.
    """
    ahead = [(e, w) for e, w in events.values() if e.modes and w.end > max(now, w.start)]
    ahead.sort(key=lambda at: at[0].mrid, reverse=True)
    ahead.sort(key=lambda at: (at[0].primacy, -at[0].created))
    edges = sorted({max(edge, now) for _, w in ahead for edge in (w.start, w.end)})
    superseded: set[str] = set()
    pieces: list[InForce] = []
    for begin, end in pairwise(edges):
        taken: frozenset[str] = frozenset()
        for event, window in ahead:
            if event.mrid in superseded or not window.start <= begin < window.end:
                continue
            left = event.modes - taken
            taken |= event.modes
            if left:
                pieces.append(InForce(event=event, start=begin, end=end, modes=left))
            else:
                superseded.add(event.mrid)
    return _joined(pieces)


def _joined(pieces: Sequence[InForce]) -> list[InForce]:
    """Pieces of one event that follow on one another, as one."""
    joined: dict[tuple[str, frozenset[str]], InForce] = {}
    done: list[InForce] = []
    for piece in pieces:
        key = (piece.event.mrid, piece.modes)
        before = joined.get(key)
        if before is not None and before.end == piece.start:
            joined[key] = replace(before, end=piece.end)
            continue
        if before is not None:
            done.append(before)
        joined[key] = piece
    done.extend(joined.values())
    return sorted(done, key=lambda at: (at.start, at.event.primacy, at.event.mrid))
