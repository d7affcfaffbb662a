"""What one device does with the events of all its programs: when, and what it answers.

No network and no clock: `learn` takes what was read, `advance` takes the time. Rules:

- a device follows its own randomised window of every event (IEEE Std 2030.5-2018, 10.2.3);
- within a program, a newer event that asks for the same supersedes the older one when it starts
  at this device: what its server says of it counts where there is no such event;
- between programs the one of lower primacy goes first. Where that is known before the other one
  has started, this one is aborted as a whole (Response 14); where it comes up while that one runs,
  it is superseded when the other starts (7): CSIP conformance test procedures, AGG-007…009 with
  their errata. What was superseded does not come back;
- modes that do not exclude each other run side by side (AGG-010…012);
- where no event asks for a function, the default control of the first program that has one does;
- what has begun goes on to its end, also where the clock is set back;
- a device that no program is left for ends its events, and keeps the default control it had: that
  nobody limits it any more is for a program to say;
- an event that is changed under way is judged anew, and ends where it can be followed no longer;
- an event that cannot be read, or whose times are absurd, is refused; the others stand;
- events that follow on one another do so without conflict and gap (`successive`).
"""

import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from ems.enddevice.application import INVALID, ControlInForce, Value
from ems.enddevice.in_force import in_force
from ems.enddevice.programs import (
    ReadControl,
    ReadProgram,
    concerns,
    event_of,
    is_sane,
    with_known_curves,
    with_known_defaults,
)
from ems.enddevice.responses import Answer, Status, asks_for
from ems.enddevice.successive import settle
from ems.enddevice.tracked import Stage, Tracked, completed, displaces, next_edge, supersedes
from ems.protocols.ieee2030_5 import events, sep
from ems.protocols.ieee2030_5.functions import contradict, functions_of_all

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What there is to do at an instant."""

    answers: Sequence[Answer]
    control: ControlInForce
    until: int | None
    """When something changes by itself; None: never [s]."""


class Schedule:
    """The events of one device."""

    def __init__(
        self,
        lfdi: str,
        refuses: Callable[[Mapping[str, Value]], int | None],
        category: int | None = None,
    ) -> None:
        """No event known.

        Args:
            lfdi: of the device; its random draws follow from it, so that a restart draws alike.
            refuses: the application's judgement of a control.
            category: DeviceCategoryType of the device; None: it takes the events of all.
        """
        self.category = category
        self._lfdi = lfdi
        self._refuses = refuses
        self._programs: Sequence[ReadProgram] = ()
        """Those whose default controls hold."""
        self._curves: Mapping[str, sep.DERCurve] = {}
        """By address, as they were last read."""
        self._twice: set[str] = set()
        """Events that more than one program has; each is told of once."""
        self._unread: set[str] = set()
        """Events that cannot be read, and were answered."""
        self._events: dict[str, Tracked] = {}
        self._answers: list[Answer] = []

    def learn(self, programs: Sequence[ReadProgram], now: int, *, whole: bool = True) -> None:
        """Take over what the server says at present.

        Args:
            programs: all that could be read, with all their controls.
            now: server's time [s].
            whole: False: there may be more; those that are known stay as they were read last.
        """
        if not whole:
            read_now = {p.mrid for p in programs}
            programs = [*programs, *(p for p in self._programs if p.mrid not in read_now)]
        programs = with_known_defaults(programs, self._programs)
        programs, self._curves = with_known_curves(programs, self._curves)
        programs = sorted(programs, key=lambda p: (p.primacy, p.mrid))
        told: set[str] = set()
        fresh: list[Tracked] = []
        for program in programs:
            for read in program.controls:
                if concerns(read.control, self.category) and self._first(
                    told, program, read.control.mRID
                ):
                    fresh += self._learn(program, read, now)
        self._take_up(fresh, now)
        for program in programs:
            told |= {one.mrid for one in program.unread if self._is_unread(one, told, now)}
        if programs:
            self._programs = programs
        for mrid in list(self._events):
            if mrid not in told:
                self._gone(self._events[mrid], now)
        self._unread &= told

    def refuse(self, mrids: Collection[str], now: int) -> bool:
        """End events that turned out to be more than the application can follow.

        Args:
            mrids: of events.
            now: server's time [s].

        Returns:
            Whether there were any.
        """
        refused = [t for m, t in self._events.items() if m in mrids and t.live]
        for tracked in refused:
            self._over(tracked, Status.INVALID, now)
        return bool(refused)

    def opt_out(self, mrid: str, now: int) -> None:
        """The user does not take part in an event, from now on."""
        self._opt(mrid, now, out=True)

    def opt_in(self, mrid: str, now: int) -> None:
        """The user takes part in an event again."""
        self._opt(mrid, now, out=False)

    def advance(self, now: int) -> Turn:
        """Bring all events to an instant.

        Args:
            now: server's time [s].

        Returns:
            Responses since the last turn, what is in force, and until when.
        """
        settle(self._events.values())
        # The first ones first: what is aborted itself aborts nobody else.
        ranked = sorted(self._events.values(), key=Tracked.rank)
        for tracked in ranked:
            if tracked.live:
                self._end_early(tracked, ranked, now)
        settle(self._events.values())  # nobody waits for those that ended
        for tracked in sorted(self._events.values(), key=lambda t: t.window.start):
            if tracked.live:
                self._run(tracked, now)
        answers, self._answers = self._answers, []
        running = [t for t in self._events.values() if t.stage is Stage.RUNNING and not t.opted_out]
        return Turn(
            answers=answers,
            control=in_force(self._programs, running, now, self._refusal),
            until=next_edge(self._events.values(), now),
        )

    # --- events ----------------------------------------------------------------------

    def _first(self, told: set[str], program: ReadProgram, mrid: str) -> bool:
        """Of an event that several programs have, that of the program that goes first counts."""
        if mrid not in told:
            told.add(mrid)
            return True
        if mrid not in self._twice:
            self._twice.add(mrid)
            log.warning(
                "%s: event %s is also in program %s, and is followed as that of a program that "
                "goes before it", self._lfdi, mrid, program.mrid,
            )  # fmt: skip
        return False

    def _learn(self, program: ReadProgram, read: ReadControl, now: int) -> list[Tracked]:
        """Take over an event as it was read; returned where it was not known."""
        functions = functions_of_all(frozenset(read.values))
        event = event_of(program, read.control, functions)
        known = self._events.get(event.mrid)
        first_seen = now if known is None else known.first_seen
        draw = random.Random(self._lfdi + event.mrid).randint  # noqa: S311 - it spreads load
        window = events.drawn(event, draw, first_seen)
        by_server = read.control.EventStatus_.currentStatus == events.Status.SUPERSEDED
        if known is not None:
            changed = known.read.values != read.values
            known.event, known.drawn, known.window, known.read = event, window, window, read
            known.superseded_by_server = by_server
            if known.live and (changed or not is_sane(event)):
                self._judge(known, now)
            return []
        tracked = Tracked(
            event=event, drawn=window, window=window, read=read, first_seen=now,
            superseded_by_server=by_server,
        )  # fmt: skip
        self._events[event.mrid] = tracked
        return [tracked]

    def _take_up(self, fresh: Sequence[Tracked], now: int) -> None:
        """Judge events that are new, those first that may supersede others."""
        settle(self._events.values())
        expired: list[Tracked] = []  # they superseded others in their time
        for tracked in sorted(fresh, key=Tracked.rank):
            if tracked.event.cancelled is not None or self._is_past(tracked, now):
                tracked.stage = Stage.OVER  # it was never ours: nothing to answer
            elif tracked.window.end <= now and is_sane(tracked.event):
                expired.append(tracked)
            elif self._judge(tracked, now):
                self._answer(tracked, Status.RECEIVED, now)
        for tracked in expired:
            self._over(tracked, Status.EXPIRED, now)

    def _is_past(self, tracked: Tracked, now: int) -> bool:
        """Whether nothing is left to do of an event that its server says is superseded."""
        if not tracked.superseded_by_server:
            return False
        until = self._superseded_at(tracked)
        return until is None or until <= max(now, tracked.window.start)

    def _superseded_at(self, tracked: Tracked) -> int | None:
        """When the first of those starts that supersede an event; None: there is none [s]."""
        others = [t for t in self._events.values() if supersedes(t, tracked)]
        # One that asks for a part of it is meant only where no other one asks for all.
        whole = [t for t in others if tracked.event.modes <= t.event.modes]
        return min((max(t.window.start, t.first_seen) for t in whole or others), default=None)

    def _is_unread(self, one: sep.Unread, told: Collection[str], now: int) -> bool:
        """Whether a control that cannot be read is all that is told of an event; it is refused."""
        if not one.mrid or one.mrid in told:
            return False
        known = self._events.get(one.mrid)
        if known is not None:
            if known.live:
                self._over(known, Status.INVALID, now)
        elif one.mrid not in self._unread:
            self._say(one.mrid, one.reply_to, one.response_required, Status.INVALID, now)
        self._unread.add(one.mrid)
        return True

    def _judge(self, tracked: Tracked, now: int) -> bool:
        """Whether an event can be followed; else it is over."""
        refusal = self._refusal(tracked.read.values) if is_sane(tracked.event) else INVALID
        if refusal is not None:
            self._over(tracked, Status(refusal), now)
        return refusal is None

    def _refusal(self, values: Mapping[str, Value]) -> int | None:
        unread = any(isinstance(value, sep.Link) for value in values.values())
        if unread or not values or contradict(frozenset(values)):
            return INVALID
        try:
            return self._refuses(values)
        except Exception:
            log.exception("%s: %s cannot be judged", self._lfdi, ", ".join(sorted(values)))
            return INVALID

    def _gone(self, tracked: Tracked, now: int) -> None:
        """A server that forgets a running event has cancelled it; an old one may be forgotten."""
        old = tracked.superseded_by_server or tracked.event.end <= now
        if tracked.live and tracked.window.end > now and not old:
            self._over(tracked, Status.CANCELLED, now)
        elif tracked.live:
            return  # it ends by itself
        del self._events[tracked.event.mrid]

    def _end_early(self, tracked: Tracked, ranked: Sequence[Tracked], now: int) -> None:
        if tracked.event.cancelled is not None:
            if tracked.stage is Stage.WAITING:
                self._over(tracked, Status.CANCELLED, tracked.event.cancelled)
            elif tracked.event.cancelled < tracked.window.start:
                # It runs, so the clock was set back since it began.
                self._over(tracked, Status.CANCELLED, now)
            elif now >= tracked.window.end:
                self._over(tracked, Status.CANCELLED, tracked.window.end)
            return
        if tracked.superseded_by_server:
            # Others may have drawn a later start than this one: it lasts until the first of them.
            at = self._superseded_at(tracked)
            if at is None or at <= now:
                self._supersede(tracked, now if at is None else at)
                return
        for other in ranked:
            if displaces(other, tracked):
                self._displace(tracked, other, now)
                if not tracked.live:
                    return

    def _displace(self, tracked: Tracked, other: Tracked, now: int) -> None:
        elsewhere = other.event.program != tracked.event.program
        if elsewhere and tracked.stage is Stage.WAITING:
            self._over(tracked, Status.OTHER_PROGRAM, now)
        elif now >= other.window.start:
            self._supersede(tracked, max(other.window.start, other.first_seen))

    def _supersede(self, tracked: Tracked, at: int) -> None:
        runs_from = max(tracked.window.start, tracked.first_seen)
        if tracked.stage is Stage.WAITING and runs_from < at:
            self._start(tracked)  # it ran up to there, while nobody looked
        self._over(tracked, Status.SUPERSEDED, at)

    def _run(self, tracked: Tracked, now: int) -> None:
        if tracked.stage is Stage.WAITING and now >= tracked.window.start:
            self._start(tracked)
        if tracked.stage is Stage.RUNNING and now >= tracked.window.end:
            self._over(tracked, completed(tracked), tracked.window.end)

    def _start(self, tracked: Tracked) -> None:
        tracked.stage = Stage.RUNNING
        if not tracked.opted_out:
            tracked.took_part = True
            started_at = max(tracked.window.start, tracked.first_seen)
            self._answer(tracked, Status.STARTED, started_at)

    def _over(self, tracked: Tracked, status: Status, at: int) -> None:
        tracked.stage = Stage.OVER
        self._answer(tracked, status, at)

    def _opt(self, mrid: str, now: int, *, out: bool) -> None:
        tracked = self._events.get(mrid)
        if tracked is None or not tracked.live or tracked.opted_out == out:
            return
        tracked.opted_out, tracked.opted = out, True
        self._answer(tracked, Status.OPTED_OUT if out else Status.OPTED_IN, now)

    def _answer(self, tracked: Tracked, status: Status, at: int) -> None:
        control = tracked.read.control
        bits = int(control.responseRequired or "0", 16)
        self._say(control.mRID, control.replyTo, bits, status, at)

    def _say(self, mrid: str, reply_to: str | None, bits: int, status: Status, at: int) -> None:
        if reply_to and asks_for(bits, status):
            answer = Answer(subject=mrid, status=status, time=at, reply_to=reply_to)
            self._answers.append(answer)
