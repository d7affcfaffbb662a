"""The controls of the programs: published, standing, cancelled."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ems.derms import elements
from ems.derms.checks import mrid_faults, writable
from ems.derms.curves import Curves
from ems.derms.kept import Kept
from ems.derms.programs import Programs, newer, plain
from ems.derms.served import Conflict, Control, NotFound, Program
from ems.errors import BadInput, Fault
from ems.protocols.ieee2030_5 import codec, events, modes, sep

RETAINED_S = 3600
"""How long a control can still be read at its own path after it has ended [s]."""
RESPOND_RECEIVED = 1
"""responseRequired: say that it was received."""
RESPOND_SPECIFIC = 2
"""responseRequired: say that it started, completed, was cancelled …"""
RESPOND_ALL = RESPOND_RECEIVED | RESPOND_SPECIFIC
MOST_RANDOM_S = 3600
"""By how much a start or a duration differs at most (OneHourRangeType) [s]."""
_MOST_DESCRIPTION = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The controls of a program at an instant, in the order in which they are listed."""

    controls: tuple[Control, ...]
    """Those that have not ended; by start, then newest first."""
    states: tuple[events.EventState, ...]
    """The status of each."""
    at: int
    """When it was worked out [s]."""
    until: int
    """Until when nothing of this changes by itself; before `at` it was another, too [s]."""


class Controls:
    """DERControls."""

    def __init__(self, kept: Kept, programs: Programs, curves: Curves, retained_s: int) -> None:
        """Take up what was kept.

        Args:
            kept: what all parts share.
            programs: whose controls they are.
            curves: to which controls link.
            retained_s: how long a control can still be read after it has ended [s].
        """
        self._kept, self._programs, self._curves = kept, programs, curves
        self._retained_s = retained_s
        self._controls: dict[str, dict[int, Control]] = {}
        self._by_mrid: dict[str, Control] = {}
        self._highest: dict[str, int] = {}
        self._standing: dict[str, tuple[Program, Standing]] = {}
        """By program: as which the standing was worked out, and what it is."""
        for document in kept.keeper.documents("control"):
            control = _control(json.loads(document.body or ""))
            if programs.has(control.program):
                self._index_control(control)

    def controls(self, program: str) -> tuple[Control, ...]:
        """All that are known of a program: those to come, in force, and ended a while ago.

        Raises:
            NotFound: there is no such program.
        """
        self._programs.program(program)
        return tuple(self._controls.get(program, {}).values())

    def control(self, mrid: str) -> Control:
        """The control of that mRID.

        Raises:
            NotFound: there is none.
        """
        if mrid.upper() not in self._by_mrid:
            raise NotFound(f"there is no control {mrid}")
        return self._by_mrid[mrid.upper()]

    def control_by_number(self, program: str, number: int) -> Control | None:
        """The control at /derp/{program}/derc/{number}."""
        return self._controls.get(program, {}).get(number)

    def publish(
        self,
        program: str,
        *,
        base: sep.DERControlBase,
        start: int,
        duration: int,
        random_start: int | None = None,
        random_duration: int | None = None,
        response_required: int = RESPOND_ALL,
        mrid: str = "",
        description: str = "",
        category: int | None = None,
        created: int | None = None,
    ) -> Control:
        """Publish a control; within a program the newer one supersedes where both hold.

        Args:
            program: its name.
            base: what is to be done.
            start: [s since 1970, UTC]; not later than now: it is in force at once.
            duration: [s].
            random_start: −3600 … 3600 [s].
            random_duration: −3600 … 3600 [s].
            response_required: bits, see `RESPOND_ALL`.
            mrid: 32 hex digits; a new one unless given.
            description: at most 32 characters.
            category: DeviceCategoryType of those it concerns; None: all.
            created: creationTime of the event that it goes as; None: it is the newest [s].

        Raises:
            NotFound: there is no such program.
            BadInput: with every fault.
            Conflict: something else has this mRID.
        """
        owner = self._programs.program(program)
        now = self._kept.now()
        control = Control(
            number=1 + self._highest.get(program, 0),
            program=program,
            mrid=self._kept.new_mrid(mrid),
            description=description,
            version=0,
            created=(
                self._newest_of(program, start, start + duration, now)
                if created is None
                else created
            ),
            start=start,
            duration=duration,
            random_start=random_start,
            random_duration=random_duration,
            response_required=response_required,
            base=base,
            category=category,
            cancelled=None,
            cancelled_randomly=False,
        )
        self._check_control(control, now)
        curves = self._programs.with_linked(owner, base)
        if curves != owner.curves:
            self._programs.store(newer(replace(owner, curves=curves)))
        self._store_control(control)
        return control

    def cancel(self, program: str, mrid: str, *, randomly: bool = False) -> Control:
        """Cancel a control; it stays listed, so that devices hear of it, until it would have ended.

        Args:
            program: its name.
            mrid: of the control.
            randomly: devices end it within its randomisation.

        Raises:
            NotFound: there is no such program or control.
            Conflict: it has ended.
        """
        self._programs.program(program)
        control = self.control(mrid)
        now = self._kept.now()
        if control.program != program:
            raise NotFound(f"program {program!r} has no control {mrid}")
        if control.cancelled is not None:
            return control
        if control.ends <= now:
            raise Conflict(f"control {mrid} has ended")
        version = control.version + 1
        self._store_control(
            replace(control, cancelled=now, cancelled_randomly=randomly, version=version)
        )
        return self.control(mrid)

    def standing(self, program: str, now: int | None = None) -> Standing:
        """The controls of a program that have not ended, with their status.

        Raises:
            NotFound: there is no such program.
        """
        now = self._kept.now() if now is None else now
        owner = self._programs.program(program)
        known_of, known = self._standing.get(program, (None, None))
        if known is None or known_of is not owner or not known.at <= now < known.until:
            known = _standing(self._controls.get(program, {}).values(), now, owner.primacy)
            self._standing[program] = (owner, known)
        return known

    def state(self, mrid: str, now: int | None = None) -> events.EventState:
        """The status of one control, also of one that has ended.

        Raises:
            NotFound: there is no such control.
        """
        now = self._kept.now() if now is None else now
        control = self.control(mrid)
        primacy = self._programs.program(control.program).primacy
        siblings = self._controls[control.program].values()
        return events.status_at(
            event_of(control, primacy), [event_of(c, primacy) for c in siblings], now
        )

    def prune(self, now: int) -> None:
        """Forget the controls that ended long ago; the keeper's entries of them stay."""
        for held in self._controls.values():
            over = [c for c in held.values() if c.ends + self._retained_s <= now]
            for control in over:
                self._forget(control)

    def check_over(self, program: str) -> None:
        """A program has no control that devices would have to hear the end of.

        Raises:
            NotFound: there is no such program.
            Conflict: a control has not ended; cancel it first.
        """
        left = [c for c in self.standing(program).controls if c.cancelled is None]
        if left:
            raise Conflict(
                f"program {program!r} has {len(left)} control(s) that have not ended; cancel them "
                "first, so that devices hear of it"
            )

    def forget_all(self, program: str) -> None:
        """Drop all controls of a program."""
        for control in self.controls(program):
            self._forget(control)
        self._highest.pop(program, None)
        self._standing.pop(program, None)

    # What stands behind it

    def _newest_of(self, program: str, start: int, end: int, now: int) -> int:
        """A creationTime that makes a control the newest among those it overlaps.

        Times are whole seconds: of two controls of one second nobody could tell the newer.
        """
        overlapped = (
            c.created
            for c in self._controls.get(program, {}).values()
            if c.start < end and start < c.start + c.duration
        )
        return max(now, 1 + max(overlapped, default=0))

    def _check_control(self, control: Control, now: int) -> None:
        place = f"control {control.mrid}"
        faults = mrid_faults(control.mrid, place)
        if control.duration <= 0:
            problem = f"{control.duration} s; it must be above 0"
            faults.append(Fault(place=f"{place}: duration", problem=problem))
        elif control.ends <= now:
            faults.append(Fault(place=f"{place}: start", problem="it has ended already"))
        for name in ("random_start", "random_duration"):
            spread = getattr(control, name)
            if spread is not None and abs(spread) > MOST_RANDOM_S:
                problem = f"{spread} s; it must lie within ±{MOST_RANDOM_S}"
                faults.append(Fault(place=f"{place}: {name}", problem=problem))
        if not 0 <= control.response_required <= 0xFF:
            problem = f"{control.response_required} has more than 8 bits"
            faults.append(Fault(place=f"{place}: response_required", problem=problem))
        if len(control.description) > _MOST_DESCRIPTION:
            problem = f"more than {_MOST_DESCRIPTION} characters"
            faults.append(Fault(place=f"{place}: description", problem=problem))
        number = self._programs.program(control.program).number
        faults = faults or elements.faults_of(place, lambda: elements.control(number, control))
        if faults:
            raise BadInput(faults)
        self._curves.check_base(control.base, place)

    def _store_control(self, control: Control) -> None:
        self._index_control(control)
        number = self._programs.program(control.program).number
        self._kept.keep(self._kept.put("control", control.mrid, plain(control)))
        own = f"/derp/{number}"
        self._kept.tell(f"{own}/derc", f"{own}/actderc", f"{own}/derc/{control.number}")

    def _index_control(self, control: Control) -> None:
        self._controls.setdefault(control.program, {})[control.number] = control
        self._by_mrid[control.mrid] = control
        self._kept.mrids.add(control.mrid)
        self._highest[control.program] = max(control.number, self._highest.get(control.program, 0))
        self._standing.pop(control.program, None)

    def _forget(self, control: Control) -> None:
        del self._controls[control.program][control.number]
        del self._by_mrid[control.mrid]
        self._kept.mrids.discard(control.mrid)
        self._kept.keep(self._kept.drop("control", control.mrid))


