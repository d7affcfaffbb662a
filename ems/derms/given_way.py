"""Events of others that a device gave up for the dispatch: asked again where the dispatch ends.

A device does not take up again what was superseded (IEEE Std 2030.5-2018, 10.2.3), so a limit of
such an event would be lifted to its end. It is asked of this device once more, with the same modes
until the same end, by a program of the same primacy: it gives way to what its own would give way
to, and to newer events. The program has no default, so it asks nothing when the event is over, and
nobody has to act then.
"""

import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ems.derms.board import Board, Conflict, Control, Device, NotFound, Program
from ems.derms.controls import RETAINED_S, event_of
from ems.derms.precedence import (
    Part,
    Ranked,
    begins,
    functions,
    goes_before,
    is_met_at_random,
    may_last,
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
_TOP = 0xFFFF_0000
"""Third quarter of an mRID from which on there is no room above it for those of its parts."""
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
        ours, now = self._ours(device), self._board.now()
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
        """Others have changed something: what they ask no more is asked no more.

        What waits would be given up as a whole for an event that is newer than it, and was for one
        that is cancelled by now. So it is asked anew where its parts would be others.
        """
        if self._changing:
            return
        for program in self._programs():
            device = self._device(program)
            names = {p.name for p in others_of(self._board, device)} if device else set()
            for control in self._asked(program):
                event = self._known(control.description)
                if event is not None and event.cancelled is not None:
                    self._cancel(program, control, randomly=event.cancelled_randomly)
                elif event is not None and event.program not in names:
                    self._cancel(program, control)
        for device in self._devices():
            self._follow(device)

    def drop(self) -> None:
        """Drop the programs that ask nothing any more, at a start."""
        for program in self._programs():
            if not self._board.standing(program).controls:
                self._board.remove_program(program)

    # What stands behind it

    def _follow(self, device: Device) -> None:
        again = [c for n in self._programs_of(device) for c in self._asked(n)]
        if self._has_moved(again, device):
            repeated = {control.description for control in again}
            self._ask(device, lambda event: event.mrid in repeated)

    def _has_moved(self, again: Sequence[Control], by: Device) -> bool:
        """Whether others have changed in which parts something would be asked again by now.

        What the device has begun it follows until whatever takes it over.
        """
        now, found = self._board.now(), self._events(by)
        for event in found:
            known = [c for c in again if c.description == event[0].mrid]
            if not known:
                continue
            wanted = {start for start, _ in _parts(event, found, now) if start > now}
            held = {control.start for control in known if control.start > now}
            waits = [c for c in known if STARTED not in self._said(c, by)]
            if (
                any(control.program != _name(event[1], by) for control in known)
                or held - wanted
                or any(c.start < edge < c.ends for c in waits for edge in wanted - held)
            ):
                return True
        return False

    def _forget(self, device: Device) -> None:
        """Drop the programs of a device.

        What is asked again is asked anew where the device has never looked: it may be reading its
        programs, know of no end of ours yet, and give up for that what it reads next.
        """
        for program in self._programs_of(device):
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

    def _ask(self, device: Device, is_asked: Callable[[Control], bool]) -> None:
        """Ask events again, and those of their programs that begin under way at random."""
        found, now = self._events(device), self._board.now()
        asked: list[Ranked] = []
        for event in found:
            said = self._said(event[0], device)
            is_next = not SUPERSEDED & set(said) and any(is_met_at_random(a, event) for a in asked)
            if (is_next or is_asked(event[0])) and not _is_over(said):
                asked.append(event)
        with self._changes():
            self._forget(device)
            for event in asked:
                # What ends in this second may have ended when it is published.
                parts = [part for part in _parts(event, found, now) if part[1] > now + 1]
                if parts:
                    self._publish(_name(event[1], device), event, device.name, parts)

    def _events(self, device: Device) -> list[Ranked]:
        """Events of others that stand or will, the older ones first, with their primacy."""
        found, now = [], self._board.now()

        def has_started(mrid: str) -> bool:
            said = self._board.responses(mrid)
            return any(r.lfdi == device.lfdi and r.status == STARTED for r in said)

        for program in others_of(self._board, device):
            standing = self._board.standing(program.name)
            known = [event_of(c, program.primacy) for c in self._board.controls(program.name)]
            for control, state in zip(standing.controls, standing.states, strict=True):
                if state.current in OPEN or (
                    state.current is events.Status.SUPERSEDED
                    and may_last(event_of(control, program.primacy), known, has_started, now)
                ):
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

    def _device(self, program: str) -> Device | None:
        """The device that a program is for, where it has it."""
        try:
            device = self._board.device(_device_of(program))
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

    def _programs_of(self, device: Device) -> list[str]:
        return [name for name in self._programs() if _device_of(name) == device.name]

    def _asked(self, program: str) -> list[Control]:
        return [c for c in self._board.standing(program).controls if c.cancelled is None]

    def _mrid_before(self, mrid: str) -> str:
        """A free one that goes just before an event: of those of one second the higher one does."""
        least = 1 + int(mrid[16:24], 16)
        if least >= _TOP:
            least = 0
        while True:
            drawn = least + secrets.randbelow((1 << 32) - least)
            found = f"{mrid[:16]}{drawn:08X}{self._board.pen:08X}"
            if self._known(found) is None:
                return found

    def _known(self, mrid: str) -> Control | None:
        try:
            return self._board.control(mrid)
        except NotFound:  # it is over, and forgotten
            return None

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

    def _publish(self, program: str, event: Ranked, device: str, parts: Sequence[Part]) -> None:
        board, (control, primacy) = self._board, event
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
                base=control.base,
                start=start,
                duration=until - start,
                response_required=control.response_required,
                mrid=self._mrid_before(control.mrid),
                description=control.mrid,
                category=control.category,
                created=control.created,
            )
        log.info(
            "%s: event %s of %s has given way to the dispatch, and is asked again for %d s",
            device, control.mrid, control.program, parts[-1][1] - parts[0][0],
        )  # fmt: skip


def _device_of(program: str) -> str:
    return program.removeprefix(LEFT).partition("-")[2]


def _name(primacy: int, device: Device) -> str:
    """Name of the program that asks events of a primacy of a device again."""
    return f"{LEFT}{primacy}-{device.name}"


def _parts(event: Ranked, others: Iterable[Ranked], now: int) -> list[Part]:
    """In which parts an event is asked again, from now on."""
    ahead = [other[0] for other in others if goes_before(other, event)]
    return parts_of(event[0], ahead, max(now, begins(event[0])))


def _is_command(ours: Control) -> bool:
    """Whether a control is the dispatch's own, not one of others that is asked again."""
    return not ours.program.startswith(LEFT)


def _is_over(said: Sequence[int]) -> bool:
    """Whether a device has said that it does not follow a control, and not for another one."""
    opted = [status for status in said if status in (OPTED_OUT, OPTED_IN)]
    is_over = bool(DONE & set(said)) or opted[-1:] == [OPTED_OUT]
    return is_over and not SUPERSEDED & set(said)
