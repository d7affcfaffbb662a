"""What GEEMS opens to the network, and what it sends there."""

from collections.abc import Iterator

from ems.settings.hosts import is_loopback
from ems.settings.rules.sound import Finding, Sound


def _loopback_only(sound: Sound) -> Iterator[Finding]:
    host = sound.get("web", "host")
    if host is not None and not is_loopback(host):
        problem = (
            f'"{host}" is beyond loopback, and there is no authentication yet; use "127.0.0.1" '
            "and a tunnel or a reverse proxy that asks who is there"
        )
        yield ("web", "host"), problem


def _mqtt(sound: Sound) -> Iterator[Finding]:
    host, tls = sound.get("mqtt", "host"), sound.get("mqtt", "tls")
    if host is None:
        return
    if sound.get("mqtt", "password_file") and not tls and not is_loopback(host):
        problem = "a password would cross the network in clear; set tls = true"
        yield ("mqtt", "password_file"), problem
    if sound.get("mqtt", "password_file") and not sound.get("mqtt", "username"):
        yield ("mqtt", "username"), "missing: a password needs an account"
    if not tls:
        for key in ("ca_file", "cert_file"):
            if sound.get("mqtt", key):
                yield ("mqtt", key), "has no effect without TLS; set tls = true, or leave it out"
    if bool(sound.get("mqtt", "cert_file")) != bool(sound.get("mqtt", "key_file")):
        yield ("mqtt", "cert_file"), "a certificate and its key_file go together; name both"


RULES = (
    _loopback_only,
    _mqtt,
)
