"""Why a connection could not be opened, in plain words."""

import asyncio
import errno
import socket

import pytest

from ems.domain import DeviceAddress
from ems.errors import Unreachable
from ems.gateways.line import _reason
from ems.gateways.modbus import ModbusLink


def test_a_port_where_nobody_listens_is_told_once_and_in_plain_words() -> None:
    with socket.socket() as taken:  # bound and not listening: the port refuses
        taken.bind(("127.0.0.1", 0))
        address = DeviceAddress(host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(Unreachable) as found:
            asyncio.run(ModbusLink("pv", address).connect())
    assert str(found.value) == f"pv at {address}: no connection: refused"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.7', 502)"), "no route to the"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 5021, 0, 0), "
                 "[Errno 111] Connect call failed ('127.0.0.1', 5021)"), "refused"),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 113] b"), "Multiple exceptions"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ValueError("Invalid parity: 'X'"), "Invalid parity"),
    ],
)  # fmt: skip
def test_every_fault_has_its_words(fault: Exception, words: str) -> None:
    assert _reason(fault).startswith(words)
