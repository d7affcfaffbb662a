"""Notifications: who subscribed to a resource is told when it changes.

IEEE 2030.5-2018 clause 8.5 (subscription and notification): a POST of a Notification with the
resource as it is now, as `xsi:type`. Changes that come in quick succession are told once. What
cannot be delivered is tried again, and given up when the subscription was not renewed for long.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from ems.derms import access
from ems.derms.app import Application
from ems.derms.asking import Refusal, Request
from ems.derms.board import Board, Subscribed
from ems.derms.settings import ServerSettings
from ems.derms.subscribers import Subscribers, Unreached
from ems.errors import GeemsError
from ems.protocols.ieee2030_5 import codec, sep

_log = logging.getLogger(__name__)
_GATHER_S = 0.2
"""Changes within this time are told together [s]."""
_RETRY_S = (1.0, 5.0, 30.0, 60.0, 300.0)
"""Waits before the next tries; the last one from then on [s]."""
_AT_ONCE = 32
"""Notifications on their way at the same time."""
_LOOK_S = 1.0
"""How often controls are looked at whose status changes by itself [s]."""
_TAKEN = frozenset({200, 201, 202, 204})
_GONE = frozenset({400, 404, 410})
"""The subscriber is there, and does not want it: 400 is what the standard has it answer."""
_CHANGED = 0
_CANCELLED = 1
_DELETED = 4


@dataclass(slots=True)
class _Pending:
    """A subscription that has something to be told."""

    subscribed: Subscribed
    failures: int = 0
    again: bool = False
    """It changed again while it was told."""
    task: "asyncio.Task[None] | None" = field(default=None)


class Notifier:
    """Tells subscribers of changes."""

    def __init__(self, application: Application, settings: ServerSettings) -> None:
        """Listen to the application's board.

        Args:
            application: renders the resources.
            settings: whose certificate the server shows to subscribers.
        """
        self.taken = 0
        """Notifications that were taken by their subscribers."""
        self._application = application
        self._board = application.board
        self._settings = settings
        self._pending: dict[tuple[int, int], _Pending] = {}
        self._standing: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscribers = Subscribers(settings)
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._looking: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin; on the server's loop."""
        self._loop = asyncio.get_running_loop()
        self._board.listeners.append(self.changed)
        for device in {subscribed.device for subscribed in self._board.subscriptions()}:
            self._watch(device)
        self._looking = self._loop.create_task(self._looking_on())

    async def stop(self) -> None:
        """End; what was not delivered is told anew after the next change."""
        if self.changed in self._board.listeners:
            self._board.listeners.remove(self.changed)
        tasks = [held.task for held in self._pending.values() if held.task]
        tasks += [self._looking] if self._looking else []
        tasks += self._ending
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._subscribers.aclose()

    def changed(self, path: str) -> None:
        """Something at this path changed."""
        if path.endswith("/sub"):
            self._watch(int(path.split("/")[2]))
        elif path.endswith("/derc") and (program := self._program(path)) in self._standing:
            self._standing[str(program)] = self._board.standing(str(program)).until
        for subscribed in (*self._board.subscribed_to(path), *self._listing(path)):
            self._tell(subscribed)

    def _listing(self, path: str) -> list[Subscribed]:
        """Subscriptions to lists of a device's programs that change with what is at a path."""
        match path.split("/"):
            case ["", "derp", number]:
                lists = self._board.subscribed_lists()
                having = [d for d in lists if int(number) in _programs(self._board, d)]
            case ["", "edev", number, "fsa"]:
                lists = self._board.subscribed_lists(int(number))
                having = [int(number)]
            case _:
                return []
        paths = [listed for device in having for listed in lists[device]]
        return [s for listed in paths for s in self._board.subscribed_to(listed)]

    def end(self, device: int, number: int) -> None:
        """End a subscription, and tell its subscriber so, once; on the server's loop.

        Raises:
            NotFound: there is no such subscription.
        """
        subscribed = self._board.subscription(device, number)
        self._board.unsubscribe(device, number)
        if subscribed is not None and self._loop is not None:
            task = self._loop.create_task(self._say_ended(subscribed))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _say_ended(self, subscribed: Subscribed) -> None:
        try:
            async with self._at_once:
                body = codec.encode(_told(subscribed, None, _CANCELLED))
                await self._subscribers.post(subscribed.uri, body, self._whose(subscribed))
        except Unreached as error:
            _log.info("%s was not told of the end: %s", subscribed.uri, error)

    def _tell(self, subscribed: Subscribed) -> None:
        if self._loop is None:
            return
        key = (subscribed.device, subscribed.number)
        held = self._pending.get(key)
        if held is not None:
            held.again = True
            return
        held = self._pending[key] = _Pending(subscribed)
        held.task = self._loop.create_task(self._deliver(key, held))

    async def _looking_on(self) -> None:
        """Find the programs in which a control started or ended by itself."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                self.look()
            except Exception:  # noqa: BLE001  one fault must not end all notifications
                _log.exception("looking for events that changed failed; it goes on")

    def _watch(self, device: int) -> None:
        """Know how the programs stand to which a device has subscribed, for the next look."""
        for subscribed in self._board.subscriptions(device):
            program = self._program(subscribed.path)
            if program is not None and program not in self._standing:
                self._standing[program] = self._board.standing(program).until

    def _program(self, path: str) -> str | None:
        """Name of the program at or above a path."""
        if not _of_program(path):
            return None
        program = self._board.program_by_number(int(path.split("/")[2]))
        return None if program is None else program.name

    def look(self) -> None:
        """Tell of controls whose status changed by itself since the last look."""
        now = self._board.now()
        watched = {self._program(path) for path in self._board.subscribed_paths()} - {None}
        over = {name for name, until in self._standing.items() if until <= now} & watched
        self._standing = {name: self._board.standing(name, now).until for name in watched if name}
        for name in filter(None, over):
            number = self._board.program(name).number
            for part in ("/derc", "/actderc"):
                self.changed(f"/derp/{number}{part}")

    async def _deliver(self, key: tuple[int, int], held: _Pending) -> None:
        try:
            await asyncio.sleep(_GATHER_S)
            while True:
                held.again = False
                if await self._delivered(held):
                    held.failures = 0
                    if not held.again:
                        return
                    await asyncio.sleep(_GATHER_S)
                elif not self._retry(held):
                    return
                else:
                    await asyncio.sleep(_RETRY_S[min(held.failures, len(_RETRY_S)) - 1])
        except Exception:  # noqa: BLE001  a task of its own: nobody else would see it
            _log.exception("the notification of %s failed", held.subscribed.uri)
        finally:
            self._pending.pop(key, None)

    def _retry(self, held: _Pending) -> bool:
        """Whether it is worth another try; a subscription that is long dead ends."""
        held.failures += 1
        now = self._board.now()
        subscribed = held.subscribed
        alive = self._board.subscription(subscribed.device, subscribed.number)
        if alive is None:
            return False
        if now - alive.renewed > self._settings.subscription_s:
            self._drop(subscribed)
            return False
        return True

    async def _delivered(self, held: _Pending) -> bool:
        subscribed = held.subscribed
        if self._board.subscription(subscribed.device, subscribed.number) is None:
            return True
        body, over = self._notification(subscribed)
        try:
            async with self._at_once:
                status = await self._subscribers.post(subscribed.uri, body, self._whose(subscribed))
        except Unreached as error:
            _log.info("%s was not notified: %s", subscribed.uri, error)
            return False
        if over or status in _GONE:
            self._drop(subscribed)
            return True
        taken = status in _TAKEN
        self.taken += taken
        return taken

    def _drop(self, subscribed: Subscribed) -> None:
        """End a subscription, unless somebody did while it was told."""
        if self._board.subscription(subscribed.device, subscribed.number) is not None:
            self._board.unsubscribe(subscribed.device, subscribed.number)

    def _whose(self, subscribed: Subscribed) -> frozenset[str]:
        """LFDIs of who may take what is told: the device, and who acts for it."""
        device = self._board.device_by_number(subscribed.device)
        return frozenset() if device is None else frozenset({device.lfdi, device.aggregator or ""})

    def _notification(self, subscribed: Subscribed) -> tuple[bytes, bool]:
        """The document, and whether the subscription is over with it."""
        found = self._resource(subscribed)
        told = found if subscribed.limit or not hasattr(found, "all_") else None
        status = _DELETED if found is None else _CHANGED
        return codec.encode(_told(subscribed, told, status)), found is None

    def _resource(self, subscribed: Subscribed) -> sep.Resource | None:
        """The resource as the subscriber would get it; None: it is gone, or no longer theirs."""
        application = self._application
        device = self._board.device_by_number(subscribed.device)
        found = application.find(subscribed.path)
        if device is None or found is None:
            return None
        route, numbers = found
        administrators = application.settings.administrators
        request = Request(
            method="GET",
            path=subscribed.path,
            numbers=numbers,
            query=f"l={subscribed.limit}".encode(),
            peer=access.peer_of(device.lfdi, self._board, administrators),
            serves=application,
            now=self._board.now(),
        )
        try:
            route.rule(request, self._board)
            answer = route.get(request, self._board)
        except (Refusal, GeemsError):
            return None
        kinds = (kind for kind in codec.KINDS.values() if issubclass(kind, sep.Resource))
        return codec.decode(answer.body, *kinds)


def _told(subscribed: Subscribed, found: sep.Resource | None, status: int) -> sep.Notification:
    return sep.Notification(
        subscribedResource=subscribed.path,
        Resource_=found,
        status=status,
        subscriptionURI=f"/edev/{subscribed.device}/sub/{subscribed.number}",
    )


def _programs(board: Board, number: int) -> frozenset[int]:
    """Numbers of the programs of a device."""
    device = board.device_by_number(number)
    return frozenset() if device is None else board.programs_of(device)


def _of_program(path: str) -> bool:
    parts = path.split("/")
    return len(parts) > 2 and parts[1] == "derp"
