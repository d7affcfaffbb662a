"""Sun and load: made up, or played from a file."""

import gzip
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ems.domain import Limits, Pv, Site
from ems.errors import BadInput
from ems.plant import GeneratedProfile, MeasuredProfile
from ems.plant.profile import clear_sky_poa

PV = Pv(name="pv", bus="B13", rated_kw=10_000)
SITE = Site(
    name="s",
    latitude_deg=37.3,
    longitude_deg=-121.9,
    ders=(PV,),
    limits=Limits(v_min_pu=0.88, v_max_pu=1.10),
    load_max_kw=14_500,
    load_min_kw=5000,
)
DAY = date(2024, 6, 3)


def span(start: str, days: float, freq: str = "15min") -> pd.DatetimeIndex:
    return pd.date_range(start, pd.Timestamp(start) + pd.Timedelta(days=days), freq=freq)


@pytest.fixture(scope="module")
def generated() -> GeneratedProfile:
    return GeneratedProfile(SITE, 1, DAY)


def test_the_same_instant_has_the_same_sun_whatever_else_is_asked(
    generated: GeneratedProfile,
) -> None:
    fine = span("2024-06-01T00:00Z", 4, "5min")
    together = pd.Series(generated.pv_available_kw(PV, fine), index=fine)
    fresh = GeneratedProfile(SITE, 1, DAY)
    for instant in fine[::-37]:
        alone = fresh.pv_available_kw(PV, pd.DatetimeIndex([instant]))[0]
        assert alone == pytest.approx(together[instant], abs=1e-9)


def test_seeds_make_different_weather(generated: GeneratedProfile) -> None:
    times = span("2024-06-05T12:00Z", 3)
    other = GeneratedProfile(SITE, 2, DAY)
    assert not np.allclose(
        generated.pv_available_kw(PV, times), other.pv_available_kw(PV, times), atol=100
    )


def test_the_start_day_is_sunny_at_noon(generated: GeneratedProfile) -> None:
    noon = generated.pv_available_kw(PV, pd.DatetimeIndex(["2024-06-03T20:00Z"]))[0]
    clear = clear_sky_poa(37.3, -121.9, PV, pd.DatetimeIndex(["2024-06-03T20:00Z"]))[0]
    assert noon > 0.9 * clear / 1000 * PV.rated_kw


def test_there_is_no_sun_at_night_and_never_more_than_the_rating(
    generated: GeneratedProfile,
) -> None:
    times = span("2024-06-01T00:00Z", 7)
    power = generated.pv_available_kw(PV, times)
    assert np.isfinite(power).all()
    assert power.min() == 0
    assert power.max() <= PV.rated_kw
    night = (times.hour >= 6) & (times.hour < 12)  # local time is eight hours behind
    assert power[night].max() == 0


def test_power_is_continuous_over_midnight_utc(generated: GeneratedProfile) -> None:
    """It is afternoon at the site then."""
    times = span("2024-06-03T23:50Z", 0.02, "10s")
    assert np.abs(np.diff(generated.pv_available_kw(PV, times))).max() < 300


def test_there_is_history_before_the_start(generated: GeneratedProfile) -> None:
    power = generated.pv_available_kw(PV, span("2024-05-29T07:00Z", 5))
    assert power.reshape(-1)[:480].reshape(5, 96).max(axis=1).min() > 500


def test_the_load_moves_slowly_between_its_bounds(generated: GeneratedProfile) -> None:
    load = generated.load_kw(span("2024-06-01T00:00Z", 28))
    assert load.min() >= SITE.load_min_kw
    assert load.max() <= SITE.load_max_kw
    assert load.max() > 0.9 * SITE.load_max_kw
    # Within the load band that setpoints are verified at by default.
    assert np.abs(np.diff(load) / load[:-1]).max() < 0.018


def test_the_load_is_lower_at_weekends(generated: GeneratedProfile) -> None:
    wednesday, sunday = generated.load_kw(
        pd.DatetimeIndex(["2024-06-05T23:00Z", "2024-06-09T23:00Z"])
    )
    assert sunday < 0.96 * wednesday


