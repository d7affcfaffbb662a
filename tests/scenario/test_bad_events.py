"""Each folder of bad_events holds an event list with slips in it and the faults it is told."""

from pathlib import Path

import pytest

from ems.errors import BadInput
from ems.plant.events import read_events

CASES = sorted(p for p in Path(__file__).with_name("bad_events").iterdir() if p.is_dir())


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_bad_event_list_is_told_all_its_faults_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # a place is told with the file's name, wherever it lies
    with pytest.raises(BadInput) as told:
        read_events(Path("events.csv"), ("pv1", "pv2", "bes1"))
    expected = (folder / "expected.txt").read_text(encoding="utf-8").splitlines()
    assert [str(fault) for fault in told.value.faults] == expected
