"""What the dispatch publishes: a program for each DER, that goes before all others.

On the board's own thread. A device has the program of its DER beside what it is assigned to; a
file or an administrator that takes it away is corrected at the next publication.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from ems.derms.board import Board, Control, Device, NotFound, Program
from ems.derms.controls import RESPOND_SPECIFIC
from ems.derms.seen import DONE, OPTED_IN, OPTED_OUT
from ems.protocols.ieee2030_5 import identity, modes, sep
from ems.settings.ieee2030_5 import DISPATCH

FIRST, LAST = 0, 255
"""Primacy of the dispatch's programs, which no other program can have; and while it has handed
control back."""
SUPERSEDED = frozenset({7, 14})
"""ResponseTypes (IEEE 2030.5-2018, table 27): superseded, by its own or another program."""
LONGEST_NAME = 32
"""Characters of a description in the schema."""
SETTINGS = tuple(n for n in sep.DefaultDERControl.model_fields if n.startswith("set"))
"""Elements of a default control beside its modes: ramp rates, and when to enter service."""


class Published:
    """The dispatch's programs, with their defaults and controls."""

    def __init__(self, board: Board, devices: Mapping[str, str]) -> None:
        """Nothing is published yet.

        Args:
            board: what is served.
            devices: name of the end device of each DER.
        """
        self._board, self._devices = board, dict(devices)
        self._of = {program_of(der): device for der, device in self._devices.items()}
        self._waiting: dict[str, sep.DERControlBase] = {}
        """By DER whose program stands behind the others: the default it shall have before them."""
        self._is_left = False
        """Whether a program that is no DER's any more still keeps a limit."""
        board.dispatched = frozenset(self._of)

    # --- what is to be done ----------------------------------------------------------

    def keep_default(self, der: str, base: sep.DERControlBase) -> None:
        """Make this the default of a DER's program, where it is not.

        What was handed back stays as it is until there is a control for it: others may lift what
        they limit, and nobody would lift it here.
        """
        if self._is_handed_back(program_of(der)):
            self._waiting[der] = base
            return
        program = self._assigned(der)
        self._set_default(program, self._board.device(self._devices[der]), base)
        if self._is_left:
            self.drop_left_over()

    def publish(self, der: str, base: sep.DERControlBase, duration_s: int) -> Control:
        """Publish a control from now on; the ones before are cancelled."""
        board, program = self._board, self._assigned(der)
        if der in self._waiting:
            self._set_default(program, board.device(self._devices[der]), self._waiting.pop(der))
        now = board.now()
        control = board.publish(
            program, base=base, start=now, duration=duration_s, description="dispatch"
        )
        # Superseded ones would run again where the clock is set back. Cancelled after there is
        # another, so that no device falls back between the two.
        self._cancel(program, but=control.mrid)
        return control

    def follow_settings(self, path: str) -> None:
        """Let the defaults have the settings of others that they stand before.

        Args:
            path: of what changed.
        """
        board = self._board
        match path.split("/")[1:]:
            case ["derp", number] if number.isdecimal() and self._is_another(int(number)):
                programs: Iterable[str] = self._of  # its default or its primacy
            case ["edev", number, "fsa"] if number.isdecimal():
                device = board.device_by_number(int(number))
                programs = [] if device is None else [p for p in device.groups if p in self._of]
            case _:
                return
        for program in programs:
            of = self._device(program)
            held = None if of is None else board.program(program).default
            if of is not None and held is not None:
                self._set_default(program, of, held.DERControlBase_)

    # --- what is taken back ----------------------------------------------------------

    def drop_left_over(self) -> None:
        """Take devices out of programs that are not theirs by the site file.

        A DER may have another name since, be another end device, or be gone. What was asked of it
        would go before all that is asked now. Of a DER that is gone or has another name the safe
        state stays while it alone keeps a limit of others; it is looked at again with each default
        that is set, and at the next start.
        """
        self._is_left = False
        for program in self._board.programs():
            if program.name.startswith(DISPATCH):
                of = self._of.get(program.name)
                strangers = [d for d in self._assigned_to(program.name) if d.name != of]
                if of is None and any(map(self._needs_safe_state, strangers)):
                    self._cancel(program.name)
                    self._is_left = True
                elif of is None or strangers:
                    self._withdraw(program.name, strangers)

    def hand_back(self, ders: Collection[str]) -> None:
        """Ask nothing more of some devices: their other programs go first.

        Their safe state stays behind these, for whatever none of them orders. It stays before them
        where an order of theirs has given way to one of ours: the device will not follow that
        again, and the safe state keeps its limit.

        Args:
            ders: names of DERs that have confirmed that they are where their safe state is.
        """
        for der in ders:
            program = program_of(der)
            device = self._device(program)
            if device is not None:
                self._cancel(program)
                if not self._has_given_way(device):
                    self._board.change_program(program, primacy=LAST)

    # --- what there is besides -------------------------------------------------------

    def others_of(self, device: Device) -> list[Program]:
        """The programs of a device that are not the dispatch's, as a client sorts them."""
        board = self._board
        known = (board.program_by_number(n) for n in board.programs_of(device))
        others = [p for p in known if p is not None and not p.name.startswith(DISPATCH)]
        return sorted(others, key=lambda p: (p.primacy, p.mrid))

    def may_limit(self, path: str) -> bool:
        """Whether a change there may limit a device: another's controls, defaults, assignments."""
        match path.split("/")[1:]:
            case ["derp", number, "derc" | "dderc"] if number.isdecimal():
                return self._is_another(int(number))
            case ["edev", _, "fsa"]:
                return True
        return False

    # What stands behind it

    def _has_given_way(self, device: Device) -> bool:
        """Whether a control of another program that is not over was superseded by one of ours.

        A device need not have said so yet, nor ever where no response is required.
        """
        board, now = self._board, self._board.now()
        ours = [
            control
            for name in device.groups
            if name.startswith(DISPATCH)
            for control in board.controls(name)
        ]
        return any(
            control.ends > now
            and control.cancelled is None
            and self._is_superseded(control, ours, device)
            for program in self.others_of(device)
            for control in board.controls(program.name)
        )

    def _is_superseded(self, control: Control, ours: Iterable[Control], by: Device) -> bool:
        said = [r.status for r in self._board.responses(control.mrid) if r.lfdi == by.lfdi]
        if SUPERSEDED & set(said):
            return True
        return not _is_over(said) and any(_takes_over(one, control) for one in ours)

    def _needs_safe_state(self, device: Device) -> bool:
        """Whether a limit is kept by nothing but a safe state that a program has left behind."""
        program = next((p for p in device.groups if p in self._of), None)
        held = None if program is None else self._board.program(program)
        if held is not None and held.primacy == FIRST and held.default is not None:
            return False  # the limit is in this one
        return self._has_given_way(device)

    def _is_handed_back(self, program: str) -> bool:
        try:
            return self._board.program(program).primacy == LAST
        except NotFound:
            return False

    def _is_another(self, number: int) -> bool:
        program = self._board.program_by_number(number)
        return program is not None and not program.name.startswith(DISPATCH)

    def _device(self, program: str) -> Device | None:
        """The device that a program of the dispatch is for, where it has it."""
        try:
            device = self._board.device(self._of[program])
        except (KeyError, NotFound):
            return None
        return device if program in device.groups else None

    def _assigned_to(self, program: str) -> list[Device]:
        return [d for d in self._board.devices() if program in d.groups]

    def _set_default(self, program: str, device: Device, base: sep.DERControlBase) -> None:
        # A client may take the first default control as a whole, and only its settings count.
        told = (p.default for p in self.others_of(device))
        settings = _settings(next((d for d in told if d is not None), None))
        held = self._board.program(program).default
        if held is None or (held.DERControlBase_, _settings(held)) != (base, settings):
            self._board.set_default(program, base, description="safe state", mrid="", **settings)

    def _withdraw(self, program: str, devices: list[Device]) -> None:
        self._cancel(program)
        if self._board.program(program).default is not None:
            self._board.set_default(program, None)
        for device in devices:
            left = tuple(name for name in device.groups if name != program)
            self._board.change_device(device.name, groups=left)

    def _cancel(self, program: str, but: str = "") -> None:
        board, now = self._board, self._board.now()
        for control in board.controls(program):
            if control.mrid != but and control.cancelled is None and control.ends > now:
                board.cancel(program, control.mrid)

    def _assigned(self, der: str) -> str:
        """The program of a DER, its device assigned to it; both made where they are missing."""
        board, program = self._board, program_of(der)
        device = board.device(self._devices[der])
        try:
            if board.program(program).primacy != FIRST:
                board.change_program(program, primacy=FIRST)
        except NotFound:
            board.add_program(
                program,
                primacy=FIRST,
                description=program[:LONGEST_NAME],
                mrid=identity.mrid("dispatch", program, pen=board.pen),
            )
        if program not in device.groups:
            board.change_device(device.name, groups=(*device.groups, program))
        return program


