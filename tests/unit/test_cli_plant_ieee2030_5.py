"""`geems plant --protocol ieee2030_5`: what makes no sense is refused before anything runs."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.cli.client_fleet import _Registered
from ems.cli.outcome import Exit
from ems.plant.fleet import QUIET

Geems = Callable[..., "click.testing.Result"]
CLIENTS = ("--protocol", "ieee2030_5", "--server", "https://localhost:8443", "--certs", "certs")


@pytest.fixture
def geems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Geems:
    """Runs the command line in a folder with one of certificates, which is empty."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "certs").mkdir()

    def run(*arguments: str) -> click.testing.Result:
        return CliRunner().invoke(main, arguments)

    return run


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--protocol", "ieee2030_5"), "--protocol is for a fleet: give --ders"),
        (("--ders", "2", "--protocol", "ieee2030_5"), "needs --server URL and --certs DIR"),
        (("--ders", "2", *CLIENTS, "--base-port", "5000"), "--base-port is for --protocol modbus"),
        (("--ders", "2", *CLIENTS, "--speed", "2"), "--speed is for --protocol modbus"),
        (("--ders", "2", *CLIENTS, "--inverter", "ideal"), "--inverter is for --protocol modbus"),
        (("--ders", "2", *CLIENTS, "--start", "2026-06-01T12:00Z"), "--start is for"),
        (("--ders", "2", *CLIENTS, "--mix", "dg=1"), "dg has no IEEE 2030.5 client"),
        (("--ders", "2", *CLIENTS), "0 certificates for 2 DERs"),
        (("--ders", "2", "--server", "https://x"), "--server is for --protocol ieee2030_5"),
        (("--ders", "2", "--poll", "5"), "--poll is for --protocol ieee2030_5"),
        (("--ders", "2", "--rated", "ten"), "write for example 50,100,250"),
        (("--ders", "2", "--rated", "0"), "a rating is 1 to 20000 kW"),
        (
            ("--ders", "2", *CLIENTS[:3], "http://localhost", *CLIENTS[4:]),
            "write https://HOST:PORT",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_mend(
    geems: Geems, arguments: tuple[str, ...], told: str
) -> None:
    result = geems("plant", *arguments)
    assert result.exit_code == Exit.BAD_INPUT
    assert told in result.stderr


class Waiting:
    """A fleet of three of which one after another finds its server."""

    names = ("pv1", "pv2", "pv3")
    ders = credentials = ()

    def __init__(self) -> None:
        self.t_s = self.registered = 0
        self.trouble: dict[str, str] = {}


def test_while_a_fleet_waits_for_its_server_it_says_every_ten_seconds_for_what(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fleet = Waiting()
    announce = _Registered(fleet, QUIET, "https://localhost", as_json=False)  # type: ignore[arg-type]  # as far as it is looked at

    def live(seconds: int) -> list[str]:
        for _ in range(seconds):
            fleet.t_s += 1
            announce.look()
        return capsys.readouterr().err.splitlines()

    assert live(9) == []
    assert live(1) == ["0 of 3 registered"]
    fleet.trouble = {"pv1": "no connection", "pv2": "refused"}
    assert live(1) == ["0 of 3 registered; pv1: no connection"]
    assert live(9) == []
    fleet.registered, fleet.trouble = 1, {"pv2": "refused"}
    assert live(11) == ["1 of 3 registered; pv2: refused"] * 2
    fleet.registered, fleet.trouble = 3, {}
    assert live(30) == ["all registered; interrupt to end"]


def test_ratings_go_round(geems: Geems) -> None:
    arguments = ("--ders", "3", "--rated", "50,250", "--seconds", "1", "--speed", "max", "--json")
    result = geems("plant", *arguments)
    assert result.exit_code == Exit.OK, result.stderr
    assert [row.split(":")[1].strip(" ,") for row in result.stdout.splitlines()
            if "rated_kw" in row] == ["50.0", "250.0", "50.0"]  # fmt: skip
