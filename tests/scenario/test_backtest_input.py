"""Each folder of backtest_input holds a call of `geems backtest` and the faults it is told.

`arguments` may name `made.csv`, which `made.json` describes: what a sound file of series is changed
by. Nothing may be written, whatever is wrong.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.settings import TEMPLATE

CASES = sorted(p for p in Path(__file__).with_name("backtest_input").iterdir() if p.is_dir())


def sound(*, first: str, last: str, zone: str, every: str) -> pd.DataFrame:
    """A file as it should be, as text."""
    times = pd.date_range(first, last, freq=every, tz=zone, inclusive="left")
    # Of an afternoon in California: 20:00 UTC is its noon.
    utc = times.tz_convert("UTC")
    sun = [max(0.0, 1.0 - abs((t.hour + t.minute / 60 - 8.0) % 24 - 12.0) / 4.5) for t in utc]
    return pd.DataFrame({
        "time": [t.isoformat() for t in times],
        "pv": [f"{9000.0 * s:.1f}" for s in sun],
        "load": ["9000"] * len(times),
    })  # fmt: skip


def made(told: dict[str, Any]) -> pd.DataFrame:
    """The sound file with slips in it."""
    frame = sound(
        first=told.get("first", "2019-05-20"),
        last=told.get("last", "2019-06-10"),
        zone=told.get("zone", "UTC"),
        every=told.get("every", "15min"),
    )
    for column, factor in told.get("times", {}).items():
        frame[column] = [f"{float(text) * factor:g}" for text in frame[column]]
    for line, cells in told.get("cells", {}).items():
        for column, text in cells.items():
            frame.loc[int(line) - 2, column] = text
    for line, end in told.get("ends", {}).items():  # the zone of all times from a line on
        after = frame.index >= int(line) - 2
        frame.loc[after, "time"] = frame.loc[after, "time"].str.removesuffix("+00:00") + end
    if told.get("without_zone"):
        frame["time"] = frame["time"].str.slice(0, len("2019-05-20T00:00"))
    rows = list(range(len(frame)))
    for since, until in told.get("without", []):
        rows = [row for row in rows if not since <= row + 2 <= until]
    for since, until in told.get("again", []):
        at = rows.index(until - 2) + 1
        rows[at:at] = range(since - 2, until - 1)
    if "swapped" in told:
        a, b = (rows.index(line - 2) for line in told["swapped"])
        rows[a], rows[b] = rows[b], rows[a]
    missing: list[str] = told.get("missing", [])
    renamed: dict[str, str] = told.get("renamed", {})
    frame = frame.loc[rows].drop(columns=missing).rename(columns=renamed)
    added: dict[str, str] = told.get("added", {})
    if told.get("decimal_commas"):
        frame = frame.apply(lambda column: column.str.replace(".", ","))
    return frame.assign(**added)


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_backtest_is_told_all_its_faults_and_writes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(TEMPLATE, "site.toml")
    for file in folder.glob("*.*"):
        if file.suffix in (".csv", ".toml"):
            shutil.copy(file, ".")
    if (folder / "made.json").exists():
        told = json.loads((folder / "made.json").read_text(encoding="utf-8"))
        made(told).to_csv("made.csv", index=False, sep=told.get("parted_by", ","))
    before = sorted(Path().rglob("*"))
    arguments = (folder / "arguments").read_text(encoding="utf-8").split()
    done = CliRunner().invoke(main, ["backtest", *arguments])
    expected = (folder / "expected.txt").read_text(encoding="utf-8")
    expected = expected.replace("{folder}", str(tmp_path))
    assert sorted(done.stderr.splitlines()) == sorted(expected.splitlines())
    assert done.exit_code == 2
    assert sorted(Path().rglob("*")) == before
