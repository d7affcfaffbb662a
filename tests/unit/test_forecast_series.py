"""What a series file may look like, and what is said about one that is wrong."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.series import PowerSeries, SeriesFault, read_series

HEAD = "time_utc,value\n"


def rows(minutes: int, count: int) -> str:
    times = pd.date_range("2026-03-01", periods=count, freq=f"{minutes}min", tz="UTC")
    return "".join(f"{t:%Y-%m-%dT%H:%M:%SZ},{i}\n" for i, t in enumerate(times))


def read(tmp_path: Path, text: str, **options: object) -> PowerSeries:
    path = tmp_path / "pv.csv"
    path.write_text(text, encoding="utf-8")
    return read_series(path, **options)  # type: ignore[arg-type]  # options are forwarded as given


def faults(tmp_path: Path, text: str, **options: object) -> tuple[str, ...]:
    with pytest.raises(SeriesFault) as caught:
        read(tmp_path, text, **options)
    found = caught.value.faults
    assert all(f.startswith("pv.csv: ") for f in found)
    assert all(";" in f or ":" in f[8:] for f in found), "each fault names its mend"
    return found


@pytest.mark.parametrize("minutes", [1, 5, 15])
def test_rows_of_each_resolution_become_15_minute_means(tmp_path: Path, minutes: int) -> None:
    per = 15 // minutes
    series = read(tmp_path, HEAD + rows(minutes, 4 * per))
    assert isinstance(series.index, pd.DatetimeIndex)
    assert str(series.index.tz) == "UTC"
    assert list(series.index.minute) == [0, 15, 30, 45]
    assert series.to_list() == [np.mean(range(i * per, (i + 1) * per)) for i in range(4)]


def test_gzip_and_the_columns_of_published_data_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pv.csv.gz"
    path.write_bytes(gzip.compress(("utc_start,p_ac_w\n" + rows(15, 3)).encode()))
    series = read_series(path)
    assert series.name == "p_ac_w"
    assert series.to_list() == [0, 1, 2]


def test_times_with_an_offset_are_turned_into_utc_and_bare_times_are_utc(tmp_path: Path) -> None:
    text = "2026-03-01T02:00:00+02:00,1\n2026-03-01T02:15:00+02:00,2\n2026-03-01 00:30,3\n"
    series = read(tmp_path, HEAD + text)
    assert series.index[0] == pd.Timestamp("2026-03-01T00:00Z")
    assert series.to_list() == [1, 2, 3]


def test_gaps_and_empty_cells_become_nan_and_are_no_fault(tmp_path: Path) -> None:
    text = "2026-03-01T00:00Z,1\n2026-03-01T00:15Z,\n2026-03-01T00:30Z,3\n2026-03-01T01:00Z,5\n"
    series = read(tmp_path, HEAD + text)
    np.testing.assert_array_equal(series.to_numpy(), [1, np.nan, 3, np.nan, 5])


def test_an_interval_with_less_than_two_thirds_of_its_rows_is_a_gap(tmp_path: Path) -> None:
    lines = rows(5, 9).splitlines(keepends=True)
    del lines[3]  # one of the second interval
    del lines[5:7]  # two of the third
    series = read(tmp_path, HEAD + "".join(lines))
    np.testing.assert_array_equal(series.to_numpy(), [1, 4.5, np.nan])


def test_rows_out_of_order_are_sorted(tmp_path: Path) -> None:
    lines = rows(15, 4).splitlines(keepends=True)
    assert read(tmp_path, HEAD + "".join(reversed(lines))).to_list() == [0, 1, 2, 3]


def test_all_faults_are_told_at_once_with_their_line_numbers(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        HEAD
        + "2026-03-01T00:00Z,1\nyesterday,2\n2026-03-01T00:15Z,many\n2026-03-01T00:15Z,inf\n"
        + "2026-03-01T00:30Z,4\n2026-03-01T00:45Z,4\n",
    )
    assert len(found) == 3
    assert "line 3: not a time ('yesterday')" in found[0]
    assert "lines 4, 5: not a number ('many')" in found[1]
    assert "line 5: time stamp occurs before" in found[2]


def test_many_duplicates_name_the_first_lines_only(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, HEAD + rows(15, 9) + rows(15, 9))
    assert "lines 11, 12, 13, 14, 15 and 4 more" in fault


def test_missing_columns_name_those_that_were_found(tmp_path: Path) -> None:
    found = faults(tmp_path, "when,power\n2026-03-01,1\n")
    assert len(found) == 2
    assert all("found: when, power" in f for f in found)
    assert "time_utc" in found[0]
    assert "value" in found[1]


def test_a_column_asked_for_by_name_must_exist(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, HEAD + rows(15, 3), column="p_kw")
    assert "name it p_kw" in fault


@pytest.mark.parametrize(
    ("text", "minutes", "told"),
    [
        (HEAD + rows(30, 4), None, "rows are 30 minutes apart"),
        (HEAD + rows(15, 4), 5, "rows are 15 minutes apart, not 5"),
        (HEAD + "2026-03-01T00:07Z,1\n2026-03-01T00:22Z,1\n", None, "do not start a 15-minute"),
        (HEAD + "2026-03-01T00:00Z,1\n", None, "one row does not show the resolution"),
    ],
)
def test_a_wrong_resolution_is_told(
    tmp_path: Path, text: str, minutes: int | None, told: str
) -> None:
    (fault,) = faults(tmp_path, text, minutes=minutes)
    assert told in fault


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (HEAD.encode(), "holds a header but no rows"),
        (b"\xff\xfe\x00", "not comma-separated UTF-8 text"),
        (b"time_utc,value\n1,2\n1,2,3,4\n", "not comma-separated"),
    ],
)
def test_a_file_that_is_no_series_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "pv.csv"
    path.write_bytes(content)
    with pytest.raises(SeriesFault, match=told):
        read_series(path)


def test_a_missing_file_and_a_broken_gzip_are_told(tmp_path: Path) -> None:
    with pytest.raises(SeriesFault, match=r"none\.csv: no such file"):
        read_series(tmp_path / "none.csv")
    broken = tmp_path / "pv.csv.gz"
    broken.write_bytes(gzip.compress((HEAD + rows(15, 500)).encode())[:-20])
    with pytest.raises(SeriesFault, match=r"pv\.csv\.gz: cannot be read"):
        read_series(broken)


def test_a_resolution_that_cannot_be_is_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="minutes is 7"):
        read_series(tmp_path / "pv.csv", minutes=7)
