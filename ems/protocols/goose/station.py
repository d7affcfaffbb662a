"""The process that holds a link: publishes, repeats, listens and supervises.

It waits for a frame, for its parent, or for the next instant at which something is due, and for
nothing else. Its parent is told what stands: what changed while the parent did not read is told
once, as it is then. It ends when its parent does.
"""

import gc
import math
import pickle
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ems.errors import BadInput, Fault
from ems.protocols.goose.ber import MalformedFrame
from ems.protocols.goose.control import ControlBlock
from ems.protocols.goose.frame import Frame
from ems.protocols.goose.link import LinkDown, LinkFault, RawLink
from ems.protocols.goose.news import news_octets
from ems.protocols.goose.publisher import Publisher
from ems.protocols.goose.recurring import FrameReader
from ems.protocols.goose.subscription import Accepted, Reason, Standing, Subscription

FRAMES_AT_A_TIME = 64
"""Frames read before timers and parent get their turn: a flood must not stop the publishers."""
MESSAGE_OCTETS = 1 << 13
"""Longest message between the two processes; values fit into a frame."""
OLDEST_ORDER_S = 1.0
"""How long values may have waited for this process [s]. It reads at once unless it was stopped;
what was ordered before that is not the present."""
SO_TIMESTAMPNS = 35
"""linux/socket.h: each message comes with the time at which it was sent."""
TIMESPEC = struct.Struct("@ll")
"""That time: seconds and nanoseconds since 1970."""
BACKLOG_OCTETS = 1 << 15
"""Messages that may wait for the parent; what changes while they do is told once they are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What one process does on one interface."""

    interface: str
    """Name of the interface, for example `eth0`."""
    publishes: tuple[ControlBlock, ...] = ()
    """Control blocks it sends."""
    subscribes: tuple[ControlBlock, ...] = ()
    """Control blocks it listens to."""
    simulation: bool = False
    """Its frames are those of a simulator."""
    accept_simulated: bool = False
    """It takes a simulator's frames."""

    def __post_init__(self) -> None:
        faults = []
        for name in ("publishes", "subscribes"):
            references = [control.gocb_ref for control in getattr(self, name)]
            faults += [
                Fault(place=f"station on {self.interface}: {name}", problem=f"{r} stands twice")
                for r in sorted({r for r in references if references.count(r) > 1})
            ]
        if faults:
            raise BadInput(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of the frames of one control block since the process started."""

    accepted: int
    """Frames taken."""
    lost: int
    """Frames that were missing."""
    restarts: int
    """How often the publisher started again."""
    ignored: Mapping[Reason, int]
    """Frames not taken, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationCounts:
    """What became of all frames since the process started."""

    malformed: int
    """Frames that could not be read."""
    elsewhere: int
    """Frames of control blocks that are not subscribed."""
    overrun: int
    """Frames that the kernel dropped because they came too fast."""
    unsent: int
    """Frames that could not be sent, and values that waited too long for that."""
    subscriptions: Mapping[str, Counts]
    """By reference of the control block."""


class _Subscribed:
    """A subscription, and what the parent was told of it."""

    def __init__(self, number: int, control: ControlBlock, *, accept_simulated: bool) -> None:
        self._number = number
        self.subscription = Subscription(control, accept_simulated=accept_simulated)
        self.told: tuple[Standing, object, float | None] = (Standing.SILENT, None, None)
        """Standing, state of the values, and until when they hold [s]."""

    def news(self, now: float) -> bytes | None:
        """What to tell the parent, or None where it knows."""
        standing, message, expires = self.subscription.present(now)
        reference, before = self.subscription.control.gocb_ref, self.told
        if message is None or expires is None:
            self.told = standing, None, None
            lost = "lost", reference, standing, datetime.now(UTC)
            return None if before == self.told else pickle.dumps(lost)
        state = message.st_num, message.t
        self.told = standing, state, expires
        if before[:2] == self.told[:2]:
            return None if before == self.told else pickle.dumps(("alive", reference, expires))
        return news_octets(self._number, message.t, message.st_num, expires, message.octets)

    def counts(self) -> Counts:
        s = self.subscription
        return Counts(
            accepted=s.accepted, lost=s.lost, restarts=s.restarts, ignored=dict(s.ignored)
        )


class _Process:
    """The state of the process."""

    def __init__(self, station: Station, link: RawLink, parent: socket.socket) -> None:
        self._link, self._parent = link, parent
        self._publishers = {
            control.gocb_ref: Publisher(control, link.mac, simulation=station.simulation)
            for control in station.publishes
        }
        self._subscribed = {
            control.gocb_ref: _Subscribed(k, control, accept_simulated=station.accept_simulated)
            for k, control in enumerate(station.subscribes)
        }
        self._untold: set[str] = set()
        self._replies: list[bytes] = []
        self._reader = FrameReader()
        self._malformed = self._elsewhere = self._overrun = self._unsent = 0
        self._poll = select.epoll()
        self._poll.register(link.fileno(), select.EPOLLIN)
        self._poll.register(parent.fileno(), select.EPOLLIN)
        self._waiting = False
        """Whether the parent is behind in reading."""
        self._wake = math.inf
        """When something may be due, at the earliest [s]."""

    def run(self) -> None:
        """Work until the parent is gone.

        Raises:
            LinkFault: the interface is gone.
        """
        while True:
            pause_s = None if self._wake == math.inf else max(0.0, self._wake - time.monotonic())
            ready = dict(self._poll.poll(pause_s))
            if self._parent.fileno() in ready and not self._obey():
                return
            if self._link.fileno() in ready:
                self._listen()
            self._keep_time()
            self._tell()

    def _obey(self) -> bool:
        """Do what the parent asks for; False once it is gone."""
        while True:
            try:
                found, notes, _, _ = self._parent.recvmsg(
                    MESSAGE_OCTETS, socket.CMSG_SPACE(TIMESPEC.size)
                )
            except BlockingIOError:
                return True
            except ConnectionError:
                found = b""
            if not found:
                return False
            # Sent by the process that started this one, through a socket nobody else holds.
            order = pickle.loads(found)  # noqa: S301
            if order[0] == "publish" and _age_s(notes) > OLDEST_ORDER_S:
                self._unsent += 1
            elif order[0] == "publish":
                _, reference, octets, t = order
                publisher = self._publishers[reference]
                self._send(publisher.publish_octets(octets, time.monotonic(), t))
                self._by(publisher.next_due)
            else:
                # One message each: together they may be longer than a message.
                counted = ((r, s.counts()) for r, s in self._subscribed.items())
                self._replies += [pickle.dumps(("counted", r, counts)) for r, counts in counted]
                self._replies.append(pickle.dumps(("counts", self._counts())))

    def _listen(self) -> None:
        for k in range(FRAMES_AT_A_TIME):
            try:
                octets = self._link.receive()
            except LinkDown as fault:
                self._replies.append(pickle.dumps(("down", str(fault))))
                return
            if octets is None:
                return
            try:
                frame = self._reader.read(octets)
            except MalformedFrame:
                self._malformed += 1
            else:
                self._take(frame)
            if not k:  # mostly it is the only one; the parent need not wait until that is clear
                self._tell()

    def _take(self, frame: Frame) -> None:
        reference = frame.message.gocb_ref
        if reference in self._subscribed:
            subscription = self._subscribed[reference].subscription
            now = time.monotonic()
            answer = subscription.receive(frame, now)
            if isinstance(answer, Accepted):
                self._by(answer.expires)
            else:
                self._by(subscription.next_change(now))
            self._untold.add(reference)
        else:
            self._elsewhere += 1

    def _by(self, instant: float | None) -> None:
        """Wake up by then [s] at the latest."""
        if instant is not None:
            self._wake = min(self._wake, instant)

    def _keep_time(self) -> None:
        """Once something may be due, do what is, and find when the next may be."""
        now = time.monotonic()
        if now < self._wake:
            return
        self._wake = math.inf
        for publisher in self._publishers.values():
            self._send(publisher.due(now))
            self._by(publisher.next_due)
        for reference, subscribed in self._subscribed.items():
            if subscribed.subscription.standing(now) is not subscribed.told[0]:
                self._untold.add(reference)
            self._by(subscribed.subscription.next_change(now))

    def _send(self, frame: bytes | None) -> None:
        """Send; what cannot be sent is counted, and repeated in its time."""
        if frame is not None:
            try:
                self._link.send(frame)
            except LinkDown:
                self._unsent += 1

    def _tell(self) -> None:
        """Tell the parent what it does not know, as far as it reads."""
        while self._replies and self._told(self._replies[0]):
            self._replies.pop(0)
        for reference in tuple(self._untold):
            subscribed = self._subscribed[reference]
            before = subscribed.told
            news = subscribed.news(time.monotonic())
            if news is not None and not self._told(news):
                subscribed.told = before
                break
            self._untold.discard(reference)
        waiting = bool(self._replies or self._untold)
        if waiting is not self._waiting:
            self._waiting = waiting
            wanted = select.EPOLLIN | (select.EPOLLOUT if waiting else 0)
            self._poll.modify(self._parent.fileno(), wanted)

    def _told(self, message: bytes) -> bool:
        """Whether the parent took it, or is gone, which its end of the socket will say."""
        try:
            self._parent.send(message)
        except BlockingIOError:
            return False
        except ConnectionError:
            pass
        return True

    def _counts(self) -> StationCounts:
        """What is not counted by subscription."""
        self._overrun += self._link.overrun()
        return StationCounts(
            malformed=self._malformed,
            elsewhere=self._elsewhere,
            overrun=self._overrun,
            unsent=self._unsent,
            subscriptions={},
        )


def _age_s(notes: list[tuple[int, int, bytes]]) -> float:
    """How long ago the parent sent a message [s]; 0 where the kernel does not say."""
    for _, kind, content in notes:
        if kind == SO_TIMESTAMPNS:
            sent: tuple[int, int] = TIMESPEC.unpack(content)
            return time.time() - sent[0] - sent[1] / 1e9
    return 0.0


def serve(descriptor: int) -> None:
    """The process: take the station from standard input, then work for the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it, by closing the socket
    station: Station = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the parent
    with socket.socket(fileno=descriptor) as parent:
        try:
            groups = [control.dst_mac for control in station.subscribes]
            with RawLink(station.interface, groups) as link:
                parent.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                parent.send(pickle.dumps(("ready", link.mac)))
                parent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BACKLOG_OCTETS)
                parent.setblocking(False)
                gc.freeze()
                _Process(station, link, parent).run()
        except LinkFault as fault:
            parent.setblocking(True)
            parent.send(pickle.dumps(("fault", str(fault))))
