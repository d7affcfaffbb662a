"""The dispatch's way to the server: programs of its own, controls, and what devices tell.

It satisfies `ems.gateways.ieee2030_5.port.ControlServer`. Each DER has one program,
`dispatch-<der>`, that only the dispatch writes. It goes before all others, which is why what they
limit has to stand in it as well. A device gets it besides
what it is assigned to; a file or an administrator that takes it away is corrected at the next
publication.
"""

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ems.derms.board import (
    FILED,
    Board,
    Control,
    Device,
    Filed,
    Latest,
    NotFound,
    Responded,
)
from ems.derms.server import DermsServer
from ems.protocols.ieee2030_5 import codec, identity, sep

PRIMACY = 0
"""Of the dispatch's programs; no other program can go before it."""
RESPONSES = "/rsps/1/r"
"""What changes when a Response comes."""
WATT = 38
"""UomType of active power."""
LONGEST_NAME = 32
"""Characters of a description in the schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the server knows of one device (`ems.gateways.ieee2030_5.port.EndDevice`)."""

    last_seen: int | None
    poll_s: float
    readings: Sequence[Latest]
    capability: sep.DERCapability | None
    settings: sep.DERSettings | None
    status: sep.DERStatus | None
    availability: sep.DERAvailability | None
    received: Mapping[str, int]
    default: sep.DERControlBase | None
    orders: Sequence[Control]
    others: Sequence[sep.DERControlBase]
    told: Mapping[str, Sequence[Responded]]


