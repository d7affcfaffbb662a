"""The mark of a feeder file: the same while the engine reads the same."""

from pathlib import Path

import pytest

from feeders import FeederFault, fingerprint, shipped

MAIN = """Clear
New Circuit.town basekv=12.47 bus1=head
Redirect lines.dss
New LoadShape.day npts=2 mult=(file=day.csv)
"""


@pytest.fixture
def town(tmp_path: Path) -> Path:
    (tmp_path / "town.dss").write_text(MAIN)
    (tmp_path / "lines.dss").write_text("New Line.l1 bus1=head bus2=b1 length=1\n")
    (tmp_path / "day.csv").write_text("0.5\n1.0\n")
    (tmp_path / "site.toml").write_text("[site]\n")
    return tmp_path / "town.dss"


def test_it_names_the_feeder_and_is_the_same_each_time(town: Path) -> None:
    name, digits = fingerprint(str(town)).split()
    assert name == "town"
    assert len(digits) == 16
    assert fingerprint(str(town)) == f"{name} {digits}"


def test_every_shipped_feeder_has_one_of_its_own() -> None:
    marks = [fingerprint(name) for name in shipped()]
    assert [mark.split()[0] for mark in marks] == list(shipped())
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("file", ["town.dss", "lines.dss", "day.csv"])
def test_what_the_engine_reads_counts(town: Path, file: str) -> None:
    before = fingerprint(str(town))
    path = town.with_name(file)
    path.write_text(path.read_text().replace("1", "1.01"))
    assert fingerprint(str(town)) != before


@pytest.mark.parametrize("file", ["town.dss", "lines.dss"])
def test_comments_and_files_beside_it_do_not(town: Path, file: str) -> None:
    before = fingerprint(str(town))
    path = town.with_name(file)
    path.write_text("! drawn by hand\n\n" + path.read_text().replace("\n", "  ! so\n"))
    town.with_name("site.toml").write_text("[site]\nname = 'other'\n")
    town.with_name("other.dss").write_text("New Line.l2 bus1=head bus2=b2\n")
    assert fingerprint(str(town)) == before


def test_what_is_no_feeder_has_none(tmp_path: Path) -> None:
    with pytest.raises(FeederFault, match="no such file"):
        fingerprint(str(tmp_path / "nowhere.dss"))