# --- played from a file --------------------------------------------------------------


def write(path: Path, lines: list[str], header: str = "time_utc,value") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def quarter_hours(values: list[float], start: str = "2024-06-03T12:00Z") -> list[str]:
    times = pd.date_range(start, periods=len(values), freq="15min")
    return [f"{t.isoformat()},{v}" for t, v in zip(times, values, strict=True)]


def play(path: Path, generated: GeneratedProfile, times: list[str]) -> list[float]:
    profile = MeasuredProfile.from_csv(path, DAY, SITE, generated)
    return [float(p) for p in profile.pv_available_kw(PV, pd.DatetimeIndex(times))]


def test_the_files_full_scale_becomes_the_rating_at_the_middle_of_the_interval(
    tmp_path: Path, generated: GeneratedProfile
) -> None:
    path = write(tmp_path / "a.csv", quarter_hours([0, 500, 1000, 1000, 1000, 500]))
    got = play(path, generated, ["2024-06-03T12:22:30Z", "2024-06-03T12:37:30Z"])
    assert got == [pytest.approx(5000), pytest.approx(10_000)]
    assert play(path, generated, ["2024-06-03T12:15:00Z"]) == [pytest.approx(2500)]


def test_a_spike_is_clipped_at_the_rating(tmp_path: Path, generated: GeneratedProfile) -> None:
    path = write(tmp_path / "a.csv", quarter_hours([100.0] * 3000 + [5000.0]))
    got = play(path, generated, ["2024-06-03T20:00Z"])
    assert got == [pytest.approx(10_000)]


@pytest.mark.parametrize(
    "header",
    ["time_utc,value", "utc_start,p_ac_w", "when,power", "utc_start,ghi_wm2,ghi_clear_mcclear_wm2"],
)
def test_columns_go_by_several_names_and_files_may_be_compressed(
    tmp_path: Path, generated: GeneratedProfile, header: str
) -> None:
    rest = ",7" * (header.count(",") - 1)
    path = tmp_path / "a.csv.gz"
    lines = "\n".join([header, *(line + rest for line in quarter_hours([100.0] * 8))])
    path.write_bytes(gzip.compress(lines.encode()))
    assert play(path, generated, ["2024-06-03T13:00Z"]) == [pytest.approx(10_000)]


@pytest.mark.parametrize("minutes", [15, 5, 1])
def test_any_usual_resolution(tmp_path: Path, generated: GeneratedProfile, minutes: int) -> None:
    times = pd.date_range("2024-06-03T12:00Z", periods=60, freq=f"{minutes}min")
    path = write(tmp_path / "a.csv", [f"{t.isoformat()},{i}" for i, t in enumerate(times)])
    full_scale = float(np.percentile(np.arange(60), 99.9))
    middle = times[30] + pd.Timedelta(minutes=minutes / 2)
    assert play(path, generated, [str(middle)]) == [pytest.approx(30 / full_scale * 10_000)]


def test_short_gaps_are_bridged_and_long_ones_are_dark(
    tmp_path: Path, generated: GeneratedProfile
) -> None:
    lines = quarter_hours([100.0] * 40)
    path = write(tmp_path / "a.csv", lines[:8] + lines[11:20] + lines[26:])
    short, long, after = play(
        path, generated, ["2024-06-03T14:20Z", "2024-06-03T17:45Z", "2024-06-03T19:00Z"]
    )
    assert [short, long, after] == pytest.approx([10_000, 0, 10_000])


def test_an_empty_value_is_a_gap_and_outside_the_file_it_is_dark(
    tmp_path: Path, generated: GeneratedProfile
) -> None:
    lines = quarter_hours([100.0] * 8)
    lines[3] = lines[3].split(",")[0] + ","
    lines[4] = lines[4].split(",")[0] + ",NaN"
    path = write(tmp_path / "a.csv", lines)
    got = play(path, generated, ["2024-06-03T13:00Z", "2024-06-02T13:00Z", "2024-06-05T13:00Z"])
    assert got == [pytest.approx(10_000), 0, 0]