def event_of(control: Control, primacy: int) -> events.Event:
    """A control as the calculus of events sees it."""
    return events.Event(
        mrid=control.mrid,
        program=control.program,
        primacy=primacy,
        created=control.created,
        start=control.start,
        duration=control.duration,
        random_start=control.random_start or 0,
        random_duration=control.random_duration or 0,
        cancelled=control.cancelled,
        cancelled_randomly=control.cancelled_randomly,
        modes=modes.asked(control.base),
        category=control.category,
    )


def _standing(controls: Iterable[Control], now: int, primacy: int) -> Standing:
    known = tuple(controls)
    listed = sorted(
        (c for c in known if c.ends > now),
        key=lambda c: (c.start, -c.created, -int(c.mrid, 16)),
    )
    calculated = [event_of(c, primacy) for c in known]
    by_mrid = {event.mrid: event for event in calculated}
    states = tuple(events.status_at(by_mrid[c.mrid], calculated, now) for c in listed)
    instants = (
        instant
        for c in listed
        for instant in (
            c.created,
            c.start + min(0, c.random_start or 0),
            c.start,
            c.start + max(0, c.random_start or 0),
            c.start + c.duration,
            c.ends,
        )
        if instant > now
    )
    forever = 1 << 62
    until = min(instants, default=forever)
    return Standing(controls=tuple(listed), states=states, at=now, until=until)


def _control(held: dict[str, Any]) -> Control:
    base = codec.decode(held["base"].encode(), sep.DERControlBase)
    return Control(**held | {"base": base, "description": writable(held["description"])})
