"""The parent's end of a station: sends values, hears values, and what became of them.

A station runs in a process of its own: what it repeats and supervises must not wait for the
parent's work, and the right to raw Ethernet can be given to it alone.
"""

import contextlib
import logging
import pickle
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Self

from ems.protocols.goose.link import LinkFault
from ems.protocols.goose.news import MARK, read_news
from ems.protocols.goose.publisher import data_set_octets
from ems.protocols.goose.recurring import SequenceReader
from ems.protocols.goose.station import MESSAGE_OCTETS, Counts, Station, StationCounts
from ems.protocols.goose.subscription import Standing
from ems.protocols.goose.utc_time import UtcTime
from ems.protocols.goose.values import Data

log = logging.getLogger(__name__)

START_LIMIT_S = 30.0
"""Time for the process to import what it needs and open the interface [s]: 0.1 s when idle."""
END_LIMIT_S = 2.0
"""Time to end by itself once its socket is closed [s]; then it is killed."""
ANSWER_LIMIT_S = 5.0
"""Time for an answer to a question [s]: it answers between two frames."""
PROGRAM = "import sys; from ems.protocols.goose.station import serve; serve(int(sys.argv[1]))"
"""What the process runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """New values, or values again after there were none."""

    gocb_ref: str
    """Reference of the control block."""
    values: tuple[Data, ...]
    """In the order of the data set."""
    t: UtcTime
    """When they changed, by the publisher's clock."""
    st_num: int
    """Their state number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """There are no values any more."""

    gocb_ref: str
    """Reference of the control block."""
    standing: Standing
    """Why: silent or suspicious."""
    at: datetime
    """Since when, by this machine's clock."""


class GooseProcess:
    """One station, run in a process. Reading and writing may be two threads, each of them one."""

    def __init__(self, station: Station, *, prefix: Sequence[str] = ()) -> None:
        """Take the station; nothing runs before `start`.

        Args:
            station: what to do on which interface.
            prefix: program that starts the process, such as `ip netns exec plant`.
        """
        self.station = station
        self.mac = b""
        """Address of the interface, six octets, once started."""
        self._prefix = tuple(prefix)
        self._publishes = {control.gocb_ref: control for control in station.publishes}
        self._subscribes = [(c.gocb_ref, SequenceReader()) for c in station.subscribes]
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._held: dict[str, tuple[Heard, float]] = {}
        self._waiting: deque[Heard | Lost] = deque()
        self._counts: StationCounts | None = None
        self._counted: dict[str, Counts] = {}

    @property
    def pid(self) -> int | None:
        """Process number while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process and open the interface.

        Raises:
            LinkFault: the interface cannot be used; the message says why, and the mend.
        """
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                [*self._prefix, sys.executable, "-c", PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
            )
        finally:
            theirs.close()
        told = self._process.stdin
        # One that ended before it read says why on standard error; that it did is found below.
        with contextlib.suppress(BrokenPipeError):
            if told is not None:
                with told:
                    pickle.dump(self.station, told)
        deadline = time.monotonic() + START_LIMIT_S
        while not self.mac:
            if not self._take(deadline):
                self.close()
                raise LinkFault(f"{self.station.interface}: not open after {START_LIMIT_S:.0f} s")

    def publish(self, gocb_ref: str, values: Sequence[Data], t: datetime) -> None:
        """Send values, if they are not those in force; they are repeated from then on.

        Args:
            gocb_ref: which control block.
            values: one for each entry of its data set.
            t: when they changed, aware.

        Raises:
            ValueError: they are not those of the data set, or too long for a frame.
            LinkFault: the process is gone, or does not take them.
        """
        octets = data_set_octets(self._publishes[gocb_ref], values)
        self._ask(("publish", gocb_ref, octets, t))

    def receive(self, timeout_s: float | None = None) -> Heard | Lost | None:
        """The next change, or None where none comes in time [s]; None waits for ever.

        Raises:
            LinkFault: the process is gone; it says why.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._waiting and self._take(deadline):
            pass
        return self._waiting.popleft() if self._waiting else None

    def values(self, gocb_ref: str) -> tuple[Data, ...] | None:
        """The values in force by what `receive` has read; None where there are none.

        They run out by themselves, also where the process stands still and tells nothing.
        """
        held = self._held.get(gocb_ref)
        return held[0].values if held is not None and time.monotonic() < held[1] else None

    def counts(self) -> StationCounts:
        """What became of all frames so far. Not beside a `receive` in another thread.

        Raises:
            LinkFault: the process is gone, or does not answer.
        """
        self._counts, self._counted = None, {}
        self._ask(("counts",))
        deadline = time.monotonic() + ANSWER_LIMIT_S
        while self._counts is None:
            if not self._take(deadline):
                raise LinkFault(f"{self.station.interface}: the GOOSE process does not answer")
        return self._counts

    def fileno(self) -> int:
        """For `select`: readable when there may be something to `receive`."""
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """End the process; there are no values from then on."""
        self._held.clear()
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            try:
                self._process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._socket, self._process = None, None

    def _ask(self, order: tuple[object, ...]) -> None:
        to_process = self._socket
        if to_process is None:
            raise LinkFault(f"{self.station.interface}: the GOOSE process does not run")
        try:
            to_process.send(pickle.dumps(order), socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise LinkFault(f"{self.station.interface}: the GOOSE process hangs") from None
        except OSError:
            raise LinkFault(f"{self.station.interface}: the GOOSE process is gone") from None

    def _take(self, deadline: float | None) -> bool:
        """Read one message; False where none came in time."""
        if self._socket is None:
            raise LinkFault(f"{self.station.interface}: the GOOSE process does not run")
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([self._socket], [], [], left_s)[0]:
            return False
        try:
            found = self._socket.recv(MESSAGE_OCTETS)
        except ConnectionError:
            found = b""
        if not found:
            self.close()
            raise LinkFault(f"{self.station.interface}: the GOOSE process is gone")
        if found.startswith(MARK):
            self._hear(*read_news(found))
        else:
            # Sent by the process that this one started, through a socket nobody else holds.
            self._understand(pickle.loads(found))  # noqa: S301
        return True

    def _hear(self, control: int, t: UtcTime, st_num: int, expires: float, octets: bytes) -> None:
        reference, reader = self._subscribes[control]
        heard = Heard(gocb_ref=reference, values=reader.read(octets), t=t, st_num=st_num)
        self._held[reference] = heard, expires
        self._waiting.append(heard)

    def _understand(self, message: tuple[str, *tuple[object, ...]]) -> None:
        match message:
            case "alive", str(ref), float(expires):
                self._held[ref] = self._held[ref][0], expires
            case "lost", str(ref), Standing() as standing, datetime() as at:
                self._held.pop(ref, None)
                self._waiting.append(Lost(gocb_ref=ref, standing=standing, at=at))
            case "ready", bytes(mac):
                self.mac = mac
            case "counted", str(ref), Counts() as counts:
                self._counted[ref] = counts
            case "counts", StationCounts() as whole:
                self._counts = replace(whole, subscriptions=self._counted)
            case "down", str(fault):
                log.warning("GOOSE: %s", fault)
            case "fault", str(fault):
                self.close()
                raise LinkFault(fault)
            case _:
                raise LinkFault(f"{self.station.interface}: the GOOSE process said {message!r}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
