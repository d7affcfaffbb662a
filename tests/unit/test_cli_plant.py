"""`geems plant` and `geems step-response` without a process of their own."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.cli.outcome import Exit

Geems = Callable[..., "click.testing.Result"]


@pytest.fixture
def geems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Geems:
    """Runs the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> click.testing.Result:
        return CliRunner().invoke(main, arguments)

    return run


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--seconds", "5"), "--seconds is for a fleet: give --ders"),
        (("site.toml", "--base-port", "5000"), "--base-port is for a fleet"),
        (("site.toml", "--ders", "2"), "SITE is for a site, not for --ders"),
        (("--ders", "2", "--seed", "3"), "--seed is for a site, not for --ders"),
        (("--ders", "2", "--speed", "max"), "--speed max ends only after --seconds"),
        (("--ders", "2", "--speed", "0"), "neither"),
        (("--ders", "0"), "0 is not in the range"),
        (("--ders", "2", "--mix", "wind=1"), "write for example pv=2,bes=1"),
        (("--ders", "2", "--mix", "pv=1,pv=2"), "each once"),
        (("--ders", "2", "--mix", "pv=0"), "no part of anything"),
        (("--ders", "2", "--events", "none.csv"), "does not exist"),
        (("--ders", "2", "--start", "2026-06-01T12:00"), "write 2026-06-01T12:00Z if it is UTC"),
        (("--ders", "2", "--start", "noon"), "noon is no timestamp"),
        (("--ders", "9", "--base-port", "65530", "--seconds", "1"), "begin at 65527 or lower"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_mend(
    geems: Geems, arguments: tuple[str, ...], told: str
) -> None:
    result = geems("plant", *arguments)
    assert result.exit_code == Exit.BAD_INPUT
    assert told in result.stderr


def test_timestamped_events_set_the_start(geems: Geems, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(
        "time,der,voltage_pu,frequency_hz\n2026-06-01T12:00:00Z,pv1,0.95,\n"
    )
    arguments = ("--ders", "1", "--events", "events.csv", "--seconds", "1", "--speed", "max")
    result = geems("plant", *arguments, "--json", "--record", "record.csv")
    assert result.exit_code == Exit.OK, result.stderr
    assert json.loads(result.stdout)["start"] == "2026-06-01T12:00:00Z"
    row = (tmp_path / "record.csv").read_text().splitlines()[1]
    assert row.startswith("2026-06-01T12:00:01Z,1,pv1,")
    assert ",0.95,60," in row


def test_a_taken_port_is_told_and_no_other_is_held(geems: Geems, listening_port: int) -> None:
    result = geems("plant", "--ders", "1", "--base-port", str(listening_port), "--seconds", "1")
    assert result.exit_code == Exit.BAD_INPUT
    assert f"port {listening_port}" in result.stderr


def test_step_response_sets_the_loops_beside_what_is_promised(geems: Geems) -> None:
    document = json.loads(geems("step-response", "--json").stdout)
    found, promised = document["figures"], document["promised"]
    assert promised["i_d"]["overshoot_pct"] == pytest.approx(4.3, abs=0.05)
    assert promised["v_dc"]["overshoot_pct"] == pytest.approx(43.4, abs=0.1)
    assert found["i_d"]["rise_s"] == pytest.approx(promised["i_d"]["rise_s"], rel=0.02)
    assert found["i_d"]["overshoot_pct"] == pytest.approx(4.3, abs=0.2)
    assert document["phase_margin_deg"] == pytest.approx(36.9, abs=0.05)


def test_step_response_draws_and_prints(geems: Geems, tmp_path: Path) -> None:
    result = geems("step-response", "--plot", "step.png")
    assert result.exit_code == Exit.OK
    assert "i_d, small step" in result.stdout
    assert (tmp_path / "step.png").read_bytes().startswith(b"\x89PNG")
    nowhere = geems("step-response", "--plot", "no/step.png")
    assert nowhere.exit_code == Exit.BAD_INPUT
    assert "--plot: no/step.png cannot be written" in nowhere.stderr
