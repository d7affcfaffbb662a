"""What one device does with the events of all its programs: when, and what it answers.

No network and no clock: `learn` takes what was read, `advance` takes the time. Rules:

- a device follows its own randomised window of every event (IEEE Std 2030.5-2018, 10.2.3);
- within a program, a newer event that asks for the same supersedes the older one when it starts;
- between programs the one of lower primacy goes first. Where that is known before the other one
  has started, this one is aborted as a whole (Response 14); where it comes up while that one runs,
  it is superseded when the other starts (7): CSIP conformance test procedures, AGG-007…009 with
  their errata. What was superseded does not come back;
- modes that do not exclude each other run side by side (AGG-010…012);
- where no event asks for a function, the default control of the first program that has one does;
- a device that no program is left for ends its events, and keeps the default control it had: that
  nobody limits it any more is for a program to say;
- an event that is changed under way is judged anew, and ends where it can be followed no longer.
"""

import logging
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ems.enddevice.application import INVALID, ControlInForce, Ordered, Value
from ems.enddevice.functions import contradict, functions_of, functions_of_all
from ems.enddevice.programs import (
    ReadControl,
    ReadProgram,
    event_of,
    ramp_s,
    with_known_curves,
    with_known_defaults,
)
from ems.enddevice.responses import Answer, Status, required
from ems.enddevice.tracked import Stage, Tracked, completed
from ems.protocols.ieee2030_5 import events, sep

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
        self._events: dict[str, Tracked] = {}
        self._answers: list[Answer] = []

    def learn(self, programs: Sequence[ReadProgram], now: int) -> None:
        """Take over what the server says at present.

        Args:
            programs: all of them, with all their controls.
            now: server's time [s].
        """
        programs = with_known_defaults(programs, self._programs)
        programs, self._curves = with_known_curves(programs, self._curves)
        programs = sorted(programs, key=lambda p: (p.primacy, p.mrid))
        told: set[str] = set()
        for program in programs:
            for read in program.controls:
                if self._concerns(read.control) and self._first(told, program, read.control.mRID):
                    self._learn(program, read, now)
        if programs:
            self._programs = programs
        for mrid in list(self._events):
            if mrid not in told:
                self._gone(self._events[mrid], now)

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
        # The first ones first: what is aborted itself aborts nobody else.
        for tracked in sorted(self._events.values(), key=Tracked.rank):
            if tracked.live:
                self._end_early(tracked, now)
        for tracked in sorted(self._events.values(), key=lambda t: t.window.start):
            if tracked.live:
                self._run(tracked, now)
        answers, self._answers = self._answers, []
        running = {
            m: (t.event, t.window)
            for m, t in self._events.items()
            if t.stage is Stage.RUNNING and not t.opted_out
        }
        return Turn(
            answers=answers,
            control=self._in_force(running, now),
            until=self._until(now),
        )

    # --- events ----------------------------------------------------------------------

    def _concerns(self, control: sep.DERControl) -> bool:
        if self.category is None or control.deviceCategory is None:
            return True
        return bool(int(control.deviceCategory, 16) & self.category)

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

    def _learn(self, program: ReadProgram, read: ReadControl, now: int) -> None:
        functions = functions_of_all(frozenset(read.values))
        event = event_of(program, read.control, functions)
        known = self._events.get(event.mrid)
        first_seen = now if known is None else known.first_seen
        draw = random.Random(self._lfdi + event.mrid).randint  # noqa: S311 - it spreads load
        window = events.drawn(event, draw, first_seen)
        by_server = read.control.EventStatus_.currentStatus == events.Status.SUPERSEDED
        if known is not None:
            changed = known.read.values != read.values
            known.event, known.window, known.read = event, window, read
            known.superseded_by_server = by_server
            if changed and known.live:
                self._judge(known, now)
            return
        tracked = Tracked(
            event=event, window=window, read=read, first_seen=now, superseded_by_server=by_server
        )
        self._events[event.mrid] = tracked
        if event.cancelled is not None or by_server:
            tracked.stage = Stage.OVER  # it was never ours: nothing to answer
            return
        if window.end <= now:
            self._over(tracked, Status.EXPIRED, now)
            return
        if self._judge(tracked, now):
            self._answer(tracked, Status.RECEIVED, now)

    def _judge(self, tracked: Tracked, now: int) -> bool:
        """Whether an event can be followed; else it is over."""
        refusal = self._refusal(tracked.read.values)
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
        if tracked.live and tracked.window.end > now:
            self._over(tracked, Status.CANCELLED, now)
        elif tracked.live:
            return  # it ends by itself, in the next turn
        del self._events[tracked.event.mrid]

    def _end_early(self, tracked: Tracked, now: int) -> None:
        if tracked.event.cancelled is not None:
            if tracked.stage is Stage.WAITING:
                self._over(tracked, Status.CANCELLED, tracked.event.cancelled)
            elif now >= tracked.window.end:
                self._over(tracked, Status.CANCELLED, tracked.window.end)
            return
        if tracked.superseded_by_server:
            self._over(tracked, Status.SUPERSEDED, now)
            return
        for other in self._events.values():
            if self._displaces(other, tracked):
                self._displace(tracked, other, now)
                if not tracked.live:
                    return

    def _displaces(self, other: Tracked, tracked: Tracked) -> bool:
        """Whether another event takes everything over that an event asks for."""
        return (
            other is not tracked
            and other.live
            and other.event.cancelled is None
            and other.rank() < tracked.rank()
            and tracked.event.modes <= other.event.modes
            and other.window.start < tracked.window.end
            and tracked.window.start < other.window.end
        )

    def _displace(self, tracked: Tracked, other: Tracked, now: int) -> None:
        elsewhere = other.event.program != tracked.event.program
        waiting = tracked.stage is Stage.WAITING
        if elsewhere and waiting:
            self._over(tracked, Status.OTHER_PROGRAM, now)
        elif now >= other.window.start:
            if waiting and tracked.window.start < other.window.start:
                self._start(tracked)  # it ran up to there, while nobody looked
            self._over(tracked, Status.SUPERSEDED, max(other.window.start, other.first_seen))

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
        if control.replyTo is not None and required(control, status):
            self._answers.append(
                Answer(subject=control.mRID, status=status, time=at, reply_to=control.replyTo)
            )

    # --- what is in force --------------------------------------------------------------

    def _in_force(
        self, running: Mapping[str, tuple[events.Event, events.Window]], now: int
    ) -> ControlInForce:
        ordered: dict[str, Ordered] = {}
        taken: set[str] = set()
        for piece in events.plan(running, now):
            if piece.start > now:
                continue
            read = self._events[piece.event.mrid].read
            for mode, value in read.values.items():
                if functions_of(mode) <= piece.modes:
                    taken |= functions_of(mode)
                    ordered[mode] = Ordered(
                        value=value, source=piece.event.mrid, event=True, ramp_s=read.ramp_s
                    )
        for mode, by_default in self._defaults():
            if not functions_of(mode) & taken:
                taken |= functions_of(mode)
                ordered[mode] = by_default
        first = next((p.default.control for p in self._programs if p.default is not None), None)
        return ControlInForce(ordered=ordered, default=first)

    def _defaults(self) -> Iterator[tuple[str, Ordered]]:
        """Modes of default controls that can be followed, those of the first program first."""
        for program in self._programs:
            if program.default is None:
                continue
            control = program.default.control
            for mode, value in program.default.values.items():
                if self._refusal({mode: value}) is None:
                    yield (
                        mode,
                        Ordered(
                            value=value,
                            source=control.mRID,
                            event=False,
                            ramp_s=ramp_s(control.DERControlBase_),
                        ),
                    )

    def _until(self, now: int) -> int | None:
        edges: list[int] = []
        for tracked in self._events.values():
            if tracked.live:
                edges += (tracked.window.start, tracked.window.end)
        return min((edge for edge in edges if edge > now), default=None)
