"""What the dispatch publishes: a program for each DER, that goes before all others.

On the board's own thread. A device has the program of its DER beside what it is assigned to; a
file or an administrator that takes it away is corrected at the next publication.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from ems.derms.answered import LEFT, others_of
from ems.derms.board import Board, Conflict, Control, Device, NotFound
from ems.derms.given_way import LONGEST_NAME, GivenWay
from ems.protocols.ieee2030_5 import identity, sep
from ems.settings.ieee2030_5 import DISPATCH

FIRST, LAST = 0, 255
"""Primacy of the dispatch's programs, which no other program can have; and while it has handed
control back."""
RESPONSES = "/rsps/1/r"
"""What changes when a Response comes."""
COMPLETED = 3
"""ResponseType (IEEE 2030.5-2018, table 27)."""
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
        self._own: dict[str, sep.DERControlBase] = {}
        """The safe state of each DER without what others limit, as far as it was told."""
        self._given_way = GivenWay(board)
        board.dispatched = frozenset(self._of)

    # --- what is to be done ----------------------------------------------------------

    def keep_default(
        self, der: str, base: sep.DERControlBase, own: sep.DERControlBase | None = None
    ) -> None:
        """Make this the default of a DER's program, where it is not.

        Args:
            der: name of the DER.
            base: what it falls back to, within what others limit.
            own: the same without that; None: it is as it was told before.
        """
        program = self._assigned(der)
        if own is not None:
            self._own[der] = own
        self._set_default(program, self._board.device(self._devices[der]), base)

    def publish(self, der: str, base: sep.DERControlBase, duration_s: int) -> Control:
        """Publish a control from now on; the ones before are cancelled."""
        board, program = self._board, self._assigned(der)
        now = board.now()
        control = board.publish(
            program, base=base, start=now, duration=duration_s, description="dispatch"
        )
        # Superseded ones would run again where the clock is set back. Cancelled after there is
        # another, so that no device falls back between the two.
        self._cancel(program, but=control.mrid)
        self._given_way.take_back(board.device(self._devices[der]), base)
        return control

    def follow(self, path: str) -> None:
        """Follow what others have changed, where it is.

        Args:
            path: of what changed.
        """
        self._follow_settings(path)
        if self.may_limit(path):
            self._given_way.follow()
        elif path == RESPONSES:
            self._follow_end()

    def follow_all(self) -> None:
        """Follow what others have changed while nobody did so."""
        self._given_way.follow()

    # --- what is taken back ----------------------------------------------------------

    def drop_left_over(self) -> None:
        """Take devices out of programs that are not theirs by the site file.

        A DER may have another name since, be another end device, or be gone. What was asked of it
        would go before all that is asked now.
        """
        for program in self._board.programs():
            if is_dispatch(program.name):
                of = self._of.get(program.name)
                assigned = self._assigned_to(program.name)
                strangers = [d for d in assigned if d.name != of]
                if of is None or strangers:
                    for device in assigned:
                        self._given_way.ask_again(device)
                    self._withdraw(program.name, strangers)
                if of is None and not self._board.controls(program.name):
                    self._board.remove_program(program.name)
        self.follow_all()
        self._given_way.drop()

    def hand_back(self, ders: Collection[str]) -> None:
        """Ask nothing more of some devices: their other programs go first.

        Their safe state stays behind these, for whatever none of them orders: without what others
        limit, which nobody would lift there when they do.

        Args:
            ders: names of DERs that have confirmed that they are where their safe state is.
        """
        for der in ders:
            program = program_of(der)
            device = self._device(program)
            if device is not None:
                self._given_way.ask_again(device)
                self._cancel(program)
                self._board.change_program(program, primacy=LAST)
                if der in self._own:
                    # Its programs have changed meanwhile.
                    device = self._board.device(device.name)
                    self._set_default(program, device, self._own[der])

    def is_handed_back(self, der: str) -> bool:
        """Whether other programs go before a DER's own."""
        try:
            return self._board.program(program_of(der)).primacy == LAST
        except NotFound:
            return False

    # --- what there is besides -------------------------------------------------------

    def may_limit(self, path: str) -> bool:
        """Whether a change there may limit a device: another's controls, default or primacy.

        Or which programs it has.
        """
        match path.split("/")[1:]:
            case ["derp", number] | ["derp", number, "derc" | "dderc"] if number.isdecimal():
                return self._is_another(int(number))
            case ["edev", _, "fsa"]:
                return True
        return False

    # What stands behind it

    def _follow_end(self) -> None:
        """Ask again what gave way to what of the dispatch is over, and nothing follows."""
        said = self._board.last_response()
        if said is None or said.status != COMPLETED:
            return
        device = self._board.device_by_lfdi(said.lfdi)
        if device is None:
            return
        with suppress(NotFound):
            control = self._board.control(said.subject)
            if control.program.startswith(LEFT):
                self._given_way.ask_more(device)
            elif is_dispatch(control.program) and not self._is_followed(control):
                self._given_way.ask_again(device)

    def _is_followed(self, control: Control) -> bool:
        """Whether another command of its program stands after one, or control was handed back."""
        program = self._board.program(control.program)
        return program.primacy == LAST or any(
            c.cancelled is None and c.ends > control.ends
            for c in self._board.controls(control.program)
        )

    def _follow_settings(self, path: str) -> None:
        """Let the defaults have the settings of others that they stand before."""
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
        told = (p.default for p in others_of(self._board, device))
        settings = _settings(next((d for d in told if d is not None), None))
        held = self._board.program(program).default
        if held is None or (held.DERControlBase_, _settings(held)) != (base, settings):
            self._board.set_default(program, base, description="safe state", mrid="", **settings)

    def _withdraw(self, program: str, devices: list[Device]) -> None:
        self._cancel(program)
        if self._board.program(program).default is not None:
            self._board.set_default(program, None)
        for device in devices:
            groups = self._board.device(device.name).groups
            left = tuple(name for name in groups if name != program)
            self._board.change_device(device.name, groups=left)

    def _cancel(self, program: str, but: str = "") -> None:
        board, now = self._board, self._board.now()
        for control in board.controls(program):
            if control.mrid != but and control.cancelled is None and control.ends > now:
                with suppress(Conflict):  # it has ended just now
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


def follow_alone(board: Board) -> None:
    """Let what was handed back follow what others change, where nothing dispatches.

    On the board's own thread, before its server starts: a file may have changed meanwhile, too.
    """
    left = Published(board, {})
    left.follow_all()
    board.listeners.append(left.follow)


def is_dispatch(program: str) -> bool:
    """Whether a program is one in which the dispatch asks for what it has decided."""
    return program.startswith(DISPATCH) and not program.startswith(LEFT)


def program_of(der: str) -> str:
    """Name of the program of a DER."""
    return f"{DISPATCH}{der}"


def _settings(default: sep.DefaultDERControl | None) -> dict[str, int]:
    """What a default control tells beside its modes."""
    told = {} if default is None else {name: getattr(default, name) for name in SETTINGS}
    return {name: value for name, value in told.items() if value is not None}
