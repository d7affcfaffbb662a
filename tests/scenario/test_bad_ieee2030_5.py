"""Each folder of bad_ieee2030_5 holds a server's file with slips, and the faults it is told."""

from pathlib import Path

import pytest

from ems.errors import BadInput
from ems.settings.ieee2030_5.file import load_server

CASES = sorted(p for p in Path(__file__).with_name("bad_ieee2030_5").iterdir() if p.is_dir())


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_bad_server_file_is_told_all_its_faults_and_nothing_else(folder: Path) -> None:
    with pytest.raises(BadInput) as told:
        load_server(folder / "derms.toml", {})
    said = sorted(str(fault) for fault in told.value.faults)
    expected = (folder / "expected.txt").read_text(encoding="utf-8")
    assert said == sorted(expected.splitlines())
