"""The judging: the same intervals for all, nothing from the future, and honest about its data."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.judging.evaluate import NAMES, Evaluation, evaluate
from forecasting.judging.judged import Asked, Judged, judged
from forecasting.judging.plots import draw
from forecasting.runtime import PaperLstm
from forecasting.series import SeriesFault
from forecasting.sky import sky_seen
from models import artefact
from tests.cloudy import ROOF, changed, cloudy, holed, power_kw, write_csv

DAY = 96


@lru_cache
def paper() -> PaperLstm:
    return PaperLstm(artefact("paper_lstm"))


def case(days: int = 30) -> Judged:
    return Judged(site="roof", minutes=15, record=cloudy(days), geometry=ROOF, warnings=())


@lru_cache
def found() -> Evaluation:
    return evaluate(case(), model=None, paper=paper(), calibration_days=10)


def asked(path: Path, **changes: object) -> Asked:
    usual = Asked(
        path=path,
        latitude_deg=ROOF.latitude_deg,
        longitude_deg=ROOF.longitude_deg,
        capacity_kw=ROOF.rated_kw,
        tilt_deg=ROOF.tilt_deg,
        azimuth_deg=ROOF.azimuth_deg,
        calibration_days=10,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def faults(wrong: Asked) -> str:
    with pytest.raises(SeriesFault) as told:
        judged(wrong)
    return "\n".join(told.value.faults)


def test_every_method_is_judged_on_the_same_daylight_intervals_of_the_last_third() -> None:
    sky = sky_seen(cloudy(30), ROOF)
    late = np.arange(30 * DAY) >= 20 * DAY
    assert (found().scored == (late & sky.daylight)).all()
    assert tuple(found().scores) == NAMES


def test_the_test_span_may_be_all_after_calibration_and_never_before() -> None:
    after = evaluate(
        case(), model=None, paper=paper(), calibration_days=10, span="after-calibration"
    )
    assert int(np.argmax(after.scored)) // DAY == 10
    late = evaluate(case(), model=None, paper=paper(), calibration_days=25)
    assert int(np.argmax(late.scored)) // DAY == 25


def test_smart_persistence_is_what_skill_is_measured_by() -> None:
    scores = found().scores
    assert scores["smart_persistence"].skill_pct == 0.0
    assert scores["yesterday"].skill_pct == pytest.approx(
        100 * (1 - scores["yesterday"].nrmse_pct / scores["smart_persistence"].nrmse_pct)
    )


def test_the_document_has_the_keys_others_read() -> None:
    document = found().to_json()
    assert document["site"] == "roof"
    assert document["n"] == int(found().scored.sum())
    assert list(document["models"]) == list(NAMES)
    for scores in document["models"].values():
        assert list(scores) == [
            *("nrmse_pct", "nmae_pct", "mbe_pct", "skill_pct", "pinball_pct"),
            *("coverage50_pct", "coverage80_pct", "coverage90_pct"),
        ]


def test_no_method_knows_the_future() -> None:
    row = 24 * DAY + 44
    record = changed(cloudy(30), row)
    after = evaluate(replace(case(), record=record), model=None, paper=paper(), calibration_days=10)
    for name in NAMES:
        before, then = found().forecasts[name], after.forecasts[name]
        assert (before.mean_kw == then.mean_kw)[: row + 1].all(), name
        assert (before.quantiles_kw == then.quantiles_kw)[: row + 1].all(), name


def test_the_branches_of_the_ladder_are_counted() -> None:
    assert found().branches == {
        "lstm": 0,
        "smart_persistence": int(found().scored.sum()),
        "clear_sky": 0,
    }
    assert found().warnings == (), "whoever gives no model knows"


def test_a_span_without_a_measurement_is_said_so() -> None:
    dark = replace(case(), record=holed(cloudy(30), 15 * DAY, 30 * DAY))
    with pytest.raises(SeriesFault, match="no daylight interval was measured from 2023-03-21"):
        evaluate(dark, model=None, paper=paper(), calibration_days=10)


def test_progress_tells_of_each_method() -> None:
    told: list[tuple[str, int, int]] = []
    evaluate(
        case(20),
        model=None,
        paper=paper(),
        calibration_days=5,
        progress=lambda *step: told.append(step),
    )
    assert told == [(name, k, len(NAMES)) for k, name in enumerate(NAMES)]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    draw(found(), tmp_path / "roof.png")
    content = (tmp_path / "roof.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 20_000


# --- what is judged -------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "parts"), [(5, 3), (15, 1), (None, 3)])
def test_a_file_may_be_judged_at_its_resolution_or_a_coarser_one(
    tmp_path: Path, minutes: int | None, parts: int
) -> None:
    path = write_csv(tmp_path / "roof.csv", power_kw(20, minutes=5))
    ready = judged(asked(path, minutes=minutes))
    assert ready.record.parts_kw.shape == (20 * DAY, parts)
    assert ready.record.available_kw == pytest.approx(cloudy(20, minutes=5).available_kw, abs=1e-3)


def test_power_in_watts_is_read_as_such(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "roof.csv", 1000.0 * power_kw(20), "p_ac_w")
    assert judged(asked(path)).record.available_kw == pytest.approx(
        cloudy(20).available_kw, abs=1e-3
    )


def test_irradiance_becomes_a_plant_of_the_capacity_facing_the_equator(tmp_path: Path) -> None:
    starts = pd.date_range("2023-03-01", periods=20 * DAY, freq="15min", tz="UTC")
    path = write_csv(tmp_path / "sky.csv", pd.Series(300.0, index=starts), "ghi_wm2")
    ready = judged(asked(path, tilt_deg=None, azimuth_deg=None))
    assert ready.geometry == replace(ROOF, tilt_deg=35.0, azimuth_deg=180.0)
    assert 0.1 < np.nanmax(ready.record.available_kw) / ROOF.rated_kw <= 1.0
    flat = judged(asked(path, tilt_deg=0.0, azimuth_deg=90.0))
    assert (flat.geometry.tilt_deg, flat.geometry.azimuth_deg) == (0.0, 90.0)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "roof.csv"
    path.write_text("time_utc,value\n2023-01-01T00:00Z,one\nnever,2\n")
    wrong = asked(
        path,
        latitude_deg=91.0,
        longitude_deg=None,
        capacity_kw=0.0,
        tilt_deg=float("nan"),
        azimuth_deg=400.0,
        calibration_days=0,
    )
    told = faults(wrong)
    for place in (
        "--lat: 91",
        "--lon: missing",
        "--capacity-kw: 0",
        "--tilt: nan",
        "--azimuth: 400",
    ):
        assert place in told
    for problem in ("--calibration-days: 0", "not a number ('one')", "not a time ('never')"):
        assert problem in told


def test_a_resolution_finer_than_the_file_is_refused_with_that_of_the_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "roof.csv", power_kw(20))
    assert "5min is finer than roof.csv, whose rows are 15 minutes apart" in faults(
        asked(path, minutes=5)
    )


def test_a_tilt_without_an_azimuth_is_refused_for_power(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "roof.csv", power_kw(20))
    assert "--azimuth: missing beside --tilt" in faults(asked(path, azimuth_deg=None))
    assert "--tilt: missing beside --azimuth" in faults(asked(path, tilt_deg=None))


def test_a_file_shorter_than_the_calibration_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "roof.csv", power_kw(20))
    assert "holds 20 days, of which the first 20 only calibrate" in faults(
        asked(path, calibration_days=20)
    )
