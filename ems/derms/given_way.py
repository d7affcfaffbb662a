"""Events of others that a device gave up for the dispatch: asked again where the dispatch ends.

A device does not take up again what was superseded (IEEE Std 2030.5-2018, 10.2.3), so a limit of
such an event would be lifted to its end. It is asked of this device once more, with the same modes
until the same end, by a program of the same primacy: it gives way to what its own would give way
to, and to newer events. The program has no default, so it asks nothing when the event is over, and
nobody has to act then.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ems.derms.board import Board, Conflict, Control, Device, NotFound, Program
from ems.derms.controls import RETAINED_S
from ems.derms.precedence import (
    Part,
    Ranked,
    begins,
    ends_with,
    functions,
    is_freed,
    is_met,
    meets,
    parts_of,
    takes_over,
)
from ems.derms.seen import DONE, OPTED_IN, OPTED_OUT, STARTED
from ems.protocols.ieee2030_5 import events, identity, sep
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
        self._changing = False
        """Whether what the board tells just now is what is changed here."""

    def ask_again(self, device: Device) -> None:
        """Ask again what has given way; before what it gave way to is taken back."""
        ours = self._ours(device)
        with self._changes():
            self._forget(device)
        device, now = self._board.device(device.name), self._board.now()
        repeated = {c.description for c in ours if not _is_command(c) and c.ends > now}
        self._ask(
            device,
            lambda event: event.mrid in repeated or self._has_given_way(event, ours, device),
        )

    def take_back(self, device: Device, base: sep.DERControlBase) -> None:
        """Ask nothing again that a control takes over: the dispatch keeps what others limit.

        Args:
            device: goes on in the dispatch.
            base: what it is asked by that now. What asks for more than this goes on beside it.
        """
        for program in device.groups:
            if program.startswith(LEFT):
                for control in self._asked(program):
                    if functions(control.base) <= functions(base):
                        self._cancel(program, control)

    def follow(self) -> None:
        """Events of others have changed: what they cancelled is asked no more.

        What waits would be given up as a whole for an event that is newer than it. It is asked
        anew until that one begins; and after that, where that one is cancelled.
        """
        if self._changing:
            return
        for program in self._programs():
            for control in self._asked(program):
                event = self._known(control.description)
                if event is not None and event.cancelled is not None:
                    self._cancel(program, control, randomly=event.cancelled_randomly)
        for device in self._devices():
            self._follow(device)

    def drop(self) -> None:
        """Drop the programs that ask nothing any more, at a start."""
        for program in self._programs():
            if not self._board.standing(program).controls:
                self._board.remove_program(program)

    # What stands behind it

    def _follow(self, device: Device) -> None:
        """Ask anew where the end of something that is asked again has moved."""
        again = [c for n in device.groups if n.startswith(LEFT) for c in self._followed(n, device)]
        found = self._events(device)
        if any(self._has_moved(control, found, device) for control in again):
            repeated = {control.description for control in again}
            with self._changes():
                self._forget(device)
            self._ask(self._board.device(device.name), lambda event: event.mrid in repeated)
        else:
            self._ask(device, lambda _event: False)

    def _has_moved(self, again: Control, found: Sequence[Ranked], by: Device) -> bool:
        """Whether others have moved the end of what is asked again; see `is_met`, `is_freed`."""
        board, event = self._board, self._known(again.description)
        if event is None:
            return False
        if STARTED not in self._said(again, by):
            going = [at for at in found if not SUPERSEDED & set(self._said(at[0], by))]
            primacy = board.program(again.program).primacy
            if is_met(again, event, primacy, going, board.now()):
                return True
        standing = (c for p in others_of(board, by) for c in board.standing(p.name).controls)
        return is_freed(again, event, standing, (other for other, _ in found))

    def _forget(self, device: Device) -> None:
        """Drop the programs of a device.

        What is asked again is asked anew, in the order of the events, and where the device has
        never looked: it may be reading its programs, know of no end of ours yet, and give up for
        that what it reads next.
        """
        for program in device.groups:
            if program.startswith(LEFT):
                for control in self._asked(program):
                    self._cancel(program, control)
                self._board.remove_program(program)

    @contextmanager
    def _changes(self) -> Iterator[None]:
        """Change programs and devices: nobody else's events change by that."""
        before, self._changing = self._changing, True
        try:
            yield
        finally:
            self._changing = before

    def _ask(self, device: Device, has_given_way: Callable[[Control], bool]) -> None:
        """Ask events again, the older ones first, and those that they would go before."""
        now = self._board.now()
        found = self._events(device)
        for event, primacy in found:
            program = f"{LEFT}{primacy}-{device.name}"
            known = self._followed(program, device)
            if any(again.description == event.mrid for again in known):
                continue
            if has_given_way(event) or self._is_passed_over(event, known, device):
                asks = functions(event.base)
                taking = [
                    self._begins_at(other, goes, device, has_given_way)
                    for other, goes in found
                    if (goes < primacy and asks <= functions(other.base)) or ends_with(event, other)
                ]
                start = max(now, begins(event))
                parts = parts_of(event, [at for at in taking if at is not None], start)
                # What ends in this second may have ended when it is published.
                if left := [part for part in parts if part[1] > now + 1]:
                    newest = max(other.created for other, goes in found if goes == primacy)
                    with self._changes():
                        self._publish(program, primacy, device.name, event, left, newest)

    def _events(self, device: Device) -> list[Ranked]:
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

    def _ours(self, device: Device) -> Collection[Control]:
        """The dispatch's controls that a device has, or had while its DER had another name."""
        own = [n for n in device.groups if n.startswith(DISPATCH)]
        ours = [control for name in own for control in self._board.controls(name)]
        answered = (self._known(r.subject) for r in self._board.responses_of([device.lfdi]))
        ours += [c for c in answered if c is not None and c.program.startswith(DISPATCH)]
        return {control.mrid: control for control in ours}.values()

    def _followed(self, program: str, by: Device) -> list[Control]:
        """What is asked again of a device, as far as it has not given that up, too.

        It may have been taken out of the program since, with a new certificate or by hand.
        """
        if program not in self._board.device(by.name).groups:
            return []
        return [c for c in self._asked(program) if not SUPERSEDED & set(self._said(c, by))]

    def _begins_at(
        self, event: Control, primacy: int, by: Device, has_given_way: Callable[[Control], bool]
    ) -> Part | None:
        """From when to when a device may begin an event in its turn; None: it has given it up.

        One that is asked again begins at once.
        """
        again = self._followed(f"{LEFT}{primacy}-{by.name}", by)
        if has_given_way(event) or any(control.description == event.mrid for control in again):
            return begins(event), begins(event)
        if SUPERSEDED & set(self._said(event, by)):
            return None
        return event.start, event.start + max(0, event.random_start or 0)

    def _device(self, program: str) -> Device | None:
        """The device that a program is for, where it has it."""
        try:
            device = self._board.device(program.removeprefix(LEFT).partition("-")[2])
        except NotFound:
            return None
        return device if program in device.groups else None

    def _cancel(self, program: str, control: Control, *, randomly: bool = False) -> None:
        with suppress(Conflict):  # it has ended just now
            self._board.cancel(program, control.mrid, randomly=randomly)

    def _has(self, program: str) -> bool:
        try:
            self._board.program(program)
        except NotFound:
            return False
        return True

    def _devices(self) -> list[Device]:
        """Those of which something is asked again."""
        asking = (self._device(program) for program in self._programs() if self._asked(program))
        return list({d.name: d for d in asking if d is not None}.values())

    def _programs(self) -> list[str]:
        return [p.name for p in self._board.programs() if p.name.startswith(LEFT)]

    def _asked(self, program: str) -> list[Control]:
        return [c for c in self._board.standing(program).controls if c.cancelled is None]

    def _known(self, mrid: str) -> Control | None:
        try:
            return self._board.control(mrid)
        except NotFound:  # it is over, and forgotten
            return None

    def _is_passed_over(self, event: Control, known: Iterable[Control], by: Device) -> bool:
        """Whether what is asked again goes before an event that its own gave way to.

        Of one primacy the newer goes first (10.2.3), and what is asked again is newer than all.
        """
        if SUPERSEDED & set(self._said(event, by)):
            return False
        originals = [(again, self._known(again.description)) for again in known]
        return any(
            of is not None
            and of.created <= event.created <= again.created
            and begins(event) < again.ends
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
        said = [r for r in responses if r.lfdi == by.lfdi and r.status in SUPERSEDED]
        if said:
            began = min((one.start for one in ours if meets(one, event)), default=now) - CLOCK_S
            came = min(r.received for r in said)
            # One that comes late tells of a control that may be forgotten.
            return min(came, *(r.time or came for r in said)) < forgotten or came >= began
        return begins(event) < forgotten or any(
            _is_command(one) and takes_over(one, event) for one in ours
        )

    def _publish(
        self,
        program: str,
        primacy: int,
        device: str,
        event: Control,
        parts: Sequence[Part],
        after: int,
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
        for start, until in parts:
            board.publish(
                program,
                base=event.base,
                start=start,
                duration=until - start,
                response_required=event.response_required,
                description=event.mrid,
                category=event.category,
                after=after,
            )
        log.info(
            "%s: event %s of %s has given way to the dispatch, and is asked again for %d s",
            device, event.mrid, event.program, parts[-1][1] - parts[0][0],
        )  # fmt: skip


def _is_command(ours: Control) -> bool:
    """Whether a control is the dispatch's own, not one of others that is asked again."""
    return not ours.program.startswith(LEFT)


def _is_over(said: Sequence[int]) -> bool:
    """Whether a device has said that it does not follow a control, and not for another one."""
    opted = [status for status in said if status in (OPTED_OUT, OPTED_IN)]
    is_over = bool(DONE & set(said)) or opted[-1:] == [OPTED_OUT]
    return is_over and not SUPERSEDED & set(said)
