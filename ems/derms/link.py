"""The dispatch's way to the server: programs of its own, controls, and what devices tell.

It satisfies `ems.gateways.ieee2030_5.port.ControlServer`. Each DER has one program,
`dispatch-<der>`, that only the dispatch writes (`ems.derms.published`). It goes before all others,
which is why what they limit has to stand in it as well.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import cast

from ems.derms.answered import Answered, others_of
from ems.derms.board import (
    FILED,
    Board,
    Control,
    Device,
    Filed,
    NotFound,
)
from ems.derms.controls import event_of
from ems.derms.published import RESPONSES, Published, program_of
from ems.derms.seen import Offer, Said, Seen, asks_of, is_there, said_of
from ems.derms.server import DermsServer
from ems.errors import GeemsError
from ems.protocols.ieee2030_5 import codec, sep

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""How soon a server that did not answer is asked again [s]."""


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
        self._published = Published(board, devices)
        self._read: dict[tuple[str, str], tuple[Filed, sep.Resource]] = {}
        self._came = threading.Condition()
        self._count = self._news = 0
        """Responses, and changes of any kind, since the start."""
        self._ended = False
        self._watching: list[Callable[[], None]] = []
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
            said = cache(lambda mrid: said_of(self._board.responses(mrid)))
            offer = cache(self._offer)
            return {
                name: self._seen(name, device, offer, said)
                for name, device in devices.items()
                if device is not None
            }

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

        Returns those that have not; never raises: of a server that does not answer, all.
        """
        ends_s = time.monotonic() + timeout_s
        while True:
            with self._came:
                before = self._news
            known, most_s = self._looked(ders)
            missing = frozenset(d for d in ders if not is_there(known.get(d), self.now(), fresh_s))
            left_s = ends_s - time.monotonic()
            if not missing or left_s <= 0.0 or self._ended:
                return missing
            self._wait_for_news(before, min(left_s, most_s))

    def _looked(self, ders: Collection[str]) -> tuple[Mapping[str, Seen], float]:
        """What is known of each, and how long that may be believed without any news [s]."""
        try:
            return self.look(ders), math.inf
        except GeemsError as fault:
            log.warning("devices cannot be looked for: %s", fault)
            return {}, AGAIN_S

    def stop_waiting(self) -> None:
        """Let whoever waits for devices go on without them."""
        with self._came:
            self._ended = True
            self._came.notify_all()

    def _wait_for_news(self, after: int, timeout_s: float) -> None:
        with self._came:
            self._came.wait_for(lambda: self._news > after or self._ended, timeout_s)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever another program may ask something else of a device.

        It is called on the server's own thread.
        """
        self._watching.append(changed)

    def _touched(self, path: str) -> None:
        self._published.follow(path)
        if self._published.may_limit(path):
            for changed in self._watching:
                changed()
        with self._came:
            self._news += 1
            self._count += path == RESPONSES
            self._came.notify_all()

    def _device(self, der: str) -> Device | None:
        try:
            return self._board.device(self._devices[der])
        except NotFound:
            return None

    def _seen(
        self, der: str, device: Device, offer: Callable[[str], Offer], said: Callable[[str], Said]
    ) -> Seen:
        board, lfdi = self._board, device.lfdi
        others = [offer(p.name) for p in others_of(board, device)]
        never_starts = Answered(board, device).never_starts
        asked = asks_of(others, lambda m: said(m).get(lfdi, ()), never_starts, board.now())
        default, controls = self._ordered(program_of(der))
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
            # Behind other programs it holds in part, or not at all.
            default=None if self._published.is_handed_back(der) else default,
            orders=controls,
            others=asked.now,
            coming=asked.coming,
            told={c.mrid: [r for r in board.responses(c.mrid) if r.lfdi == lfdi] for c in controls},
        )

    def _offer(self, name: str) -> Offer:
        board, program = self._board, self._board.program(name)
        return Offer(
            default=None if program.default is None else program.default.DERControlBase_,
            standing=board.standing(name),
            events={c.mrid: event_of(c, program.primacy) for c in board.controls(name)},
        )

    def _ordered(self, program: str) -> tuple[sep.DERControlBase | None, Sequence[Control]]:
        """Default and controls of a program, newest first; none where it is not made yet."""
        try:
            held = self._board.program(program).default
        except NotFound:
            return None, ()
        now = self._board.now()
        controls = [c for c in self._board.controls(program) if c.ends > now]
        controls.sort(key=lambda c: c.number, reverse=True)  # clocks may be set back
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

    def keep_defaults(
        self,
        defaults: Mapping[str, sep.DERControlBase],
        own: Mapping[str, sep.DERControlBase] | None = None,
    ) -> None:
        """Make these the defaults of the dispatch's programs, where they are not.

        Args:
            defaults: within what others limit.
            own: what is left of them when control is handed back: without what others limit.
        """

        def keep() -> None:
            for der, base in defaults.items():
                self._published.keep_default(der, base, (own or {}).get(der))

        if defaults:
            self._server.call(keep, durable=False)

    def publish(
        self, bases: Mapping[str, sep.DERControlBase], durations_s: Mapping[str, int]
    ) -> Mapping[str, Control]:
        """Publish a control for each DER, from now on; the ones before are cancelled."""

        def publish() -> dict[str, Control]:
            return {
                der: self._published.publish(der, base, durations_s[der])
                for der, base in bases.items()
            }

        # What is served is in force, whether it could be kept or not: control goes on.
        return self._server.call(publish, durable=False) if bases else {}

    def lower(
        self,
        defaults: Mapping[str, sep.DERControlBase],
        bases: Mapping[str, sep.DERControlBase],
        durations_s: Mapping[str, int],
    ) -> None:
        """Do both at once for what devices hold; nothing for one that was handed back meanwhile.

        It would be taken back by whoever has looked at it before.
        """

        def lower() -> None:
            handed_back = set(filter(self._published.is_handed_back, {*defaults, *bases}))
            for der in defaults.keys() - handed_back:
                self._published.keep_default(der, defaults[der])
            for der in bases.keys() - handed_back:
                self._published.publish(der, bases[der], durations_s[der])

        if defaults or bases:
            self._server.call(lower, durable=False)

    # --- what is taken back ----------------------------------------------------------

    def drop_left_over(self) -> None:
        """See `Published.drop_left_over`; before the server starts."""
        self._server.call(self._published.drop_left_over)

    def hand_back(self, ders: Collection[str]) -> None:
        """See `Published.hand_back`."""
        self._server.call(lambda: self._published.hand_back(ders))

    def handed_back(self, ders: Collection[str]) -> frozenset[str]:
        """Those that were left to other programs; of a server that does not answer, all."""
        try:
            return self._server.call(
                lambda: frozenset(filter(self._published.is_handed_back, ders)), durable=False
            )
        except GeemsError as fault:
            log.warning("what was handed back is not known: %s", fault)
            return frozenset(ders)
