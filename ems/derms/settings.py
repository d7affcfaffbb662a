"""How one server is set up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What `DermsServer` needs to know; `ems.settings.ieee2030_5` reads it from a file."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8443
    """0: any that is free."""
    cert_file: Path = Path()
    """The server's certificate with its chain, PEM."""
    key_file: Path = Path()
    """Its key, PEM."""
    ca_file: Path = Path()
    """Authorities whose devices may speak, PEM."""
    cipher: Literal["strict", "compat"] = "strict"
    """`strict`: ECDHE-ECDSA-AES128-CCM8 alone, as the standard asks; `compat` adds GCM."""
    http_port: int | None = None
    """Serves /dcap alone, in plain; None: not at all."""
    trusted_proxy_header: str | None = None
    """A proxy ends TLS and names the device in this header; the port then speaks plain HTTP."""
    registration: Literal["closed", "open", "listed"] = "closed"
    """Who may POST itself to /edev: nobody, anybody with a certificate, those in `listed`."""
    registrations_per_minute: int = 6000
    """By all certificates together."""
    registrations_each_per_minute: int = 120
    """By one certificate; an aggregator registers the devices that it acts for."""
    listed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By LFDI: arguments of `Board.add_device`, for when this device registers."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """LFDI of a certificate → the LFDI it is known by."""
    administrators: frozenset[str] = frozenset()
    """LFDIs that may read everything, and change it by the administration."""
    aggregators: frozenset[str] = frozenset()
    """LFDIs that may register devices which they act for."""
    max_body_bytes: int = 1 << 20
    """Longer bodies are refused while they come."""
    timezone: str = "UTC"
    """What Time tells devices of the local time."""
    time_quality: int = 4
    """Time.quality: 3 authoritative … 7 intentionally uncoordinated."""
    handshake_s: float = 10.0
    """A TLS handshake that takes longer is ended [s]."""
    request_s: float = 20.0
    """A request that takes longer to arrive, or its answer to be taken, is ended [s]."""
    idle_s: float = 300.0
    """A connection on which nothing is asked for so long is closed [s]."""
    most_connections: int = 8000
    """At once; further ones are closed before they speak."""
    most_per_device: int = 32
    """Connections of one certificate at once."""
    notification_hosts: tuple[str, ...] | None = None
    """Hosts that subscriptions may name; None: see `subscribers.uri_fault`."""
    notification_check: bool = True
    """Whether listeners must show the certificate of who subscribed, or of its aggregator."""
    subscription_s: int = 36 * 3600
    """A subscription that was not renewed for so long, and cannot be served, ends [s]."""
    keep_days: int = 90
    """For how long readings, responses and log events are kept [d]."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Paths that moved: answered with 301."""
