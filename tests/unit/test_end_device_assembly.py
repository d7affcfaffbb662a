"""A site put together of devices of both protocols."""

import re
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ems.assembly import open_site
from ems.errors import BadInput, DeviceError
from ems.gateways.ieee2030_5.joined import JoinedField
from ems.settings import load_settings
from tests.end_devices import site_of_clients


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """The plant is a client of our server, the others are Modbus devices that are not there."""
    path, _ = site_of_clients(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    there = f'device = {{ host = "127.0.0.1", port = {port}, unit = '
    units = iter(range(1, 9))
    text = re.sub(
        r'device = \{ protocol = "ieee2030_5", enddevice = "(?!pv)[^}]*\}',
        lambda _: f"{there}{next(units)} }}",
        path.read_text(encoding="utf-8"),
    )
    path.write_text(text, encoding="utf-8")
    return path


def test_each_device_is_read_by_its_own_protocol(mixed: Path) -> None:
    with open_site(load_settings(mixed, {})) as opened:
        assert isinstance(opened.ports.field, JoinedField)
        answers = opened.ports.field.read(datetime.now(UTC))
        told = {name: str(answer) for name, answer in answers.items()}
        assert all(isinstance(answer, DeviceError) for answer in answers.values())
        assert "has not asked yet" in told["pv"]
        assert "has not asked yet" not in told["bes"] + told["dg"]
        assert isinstance(opened.ports.field.read_load(datetime.now(UTC)), DeviceError)


def test_nothing_listens_until_the_site_begins(mixed: Path) -> None:
    with open_site(load_settings(mixed, {})) as opened:
        assert opened.links() == {"ieee2030_5": "not begun"}
        opened.begin()
        assert opened.links()["ieee2030_5"].startswith("https://127.0.0.1:")


def test_who_was_not_heard_in_time_is_named_and_waited_for_only_once(
    mixed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_site(load_settings(mixed, {})) as opened:
        assert opened.clients is not None
        opened.clients.wait_s = 0.0
        opened.begin()
        opened.ready()
        assert "not heard within 0 s, and not commanded until they are: pv" in caplog.text
        opened.clients.wait_s = 1e9
        opened.ready()


def test_the_lease_of_one_cycle_lasts_as_long_as_its_clients_may_take(mixed: Path) -> None:
    with open_site(load_settings(mixed, {})) as opened:
        assert opened.clients is not None
        assert opened.clients.longest_s == (1 + 1 + 15) + 4 * 10.0


def test_files_that_the_server_cannot_use_are_told_before_anything_is_opened(mixed: Path) -> None:
    text = mixed.read_text(encoding="utf-8")
    mixed.write_text(re.sub(r'key_file = "[^"]*"', 'key_file = "nowhere.key"', text))
    with (
        pytest.raises(BadInput, match=r"ieee2030_5\.key_file"),
        open_site(load_settings(mixed, {})),
    ):
        pass
