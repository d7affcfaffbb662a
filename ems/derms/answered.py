"""What one device has done with the events of others: what it gave up for the dispatch.

By what it has answered, and by the rules of events (`ems.derms.precedence`) where it need not have
answered, or has not yet.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

from ems.derms.board import Board, Control, Device, NotFound, Program, Responded
from ems.derms.controls import RESPOND_SPECIFIC, RETAINED_S, event_of
from ems.derms.precedence import (
    Ranked,
    begins,
    functions,
    goes_before,
    has_begun,
    may_last,
    meets,
    takes_over,
)
from ems.derms.seen import DONE, OPTED_IN, OPTED_OUT, STARTED, SUPERSEDED
from ems.derms.shadow import NEVER, RECEIVED, given_up
from ems.protocols.ieee2030_5 import events
from ems.protocols.ieee2030_5.events import Event
from ems.settings.ieee2030_5 import DISPATCH

LEFT = f"{DISPATCH}left@"
"""How names of the programs begin that ask again what has given way; no DER's name has the sign."""
CLOCK_S = 60
"""By how much the clock may have been set back between a control and the Response to it [s]."""
OPEN = frozenset({events.Status.SCHEDULED, events.Status.ACTIVE})
"""Statuses of events that somebody may follow, or will."""


def others_of(board: Board, device: Device) -> list[Program]:
    """The programs of a device that are not the dispatch's, as a client sorts them."""
    known = (board.program_by_number(n) for n in board.programs_of(device))
    others = [p for p in known if p is not None and not p.name.startswith(DISPATCH)]
    return sorted(others, key=lambda p: (p.primacy, p.mrid))


