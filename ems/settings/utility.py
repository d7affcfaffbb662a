"""The `[utility]` table of a site file: a utility's IEEE 2030.5 server that the site follows."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from ems.settings.base import Table


def _https(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme == "https" and parts.hostname and not parts.query and not parts.fragment:
        return text
    raise ValueError(
        f'"{text}" is no address of a server; write it as "https://utility.example:8443/dcap"'
    )


class UtilityTable(Table):
    """`[utility]`: limits that a utility sets for the whole site; off by default."""

    url: Annotated[str, AfterValidator(_https)]
    """Where its DeviceCapability is."""
    ca_file: str = Field(min_length=1)
    """PEM file of the authorities that sign its certificate, relative to the site file."""
    cert_file: str = Field(min_length=1)
    """PEM file of the site's certificate and those that lead to the root."""
    key_file: str = Field(min_length=1)
    """PEM file of its private key."""
    pin: int | None = Field(default=None, ge=0, le=999_999)
    """Registration PIN that the utility gave; default: not compared."""
    lost_after_s: float = Field(default=300.0, ge=10, le=86_400)
    """After how long without an answer its default control holds [s]."""
