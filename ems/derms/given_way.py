"""Events of others that a device gave up for the dispatch: asked again where the dispatch ends.

A device does not take up again what was superseded (IEEE Std 2030.5-2018, 10.2.3), so a limit of
such an event would be lifted to its end. It is asked of this device once more, with the same modes
until the same end, by a program of the same primacy: it gives way to what its own would give way
to, and to newer events. The program has no default, so it asks nothing when the event is over, and
nobody has to act then.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence

from ems.derms.board import Board, Control, Device, NotFound, Program
from ems.derms.controls import RESPOND_SPECIFIC, RETAINED_S
from ems.derms.seen import DONE, OPTED_IN, OPTED_OUT
from ems.protocols.ieee2030_5 import events, identity, modes
from ems.settings.ieee2030_5 import DISPATCH

log = logging.getLogger(__name__)

LEFT = f"{DISPATCH}left@"
"""How names of these programs begin; no DER's name has the sign."""
SUPERSEDED = frozenset({7, 14})
"""ResponseTypes (IEEE 2030.5-2018, table 27): superseded, by its own or another program."""
LONGEST_NAME = 32
"""Characters of a description in the schema."""
CLOCK_S = 60
"""By how much the clock may have been set back between a control and the Response to it [s]."""
OPEN = frozenset({events.Status.SCHEDULED, events.Status.ACTIVE})
"""Statuses of events that somebody may follow, or will."""


def others_of(board: Board, device: Device) -> list[Program]:
    """The programs of a device that are not the dispatch's, as a client sorts them."""
    known = (board.program_by_number(n) for n in board.programs_of(device))
    others = [p for p in known if p is not None and not p.name.startswith(DISPATCH)]
    return sorted(others, key=lambda p: (p.primacy, p.mrid))


