"""Series at their own resolution, from text and from Parquet, and irradiance turned into power."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.clearsky import clear_sky
from forecasting.data.irradiance import nominal_geometry, power_from_ghi_kw
from forecasting.record import plant_record
from forecasting.series import SeriesFault, means, read_rows, read_series
from tests.cloudy import power_kw, write_csv

GHI = (0.0, 120.5, 633.0, 899.25)


def parquet(tmp_path: Path, table: pd.DataFrame, *, index: bool = False) -> Path:
    path = tmp_path / "pv.parquet"
    table.to_parquet(path, index=index)
    return path


def times(count: int, minutes: int = 5) -> pd.DatetimeIndex:
    return pd.date_range("2026-03-01", periods=count, freq=f"{minutes}min", tz="UTC")


@pytest.mark.parametrize("minutes", [1, 5, 15])
def test_rows_keep_their_own_resolution(tmp_path: Path, minutes: int) -> None:
    path = write_csv(tmp_path / "pv.csv", power_kw(2, minutes=minutes))
    rows, found = read_rows(path)
    assert found == minutes
    assert len(rows) == 2 * 1440 // minutes
    assert rows.index.is_monotonic_increasing
    pd.testing.assert_series_equal(read_series(path), means(rows, minutes))


def test_rows_that_are_missing_stay_missing_and_make_a_record(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "pv.csv", power_kw(1, minutes=5).drop(power_kw(1, minutes=5).index[100:130])
    )
    rows, minutes = read_rows(path)
    assert len(rows) == 288 - 30
    record = plant_record(rows, minutes)
    assert len(record) == 96
    assert np.isnan(record.available_kw[34:43]).all()


def test_a_record_under_a_cap_keeps_what_was_made_in_each_part() -> None:
    power = pd.Series(np.arange(6.0), index=times(6))
    cap = np.array([np.inf, np.inf, np.inf, np.inf, 4.0, 4.0])
    record = plant_record(power, 5, cap_kw=cap)
    assert np.isnan(record.parts_kw[1]).all()
    assert record.made_kw is not None
    assert record.made_kw.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    second = record.part(1, 2).made_kw
    assert second is not None
    assert second.tolist() == [[3.0, 4.0, 5.0]]
    assert plant_record(power, 5).made_kw is None
    with pytest.raises(ValueError, match="made_kw: shape"):
        replace(record, parts_kw=record.parts_kw[:, :1])


@pytest.mark.parametrize("zone", ["UTC", "America/Denver", None])
def test_parquet_holds_the_same_as_text(tmp_path: Path, zone: str | None) -> None:
    stamps = times(4) if zone is None else times(4).tz_convert(zone)
    if zone is None:  # a time without zone is UTC, as in text
        stamps = stamps.tz_localize(None)
    path = parquet(tmp_path, pd.DataFrame({"time_utc": stamps, "ghi_wm2": GHI}))
    rows, minutes = read_rows(path)
    assert minutes == 5
    assert rows.name == "ghi_wm2"
    assert rows.to_list() == list(GHI)
    assert list(rows.index) == list(times(4))


def test_parquet_with_times_as_its_index_or_as_text_is_read(tmp_path: Path) -> None:
    table = pd.DataFrame({"value": GHI}, index=times(4).rename("time_utc"))
    assert read_rows(parquet(tmp_path, table, index=True))[0].to_list() == list(GHI)
    text = pd.DataFrame({"time_utc": times(4).strftime("%Y-%m-%dT%H:%M:%SZ"), "value": GHI})
    assert read_rows(parquet(tmp_path, text))[0].to_list() == list(GHI)


def test_parquet_is_known_by_its_first_bytes_whatever_its_name(tmp_path: Path) -> None:
    path = parquet(tmp_path, pd.DataFrame({"time_utc": times(4), "value": GHI}))
    assert len(read_rows(path.rename(tmp_path / "export.dat"))[0]) == 4


def test_all_faults_of_parquet_are_told_at_once_by_row(tmp_path: Path) -> None:
    stamps = [*times(4), times(4)[1], pd.NaT]
    path = parquet(
        tmp_path, pd.DataFrame({"time_utc": stamps, "value": [1.0, np.nan, np.inf, 4.0, 5.0, 6.0]})
    )
    with pytest.raises(SeriesFault) as caught:
        read_rows(path)
    assert [f.split(":")[1].strip() for f in caught.value.faults] == ["row 6", "row 3", "row 5"]


def test_a_cut_parquet_file_is_told(tmp_path: Path) -> None:
    path = parquet(tmp_path, pd.DataFrame({"time_utc": times(4), "value": GHI}))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SeriesFault, match=r"pv\.parquet: is not a whole Parquet file"):
        read_rows(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time_utc,value,value \n2026-01-01,1,2\n", "column value occurs twice"),
        ("time_utc,value\n2026-01-01T00:00,1,5\n2026-01-01T00:15,2,5\n", "decimals with a point"),
        (
            "time_utc,value\n0001-01-01,1\n2026-01-01T00:15,2\n2026-01-01T00:30,2\n",
            "correct the year",
        ),
    ],
)
def test_what_would_break_later_is_told_at_once(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "pv.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SeriesFault, match=told):
        read_rows(path)


@pytest.mark.parametrize("minutes", [1, 5])
def test_short_rows_turned_into_power_average_to_long_ones_under_a_steady_sky(minutes: int) -> None:
    geometry = nominal_geometry(40.0, -88.0)
    starts = pd.date_range("2026-06-01", periods=96, freq="15min", tz="UTC")
    short = pd.date_range("2026-06-01", periods=1440 // minutes, freq=f"{minutes}min", tz="UTC")

    def ghi(index: pd.DatetimeIndex, length: int) -> "pd.Series[float]":
        sky = clear_sky(40.0, -88.0, index + pd.Timedelta(minutes=length) / 2)
        return pd.Series(sky.ghi_wm2, index=index)

    whole = power_from_ghi_kw(geometry, ghi(starts, 15))
    parts = power_from_ghi_kw(geometry, ghi(short, minutes), minutes=minutes)
    # The sun of the middle of a row stands for it: seven minutes at sunrise are most of 1 %.
    assert np.abs(means(parts, minutes) - whole).max() < 0.012


def test_the_sun_of_a_row_is_that_of_its_middle() -> None:
    geometry = nominal_geometry(40.0, -88.0)
    at = pd.DatetimeIndex(["2026-06-01T12:00Z"])
    ghi = pd.Series([300.0], index=at)
    early, late = (power_from_ghi_kw(geometry, ghi, minutes=m).iloc[0] for m in (1, 15))
    assert early != late
    shifted = pd.Series([300.0], index=at + pd.Timedelta(minutes=7))
    assert power_from_ghi_kw(geometry, shifted, minutes=1).iloc[0] == pytest.approx(late)


def test_a_resolution_no_row_has_is_a_programming_error() -> None:
    ghi = pd.Series([300.0], index=pd.DatetimeIndex(["2026-06-01T12:00Z"]))
    with pytest.raises(ValueError, match="minutes is 10"):
        power_from_ghi_kw(nominal_geometry(40.0, -88.0), ghi, minutes=10)