def program_of(der: str) -> str:
    """Name of the program of a DER."""
    return f"{DISPATCH}{der}"


def _is_over(said: Sequence[int]) -> bool:
    """Whether a device has said that it does not follow a control, or no longer."""
    opted = [status for status in said if status in (OPTED_OUT, OPTED_IN)]
    return bool(DONE & set(said)) or opted[-1:] == [OPTED_OUT]


def _takes_over(ours: Control, theirs: Control) -> bool:
    """Whether a control goes before one of another program in a part of its time.

    Two that have no mode in common need not exclude one another: a device that takes them so, and
    is to respond, says it. One that was cancelled before the other was published took nothing.
    """
    begins = theirs.start + min(0, theirs.random_start or 0)
    shared = modes.asked(ours.base) & modes.asked(theirs.base)
    return (
        ours.start < theirs.ends
        and begins < ours.ends
        and (bool(shared) or not theirs.response_required & RESPOND_SPECIFIC)
        and (ours.cancelled is None or ours.cancelled >= theirs.created)
    )


def _settings(default: sep.DefaultDERControl | None) -> dict[str, int]:
    """What a default control tells beside its modes."""
    told = {} if default is None else {name: getattr(default, name) for name in SETTINGS}
    return {name: value for name, value in told.items() if value is not None}
