"""Each folder of gridappsd holds a configuration of that server, and the file it becomes."""

import tomllib
from pathlib import Path

import pytest

from ems.derms.gridappsd import Kind, imported
from ems.settings.ieee2030_5 import Ieee20305Table

CASES = sorted(p for p in Path(__file__).with_name("gridappsd").iterdir() if p.is_dir())


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_configuration_becomes_the_file_it_should_and_tells_what_it_loses(folder: Path) -> None:
    made = imported((folder / "server.yml").read_text(encoding="utf-8"), "server.yml")
    assert made.toml == (folder / "expected.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_what_comes_out_is_a_valid_file_of_ours(folder: Path) -> None:
    read = tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
    assert list(read) == ["ieee2030_5"]
    Ieee20305Table.model_validate(read["ieee2030_5"])


def test_a_configuration_with_every_mode_and_curve_loses_nothing() -> None:
    folder = next(case for case in CASES if case.name == "every_mode_and_curve")
    made = imported((folder / "server.yml").read_text(encoding="utf-8"), "server.yml")
    assert made.complete
    assert {finding.kind for finding in made.findings} == {Kind.CHANGED, Kind.NEEDLESS}