class DispatchLink:
    """Callable from any thread but the server's own."""

    def __init__(self, server: DermsServer, board: Board, devices: Mapping[str, str]) -> None:
        """Nothing is published yet; the server need not run.

        Args:
            server: whose loop owns the board.
            board: what is served.
            devices: name of the end device of each DER.
        """
        self._server, self._board = server, board
        self._devices = dict(devices)
        self._read: dict[tuple[str, str], tuple[Filed, sep.Resource]] = {}
        self._came = threading.Condition()
        self._count = self._news = 0
        """Responses, and changes of any kind, since the start."""
        self._ended = False
        board.listeners.append(self._touched)

    # --- what is known ---------------------------------------------------------------

    def now(self) -> int:
        """The time that clients are told [s]."""
        return self._board.now()

    def look(self, ders: Collection[str]) -> Mapping[str, Seen]:
        """What is known of each; a DER whose end device is not registered is missing."""
        names = tuple(ders)

        def seen() -> dict[str, Seen]:
            devices = {name: self._device(name) for name in names}
            return {name: self._seen(name, d) for name, d in devices.items() if d is not None}

        return self._server.call(seen, durable=False)

    def wait_for_responses(self, after: int, timeout_s: float) -> int:
        """How many Responses came since the start; waits until there are more than `after`."""
        with self._came:
            self._came.wait_for(lambda: self._count > after, timeout_s)
            return self._count

    # --- the start -------------------------------------------------------------------

    def wait_for(self, ders: Collection[str], timeout_s: float, fresh_s: float) -> frozenset[str]:
        """Wait until devices have asked since the server started, and mirror fresh readings.

        Args:
            ders: whose devices.
            timeout_s: how long at most [s].
            fresh_s: how old a reading may be [s].

        Returns those that have not.
        """
        ends_s = time.monotonic() + timeout_s
        while True:
            with self._came:
                before = self._news
            known, now = self.look(ders), self.now()
            missing = frozenset(d for d in ders if not _there(known.get(d), now, fresh_s))
            left_s = ends_s - time.monotonic()
            if not missing or left_s <= 0.0 or self._ended:
                return missing
            self._wait_for_news(before, left_s)

    def stop_waiting(self) -> None:
        """Let whoever waits for devices go on without them."""
        with self._came:
            self._ended = True
            self._came.notify_all()

    def _wait_for_news(self, after: int, timeout_s: float) -> None:
        with self._came:
            self._came.wait_for(lambda: self._news > after or self._ended, timeout_s)

    def _touched(self, path: str) -> None:
        with self._came:
            self._news += 1
            self._count += path == RESPONSES
            self._came.notify_all()

    def _device(self, der: str) -> Device | None:
        try:
            return self._board.device(self._devices[der])
        except NotFound:
            return None

    def _seen(self, der: str, device: Device) -> Seen:
        board, lfdi = self._board, device.lfdi
        default, controls = self._published(_program_of(der))
        return Seen(
            last_seen=board.last_seen(lfdi),
            poll_s=float(device.poll_rate_s or board.rates.poll_s),
            readings=tuple(board.latest(lfdi).values()),
            capability=cast("sep.DERCapability | None", self._filed(lfdi, "capability")),
            settings=cast("sep.DERSettings | None", self._filed(lfdi, "settings")),
            status=cast("sep.DERStatus | None", self._filed(lfdi, "status")),
            availability=cast("sep.DERAvailability | None", self._filed(lfdi, "availability")),
            received={
                kind: filed.received
                for kind in ("status", "availability")
                if (filed := self._document(lfdi, kind)) is not None
            },
            default=default,
            orders=controls,
            others=self._others(der, device),
            told={c.mrid: [r for r in board.responses(c.mrid) if r.lfdi == lfdi] for c in controls},
        )

    def _others(self, der: str, device: Device) -> list[sep.DERControlBase]:
        """What the other programs of a device ask now, the one that goes first first."""
        board, now = self._board, self._board.now()
        found: list[sep.DERControlBase] = []
        programs = [board.program_by_number(number) for number in board.programs_of(device)]
        for program in sorted(filter(None, programs), key=lambda p: (p.primacy, p.number)):
            if program.name == _program_of(der):
                continue
            active = [c.base for c in board.controls(program.name) if _asks(c, now)]
            found += active
            if program.default is not None:
                left = _unasked(program.default.DERControlBase_, active)
                found += [left] if left != sep.DERControlBase() else []
        return found

    def _published(self, program: str) -> tuple[sep.DERControlBase | None, Sequence[Control]]:
        """Default and controls of a program, newest first; none where it is not made yet."""
        try:
            held = self._board.program(program).default
        except NotFound:
            return None, ()
        now = self._board.now()
        controls = [c for c in self._board.controls(program) if c.ends > now]
        controls.sort(key=lambda c: (c.created, c.number), reverse=True)
        return None if held is None else held.DERControlBase_, controls

    def _filed(self, lfdi: str, kind: str) -> sep.Resource | None:
        """A document of a device's first DER; each is read once."""
        filed = self._document(lfdi, kind)
        if filed is None:
            return None
        before = self._read.get((lfdi, kind))
        if before is None or before[0] is not filed:
            found = codec.decode(filed.body, FILED[kind])
            before = self._read[lfdi, kind] = (filed, found)
        return before[1]

    def _document(self, lfdi: str, kind: str) -> Filed | None:
        return self._board.document(lfdi, kind, 1) or self._board.document(lfdi, kind)

    # --- what is published -----------------------------------------------------------

    def keep_defaults(self, defaults: Mapping[str, sep.DERControlBase]) -> None:
        """Make these the defaults of the dispatch's programs, where they are not."""

        def keep() -> None:
            for der, base in defaults.items():
                program = self._assigned(der)
                held = self._board.program(program).default
                if held is None or held.DERControlBase_ != base:
                    self._board.set_default(program, base, description="safe state")

        if defaults:
            self._server.call(keep, durable=False)

    def publish(
        self, bases: Mapping[str, sep.DERControlBase], durations_s: Mapping[str, int]
    ) -> Mapping[str, Control]:
        """Publish a control for each DER, from now on; the ones before are cancelled."""

        def published() -> dict[str, Control]:
            return {der: self._publish(der, base, durations_s[der]) for der, base in bases.items()}

        # What is served is in force, whether it could be kept or not: control goes on.
        return self._server.call(published, durable=False) if bases else {}

    def _publish(self, der: str, base: sep.DERControlBase, duration_s: int) -> Control:
        board, program = self._board, self._assigned(der)
        now = board.now()
        control = board.publish(
            program, base=base, start=now, duration=duration_s, description="dispatch"
        )
        # Superseded ones would run again where the clock is set back. Cancelled after there is
        # another, so that no device falls back between the two.
        for other in board.controls(program):
            if other.mrid != control.mrid and other.cancelled is None and other.ends > now:
                board.cancel(program, other.mrid)
        return control

    def _assigned(self, der: str) -> str:
        """The program of a DER, its device assigned to it; both made where they are missing."""
        board, program = self._board, _program_of(der)
        device = board.device(self._devices[der])
        try:
            if board.program(program).primacy != PRIMACY:
                board.change_program(program, primacy=PRIMACY)
        except NotFound:
            board.add_program(
                program,
                primacy=PRIMACY,
                description=program[:LONGEST_NAME],
                mrid=identity.mrid("dispatch", program, pen=board.pen),
            )
        if program not in device.groups:
            board.change_device(device.name, groups=(*device.groups, program))
        return program


def _there(seen: Seen | None, now: int, fresh_s: float) -> bool:
    """Whether a device is there, and tells what it does."""
    if seen is None or seen.last_seen is None:
        return False
    return any(r.uom == WATT and now - r.time <= fresh_s for r in seen.readings)


def _asks(control: Control, now: int) -> bool:
    """Whether a control may hold: with its random start it may begin early, or last longer."""
    early = min(0, control.random_start or 0)
    return control.cancelled is None and control.start + early <= now < control.ends


def _unasked(
    default: sep.DERControlBase, active: Sequence[sep.DERControlBase]
) -> sep.DERControlBase:
    """A default control without the modes that active controls of its program ask for."""
    modes = type(default).model_fields
    asked = [m for m in modes if any(getattr(base, m) is not None for base in active)]
    return default.model_copy(update=dict.fromkeys(asked))


def _program_of(der: str) -> str:
    return f"dispatch-{der}"
