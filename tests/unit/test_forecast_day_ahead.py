"""The day ahead of a plant: what it is blended of, and what it does when something is missing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.clearsky import PvGeometry
from forecasting.day_ahead.blend import ARTEFACT, COEFFICIENTS, Blend
from forecasting.day_ahead.features import DAY, FEATURES, Features, timeline
from forecasting.day_ahead.horizon import DayAhead, ahead, ahead_batch
from forecasting.day_ahead.references import REFERENCES
from forecasting.day_ahead.scores import judge_day_ahead
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.series import INTERVAL
from models import artefact
from models.register import shipped_root
from tests.cloudy import ROOF, changed, cloudy, holed

NOON = 40 * DAY + 46
"""Row of a late morning in the roof's record of 60 days."""


def nothing() -> PlantRecord:
    return PlantRecord(
        starts=pd.DatetimeIndex([], tz="UTC"),
        parts_kw=np.empty((0, 1)),
        floor_kw=np.empty(0),
        cap_kw=np.empty(0),
    )


def given(start: pd.Timestamp, mean_kw: float, spread_kw: float = 1.0) -> QuantileForecast:
    return QuantileForecast(
        starts=pd.DatetimeIndex([start]),
        mean_kw=np.array([mean_kw]),
        quantiles_kw=mean_kw + spread_kw * np.linspace(-1.0, 1.0, len(LEVELS))[None, :],
    )


def sane(forecast: QuantileForecast, geometry: PvGeometry) -> None:
    assert np.isfinite(forecast.mean_kw).all()
    assert (forecast.mean_kw >= 0.0).all()
    assert (forecast.quantiles_kw >= 0.0).all()
    assert (forecast.quantiles_kw <= geometry.rated_kw).all()
    assert (forecast.mean_kw <= geometry.rated_kw).all()
    assert (np.diff(forecast.quantiles_kw, axis=1) >= 0.0).all()


def test_a_day_ahead_has_a_mean_and_ascending_quantiles_for_96_intervals() -> None:
    record = cloudy(60)
    start = record.starts[NOON]
    found = ahead(record, ROOF, start)
    sane(found, ROOF)
    assert found.mean_kw.shape == (DAY,)
    assert found.quantiles_kw.shape == (DAY, len(LEVELS))
    assert found.starts[0] == start
    assert found.starts[-1] == start + 95 * INTERVAL


def test_at_night_there_is_nothing_and_by_day_there_is_something() -> None:
    record = cloudy(60)
    found = ahead(record, ROOF, record.starts[NOON])
    hour = found.starts.hour
    assert (found.mean_kw[(hour >= 21) | (hour < 2)] == 0.0).all()
    assert (found.quantiles_kw[(hour >= 21) | (hour < 2)] == 0.0).all()
    assert (found.mean_kw[(hour >= 9) & (hour < 14)] > 1.0).all()


def test_nothing_measured_from_the_issue_on_changes_a_forecast() -> None:
    record = cloudy(60)
    start = record.starts[NOON]
    known = ahead(record, ROOF, start)
    for other in (changed(record, NOON), record.part(0, NOON)):
        np.testing.assert_allclose(ahead(other, ROOF, start).mean_kw, known.mean_kw, atol=1e-9)
        np.testing.assert_allclose(
            ahead(other, ROOF, start).quantiles_kw, known.quantiles_kw, atol=1e-9
        )


def test_what_was_measured_just_before_the_issue_does_change_it() -> None:
    record = cloudy(60)
    start = record.starts[NOON]
    other = ahead(changed(record, NOON - 4), ROOF, start)
    assert np.abs(other.mean_kw - ahead(record, ROOF, start).mean_kw)[:4].max() > 0.1


def test_a_batch_answers_as_one_issue_after_the_other() -> None:
    record = cloudy(60)
    issues = [0, 1, 5, NOON, NOON + 1, 50 * DAY + 3, len(record)]
    batch = ahead_batch(record, ROOF, issues)
    for k, i in enumerate(issues):
        start = record.starts[0] + i * INTERVAL
        one = ahead(record, ROOF, start)
        assert batch.starts[k] == start
        np.testing.assert_allclose(batch.mean_kw[k], one.mean_kw, atol=1e-9)
        np.testing.assert_allclose(batch.quantiles_kw[k], one.quantiles_kw, atol=1e-9)


