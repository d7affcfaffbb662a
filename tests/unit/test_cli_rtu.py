"""`geems icd` and `geems rtu` on the command line."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.protocols.scl import read_icd
from ems.settings import TEMPLATE
from tests.icd import FOLDER, THIRD_PARTY

Geems = Callable[..., "click.testing.Result"]


@pytest.fixture
def geems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Geems:
    """Runs the command line in a folder with a site file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_the_files_of_a_site_are_written_and_each_can_be_read(geems: Geems, tmp_path: Path) -> None:
    done = geems("icd", "--out", "icds", "--json")
    assert done.exit_code == 0
    written = json.loads(done.stdout)["files"]
    assert [w["device"] for w in written] == ["pv", "bes", "dg", "load"]
    for each in written:
        file = read_icd((tmp_path / each["file"]).read_bytes(), each["file"])
        assert file.ieds[0].name == each["device"]
    loads = read_icd((tmp_path / "icds" / "load.icd").read_bytes())
    classes = [n.ln_class for d in loads.ieds[0].devices for n in d.nodes]
    assert classes.count("DLOD") == classes.count("DECP") > 5


def test_the_file_of_one_device_is_written(geems: Geems, tmp_path: Path) -> None:
    assert geems("icd", "--der", "bes").exit_code == 0
    assert [p.name for p in tmp_path.glob("*.icd")] == ["bes.icd"]


def test_a_device_that_is_not_there_and_a_file_that_is_are_told(geems: Geems) -> None:
    done = geems("icd", "--der", "wind")
    assert (done.exit_code, done.stderr) == (
        2, "--der wind: no such device; there are pv, bes, dg, load\n",
    )  # fmt: skip
    assert geems("icd").exit_code == 0
    again = geems("icd")
    assert again.exit_code == 2
    assert "is there already and is left as it is" in again.stderr


def test_bad_files_are_refused_all_at_once_before_anything_is_opened(
    geems: Geems, tmp_path: Path
) -> None:
    (tmp_path / "empty.icd").write_bytes(b"")
    text = THIRD_PARTY.read_text(encoding="utf-8").replace('datSet="FastSet"', 'datSet="None"')
    (tmp_path / "dangling.icd").write_text(text, encoding="utf-8")
    done = geems("rtu", "empty.icd", "dangling.icd", "--interface", "lo", "--json")
    assert done.exit_code == 2
    places = [fault["place"] for fault in json.loads(done.stdout)["faults"]]
    assert places == ["empty.icd: line 1", "dangling.icd: line 36"]


def test_an_interface_that_is_not_there_is_bad_input(geems: Geems) -> None:
    assert geems("icd", "--der", "bes").exit_code == 0
    done = geems("rtu", "bes.icd", "--interface", "nope0")
    assert done.exit_code == 2
    assert done.stderr.startswith("--interface nope0: no such network interface; there are lo")


def test_a_file_that_breaks_the_users_schema_is_refused(geems: Geems) -> None:
    schema = str(FOLDER / "small.xsd")
    done = geems("rtu", str(THIRD_PARTY), "--interface", "lo", "--schema", schema)
    assert done.exit_code == 2
    assert "(schema)" in done.stderr


def test_what_is_no_file_or_too_large_is_refused_before_it_is_read(
    geems: Geems, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.icd")
    with (tmp_path / "large.icd").open("wb") as file:
        file.truncate(1 << 40)
    pipe = geems("rtu", "pipe.icd", "--interface", "lo")
    assert (pipe.exit_code, pipe.stderr) == (
        2, "pipe.icd: is no regular file; give the ICD file itself\n",
    )  # fmt: skip
    large = geems("rtu", "large.icd", "--interface", "lo")
    assert large.exit_code == 2
    assert "no SCL file" in large.stderr
