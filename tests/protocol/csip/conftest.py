"""A utility's server on a free port, and the certificates of who speaks to it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from ems.clock import SteppedClock
from ems.derms.board import Board
from ems.derms.certificates import Pki, make_pki
from ems.derms.keeping import MemoryKeeper
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings
from tests.protocol.csip.utility import (
    DEVICES,
    HIERARCHY,
    SETTINGS,
    START,
    Client,
    Start,
    Utility,
)


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(
        tmp_path_factory.mktemp("pki"),
        DEVICES,
        aggregators=["aggregator"],
        administrators=["operator"],
    )


@pytest.fixture
def start(pki: Pki) -> Iterator[Start]:
    """Starts a server with other settings than usual: `start(registration="open")`."""
    with ExitStack() as running:

        def made(**settings: Any) -> Utility:
            usual = ServerSettings(
                port=0,
                cert_file=pki.server.cert_file,
                key_file=pki.server.key_file,
                ca_file=pki.ca_file,
                administrators=frozenset(i.lfdi for i in pki.administrator.values()),
                aggregators=frozenset(i.lfdi for i in pki.aggregator.values()),
                time_quality=7,
            )
            chosen = replace(usual, **settings)
            clock, keeper = SteppedClock(START), MemoryKeeper()
            board = Board(keeper, clock)
            server = DermsServer(chosen, board)
            server.start()
            utility = Utility(
                pki=pki, clock=clock, board=board, settings=chosen, server=server, keeper=keeper
            )
            running.callback(utility.close)
            return utility

        yield made


@pytest.fixture
def utility(start: Start) -> Utility:
    """A server with nothing registered."""
    return start()


@pytest.fixture
def client(utility: Utility) -> Client:
    """The device under the procedures' hierarchy of groups."""
    utility.group(**HIERARCHY)
    utility.register("client", groups=tuple(HIERARCHY))
    made = utility.client("client")
    assert made.put("/edev/1/der/1/derg", SETTINGS).status in {201, 204}
    return made