@pytest.mark.parametrize("issues", [[], [5, 5], [7, 3], [-1], [60 * DAY + 1]])
def test_issues_that_do_not_ascend_within_the_record_are_refused(issues: list[int]) -> None:
    with pytest.raises(ValueError, match="issues must ascend"):
        ahead_batch(cloudy(60), ROOF, issues)


def test_nothing_older_than_four_months_is_looked_at() -> None:
    record = cloudy(150)
    end = record.starts[-1] + INTERVAL
    short = record.part(len(record) - 120 * DAY, len(record))
    np.testing.assert_allclose(
        ahead(short, ROOF, end).mean_kw, ahead(record, ROOF, end).mean_kw, atol=1e-9
    )


def test_the_first_interval_is_the_given_one_and_draws_the_next_ones_less_and_less() -> None:
    record = cloudy(60)
    start = record.starts[NOON]
    own = ahead(record, ROOF, start)
    better = given(start, own.mean_kw[0] - 3.0, 0.5)
    found = ahead(record, ROOF, start, next_interval=better)
    assert found.mean_kw[0] == better.mean_kw[0]
    np.testing.assert_array_equal(found.quantiles_kw[0], better.quantiles_kw[0])
    moved = own.mean_kw - found.mean_kw
    assert moved[1] > moved[4] > moved[12] > 0.0
    assert np.abs(moved[64:]).max() < 0.05
    width = found.quantiles_kw[:, 5] - found.quantiles_kw[:, 1]
    own_width = own.quantiles_kw[:, 5] - own.quantiles_kw[:, 1]
    assert width[1] < own_width[1]
    sane(found, ROOF)


def test_a_batch_begins_with_given_intervals_as_a_single_day_does() -> None:
    record, issues = cloudy(60), [NOON, NOON + 3, NOON + 40]
    starts = record.starts[issues]
    parts = [given(start, 2.0, 0.5) for start in starts]
    parts[1] = given(starts[1], float("nan"))
    told = QuantileForecast(
        starts=starts,
        mean_kw=np.concatenate([p.mean_kw for p in parts]),
        quantiles_kw=np.concatenate([p.quantiles_kw for p in parts]),
    )
    model = DayAhead.load()
    found = model.batch(record, ROOF, issues, next_intervals=told)
    for i, (start, part) in enumerate(zip(starts, parts, strict=True)):
        alone = model.path(record, ROOF, start, next_interval=part).forecast
        np.testing.assert_allclose(found.mean_kw[i], alone.mean_kw, atol=1e-9)
        np.testing.assert_allclose(found.quantiles_kw[i], alone.quantiles_kw, atol=1e-9)
    with pytest.raises(ValueError, match="not the forecast of the interval"):
        model.batch(record, ROOF, [NOON + 1], next_intervals=told)


def test_a_better_first_interval_makes_the_day_ahead_score_better() -> None:
    record = cloudy(90)
    truth = np.nan_to_num(record.available_kw)
    known = QuantileForecast(
        starts=record.starts, mean_kw=truth, quantiles_kw=np.repeat(truth[:, None], 7, axis=1)
    )
    alone, begun = (
        judge_day_ahead(record, ROOF),
        judge_day_ahead(record, ROOF, next_intervals=known),
    )
    for name, against in alone.references.items():
        assert begun.references[name].nrmse_pct == against.nrmse_pct
    assert begun.hours[0].nrmse_pct < alone.hours[0].nrmse_pct
    assert begun.nrmse_pct < alone.nrmse_pct


def test_a_given_interval_without_an_answer_is_a_note() -> None:
    record = cloudy(60)
    start = record.starts[NOON]
    path = DayAhead.load().path(record, ROOF, start, next_interval=given(start, float("nan")))
    assert "no answer" in path.notes[0]
    np.testing.assert_array_equal(path.forecast.mean_kw, ahead(record, ROOF, start).mean_kw)


def test_the_forecast_of_another_interval_is_refused() -> None:
    record = cloudy(60)
    start = record.starts[NOON]
    with pytest.raises(ValueError, match="not the forecast of the interval"):
        ahead(record, ROOF, start, next_interval=given(start + INTERVAL, 1.0))


