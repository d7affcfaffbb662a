"""Each folder of bad_input holds a site file with slips in it and the faults it is told."""

from pathlib import Path

import pytest

from ems.cli.site_check import all_faults

CASES = sorted(p for p in Path(__file__).with_name("bad_input").iterdir() if p.is_dir())


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_bad_site_file_is_told_all_its_faults_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # a place is told with the file's name, wherever it lies
    told = sorted(str(fault) for fault in all_faults(Path("site.toml")))
    text = (folder / "expected.txt").read_text(encoding="utf-8")
    expected = sorted(text.replace("{folder}", str(folder)).splitlines())
    assert len(told) == len(expected), told
    for said, wanted in zip(told, expected, strict=True):
        # An ellipsis stands for words of another program, or numbers of a load flow.
        start, ellipsis, _ = wanted.partition("…")
        assert said.startswith(start) if ellipsis else said == wanted
