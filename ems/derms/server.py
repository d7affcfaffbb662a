"""The server: listeners, its loop, and the way in for other threads."""

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from email.utils import formatdate
from typing import TypeVar

from uvicorn.server import ServerState

from ems.derms.app import Application, Asgi, plain
from ems.derms.board import Board
from ems.derms.listening import BACKLOG, allow_files, bound, http, url_of
from ems.derms.notify import Notifier
from ems.derms.refused import RefusedLog
from ems.derms.retention import Retention
from ems.derms.settings import ServerSettings
from ems.derms.tls import Connections, DeviceProtocol, context, noting, own_lfdi
from ems.errors import BadInput, GeemsError
from ems.protocols.ieee2030_5 import identity

T = TypeVar("T")

_log = logging.getLogger(__name__)
_OTHER_FILES = 256
"""Files besides the connections: the database, the log …"""
_TICK_S = 1.0
_PRUNE_TICKS = 60
_KEEP_TICKS = 5
"""How often what could not be kept is tried again where nothing new comes."""
_CALL_S = 10.0
"""How long another thread waits for the loop [s]: longer than a locked database holds up what is
kept (5 s), and short beside a cycle, which must go on without the server."""
_CLOSE_S = 2.0
"""How long answers that are on their way get when the server stops [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the server does."""

    connections: int
    """Open now."""
    answered: int
    """Requests since the start."""
    refused: dict[str, int]
    """Refusals since the start, by kind."""
    notified: int
    """Notifications that were taken."""
    unkept: str
    """Why something that is served is not on the disk; empty: everything is."""


