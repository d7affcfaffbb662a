"""`geems coordinate` on input it cannot use, without a process of its own."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.cli.outcome import Exit


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--feeder", "nowhere"), "no shipped feeder of that name"),
        (("--utility", "48"), "48 is no bus and power"),
        (("--pv-scale", "2"), "2.0 is not in the range"),
        (("--cim", "missing.xml"), "does not exist"),
        (("--cim", "empty.xml"), "empty.xml"),
        (("--measurements", "empty.csv"), "the first line must be name,p_w,q_var"),
    ],
)
def test_bad_input_ends_with_code_2_and_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.xml").touch()
    (tmp_path / "empty.csv").touch()
    done = CliRunner().invoke(main, ["coordinate", *arguments])
    assert done.exit_code == Exit.BAD_INPUT, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
