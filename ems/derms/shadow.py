"""What a device would have given up by now, had there been no dispatch.

The rules of events (IEEE Std 2030.5-2018, 10.2.3) applied to the programs of others alone, by what
the device has answered: when it knew of which event. A device gives up as a whole what waits and
what another program's event takes over; what runs, and what is of the same program, it gives up
where the other one begins. What is given up takes nothing over itself.

When a device reads, and begins what begins at random, is known within bounds only. So of each event
there is a first instant at which it may have been given up, and one by which it surely is: for that
whatever takes it over must not have been given up itself, as far as anybody can tell.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ems.derms.board import Board, Control, Device, NotFound, Program, Responded
from ems.derms.controls import MOST_RANDOM_S, RESPOND_SPECIFIC, RETAINED_S
from ems.derms.precedence import functions
from ems.derms.seen import OPTED_IN, OPTED_OUT, REFUSED, SUPERSEDED
from ems.settings.ieee2030_5 import DISPATCH

RECEIVED = 1
"""ResponseType (IEEE 2030.5-2018, table 27)."""
NEVER = 1 << 62
"""An instant that does not come [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """An instant of which no more is known."""

    first: int
    """It is not before that [s]."""
    last: int
    """It is not after that; `NEVER`: it may not come at all [s]."""


@dataclass(slots=True, kw_only=True, eq=False)
class Followed:
    """An event of others, as one device follows it."""

    control: Control
    program: Program
    asks: frozenset[str]
    """Functions."""
    known: Bounds
    """When the device came to know of it."""
    start: Bounds
    end: Bounds
    scheduled_end: int
    """When it ends at the earliest, where it is not cancelled [s]."""
    given_up: Bounds = field(default=Bounds(first=NEVER, last=NEVER))

    def rank(self, at: int) -> tuple[int, int, int]:
        """The lower one goes first, as primacies were at an instant."""
        primacy = self.program.primacy_at(at)
        return primacy, -self.control.created, -int(self.control.mrid, 16)


def given_up(
    board: Board, device: Device, told: Mapping[str, Sequence[Responded]]
) -> dict[str, int]:
    """The events of others that a device has surely given up for others.

    Args:
        board: what is served.
        device: follows the events.
        told: what it answered, by the mRID of the event.

    Returns:
        By when it has, by the mRID of the event [s].
    """
    now = board.now()
    received = (r for answers in told.values() for r in answers if r.status == RECEIVED)
    reads = sorted({_at(response) for response in received})
    assigned = board.programs_of(device)
    known = []
    for control, program in _events(board, assigned, told):
        answers = told.get(control.mrid, ())
        one = _followed(control, program, answers, reads)
        if program.number not in assigned or _may_be_over(control, answers, now):
            one.known = replace(one.known, last=NEVER)
        known.append(one)
    _leave_open(known)
    _give_up(known, reads)
    return {one.control.mrid: one.given_up.last for one in known if one.given_up.last <= now}


# --- what the device knows -----------------------------------------------------------


def _events(
    board: Board, assigned: Collection[int], told: Collection[str]
) -> Iterator[tuple[Control, Program]]:
    """Those of the programs of others, and those that the device has known before."""
    for number in sorted(assigned):
        program = board.program_by_number(number)
        if program is not None and not program.name.startswith(DISPATCH):
            for control in board.controls(program.name):
                yield control, program
    for mrid in told:
        with suppress(NotFound):  # it may be forgotten
            control = board.control(mrid)
            program = board.program(control.program)
            if program.number not in assigned and not program.name.startswith(DISPATCH):
                yield control, program


def _followed(
    control: Control, program: Program, answers: Sequence[Responded], reads: Sequence[int]
) -> Followed:
    # Whatever else it answers tells that it knows the event, too.
    received = [r for r in answers if r.status == RECEIVED] or answers[:1]
    read = [_at(r, control.created) for r in received]
    known = Bounds(first=min(read, default=control.created), last=max(read, default=NEVER))
    shift, longer = control.random_start or 0, control.random_duration or 0
    begins, begun = control.start + min(0, shift), control.start + max(0, shift)
    if shift and begins < known.last < NEVER:
        begun = max(begun, known.last + abs(shift))  # it may have heard of it under way
    scheduled = begins + control.duration + min(0, longer)
    ends, over = scheduled, control.ends
    if control.cancelled is not None:
        ends, over = min(ends, control.cancelled), min(over, _read(control.cancelled, reads))
    if any(r.status in REFUSED for r in answers):
        ends = over = 0
    return Followed(
        control=control,
        program=program,
        asks=functions(control.base),
        known=known,
        start=Bounds(first=begins, last=begun),
        end=Bounds(first=ends, last=over),
        scheduled_end=scheduled,
    )


def _may_be_over(control: Control, answers: Sequence[Responded], now: int) -> bool:
    """Whether a device may not follow an event, for what is not known any more or its user."""
    forgotten = now - RETAINED_S
    opted = [r.status for r in answers if r.status in (OPTED_OUT, OPTED_IN)]
    if opted[-1:] == [OPTED_OUT]:
        return True
    if control.response_required & RESPOND_SPECIFIC:
        return any(r.status in SUPERSEDED and _at(r) < forgotten for r in answers)
    return control.created < forgotten


def _at(response: Responded, since: int = 0) -> int:
    """When a device was where it answers that it is, by its own clock if that may be right."""
    if response.time is None or response.time < since:
        return response.received
    return min(response.time, response.received)


# --- what it gives up ----------------------------------------------------------------


def _give_up(known: Sequence[Followed], reads: Sequence[int]) -> None:
    """By time, and at one instant the first ones first: what is given up takes nothing over."""
    takings = [
        (at, rank, is_sure, one, other)
        for one, other in _met(known)
        for since, until in _ahead(other, one)
        for at, rank, is_sure in _takes(other, one, since, until, reads)
    ]
    takings.sort(key=lambda taking: taking[:3])
    for at, _, is_sure, one, other in takings:
        first, last = one.given_up.first, one.given_up.last
        if is_sure and other.given_up.first > at:
            last = min(last, at)
        elif not is_sure and other.given_up.last > at:
            first = min(first, at)
        one.given_up = Bounds(first=first, last=last)


def _leave_open(known: Sequence[Followed]) -> None:
    """Of those that follow on one another at random nothing is sure: either may move the other."""
    ordered = sorted(known, key=lambda one: one.control.start)
    starts = [one.control.start for one in ordered]
    for one in ordered:
        first = bisect_left(starts, one.control.start + one.control.duration)
        for other in ordered[first : bisect_left(starts, one.end.last + MOST_RANDOM_S, first)]:
            meet = one.start.first < other.end.last and other.start.first < one.end.last
            is_open = meet and (_is_random(one) or _is_random(other))
            if is_open and (one.asks <= other.asks or other.asks <= one.asks):
                for left in (one, other):
                    left.known = replace(left.known, last=NEVER)


def _is_random(one: Followed) -> bool:
    return bool(one.control.random_start or one.control.random_duration)


def _met(known: Sequence[Followed]) -> Iterator[tuple[Followed, Followed]]:
    """Pairs of which the second may take over all of the first."""
    ordered = sorted(known, key=lambda one: one.control.start)
    starts = [one.control.start for one in ordered]
    for at, one in enumerate(ordered):
        end = one.control.start + one.control.duration
        for other in ordered[at + 1 : bisect_left(starts, end, at + 1)]:
            if one.asks <= other.asks:
                yield one, other
            if other.asks <= one.asks:
                yield other, one


def _ahead(other: Followed, one: Followed) -> Iterator[tuple[int, int]]:
    """From when to when one event went before another one; primacies may change."""
    edges = {0, NEVER}
    for program in (one.program, other.program):
        edges |= {until for until, _ in program.primacies}
    ordered = sorted(edges)
    for since, until in pairwise(ordered):
        if other.rank(since) < one.rank(since):
            yield since, until


def _takes(
    other: Followed, one: Followed, since: int, until: int, reads: Sequence[int]
) -> Iterator[tuple[int, tuple[int, int, int], bool]]:
    """When one event takes another one over: at the earliest, and surely."""
    elsewhere = other.program.name != one.program.name
    rank = one.rank(since)
    at = max(since, other.known.first, one.known.first)
    if not (elsewhere and at < one.start.last):
        at = max(at, other.start.first)
    if at < min(other.end.last, _read(until, reads)):
        yield at, rank, False
    at = max(_read(since, reads), other.known.last, one.known.last)
    if not (elsewhere and at < one.start.first):
        at = max(at, other.start.last)
    # What the device took for the time of both, it did before it heard of an end of either.
    meet = other.start.last < one.scheduled_end and one.start.last < other.scheduled_end
    if at < min(other.end.first, one.end.first, until) and (meet or not elsewhere):
        yield at, rank, True


def _read(at: int, reads: Sequence[int]) -> int:
    """By when the device has read what was changed at an instant."""
    if at in (0, NEVER):
        return at
    found = bisect_left(reads, at)
    return reads[found] if found < len(reads) else NEVER