class GivenWay:
    """What was asked again. Each control is described by the mRID of the event that it repeats."""

    def __init__(self, board: Board) -> None:
        """Nothing is asked again yet, but what was kept.

        Args:
            board: what is served.
        """
        self._board = board

    def ask_again(self, device: Device) -> None:
        """Ask again what has given way; before what it gave way to is taken back."""
        ours = [
            control
            for name in device.groups
            if name.startswith(DISPATCH) and not name.startswith(LEFT)
            for control in self._board.controls(name)
        ]
        self._ask(device, lambda event: self._has_given_way(event, ours, device))

    def take_back(self, device: Device) -> None:
        """Ask nothing again of a device: the dispatch goes on, and keeps what others limit."""
        for program in device.groups:
            if program.startswith(LEFT):
                for control in self._asked(program):
                    self._board.cancel(program, control.mrid)

    def follow(self) -> None:
        """Events of others have changed: what they cancelled is asked no more."""
        board = self._board
        for program in self._programs():
            for control in self._asked(program):
                event = self._repeated(control)
                if event is not None and event.cancelled is not None:
                    board.cancel(program, control.mrid, randomly=event.cancelled_randomly)
            if self._asked(program):
                for device in board.members(program):
                    self._ask(device, lambda _event: False)

    def drop(self) -> None:
        """Drop the programs that ask nothing any more, at a start."""
        for program in self._programs():
            if not self._board.standing(program).controls:
                self._board.remove_program(program)

    # What stands behind it

    def _ask(self, device: Device, has_given_way: Callable[[Control], bool]) -> None:
        """Ask events again, the older ones first, and those that they would go before."""
        now = self._board.now()
        found = self._events(device)
        for event, primacy in found:
            program = f"{LEFT}{primacy}-{device.name}"
            known = self._asked(program) if self._has(program) else ()
            if any(again.description == event.mrid for again in known):
                continue
            if has_given_way(event) or self._is_passed_over(event, known, device):
                before = [other for other, goes in found if goes < primacy]
                start = max(now, _begins(event))
                until = _until(event, before, start)
                if until > now + 1:  # what ends in this second may have ended when it is published
                    self._publish(program, primacy, device.name, event, start, until)

    def _events(self, device: Device) -> list[tuple[Control, int]]:
        """Events of others that are not over for it, the older ones first, with their primacy."""
        found = []
        for program in others_of(self._board, device):
            standing = self._board.standing(program.name)
            for control, state in zip(standing.controls, standing.states, strict=True):
                if state.current in OPEN and not _is_over(self._said(control, device)):
                    found.append((control, program.primacy))
        return sorted(found, key=lambda at: (at[0].created, at[0].mrid))

    def _said(self, control: Control, by: Device) -> list[int]:
        return [r.status for r in self._board.responses(control.mrid) if r.lfdi == by.lfdi]

    def _has(self, program: str) -> bool:
        try:
            self._board.program(program)
        except NotFound:
            return False
        return True

    def _programs(self) -> list[str]:
        return [p.name for p in self._board.programs() if p.name.startswith(LEFT)]

    def _asked(self, program: str) -> list[Control]:
        return [c for c in self._board.standing(program).controls if c.cancelled is None]

    def _repeated(self, control: Control) -> Control | None:
        try:
            return self._board.control(control.description)
        except NotFound:  # it is over, and forgotten
            return None

    def _is_passed_over(self, event: Control, known: Iterable[Control], by: Device) -> bool:
        """Whether what is asked again goes before an event that its own gave way to.

        Of one primacy the newer goes first (10.2.3), and what is asked again is newer than all.
        """
        if SUPERSEDED & set(self._said(event, by)):
            return False
        originals = [(again, self._repeated(again)) for again in known]
        return any(
            of is not None
            and of.created <= event.created <= again.created
            and _begins(event) < again.ends
            and again.start < event.ends
            for again, of in originals
        )

    def _has_given_way(self, event: Control, ours: Collection[Control], by: Device) -> bool:
        """Whether a device gave an event up for one of our controls, or may have.

        It need not have said so yet, nor ever where no response is required; and which controls of
        ours there were is not known for ever. What gave way before there was any gave way to
        others.
        """
        now = self._board.now()
        forgotten = now - RETAINED_S
        responses = self._board.responses(event.mrid)
        said = [r.received for r in responses if r.lfdi == by.lfdi and r.status in SUPERSEDED]
        if said:
            began = min((one.start for one in ours), default=now) - CLOCK_S
            return min(said) < forgotten or min(said) >= began
        return _begins(event) < forgotten or any(_takes_over(one, event) for one in ours)

    def _publish(
        self, program: str, primacy: int, device: str, event: Control, start: int, until: int
    ) -> None:
        board = self._board
        if not self._has(program):
            board.add_program(
                program,
                primacy=primacy,
                description=program[:LONGEST_NAME],
                mrid=identity.mrid("dispatch", program, pen=board.pen),
            )
        groups = board.device(device).groups
        if program not in groups:
            board.change_device(device, groups=(*groups, program))
        # Without the random times of the event: as long as any device may follow it.
        board.publish(
            program,
            base=event.base,
            start=start,
            duration=until - start,
            response_required=event.response_required,
            description=event.mrid,
            category=event.category,
        )
        log.info(
            "%s: event %s of %s has given way to the dispatch, and is asked again for %d s",
            device, event.mrid, event.program, until - start,
        )  # fmt: skip


def _begins(event: Control) -> int:
    """When the first device may begin it [s]."""
    return event.start + min(0, event.random_start or 0)


def _until(event: Control, before: Iterable[Control], start: int) -> int:
    """When what is asked again ends: where one begins that goes before it and asks as much [s].

    One that is new to a device, and that another program's event will take over, it would not begin
    at all; the event itself had begun, and lasted until then.
    """
    whole = modes.asked(event.base)
    taken = (o.start for o in before if whole <= modes.asked(o.base))
    return min([event.ends, *(begins for begins in taken if begins > start)])


def _is_over(said: Sequence[int]) -> bool:
    """Whether a device has said that it does not follow a control, and not for another one."""
    opted = [status for status in said if status in (OPTED_OUT, OPTED_IN)]
    is_over = bool(DONE & set(said)) or opted[-1:] == [OPTED_OUT]
    return is_over and not SUPERSEDED & set(said)


def _takes_over(ours: Control, theirs: Control) -> bool:
    """Whether a control goes before one of another program in a part of its time.

    Two that have no mode in common need not exclude one another: a device that takes them so, and
    is to respond, says it. One that was cancelled before the other was published took nothing.
    """
    shared = modes.asked(ours.base) & modes.asked(theirs.base)
    return (
        ours.start < theirs.ends
        and _begins(theirs) < ours.ends
        and (bool(shared) or not theirs.response_required & RESPOND_SPECIFIC)
        and (ours.cancelled is None or ours.cancelled >= theirs.created)
    )
