"""Serving HTTP from the main thread, on loopback."""

import errno
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ems.errors import BadInput, PortInUse

_BACKLOG = 128


def bind(host: str, port: int) -> socket.socket:
    """Take the address to serve on; port 0 lets the system choose.

    Raises:
        BadInput: not an address of this machine's loopback, or the port needs rights.
        PortInUse: another program listens there.
    """
    address = _loopback(host)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # Without it, the port stays taken for a minute after the service before it has ended.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address), port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"{host}:{port} is in use by another program; stop that one, or choose another "
                "port (site.toml: web.port; 0 takes any that is free)"
            ) from error
        raise BadInput.at(
            "web.port", f"cannot listen on {host}:{port}: {error.strerror}; choose another"
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a browser finds what listens there."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def run(
    app: FastAPI,
    listener: socket.socket,
    *,
    start: Callable[[], None],
    stop: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; call from the main thread.

    Args:
        app: what to serve.
        listener: from `bind`.
        start: called before the first request is answered.
        stop: called after the last one, also when `start` or the server fails.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        # The app starts and stops nothing; a second signal would break into waiting for it.
        lifespan="off",
        # A browser that keeps its connection open must not hold up the end of the service.
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    with _ended_in_order(server):
        try:
            start()
            server.run(sockets=[listener])
        finally:
            stop()


@contextmanager
def _ended_in_order(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the server, and nothing else, so that `stop` is reached.

    Uvicorn handles both while it serves, then raises them again for the handler before it;
    that would end the process in the middle of a cycle.
    """

    def end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  signature of handlers
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _loopback(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    name = "127.0.0.1" if host == "localhost" else host
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise BadInput.at(
            "web.host",
            f"{host!r} is not on loopback; without authentication GEEMS serves this machine "
            "only: use 127.0.0.1, and reach it from elsewhere by an SSH tunnel",
        )
    return address
