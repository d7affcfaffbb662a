"""Where notifications cannot go: one reason each, never a traceback."""

import asyncio

import pytest

from ems.derms.settings import ServerSettings
from ems.derms.subscribers import Subscribers, Unreached

BEYOND = ServerSettings(host="192.0.2.1")


@pytest.mark.parametrize(
    "uri",
    [
        f"https://{'a' * 70}.x/",
        "https://xn--é/",
        "https://[::1/",
        "https://localhost:99999/",
        "https://..x/",
        "https://127.1:9/",
        "https://2130706433:9/",
    ],
)
def test_an_impossible_or_disguised_uri_is_not_reached(uri: str) -> None:
    with pytest.raises(Unreached):
        asyncio.run(Subscribers(BEYOND).post(uri, b"", frozenset()))