class Answered:
    """What is known of a device at an instant; not to be kept."""

    def __init__(self, board: Board, device: Device) -> None:
        """Nothing is worked out yet.

        Args:
            board: what is served, and what the device answered.
            device: follows the events.
        """
        self._board, self.device = board, device

    def said(self, mrid: str) -> list[int]:
        """ResponseTypes of the device to a control, oldest first."""
        return [r.status for r in self._told.get(mrid, ())]

    def is_over(self, event: Control) -> bool:
        """Whether it has said that it does not follow an event, and not for another one."""
        said = self.said(event.mrid)
        opted = [status for status in said if status in (OPTED_OUT, OPTED_IN)]
        is_over = bool(DONE & set(said)) or opted[-1:] == [OPTED_OUT]
        return is_over and not SUPERSEDED & set(said)

    @cached_property
    def events(self) -> Sequence[Ranked]:
        """Events of others that stand or will, the older ones first, with their primacy."""
        found, now = [], self._board.now()
        for program in others_of(self._board, self.device):
            standing = self._board.standing(program.name)
            known = [event_of(c, program.primacy) for c in self._board.controls(program.name)]
            for control, state in zip(standing.controls, standing.states, strict=True):
                if state.current in OPEN or (
                    state.current is events.Status.SUPERSEDED
                    and may_last(
                        event_of(control, program.primacy),
                        known,
                        lambda mrid: STARTED in self.said(mrid),
                        self.never_starts,
                        now,
                    )
                ):
                    found.append((control, program.primacy))
        return sorted(found, key=lambda at: (at[0].created, at[0].mrid))

    @cached_property
    def given_up(self) -> Mapping[str, int]:
        """What it would have given up by now without any dispatch, surely: when, by mRID [s]."""
        return given_up(self._board, self.device, self._told)

    def never_starts(self, event: Event) -> bool:
        """Whether it would surely have given an event up before it begins."""
        control = known(self._board, event.mrid)
        tells = control is not None and control.response_required & RESPOND_SPECIFIC
        if tells and not SUPERSEDED & set(self.said(event.mrid)):
            return False
        return self.given_up.get(event.mrid, NEVER) < event.earliest_start

    def would_follow(self, event: Control) -> bool:
        """Whether it would still follow an event without any dispatch, or may."""
        return event.program in self._others and event.mrid not in self.given_up

    def given_way(self) -> set[str]:
        """What it gave up for a command of the dispatch, or may have: mRIDs."""
        return {event.mrid for event, _ in self.events if self._has_given_way(event)}

    def given_way_again(self) -> set[str]:
        """What it gave up while something was asked again that goes before it: mRIDs.

        What it gave up while it followed that event itself it would have given up anyway.
        """
        again = [(one, _primacy_of(one.program)) for one in self._ours if not is_command(one)]
        return {
            event[0].mrid
            for event in self.events
            if (gave_up := self._may_have_given_up(event[0])) is not None
            and any(
                goes_before(one, event)
                and meets(one[0], event[0])
                and gave_up >= (self._gave_up(one[0].description) or 0) - CLOCK_S
                for one in again
            )
        }

    def repeated(self) -> set[str]:
        """What has been asked of it again, and would not have ended yet: mRIDs."""
        now = self._board.now()
        return {c.description for c in self._ours if not is_command(c) and c.ends > now}

    # What stands behind it

    @cached_property
    def _others(self) -> Collection[str]:
        return {program.name for program in others_of(self._board, self.device)}

    @cached_property
    def _told(self) -> Mapping[str, Sequence[Responded]]:
        told: dict[str, list[Responded]] = {}
        for response in self._board.responses_of([self.device.lfdi]):
            told.setdefault(response.subject.upper(), []).append(response)
        return told

    @cached_property
    def _ours(self) -> Collection[Control]:
        """The dispatch's controls that it has, or had while its DER had another name."""
        own = [n for n in self.device.groups if n.startswith(DISPATCH)]
        ours = [control for name in own for control in self._board.controls(name)]
        answered = (known(self._board, mrid) for mrid in self._told)
        ours += [c for c in answered if c is not None and c.program.startswith(DISPATCH)]
        return {control.mrid: control for control in ours}.values()

    def _has_given_way(self, event: Control) -> bool:
        """Whether it gave an event up for one of our controls, or may have.

        It need not have said so yet, nor ever where no response is required; and which controls of
        ours there were is not known for ever. What gave way before there was any gave way to
        others.
        """
        now = self._board.now()
        forgotten = now - RETAINED_S
        said = [r for r in self._told.get(event.mrid, ()) if r.status in SUPERSEDED]
        if said:
            came = min(r.received for r in said)
            at = min(came, *(r.time or came for r in said))
            beside = self._beside(event, at)
            met = [one for one in self._ours if meets(one, event)]
            reasons = [one.start for one in met if functions(one.base) not in beside]
            began = min(reasons, default=NEVER if met else now) - CLOCK_S
            # One that comes late tells of a control that may be forgotten.
            return at < forgotten or came >= began
        return begins(event) < forgotten or any(
            is_command(one) and takes_over(one, event) for one in self._ours
        )

    def _gave_up(self, mrid: str) -> int | None:
        """When the first answer came that it gave an event up for another one [s]."""
        told = (r.received for r in self._told.get(mrid, ()) if r.status in SUPERSEDED)
        return min(told, default=None)

    def _may_have_given_up(self, event: Control) -> int | None:
        """The same; now, where it need not answer so [s]."""
        silent = not event.response_required & RESPOND_SPECIFIC
        return self._board.now() if silent else self._gave_up(event.mrid)

    def _beside(self, event: Control, at: int) -> Collection[frozenset[str]]:
        """What our controls ask for that the device did beside an event before it gave that up.

        Those that exclude one another it would not have had both, once it knew of them.

        Args:
            event: of others.
            at: when it gave the event up [s].
        """
        knew = self._knew(event)
        return {
            functions(one.base)
            for one in self._ours
            if not functions(event.base) <= functions(one.base)
            and max(knew, self._knew(one)) + CLOCK_S < at
            and has_begun(event) < one.start + one.duration
            and one.start < begins(event) + event.duration + min(0, event.random_duration or 0)
        }

    def _knew(self, control: Control) -> int:
        """By when the device surely knew of a control; `NEVER`: it has not told [s]."""
        told = (r for r in self._told.get(control.mrid, ()) if r.status in (RECEIVED, STARTED))
        return min((r.received for r in told), default=NEVER)


def known(board: Board, mrid: str) -> Control | None:
    """The control of an mRID; None: it is over, and forgotten."""
    try:
        return board.control(mrid)
    except NotFound:
        return None


def is_command(ours: Control) -> bool:
    """Whether a control is the dispatch's own, not one of others that is asked again."""
    return not ours.program.startswith(LEFT)


def _primacy_of(program: str) -> int:
    return int(program.removeprefix(LEFT).partition("-")[0])
