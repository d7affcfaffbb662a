"""A server put together as its file says: database, board, administration, listener."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from ems.clock import Clock
from ems.derms.admin import Entrance, create_admin, token_of
from ems.derms.app import Asgi
from ems.derms.board import Board
from ems.derms.certificates import expiring
from ems.derms.declared import Known, arguments_of, declare, known_devices
from ems.derms.dnssd import announced
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings
from ems.derms.stored import StoreKeeper
from ems.errors import BadInput, Fault
from ems.settings.ieee2030_5.file import ServerFile
from ems.store import DermsStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that is ready to run, and what it stands on."""

    server: DermsServer
    board: Board
    store: DermsStore
    notes: tuple[str, ...]
    """What an operator should know: certificates that expire soon."""

    dns_sd: bool
    """Whether it is announced on the local network while it runs."""
    _end: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Serve in a thread of its own, and announce it where that is asked for.

        Raises:
            PortInUse: another program listens there.
            BadInput: the address cannot be listened on, or not announced.
        """
        self._end.callback(self.server.stop)
        self.server.start()
        if self.dns_sd:
            self._end.enter_context(announced(*self.server.address, self.lfdi))

    def stop(self) -> None:
        """End in order. May be called twice, and before the start."""
        self._end.close()

    @property
    def lfdi(self) -> str:
        """Of the server's certificate; empty behind a proxy that ends TLS."""
        own = self.server.application.own
        return "" if own is None else own[0]


@contextmanager
def opened(file: ServerFile, clock: Clock | None = None) -> Iterator[Served]:
    """Put a server together; it is not started. In the end it is stopped, and its state closed.

    Args:
        file: as read.
        clock: the server's time; None: the machine's.

    Raises:
        BadInput: what the file names cannot be used.
        LeaseHeld: another server keeps its state in this database.
        StoreFault: the database cannot be read or written.
    """
    named = checked(file)
    known = named.known
    with DermsStore.open(file.store) as store:
        keeper = StoreKeeper(store)
        board = Board(keeper, clock, pen=file.table.pen)
        declare(file, known, board)
        board.durable.result()
        settings = settings_of(file, known)
        entrance = Entrance(
            administrators=settings.administrators,
            token=named.token,
            lfdi_of=lambda scope: scope.get("lfdi") or "",
        )

        def administration(server: DermsServer) -> Asgi:
            return create_admin(
                board, entrance, server.refusals, _version(), server.end_subscription
            )

        server = DermsServer(settings, board, administration=administration)
        served = Served(
            server=server, board=board, store=store, notes=named.notes, dns_sd=file.table.dns_sd
        )
        try:
            yield served
        finally:
            served.stop()
            keeper.owed.settle()


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the files that a server's file names hold."""

    known: Known
    """Who the devices are."""
    token: str | None
    """Of the administration."""
    notes: tuple[str, ...]
    """Which certificates expire soon."""


def checked(file: ServerFile) -> Named:
    """Read the files that a server's file names; nothing is opened to serve.

    Raises:
        BadInput: with what is wrong in any of them.
    """
    faults: list[Fault] = []

    def sound(read: Callable[[ServerFile], T]) -> T | None:
        try:
            return read(file)
        except BadInput as error:
            faults.extend(error.faults)
            return None

    known, notes, token = sound(known_devices), sound(_tls_notes), sound(_token)
    if faults or known is None or notes is None:
        raise BadInput(faults)
    return Named(known=known, token=token, notes=notes)


def _token(file: ServerFile) -> str | None:
    if file.table.admin_token_file is None:
        return None
    place = f"{file.file.name}: ieee2030_5.admin_token_file"
    return token_of(file.beside(file.table.admin_token_file), place)


def settings_of(file: ServerFile, known: Known) -> ServerSettings:
    """How the listener is set up."""
    table = file.table
    alone: Mapping[str, Mapping[str, Any]] = {
        known.lfdis[device.name]: {"name": device.name, **arguments_of(device, known)}
        for device in table.device
        if table.mode == "register_access_only" or not device.registered
    }
    registration = "listed" if alone and table.registration == "closed" else table.registration
    return ServerSettings(
        host=table.host,
        port=table.port,
        cert_file=_path(file, table.cert_file),
        key_file=_path(file, table.key_file),
        ca_file=_path(file, table.ca_file),
        cipher=table.cipher,
        http_port=table.http_port,
        trusted_proxy_header=table.trusted_proxy_header,
        registration=registration,
        registrations_per_minute=table.registrations_per_minute,
        registrations_each_per_minute=table.registrations_each_per_minute,
        listed=alone,
        aliases=known.fingerprints,
        administrators=frozenset(table.administrators),
        aggregators=frozenset(
            known.lfdis[device.aggregator] for device in table.device if device.aggregator
        ),
        notification_hosts=(
            None if table.notification_hosts is None else tuple(table.notification_hosts)
        ),
        notification_check=table.notification_check,
        max_body_bytes=table.max_body_bytes,
        keep_days=table.keep_days,
        timezone=table.timezone,
    )


def _path(file: ServerFile, name: str | None) -> Path:
    """A file named in the file; behind a proxy none is needed."""
    return Path() if name is None else file.beside(name)


def _tls_notes(file: ServerFile) -> tuple[str, ...]:
    """What an operator should know of the files of TLS, while it can still be mended.

    Raises:
        BadInput: a file cannot be read, or holds no certificate.
    """
    table = file.table
    faults = []
    for key in ("cert_file", "key_file", "ca_file"):
        name = getattr(table, key)
        if name is None:  # behind a proxy that ends TLS none is needed
            continue
        try:
            file.beside(name).read_bytes()
        except OSError as fault:
            place = f"{file.file.name}: ieee2030_5.{key}"
            problem = f"{file.beside(name)} cannot be read: {fault.strerror}"
            faults.append(Fault(place=place, problem=problem))
    if faults:
        raise BadInput(faults)
    if table.cert_file is not None:
        _check_key(file)
    named = [name for name in (table.cert_file, table.ca_file) if name is not None]
    soon = expiring([file.beside(name) for name in named], datetime.now(UTC))
    expire = tuple(f"{one.file.name}: {one.name}: {one.problem}" for one in soon)
    return (*expire, *_notified_without(file))


def _notified_without(file: ServerFile) -> Iterator[str]:
    """What notifications go without behind a proxy: it ends TLS of what comes in alone."""
    place = f"{file.file.name}: ieee2030_5"
    if file.table.ca_file is None:
        yield (
            f"{place}.ca_file: missing: notifications reach only who shows a certificate of the "
            "system's authorities; name the authorities of the devices"
        )
    if file.table.cert_file is None:
        yield (
            f"{place}.cert_file: missing: who is notified sees no certificate of the server; "
            "name it and key_file where that is asked for"
        )


def _check_key(file: ServerFile) -> None:
    cert, key = file.beside(str(file.table.cert_file)), file.beside(str(file.table.key_file))
    place = f"{file.file.name}: ieee2030_5.key_file"
    try:
        # An empty password: else OpenSSL would ask the terminal, and a service has none.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, lambda: "")
    except (ssl.SSLError, ValueError):
        raise BadInput.at(
            place, f"{key} is not the unencrypted key of {cert}, in PEM form"
        ) from None


def _version() -> str:
    with suppress(PackageNotFoundError):
        return version("geems")
    return "0"