class DermsServer:
    """Serves a board to devices, in a thread of its own."""

    def __init__(
        self,
        settings: ServerSettings,
        board: Board,
        *,
        administration: Callable[["DermsServer"], Asgi] | None = None,
    ) -> None:
        """Prepare to serve.

        Args:
            settings: how.
            board: what; from the start on it belongs to the server's loop: use `call`.
            administration: makes the application below /admin; called once.

        Raises:
            BadInput: a certificate, key or authority file cannot be used.
        """
        self.settings = settings
        self.board = board
        self.refusals = RefusedLog(board.now)
        self._tls = None if settings.trusted_proxy_header else _context(settings)
        own = None
        if self._tls is not None:
            noting(self._tls, self.refusals)
            lfdi = own_lfdi(settings.cert_file)
            own = (lfdi, identity.sfdi_of(lfdi))
        self.application = Application(
            board,
            settings,
            own=own,
            refusals=self.refusals,
            administration=administration(self) if administration else None,
        )
        self.connections = Connections(settings, self.refusals)
        self.notifier = Notifier(self.application, settings)
        self._retention = Retention(board.keeper, settings.keep_days)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ident = 0
        """Of the thread in which the loop runs."""
        self._stop: asyncio.Event | None = None
        self._listeners: list[socket.socket] = []

    # From any thread

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        if not self._listeners:
            raise GeemsError("the server does not listen")
        host, port = self._listeners[0].getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        """Where devices find it."""
        return url_of("http" if self.settings.trusted_proxy_header else "https", self.address)

    @property
    def http_address(self) -> tuple[str, int] | None:
        """Host and port of the plain listener, if there is one."""
        if len(self._listeners) < 2:
            return None
        host, port = self._listeners[1].getsockname()[:2]
        return host, port

    def start(self) -> None:
        """Serve in a thread of its own; returns when it listens.

        Raises:
            PortInUse: another program listens there.
            BadInput: the address cannot be listened on.
        """
        self._bind()
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="ieee2030_5", daemon=True
        )
        self._thread.start()
        ready.result()

    def stop(self) -> None:
        """End: answers on their way go out, connections are closed. May be called twice."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(stop.set)
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def call(self, do: Callable[[], T], *, durable: bool = True) -> T:
        """Run something on the server's loop, and wait until what it changed is durable.

        The only way to the board for other threads while the server runs. Raises what `do` raises.

        Args:
            do: reads or changes the board.
            durable: False: what it changed counts as soon as it is served. Where it cannot be kept,
                `health` tells so, and it is tried again.

        Raises:
            GeemsError: the loop did not answer in time, or the server has ended meanwhile.
            StoreFault: what was changed is served, but could not be kept.
        """
        loop = self._loop
        if loop is None or not loop.is_running():
            result = do()
            kept = self.board.durable
            if durable:
                kept.result()
            return result
        if threading.get_ident() == self._ident:
            raise GeemsError("the server's own thread calls the board directly")
        given_up = threading.Event()

        def unless_given_up() -> T:
            # What has not begun will not: nothing is published that nobody waits for any more.
            if given_up.is_set():
                raise GeemsError("nobody waits for it any more")
            return do()

        doing = self.perform(unless_given_up, durable=durable)
        try:
            asked = asyncio.run_coroutine_threadsafe(doing, loop)
        except RuntimeError as error:
            doing.close()
            raise GeemsError("the IEEE 2030.5 server has ended") from error
        if not wait_for((asked,), _CALL_S).done:
            given_up.set()
            asked.cancel()
            raise GeemsError(f"the IEEE 2030.5 server did not answer within {_CALL_S:g} s")
        try:
            return asked.result()
        except CancelledError as error:
            raise GeemsError("the IEEE 2030.5 server has ended") from error

    # On the loop

    async def perform(self, do: Callable[[], T], *, durable: bool = True) -> T:
        """The same as `call`, for coroutines on the server's own loop (administration)."""
        result = do()
        kept = self.board.durable
        if durable:
            if not kept.done():
                await asyncio.shield(asyncio.wrap_future(kept))
            kept.result()
        return result

    def health(self) -> Health:
        """How it does."""
        return Health(
            connections=len(self.connections.open),
            answered=self.application.answered,
            refused=dict(self.refusals.counts),
            notified=self.notifier.taken,
            unkept=self.board.unkept,
        )

    def end_subscription(self, device: int, number: int) -> None:
        """End a subscription, and tell its subscriber so; on the server's loop.

        Raises:
            NotFound: there is no such subscription.
        """
        self.notifier.end(device, number)

    # What stands behind it

    def _bind(self) -> None:
        settings = self.settings
        allow_files(settings.most_connections + _OTHER_FILES)
        self._listeners = [bound(settings.host, settings.port, "ieee2030_5.port")]
        if settings.http_port is not None:
            try:
                self._listeners.append(
                    bound(settings.host, settings.http_port, "ieee2030_5.http_port")
                )
            except GeemsError:
                self._listeners.pop().close()
                raise

    async def _serve(self, ready: "Future[None]") -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._stop = asyncio.Event()
        state = ServerState()
        try:
            servers = [await self._listen(loop, state)]
            if len(self._listeners) > 1:
                servers.append(await self._listen_plain(loop, state))
        except Exception as error:  # noqa: BLE001  whoever waits for the start gets it
            for listener in self._listeners:
                listener.close()
            ready.set_exception(error)
            return
        self.notifier.start()
        ticking = loop.create_task(self._tick(state))
        ready.set_result(None)
        try:
            await self._stop.wait()
        finally:
            ticking.cancel()
            for server in servers:
                server.close()
            for connection in list(state.connections):
                connection.shutdown()
            if state.tasks:
                await asyncio.wait(list(state.tasks), timeout=_CLOSE_S)
            await self.notifier.stop()
            for open_ in tuple(self.connections.open):
                open_.transport.abort()
            await asyncio.sleep(0)
            self._loop = None

    async def _listen(
        self, loop: asyncio.AbstractEventLoop, state: ServerState
    ) -> asyncio.base_events.Server:
        config = http(self.application, self.settings)
        return await loop.create_server(
            lambda: DeviceProtocol(self.connections, config, state, loop.time),
            sock=self._listeners[0],
            ssl=self._tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=self.settings.handshake_s if self._tls else None,
            ssl_shutdown_timeout=_CLOSE_S if self._tls else None,
        )

    async def _listen_plain(
        self, loop: asyncio.AbstractEventLoop, state: ServerState
    ) -> asyncio.base_events.Server:
        config = http(plain(self.board), self.settings)
        return await loop.create_server(
            lambda: DeviceProtocol(self.connections, config, state, loop.time),
            sock=self._listeners[1],
            backlog=BACKLOG,
        )

    async def _tick(self, state: ServerState) -> None:
        """Once a second: the date header, connections that are held up, what is long over."""
        ticks = 0
        loop = asyncio.get_running_loop()
        while True:
            state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            try:
                self.connections.sweep(loop.time())
                if self.board.follow():
                    _log.warning("the machine's clock was set; devices are told the new time")
                if ticks % _PRUNE_TICKS == 0:
                    self.board.prune(self.board.now())
                self._retention.step(self.board.now())
                if ticks % _KEEP_TICKS == 0:
                    self.board.keep_again()
            except Exception:  # noqa: BLE001  it must go on
                _log.exception("the housekeeping failed; it goes on")
            ticks += 1
            await asyncio.sleep(_TICK_S)


def _context(settings: ServerSettings) -> ssl.SSLContext:
    try:
        return context(settings.cert_file, settings.key_file, settings.ca_file, settings.cipher)
    except (OSError, ValueError) as error:
        files = f"{settings.cert_file}, {settings.key_file}, {settings.ca_file}"
        raise BadInput.at(
            "ieee2030_5: cert_file, key_file, ca_file",
            f"{error} ({files}); make them with: geems ieee2030-5 certs DIR",
        ) from error
