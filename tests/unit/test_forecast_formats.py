"""Files of public archives, laid out as these publish them, with numbers made up."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.clearsky import PvGeometry
from forecasting.data.formats import Measured, as_power, as_record, load, unit_doubt
from forecasting.series import SeriesFault
from tests.cloudy import ROOF, power_kw, write_csv

STATION = PvGeometry(
    latitude_deg=40.0, longitude_deg=-88.0, tilt_deg=35.0, azimuth_deg=180.0, rated_kw=1.0
)


def faults(path: Path, **options: object) -> tuple[str, ...]:
    with pytest.raises(SeriesFault) as caught:
        load(path, **options)  # type: ignore[arg-type]  # options are forwarded as given
    return caught.value.faults


def surfrad_day(path: Path, day: int, ghi: list[tuple[float, int]]) -> Path:
    """A day file: station, place, then a row per minute of times and pairs of value and flag."""
    lines = [" Made Up", "   40.00  -88.00  230 m version 1"]
    for i, (value, flag) in enumerate(ghi):
        hour, minute = divmod(i, 60)
        rest = " ".join("1.0 0" for _ in range(19))
        lines.append(
            f" 2026 {day:3d}  6 {day - 151:2d} {hour:2d} {minute:2d} {i / 60:.3f}  50.00 "
            f"{value:.1f} {flag} {rest}"
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def midc(path: Path, zone: str = "MST", column: str = "Global Horizontal [W/m^2]") -> Path:
    lines = [f"DATE (MM/DD/YYYY),{zone},{column},Air Temperature [deg C]"]
    lines += [f"06/01/2026,{h:02d}:{m:02d},{60 * h + m},20.0" for h in range(2) for m in range(60)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def midc_raw(path: Path) -> Path:
    lines = ["made up,Year,DOY,PST,Global Horizontal [W/m^2]"]
    lines += [f"1,2026,152,{100 * (i // 60) + i % 60},{-6999 if i == 5 else i}" for i in range(120)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pvdaq(
    folder: Path, name: str = "system_7__date_2026_06_01.csv", *, sensor: str = "ac_power__315"
) -> Path:
    stamps = pd.date_range("2026-06-01 00:00", periods=96, freq="15min")
    table = pd.DataFrame(
        {
            "measured_on": stamps.strftime("%Y-%m-%d %H:%M:%S"),
            sensor: np.arange(96.0),
            "poa__313": 1.0,
        }
    )
    table.to_csv(folder / name, index=False)
    return folder / name


def place_beside(folder: Path, *, tilt: object = 40.0) -> None:
    content = {
        "System": {"system_id": 7},
        "Site": {"public_name": "Made up", "latitude": "39.7", "longitude": "-105.2"},
        "Mount": {"Mount 0": {"tilt": tilt, "azimuth": 180.0}},
    }
    (folder / "system_7_metadata.json").write_text(json.dumps(content), encoding="utf-8")


def test_a_surfrad_day_is_read_in_utc_by_the_start_of_each_minute(tmp_path: Path) -> None:
    day = [(float(i), 0) for i in range(1440)]
    day[10], day[11] = (-9999.9, 1), (50.0, 2)
    measured = load(surfrad_day(tmp_path / "mup26152.dat", 152, day))
    assert (measured.kind, measured.minutes, measured.form) == ("ghi", 1, "surfrad")
    assert (measured.name, measured.latitude_deg, measured.longitude_deg) == (
        "Made Up",
        40.0,
        -88.0,
    )
    # Stamps are the ends of the minutes: 00:00 is the last minute of the day before.
    assert measured.rows.index[0] == pd.Timestamp("2026-05-31T23:59Z")
    assert measured.rows.iloc[9] == 9
    assert measured.rows.iloc[10:12].isna().all(), "missing, and failed quality control"


def test_a_folder_of_days_is_one_series_and_all_its_faults_are_told(tmp_path: Path) -> None:
    for day in (152, 153):
        surfrad_day(tmp_path / f"mup26{day}.dat", day, [(1.0, 0)] * 1440)
    assert len(load(tmp_path).rows) == 2880
    (tmp_path / "mup26154.dat").write_text("nothing\nof the kind\n", encoding="utf-8")
    (tmp_path / "mup26155.dat").write_bytes(b"\xff\xfe\xff")
    told = faults(tmp_path)
    assert [t.split(":")[0] for t in told] == ["mup26154.dat", "mup26155.dat"]


def test_a_packed_day_is_read_as_well(tmp_path: Path) -> None:
    plain = surfrad_day(tmp_path / "day.dat", 152, [(1.0, 0)] * 1440)
    packed = tmp_path / "day.dat.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert load(packed).form == "surfrad"


def test_midc_is_local_standard_time_and_stamps_the_end_of_the_minute(tmp_path: Path) -> None:
    measured = load(midc(tmp_path / "20260601.txt"))
    assert (measured.kind, measured.minutes, measured.form) == ("ghi", 1, "midc")
    assert measured.rows.index[0] == pd.Timestamp("2026-06-01T06:59Z")
    assert measured.rows.iloc[0] == 0


def test_midc_raw_data_has_its_own_calendar_and_its_own_sign_for_missing(tmp_path: Path) -> None:
    measured = load(midc_raw(tmp_path / "raw.csv"))
    assert measured.rows.index[0] == pd.Timestamp("2026-06-01T07:59Z")
    assert np.isnan(measured.rows.iloc[5])
    assert measured.rows.iloc[6] == 6


def test_a_midc_column_that_is_not_known_must_be_said(tmp_path: Path) -> None:
    path = midc(tmp_path / "a.txt", column="Roof Pyranometer [W/m^2]")
    (told,) = faults(path)
    assert "Roof Pyranometer" in told
    assert len(load(path, column="Roof Pyranometer [W/m^2]").rows) == 120


def test_a_midc_zone_that_does_not_exist_is_told(tmp_path: Path) -> None:
    (told,) = faults(midc(tmp_path / "a.txt", zone="XYZ"))
    assert "a.txt: is not a MIDC file" in told


def test_a_midc_row_without_a_date_is_told_by_its_line(tmp_path: Path) -> None:
    path = midc(tmp_path / "a.txt")
    path.write_text(path.read_text().replace("06/01/2026,00:03", ","), encoding="utf-8")
    (told,) = faults(path)
    assert "line 5: not a time" in told


def test_pvdaq_power_in_watts_and_local_time_takes_the_zone_of_its_place(tmp_path: Path) -> None:
    place_beside(tmp_path)
    measured = load(pvdaq(tmp_path))
    assert (measured.kind, measured.minutes, measured.form) == ("power", 15, "pvdaq")
    assert measured.rows.index[0] == pd.Timestamp("2026-06-01T07:00Z")
    assert measured.rows.iloc[10] == pytest.approx(0.010), "watts become kilowatts"
    assert (measured.tilt_deg, measured.azimuth_deg) == (40.0, 180.0)
    assert "Etc/GMT+7" in measured.notes[0]


def test_pvdaq_without_a_place_needs_the_zone(tmp_path: Path) -> None:
    path = pvdaq(tmp_path)
    (told,) = faults(path)
    assert "give the time zone" in told
    assert load(path, zone="Etc/GMT+7").rows.index[0] == pd.Timestamp("2026-06-01T07:00Z")
    for nowhere in ("Mars/Olympus", "", "America", "../UTC"):
        assert f"no time zone '{nowhere}'" in faults(path, zone=nowhere)[0]


def test_pvdaq_metadata_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    place_beside(tmp_path, tilt="unknown")
    assert load(pvdaq(tmp_path)).tilt_deg is None


def test_pvdaq_sensors_are_chosen_by_name_or_number_and_kilowatts_are_seen(tmp_path: Path) -> None:
    path = pvdaq(tmp_path, sensor="inv1_ac_power_kw__1019")
    assert load(path, zone="UTC").rows.iloc[10] == 10
    for column in ("inv1_ac_power_kw__1019", "inv1_ac_power_kw", "1019"):
        assert load(path, zone="UTC", column=column).rows.iloc[10] == 10
    (told,) = faults(path, zone="UTC", column="p")
    assert "inv1_ac_power_kw__1019" in told


def test_pvdaq_in_the_hour_that_summer_time_leaves_out_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "measured_on,ac_power\n2026-03-08 01:45:00,1\n2026-03-08 02:00:00,1\n", encoding="utf-8"
    )
    (told,) = faults(path, zone="America/Denver")
    assert "needs a fixed zone" in told


def test_pvdaq_parquet_with_a_row_for_each_sensor_is_read(tmp_path: Path) -> None:
    stamps = pd.date_range("2026-06-01", periods=8, freq="15min")
    both = pd.concat(
        pd.DataFrame({"measured_on": stamps, "metric_id": m, "value": 1000.0 * m})
        for m in (315, 316)
    )
    both.to_parquet(tmp_path / "part.parquet", index=False)
    measured = load(tmp_path / "part.parquet", column="ac_power__316", zone="UTC")
    assert measured.rows.to_list() == [316.0] * 8
    assert "315, 316" in faults(tmp_path / "part.parquet", zone="UTC")[0]


@pytest.mark.parametrize(
    ("column", "kind", "found", "factor"),
    [
        ("value", None, "power", 1.0),
        ("value", "ghi", "ghi", 1.0),
        ("p_kw", None, "power", 1.0),
        ("p_ac_w", None, "power", 1e-3),
        ("ghi_wm2", None, "ghi", 1.0),
    ],
)
def test_a_plain_column_tells_kind_and_unit(
    tmp_path: Path, column: str, kind: str | None, found: str, factor: float
) -> None:
    path = write_csv(tmp_path / "roof.csv", power_kw(1), column)
    measured = load(path, kind=kind)  # type: ignore[arg-type]
    assert (measured.kind, measured.form, measured.name) == (found, "plain", "roof")
    np.testing.assert_allclose(measured.rows, power_kw(1).round(4) * factor)


def test_a_kind_the_file_does_not_hold_is_told(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "roof.csv", power_kw(1), "ghi_wm2")
    assert "ghi_wm2 is irradiance, not power" in faults(path, kind="power")[0]
    assert "ask for ghi" in faults(midc(tmp_path / "m.txt"), kind="power")[0]


def test_a_file_with_both_gives_what_is_asked_for(tmp_path: Path) -> None:
    table = pd.DataFrame({"time_utc": power_kw(1).index, "ghi_wm2": 500.0, "p_kw": 2.0})
    table.to_csv(tmp_path / "both.csv", index=False)
    assert load(tmp_path / "both.csv", kind="ghi").rows.iloc[0] == 500
    assert load(tmp_path / "both.csv", kind="power").rows.iloc[0] == 2


def test_plain_files_of_a_folder_that_overlap_are_told(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", power_kw(1))
    write_csv(tmp_path / "b.csv", power_kw(2))
    assert "96 times stand in two files" in faults(tmp_path)[0]


def test_irradiance_becomes_the_record_of_the_plant_that_would_stand_there(tmp_path: Path) -> None:
    measured = load(surfrad_day(tmp_path / "d.dat", 152, [(400.0, 0)] * 1440))
    record = as_record(measured, STATION)
    assert record.parts_kw.shape[1] == 15
    noon = record.starts.get_loc(pd.Timestamp("2026-06-01T18:00Z"))
    assert record.available_kw[noon] == pytest.approx(0.38, abs=0.05)
    pd.testing.assert_index_equal(as_power(measured, STATION).index, measured.rows.index)


def test_watts_taken_for_kilowatts_are_doubted(tmp_path: Path) -> None:
    measured: Measured = load(write_csv(tmp_path / "roof.csv", 1000 * power_kw(10)))
    doubt = unit_doubt(measured.rows, ROOF.rated_kw)
    assert doubt is not None
    assert "watts" in doubt
    assert unit_doubt(power_kw(10), ROOF.rated_kw) is None


def test_a_spike_of_the_meter_is_no_unit() -> None:
    spiked = power_kw(10).copy()
    spiked.iloc[50] = 1e6
    assert unit_doubt(spiked, ROOF.rated_kw) is None
    assert unit_doubt(spiked.iloc[50:51], ROOF.rated_kw) is not None
    assert unit_doubt(0.0 * power_kw(10), ROOF.rated_kw) is None


def test_an_empty_folder_and_a_missing_file_are_told(tmp_path: Path) -> None:
    assert "no such file" in faults(tmp_path / "none.csv")[0]
    (tmp_path / "empty").mkdir()
    assert "an empty folder" in faults(tmp_path / "empty")[0]
