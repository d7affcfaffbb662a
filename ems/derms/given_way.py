"""Events of others that a device gave up for the dispatch: asked again where the dispatch ends.

A device does not take up again what was superseded (IEEE Std 2030.5-2018, 10.2.3), so a limit of
such an event would be lifted to its end. It is asked of this device once more, with the same modes
until the same end, by a program of the same primacy: it gives way to what its own would give way
to, and to newer events. What it would have given up without any dispatch, too, is not asked
(`ems.derms.shadow`). The program has no default, so it asks nothing when the event is over, and
nobody has to act then.
"""

import logging
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ems.derms.answered import LEFT, Answered, known
from ems.derms.board import Board, Conflict, Control, Device, NotFound
from ems.derms.controls import RESPOND_ALL
from ems.derms.precedence import (
    Part,
    Ranked,
    begins,
    functions,
    goes_before,
    is_met_at_random,
    parts_of,
)
from ems.derms.seen import STARTED, SUPERSEDED
from ems.protocols.ieee2030_5 import identity, sep

log = logging.getLogger(__name__)

LONGEST_NAME = 32
"""Characters of a description in the schema."""
_TOP = 0xFFFF_0000
"""Third quarter of an mRID from which on there is no room above it for those of its parts."""


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
        answered = Answered(self._board, device)
        self._ask(answered, answered.given_way() | answered.repeated())

    def ask_more(self, device: Device) -> None:
        """Ask again what has given way to what was asked again and is over, if there is any.

        That lasts as long as any device may follow the event; this one may have ended it earlier.
        """
        answered = Answered(self._board, device)
        again = {control.description for control in self._asked_of(device)}
        more = answered.given_way_again() - again
        if more and more - answered.given_up.keys():
            self._ask(answered, again | more)

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
        devices = {program: self._device(program) for program in self._programs()}
        answered = {d.name: Answered(self._board, d) for d in devices.values() if d is not None}
        left: dict[str, list[Control]] = {name: [] for name in answered}
        for program, device in devices.items():
            by = None if device is None else answered[device.name]
            for control in self._asked(program):
                event = known(self._board, control.description)
                if event is not None and event.cancelled is not None:
                    self._cancel(program, control, randomly=event.cancelled_randomly)
                elif event is not None and (by is None or not by.would_follow(event)):
                    self._cancel(program, control)
                elif by is not None:
                    left[by.device.name].append(control)
        for by in answered.values():
            again = left[by.device.name]
            if self._has_moved(again, by):
                self._ask(by, {control.description for control in again})

    def drop(self) -> None:
        """Drop the programs that ask nothing any more, at a start."""
        for program in self._programs():
            if not self._board.standing(program).controls:
                self._board.remove_program(program)

    # What stands behind it

    def _has_moved(self, again: Sequence[Control], by: Answered) -> bool:
        """Whether others have changed in which parts something would be asked again by now.

        What the device has begun it follows until whatever takes it over.
        """
        now = self._board.now()
        for event in by.events if again else ():
            of_it = [c for c in again if c.description == event[0].mrid]
            if not of_it:
                continue
            wanted = {start for start, _ in _parts(event, by.events, now) if start > now}
            held = {control.start for control in of_it if control.start > now}
            waits = [c for c in of_it if STARTED not in by.said(c.mrid)]
            if (
                any(control.program != _name(event[1], by.device) for control in of_it)
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

    def _ask(self, by: Answered, mrids: Collection[str]) -> None:
        """Ask events again, and those of their programs that begin under way at random.

        But none that the device would have given up for others: it would go before what it follows.
        """
        device, now = by.device, self._board.now()
        asked: list[Ranked] = []
        for event in by.events:
            mrid = event[0].mrid
            is_next = not SUPERSEDED & set(by.said(mrid)) and any(
                is_met_at_random(one, event) for one in asked
            )
            if (is_next or mrid in mrids) and mrid not in by.given_up and not by.is_over(event[0]):
                asked.append(event)
        with self._changes():
            self._forget(device)
            for event in asked:
                # What ends in this second may have ended when it is published.
                parts = [part for part in _parts(event, by.events, now) if part[1] > now + 1]
                if parts:
                    self._publish(_name(event[1], device), event, device.name, parts)

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

    def _programs(self) -> list[str]:
        return [p.name for p in self._board.programs() if p.name.startswith(LEFT)]

    def _programs_of(self, device: Device) -> list[str]:
        return [name for name in self._programs() if _device_of(name) == device.name]

    def _asked(self, program: str) -> list[Control]:
        return [c for c in self._board.standing(program).controls if c.cancelled is None]

    def _asked_of(self, device: Device) -> list[Control]:
        return [c for name in self._programs_of(device) for c in self._asked(name)]

    def _mrid_before(self, mrid: str) -> str:
        """A free one that goes just before an event: of those of one second the higher one does."""
        least = 1 + int(mrid[16:24], 16)
        if least >= _TOP:
            least = 0
        while True:
            drawn = least + secrets.randbelow((1 << 32) - least)
            found = f"{mrid[:16]}{drawn:08X}{self._board.pen:08X}"
            if known(self._board, found) is None:
                return found

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
        # Without the random times of the event: as long as any device may follow it. Answered,
        # though the event need not be: what gave way to it is asked again when it is over.
        for start, until in parts:
            board.publish(
                program,
                base=control.base,
                start=start,
                duration=until - start,
                response_required=RESPOND_ALL,
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