@pytest.mark.parametrize("start", ["2023-04-10T10:07Z", "2023-04-10T10:00"])
def test_a_start_off_the_grid_or_without_a_zone_is_refused(start: str) -> None:
    with pytest.raises(ValueError, match="quarter of an hour"):
        ahead(cloudy(60), ROOF, pd.Timestamp(start))


@pytest.mark.parametrize("intervals", [0, 97])
def test_more_than_a_day_or_less_than_an_interval_is_refused(intervals: int) -> None:
    record = cloudy(60)
    with pytest.raises(ValueError, match="expected 1 to 96"):
        ahead(record, ROOF, record.starts[NOON], intervals)


def test_fewer_intervals_are_the_first_of_the_day() -> None:
    record = cloudy(60)
    start = record.starts[NOON]
    short, day = ahead(record, ROOF, start, 8), ahead(record, ROOF, start)
    assert len(short.starts) == len(short.mean_kw) == len(short.quantiles_kw) == 8
    np.testing.assert_array_equal(short.mean_kw, day.mean_kw[:8])


def test_on_day_one_it_is_the_usual_sky_with_a_wide_band() -> None:
    start = pd.Timestamp("2023-06-21T10:00Z")
    found = ahead(nothing(), ROOF, start)
    sane(found, ROOF)
    line = timeline(nothing(), ROOF, start, start)
    share = found.mean_kw.sum() / (line.clear.sum() * ROOF.rated_kw)
    assert 0.5 < share < 0.9
    assert found.quantiles_kw[4, 6] - found.quantiles_kw[4, 0] > 0.2 * ROOF.rated_kw


def test_a_record_that_ended_long_ago_or_begins_later_is_as_good_as_none() -> None:
    record = cloudy(3)
    alone = ahead(nothing(), ROOF, pd.Timestamp("2024-03-01T10:00Z"))
    late = ahead(record, ROOF, pd.Timestamp("2024-03-01T10:00Z"))
    np.testing.assert_allclose(late.mean_kw, alone.mean_kw)
    start = pd.Timestamp("2023-02-20T10:00Z")
    early = ahead(record, ROOF, start)
    np.testing.assert_allclose(early.mean_kw, ahead(nothing(), ROOF, start).mean_kw)


def test_a_gap_of_days_leaves_no_hole() -> None:
    record = holed(cloudy(60), NOON - 5 * DAY, NOON)
    sane(ahead(record, ROOF, record.starts[NOON]), ROOF)


def test_a_plant_that_gives_less_than_its_rating_gets_forecasts_that_are_lower_alike() -> None:
    record = cloudy(60)
    start = record.starts[NOON]
    half = PlantRecord(
        starts=record.starts,
        parts_kw=0.5 * record.parts_kw,
        floor_kw=record.floor_kw,
        cap_kw=record.cap_kw,
    )
    ratio = ahead(half, ROOF, start).mean_kw.sum() / ahead(record, ROOF, start).mean_kw.sum()
    assert ratio == pytest.approx(0.5, abs=0.08)


def test_the_size_of_a_plant_only_scales_its_forecast() -> None:
    record = cloudy(60)
    start = record.starts[NOON]
    big = PvGeometry(
        latitude_deg=48.1, longitude_deg=11.6, tilt_deg=30.0, azimuth_deg=180.0, rated_kw=2000.0
    )
    scaled = PlantRecord(
        starts=record.starts,
        parts_kw=100.0 * record.parts_kw,
        floor_kw=record.floor_kw,
        cap_kw=record.cap_kw,
    )
    np.testing.assert_allclose(
        ahead(scaled, big, start).mean_kw, 100.0 * ahead(record, ROOF, start).mean_kw
    )


def test_the_order_of_the_features_is_that_of_their_names() -> None:
    record = cloudy(60)
    line = timeline(record, ROOF, record.starts[NOON], record.starts[NOON])
    features = Features(line)
    found = features.mean(line.issues)
    assert found.shape == (1, DAY, len(FEATURES))
    np.testing.assert_array_equal(found[..., FEATURES.index("usual")], features.usual(line.issues))
    spread = features.spread(line.issues, np.full((1, DAY), 0.4))
    np.testing.assert_allclose(spread[0, 0, :3], [1.0, 0.4, 0.16])


