"""The `[mqtt]` table of a site file: a broker that is told what is measured and decided."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from ems.settings.base import Table
from ems.settings.devices import Host

LONGEST = 100
"""Characters of a prefix; a topic has room for 65 535 bytes."""


def _topic(text: str) -> str:
    if len(text) <= LONGEST and re.fullmatch(r"[^+#/\s]+(/[^+#/\s]+)*", text):
        return text
    raise ValueError(
        f'"{text}" is no topic: write levels with / between them, without spaces, + and #, as '
        '"plant/geems"'
    )


def _topic_or_none(text: str) -> str:
    return _topic(text) if text else text


Topic = Annotated[str, AfterValidator(_topic)]
"""A topic name without wildcards, MQTT 5.0, section 4.7.1."""


class MqttTable(Table):
    """`[mqtt]`: measurements, forecasts and setpoints for whoever listens; off by default."""

    host: Host
    """Host name or address of the broker."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """TCP port; default: 1883, and 8883 with TLS."""
    prefix: Topic = "geems"
    """First levels of every topic; the site's name follows."""
    username: str | None = Field(default=None, min_length=1)
    """Account at the broker; default: none."""
    password_file: str | None = Field(default=None, min_length=1)
    """File whose first line is the password, relative to the site file."""
    tls: bool = False
    """Whether the connection is encrypted. A password asks for it beyond loopback."""
    ca_file: str | None = Field(default=None, min_length=1)
    """PEM file of the authorities that may sign the broker's certificate, relative to the site
    file; default: those the system trusts."""
    cert_file: str | None = Field(default=None, min_length=1)
    """PEM file of GEEMS' own certificate, relative to the site file; default: none."""
    key_file: str | None = Field(default=None, min_length=1)
    """PEM file of its key."""
    discovery: Annotated[str, AfterValidator(_topic_or_none)] = "homeassistant"
    """Prefix under which Home Assistant looks for devices; empty: nothing is announced."""
