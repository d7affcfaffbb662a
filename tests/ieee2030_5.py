"""An IEEE 2030.5 server for tests, and what it hears, awaited."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ems.clock import Clock
from ems.derms.board import Board
from ems.derms.certificates import Pki, make_pki
from ems.derms.keeping import MemoryKeeper
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings

T = TypeVar("T")
PATIENCE_S = 60.0
"""For a loaded machine; what is awaited happens within seconds [s]."""
LOOK_S = 0.5
"""Longest time between two looks: not everything that a device says is announced [s]."""


@dataclass(slots=True, kw_only=True)
class Utility:
    """A server, its board and its certificates."""

    pki: Pki
    board: Board
    server: DermsServer
    clock: Clock
    _told: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where devices find it."""
        host, port = self.server.address
        return f"https://{host}:{port}"

    @property
    def now(self) -> int:
        """Its time [s]."""
        return int(self.clock.now().timestamp())

    def do(self, change: Callable[[], T]) -> T:
        """A change of the board, where it may be made: on the server's loop."""
        return self.server.call(change)

    def answers(self, mrid: str) -> dict[str, list[int]]:
        """Statuses of the Responses to an event, by LFDI, in the order they came."""
        found: dict[str, list[int]] = {}
        for answer in self.do(lambda: self.board.responses(mrid)):
            found.setdefault(answer.lfdi, []).append(answer.status)
        return found

    def heard(self, what: Callable[[], T], holds: Callable[[T], bool]) -> T:
        """Await that something holds of what devices said; looked at whenever one says something.

        A condition that never holds fails with what there was instead.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._told.clear()
            said = what()
            if holds(said):
                return said
            if time.monotonic() > deadline:
                raise AssertionError(f"still {said}")
            self._told.wait(LOOK_S)

    def answered(self, mrid: str, devices: int, *statuses: int) -> dict[str, list[int]]:
        """Await these Responses to an event, in this order, from so many devices."""
        expected = list(statuses)
        return self.heard(
            lambda: self.answers(mrid),
            lambda said: len(said) == devices and all(s == expected for s in said.values()),
        )

    def listen(self) -> None:
        """Be told whenever something changes."""
        self.board.listeners.append(lambda _path: self.wake())

    def wake(self) -> None:
        """Look again: something has changed, at the server or at a device."""
        self._told.set()


@contextmanager
def serving(
    folder: Path, clock: Clock, devices: Sequence[str], programs: dict[str, int], *, poll_s: int
) -> Iterator[Utility]:
    """A server with devices that are assigned to all programs.

    Args:
        folder: for certificates.
        clock: the server's.
        devices: names.
        programs: primacy by name.
        poll_s: how often devices shall ask and report [s].
    """
    pki = make_pki(folder, devices)
    board = Board(MemoryKeeper(), clock)
    board.set_rates(poll_s=poll_s, post_s=poll_s)
    for name, primacy in programs.items():
        board.add_program(name, primacy=primacy)
    for name in devices:
        board.add_device(name, lfdi=pki.device[name].lfdi, pin=111115, groups=programs)
    settings = ServerSettings(
        port=0,
        cert_file=pki.server.cert_file,
        key_file=pki.server.key_file,
        ca_file=pki.ca_file,
    )
    server = DermsServer(settings, board)
    utility = Utility(pki=pki, board=board, server=server, clock=clock)
    utility.listen()
    server.start()
    try:
        yield utility
    finally:
        server.stop()