def test_it_beats_smart_persistence_over_the_day_and_its_bands_keep_their_word() -> None:
    score = judge_day_ahead(cloudy(90), ROOF)
    for reference in REFERENCES:
        ratio = score.ratio(reference)
        assert ratio is not None
        assert ratio < 0.9
    assert score.daytime_ratio is not None
    assert score.daytime_ratio < 0.95
    # A made-up sky is not the one the bands were fitted to.
    assert 65.0 < score.coverage80_pct < 95.0
    assert {h.hour for h in score.hours} == set(range(1, 25))
    assert score.coverage50_pct < score.coverage80_pct < score.coverage90_pct
    assert score.n == sum(h.n for h in score.hours)


def test_a_record_without_daylight_measurements_cannot_be_judged() -> None:
    record = cloudy(6)
    with pytest.raises(ValueError, match="no measured daylight"):
        judge_day_ahead(holed(record, 0, len(record)), ROOF)


# --- the artefact ------------------------------------------------------------------------


def tampered(tmp_path: Path, text: str | None) -> Path:
    folder = tmp_path / "mine"
    shutil.copytree(shipped_root() / ARTEFACT, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["id"] = "mine"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if text is None:
        (folder / COEFFICIENTS).unlink()
    else:
        (folder / COEFFICIENTS).write_text(text)
    return tmp_path


def test_the_shipped_artefact_is_whole_and_of_its_kind() -> None:
    shipped = artefact(ARTEFACT)
    assert shipped.kind == "pv_day_ahead"
    blend = Blend.from_artefact(shipped)
    assert blend.to_json() == json.loads(shipped.content) | {
        key: tuple(json.loads(shipped.content)[key])
        for key in ("features", "spread_features", "levels", "knots", "spread_knots")
    }
    assert DayAhead.load().branch == "pv_day_ahead"


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_a_changed_artefact_is_refused_and_the_usual_sky_serves_with_a_note(
    tmp_path: Path, text: str | None
) -> None:
    fallen = DayAhead.load("mine", tampered(tmp_path, text))
    record = cloudy(60)
    path = fallen.path(record, ROOF, record.starts[NOON])
    assert path.branch == "clear_sky"
    assert "without a trained blend" in path.notes[0]
    sane(path.forecast, ROOF)


@pytest.mark.parametrize(
    "change",
    [
        {"knots": None}, {"knots": ["a"]}, {"features": 5}, {"levels": None}, {"mean": None},
        {"spread": "x"}, {"lasting": {}},
    ],
)  # fmt: skip
def test_weights_that_are_none_are_told_whatever_stands_in_their_place(
    change: dict[str, object],
) -> None:
    with pytest.raises(ValueError, match="train it again"):
        Blend.from_json(json.loads(artefact(ARTEFACT).content) | change)


@pytest.mark.parametrize("content", [b"[1]", b"null", b"[" * 100_000, b"{}"])
def test_a_file_that_holds_no_weights_is_told(content: bytes) -> None:
    with pytest.raises(ValueError):
        Blend.from_artefact(replace(artefact(ARTEFACT), content=content))


def test_without_the_artefact_the_present_sky_fades_into_the_usual_one_in_four_hours() -> None:
    record = cloudy(60)
    alone = DayAhead(None)
    start = record.starts[NOON]
    for end in (start, record.starts[NOON - 1]):
        line = timeline(record, ROOF, end, end)
        features = Features(line)
        found = alone.path(record, ROOF, end).forecast.mean_kw / ROOF.rated_kw
        clear = line.clear[-DAY:]
        np.testing.assert_allclose(found[0], features.now(line.issues)[0] * clear[0])
        usual = np.clip(features.usual(line.issues)[0] * clear, 0.0, 1.0)
        np.testing.assert_allclose(found[16:], usual[16:])
    better = alone.path(record, ROOF, start, next_interval=given(start, 2.0, 0.5)).forecast
    assert better.mean_kw[0] == 2.0
    ratio = judge_day_ahead(cloudy(90), ROOF, alone).ratio()
    assert ratio is not None
    assert ratio < 1.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features", ["usual"]),
        ("levels", [0.5]),
        ("knots", [0, 1]),
        ("mean", [[1.0]]),
        ("spread", "many"),
        ("lasting", [1e9] * 10),
    ],
)
def test_weights_made_for_something_else_are_refused(key: str, value: object) -> None:
    document = json.loads(artefact(ARTEFACT).content)
    with pytest.raises(ValueError, match=f"'{key}'"):
        Blend.from_json(document | {key: value})