def test_the_load_comes_from_the_base_profile(tmp_path: Path, generated: GeneratedProfile) -> None:
    path = write(tmp_path / "a.csv", quarter_hours([100.0] * 8))
    times = span("2024-06-03T00:00Z", 1)
    profile = MeasuredProfile.from_csv(path, DAY, SITE, generated)
    assert (profile.load_kw(times) == generated.load_kw(times)).all()


def test_all_faulty_lines_are_told_at_once_with_line_and_column(
    tmp_path: Path, generated: GeneratedProfile
) -> None:
    lines = quarter_hours([100.0] * 6)
    lines[1] = lines[1].split(",")[0] + ",much"
    lines[2] = "yesterday,5"
    lines[4] = lines[3]
    lines[5] = lines[5].split(",")[0] + ",inf"
    path = write(tmp_path / "bad.csv", lines)
    with pytest.raises(BadInput) as caught:
        MeasuredProfile.from_csv(path, DAY, SITE, generated)
    told = {f.place: f.problem for f in caught.value.faults}
    assert told == {
        f"{path}: line 4, column time_utc": "'yesterday' is no time; write 2024-06-01T12:00Z",
        f"{path}: line 3, column value": "'much' is no finite number",
        f"{path}: line 7, column value": "'inf' is no finite number",
        f"{path}: line 6, column time_utc": (
            "'2024-06-03T12:45:00+00:00' stands twice; keep one line of each"
        ),
    }


def test_the_same_instant_in_two_zones_is_a_duplicate(
    tmp_path: Path, generated: GeneratedProfile
) -> None:
    path = write(tmp_path / "a.csv", ["2024-06-03T12:00:00Z,1", "2024-06-03T14:00:00+02:00,1"])
    with pytest.raises(BadInput, match=r"line 3, column time_utc: .* stands twice"):
        MeasuredProfile.from_csv(path, DAY, SITE, generated)


def test_a_thousand_faulty_lines_are_counted_not_listed(
    tmp_path: Path, generated: GeneratedProfile
) -> None:
    path = write(tmp_path / "a.csv", [f"2024-06-03T12:00Z,x{i}" for i in range(1000)])
    with pytest.raises(BadInput, match="980 more lines like these") as caught:
        MeasuredProfile.from_csv(path, DAY, SITE, generated)
    assert len(caught.value.faults) < 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected a header and lines"),
        ("time_utc\n2024-06-03T12:00Z\n", "no value column among time_utc; name it `value`"),
        ("time_utc,a,b\n2024-06-03T12:00Z,1,2\n", "no value column among time_utc, a, b"),
        ("time_utc,value,value\n2024-06-03T12:00Z,1,2\n", "two columns have the same name"),
        ("time_utc,value\n", "holds fewer than two values"),
        ("time_utc,value\n2024-06-03T12:00Z,0\n2024-06-03T12:15Z,0\n", "there is no sun"),
        (
            "time_utc,value\n2024-06-04T12:00Z,1\n2024-06-05T12:15Z,1\n",
            "has no values on 2024-06-03; it reaches from 2024-06-04 to 2024-06-05",
        ),
        ("time_utc,value\n2024-06-03T12:00Z,1,2,3\n4,5\n", "line 2: has 4 fields, the header 2"),
    ],
)
def test_a_file_that_cannot_be_played_says_why(
    tmp_path: Path, generated: GeneratedProfile, content: str, message: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match=message) as caught:
        MeasuredProfile.from_csv(path, DAY, SITE, generated)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_one_that_is_no_text(
    tmp_path: Path, generated: GeneratedProfile
) -> None:
    with pytest.raises(BadInput, match="no such file"):
        MeasuredProfile.from_csv(tmp_path / "none.csv", DAY, SITE, generated)
    binary = tmp_path / "a.csv.gz"
    binary.write_bytes(b"\x00\x01\xff\xfe not gzip")
    with pytest.raises(BadInput, match="cannot be read as CSV"):
        MeasuredProfile.from_csv(binary, DAY, SITE, generated)
