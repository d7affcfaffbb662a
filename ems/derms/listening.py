"""Addresses to listen on."""

import errno
import resource
import socket

from uvicorn.config import Config

from ems.derms.app import Asgi
from ems.derms.settings import ServerSettings
from ems.errors import BadInput, PortInUse

BACKLOG = 2048


def http(application: Asgi, settings: ServerSettings) -> Config:
    """How uvicorn's protocol speaks HTTP: nothing but HTTP/1.1, and without lines per request."""
    config = Config(
        application,
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        # The sweep closes idle connections; this timer is only the net below it.
        timeout_keep_alive=int(settings.idle_s) + 60,
    )
    config.load()
    return config


def allow_files(wanted: int) -> None:
    """Have the system allow so many open files, as far as it does without rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bound(host: str, port: int, key: str) -> socket.socket:
    """Take an address; port 0 lets the system choose."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # With its protocol named, asyncio sets TCP_NODELAY; without, each answer waits 40 ms.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BadInput.at(key, f"{host}:{port} is no address: {error}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"{host}:{port} is in use by another program; stop that one, or choose another "
                f"port ({key}; 0 takes any that is free)"
            ) from error
        raise BadInput.at(
            key, f"cannot listen on {host}:{port}: {error.strerror}; choose another"
        ) from error
    return listener


def url_of(scheme: str, address: tuple[str, int]) -> str:
    """Where a client finds what listens there."""
    host, port = address
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
