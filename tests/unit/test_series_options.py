"""What a user says of a measured file: column, zone and place; and what the file says itself."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.cli.outcome import Exit
from forecasting.clearsky import PvGeometry, clear_sky_mean_kw
from forecasting.data.formats import load
from forecasting.data.zones import UnknownZone, zone_of
from forecasting.judging.judged import Asked, judged
from forecasting.series import SeriesFault
from models import champion
from tests.artefacts import write_artefact
from tests.cloudy import ROOF, power_kw, write_csv

Run = Callable[..., "click.testing.Result"]

SHORT = ("--calibration-days", "10")
GOLDEN = PvGeometry(
    latitude_deg=39.74, longitude_deg=-105.18, tilt_deg=30.0, azimuth_deg=180.0, rated_kw=5.0
)
PLACE = ("--lat", "39.74", "--lon", "-105.18")
KW = ("--capacity-kw", "5")


def local(folder: Path, name: str = "system_7.csv", sensor: str = "ac_power__315") -> Path:
    """A PVDAQ file of 24 days, W, by the clock of standard time."""
    stamps = pd.date_range("2018-05-01T07:00Z", periods=24 * 96, freq="15min")
    index = np.random.default_rng(3).uniform(0.3, 1.0, len(stamps))
    clock = (stamps - pd.Timedelta(hours=7)).strftime("%Y-%m-%d %H:%M:%S")
    watts = 1000.0 * index * clear_sky_mean_kw(GOLDEN, stamps)
    pd.DataFrame({"measured_on": clock, sensor: watts, "poa__313": 1.0}).to_csv(
        folder / name, index=False
    )
    return folder / name


def long(folder: Path) -> Path:
    """The same with a row per sensor and time."""
    table = pd.read_csv(local(folder))
    rows = [
        table[["measured_on"]].assign(metric_id=metric, value=table[column])
        for metric, column in ((315, "ac_power__315"), (313, "poa__313"))
    ]
    (folder / "system_7.csv").unlink()
    pd.concat(rows).to_csv(folder / "long.csv", index=False)
    return folder / "long.csv"


def surfrad(folder: Path, days: int = 20) -> Path:
    """A folder of daily files of a station in the west, which they write without a sign."""
    path = folder / "station"
    path.mkdir()
    stamps = pd.date_range("2018-06-01", periods=1440 * days, freq="min", tz="UTC")
    flat = PvGeometry(
        latitude_deg=40.05, longitude_deg=-88.37, tilt_deg=0.0, azimuth_deg=180.0, rated_kw=1.0
    )
    sun = np.repeat(clear_sky_mean_kw(flat, stamps[::15]), 15)
    ghi = 1000.0 * sun * np.repeat(np.random.default_rng(5).uniform(0.3, 1.0, len(sun) // 15), 15)
    rest = " ".join(["1.0 0"] * 19)
    for day, rows in pd.Series(ghi, index=stamps).groupby(stamps.floor("D")):
        assert isinstance(day, pd.Timestamp)
        lines = [" Made Up", "   40.05   88.37  230 m version 1"]
        lines += [
            f" {at.year} {at.day_of_year:3d} {at.month} {at.day} {at.hour} {at.minute} "
            f"{at.hour + at.minute / 60:.3f} 50.00 {value:.1f} 0 {rest}"
            for at, value in zip(rows.index, rows, strict=True)
        ]
        file = path / f"mup{day:%y%j}.dat"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `geems forecast evaluate` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *given: CliRunner().invoke(main, ["forecast", "evaluate", *given])


def faults(result: "click.testing.Result") -> dict[str, str]:
    assert result.exit_code == Exit.BAD_INPUT, result.output
    return {f["place"]: f["problem"] for f in json.loads(result.stdout)["faults"]}


# --- zone ----------------------------------------------------------------------------


def test_local_times_are_read_by_the_zone_or_by_the_longitude_given(
    run: Run, tmp_path: Path
) -> None:
    local(tmp_path)
    by_zone = run("system_7.csv", *PLACE, *KW, *SHORT, "--zone", "Etc/GMT+7", "--json")
    assert by_zone.exit_code == Exit.OK, by_zone.output
    by_place = run("system_7.csv", *PLACE, *KW, *SHORT, "--json")
    one, other = json.loads(by_zone.stdout), json.loads(by_place.stdout)
    assert one["models"] == other["models"]
    assert not [line for line in one["warnings"] if "standard time" in line]
    assert (
        "system_7.csv: times taken as local standard time, Etc/GMT+7, of its longitude"
        in (other["warnings"])
    )


def test_where_nothing_says_where_the_options_that_do_are_named(run: Run, tmp_path: Path) -> None:
    local(tmp_path)
    told = faults(run("system_7.csv", "--lat", "39.74", *KW, "--json"))
    assert set(told) == {"system_7.csv"}
    for way in ("--zone Etc/GMT+7", "--lon", "metadata.json"):
        assert way in told["system_7.csv"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("America/Denvr", "did you mean America/Denver?"),
        ("denver", "did you mean America/Denver?"),
        ("los angeles", "did you mean America/Los_Angeles?"),
        ("UTC-7", "did you mean Etc/GMT+7, 7 h behind UTC, or Etc/GMT-7, 7 h ahead of it?"),
        ("+10:00", "did you mean Etc/GMT+10, 10 h behind"),
        ("Mars/Olympus", "write it as Etc/GMT+7 or America/Denver"),
        ("", "write it as Etc/GMT+7 or America/Denver"),
    ],
)
def test_of_an_unknown_zone_it_is_said_what_may_be_meant(name: str, meant: str) -> None:
    with pytest.raises(UnknownZone) as fault:
        zone_of(name)
    assert str(fault.value).startswith(f"no time zone '{name}'; {meant}")


def test_an_unknown_zone_and_all_else_are_told_at_once(run: Run, tmp_path: Path) -> None:
    local(tmp_path)
    told = faults(
        run("system_7.csv", "--lat", "95", "--zone", "denver", "--column", "dc_power", "--json")
    )
    assert set(told) == {"system_7.csv", "--lat", "--zone", "--capacity-kw"}
    assert "did you mean America/Denver?" in told["--zone"]
    assert "no column dc_power; found: measured_on, ac_power__315, poa__313" in told["system_7.csv"]
    assert "--column" in told["system_7.csv"]


def test_a_zone_is_refused_where_the_file_tells_its_times(run: Run, tmp_path: Path) -> None:
    write_csv(tmp_path / "roof.csv", power_kw(24))
    told = faults(run("roof.csv", *PLACE, *KW, "--zone", "UTC", "--json"))
    assert "UTC is of no use" in told["--zone"]
    table = pd.read_csv(local(tmp_path))
    table["utc_measured_on"] = pd.date_range("2018-05-01 07:00", periods=len(table), freq="15min")
    table.to_csv(tmp_path / "system_7.csv", index=False)
    measured = load(tmp_path / "system_7.csv", zone="Asia/Tokyo")
    assert measured.rows.index[0] == pd.Timestamp("2018-05-01T07:00Z")
    assert "not by the time zone" in measured.notes[0]


# --- column --------------------------------------------------------------------------


def test_one_of_several_sensors_is_chosen_by_the_column(run: Run, tmp_path: Path) -> None:
    long(tmp_path)
    told = faults(run("long.csv", *PLACE, *KW, "--json"))
    assert told["long.csv"] == (
        "more than one sensor; found: 313, 315; say which one to use (--column)"
    )
    told = faults(run("long.csv", *PLACE, *KW, "--column", "316", "--json"))
    assert "no sensor 316; found: 313, 315" in told["long.csv"]
    result = run("long.csv", *PLACE, *KW, *SHORT, "--column", "315", "--json")
    assert result.exit_code == Exit.OK, result.output
    local(tmp_path)
    wide = run("system_7.csv", *PLACE, *KW, *SHORT, "--json")
    assert json.loads(result.stdout)["models"] == json.loads(wide.stdout)["models"]


def test_a_column_of_a_plain_file_is_read_and_an_unknown_one_names_those_there_are(
    run: Run, tmp_path: Path
) -> None:
    series = power_kw(24)
    times = series.index.strftime("%Y-%m-%dT%H:%M:%SZ")  # type: ignore[attr-defined]  # of times
    table = pd.DataFrame({"time_utc": times, "roof_kw": series.to_numpy(), "shed_kw": 0.0})
    table.to_csv(tmp_path / "both.csv", index=False)
    place = ("--lat", str(ROOF.latitude_deg), "--lon", str(ROOF.longitude_deg))
    told = faults(run("both.csv", *place, *KW, "--column", "barn_kw", "--json"))
    assert "no value column barn_kw; found: time_utc, roof_kw, shed_kw" in told["both.csv"]
    chosen = run("both.csv", *place, *KW, *SHORT, "--column", "roof_kw", "--json")
    assert chosen.exit_code == Exit.OK, chosen.output


# --- place ---------------------------------------------------------------------------


def test_a_file_that_tells_its_place_needs_none_given(run: Run, tmp_path: Path) -> None:
    surfrad(tmp_path)
    told = json.loads(run("station", *KW, *SHORT, "--json").stdout)
    place = ("--lat", "40.05", "--lon", "-88.37")
    given = json.loads(run("station", *place, *KW, *SHORT, "--json").stdout)
    assert told["models"] == given["models"]
    assert (told["site"], told["warnings"]) == ("Made Up", given["warnings"])
    elsewhere = json.loads(run("station", "--lon", "-80", *KW, *SHORT, "--json").stdout)
    contradicted = (
        "the file says that Made Up is at latitude 40.05°, longitude -88.37°, not at 40.05°, -80°: "
        "check --lat and --lon"
    )
    assert contradicted in elsewhere["warnings"]


def test_metadata_beside_a_pvdaq_file_tells_its_place_too(tmp_path: Path) -> None:
    path = local(tmp_path)
    site = {"public_name": "Made up", "latitude": 39.74, "longitude": -105.18}
    (tmp_path / "7_system_metadata.json").write_text(json.dumps({"Site": site}), encoding="utf-8")
    other = json.dumps({"Site": {"latitude": 1.0, "longitude": 2.0}})
    (tmp_path / "17_system_metadata.json").write_text(other, encoding="utf-8")
    asked = Asked(
        path=path, latitude_deg=None, longitude_deg=None, capacity_kw=5.0, calibration_days=10
    )
    found = judged(asked)
    assert (found.geometry.latitude_deg, found.geometry.longitude_deg) == (39.74, -105.18)
    assert found.site == "Made up"


def test_a_file_that_does_not_tell_its_place_needs_both_numbers(run: Run, tmp_path: Path) -> None:
    write_csv(tmp_path / "roof.csv", power_kw(24))
    told = faults(run("roof.csv", *KW, "--json"))
    assert set(told) == {"--lat", "--lon"}
    assert told["--lat"] == ("missing, and the file does not tell it; give a number from -90 to 90")
    local(tmp_path)
    told = faults(run("system_7.csv", *KW, "--zone", "Etc/GMT+7", "--json"))
    assert set(told) == {"--lat", "--lon"}


def test_a_fault_of_every_file_of_a_folder_is_told_once(tmp_path: Path) -> None:
    folder = surfrad(tmp_path, days=3)
    with pytest.raises(SeriesFault) as caught:
        load(folder, column="nothing")
    (line,) = caught.value.faults
    assert line.startswith("mup18152.dat: no column nothing; found: ")
    assert line.endswith("(so in 3 files)")


# --- the other command, and a model that is refused -------------------------------------


def test_a_promotion_is_judged_on_a_series_read_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    local(tmp_path)
    write_artefact(tmp_path / "models", "mine")

    def promote(*given: str) -> "click.testing.Result":
        return CliRunner().invoke(main, ["models", "promote", "mine", *given])

    alone = promote("--column", "x", "--zone", "UTC")
    assert "--column, --zone: means nothing without --on FILE" in alone.stderr
    told = faults(promote("--on", "system_7.csv", *KW, "--zone", "denver", "--json"))
    assert "did you mean America/Denver?" in told["--zone"]
    told = faults(promote("--on", "system_7.csv", *PLACE, *KW, "--column", "x", "--json"))
    assert "no column x; found: measured_on" in told["system_7.csv"]


def test_a_refused_model_is_told_of_in_one_short_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(tmp_path / "roof.csv", power_kw(24))
    root = tmp_path / "shipped"
    for kind in ("paper_lstm", "pv_pooled"):
        shipped = champion(kind).artefact.path.parent
        (root / kind).mkdir(parents=True)
        for file in shipped.iterdir():
            (root / kind / file.name).write_bytes(file.read_bytes())
    (root / "pv_pooled" / "model.tflite").write_bytes(b"TFL3")
    monkeypatch.setattr("models.register.files", lambda _: root)
    place = ("--lat", str(ROOF.latitude_deg), "--lon", str(ROOF.longitude_deg))
    result = run("roof.csv", *place, *KW, *SHORT, "--json")
    (line,) = [w for w in json.loads(result.stdout)["warnings"] if "model" in w]
    assert line == (
        "geems goes without its model: artefact 'pv_pooled': model.tflite was changed after "
        "training; reinstall the package, or train the artefact again"
    )
