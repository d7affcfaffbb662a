"""Bands of the day ahead: they learn from what those of the weeks before missed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.clearsky import Floats
from forecasting.day_ahead.bands import LOOK_BACK, LevelsOf, moved, shifts_before
from forecasting.day_ahead.blend import Blend
from forecasting.day_ahead.features import DAY, MEMORY, Features, Ints
from forecasting.day_ahead.horizon import DayAhead
from forecasting.record import LEVELS, PlantRecord
from forecasting.series import INTERVAL
from forecasting.sky import INDEX_MAX, sky_seen
from models import artefact
from tests.cloudy import ROOF, changed, cloudy, holed

BLEND = Blend.from_artefact(artefact("pv_day_ahead"))
LOW, HIGH = LEVELS.index(0.1), LEVELS.index(0.9)


def spread_by(factor: float) -> DayAhead:
    """The blend that ships, its quantiles so many times as far from the middle one."""
    middle = BLEND.spread[LEVELS.index(0.5)]
    return DayAhead(replace(BLEND, spread=middle + factor * (BLEND.spread - middle)))


def covered_pct(forecaster: DayAhead, record: PlantRecord, *, calibrated: bool) -> float:
    """Daylight truths within the 80 % band, after the first 60 days [%]."""
    issues = np.arange(60 * DAY, len(record) - DAY, 25)
    days = forecaster.batch(record, ROOF, issues, calibrated=calibrated)
    at = issues[:, None] + np.arange(DAY)
    sky = sky_seen(record, ROOF)
    truth = np.where(sky.daylight[at], record.available_kw[at], np.nan)
    inside = (days.quantiles_kw[..., LOW] <= truth) & (truth <= days.quantiles_kw[..., HIGH])
    return 100.0 * float(inside[np.isfinite(truth)].mean())


def constant(middle: float, half_width: float) -> LevelsOf:
    """Quantiles that are the same at all times."""
    levels = middle + half_width / 0.4 * (np.array(LEVELS) - 0.5)

    def found(_: Features, issues: Ints) -> Floats:
        return np.broadcast_to(levels, (len(issues), DAY, len(LEVELS)))

    return found


def overcast(days: int, index: float) -> PlantRecord:
    """A plant under a sky that never changes."""
    record = cloudy(days)
    power = ROOF.rated_kw * index * sky_seen(record, ROOF).clear
    return replace(record, parts_kw=power[:, None], floor_kw=power)


def after(record: PlantRecord) -> "pd.DatetimeIndex":
    return pd.DatetimeIndex([record.starts[-1] + INTERVAL])


@pytest.mark.parametrize("factor", [0.4, 0.6, 1.5])
def test_bands_too_narrow_or_too_wide_come_most_of_the_way_to_what_they_say(factor: float) -> None:
    record, forecaster = cloudy(200), spread_by(factor)
    fitted, found = (covered_pct(forecaster, record, calibrated=c) for c in (False, True))
    assert abs(found - 80.0) < 0.5 * abs(fitted - 80.0)


def test_bands_that_keep_their_word_go_on_keeping_it() -> None:
    record = cloudy(200)
    for calibrated in (False, True):
        assert 76.0 < covered_pct(DayAhead(BLEND), record, calibrated=calibrated) < 84.0


def test_the_mean_is_not_moved() -> None:
    record, issues = cloudy(90), [70 * DAY, 80 * DAY + 40]
    raw, found = (DayAhead(BLEND).batch(record, ROOF, issues, calibrated=c) for c in (False, True))
    np.testing.assert_array_equal(raw.mean_kw, found.mean_kw)
    assert not np.allclose(raw.quantiles_kw, found.quantiles_kw)


def test_a_truth_always_above_the_middle_draws_all_quantiles_up_most_of_the_way() -> None:
    record = overcast(50, 0.7)
    (shift,) = shifts_before(constant(0.5, 0.1), record, ROOF, after(record))
    there = (0.7 - (0.5 + 0.25 * (np.array(LEVELS) - 0.5))) / 0.1
    share = shift / there
    np.testing.assert_allclose(share, share[0])
    assert 0.8 < share[0] < 1.0


def test_the_more_days_are_known_the_further_they_go_and_one_day_says_nothing() -> None:
    found = [
        float(shifts_before(constant(0.5, 0.1), known, ROOF, after(known))[0, 0])
        for known in (overcast(days, 0.7) for days in (1, 3, 8, 20, 46))
    ]
    assert found[0] == 0.0
    assert found == sorted(set(found))


def test_each_issue_of_a_batch_learns_from_days_that_were_over_by_then_alone() -> None:
    record = cloudy(120)
    starts = record.starts[80 * DAY : 110 * DAY : 37]
    levels = constant(0.5, 0.2)
    whole = shifts_before(levels, record, ROOF, starts)
    for row in (0, 30, len(starts) - 1):
        until = record.starts.get_loc(starts[row])
        assert isinstance(until, int)
        for known in (record.part(0, until), changed(record, until)):
            alone = shifts_before(levels, known, ROOF, starts[row : row + 1])
            np.testing.assert_allclose(whole[row], alone[0], atol=1e-12)


def test_what_ended_earlier_than_that_is_forgotten() -> None:
    record = cloudy(200)
    kept = (LOOK_BACK + DAY + MEMORY) // DAY
    short = record.part(len(record) - kept * DAY, len(record))
    levels = DayAhead(BLEND).levels
    np.testing.assert_allclose(
        shifts_before(levels, short, ROOF, after(record)),
        shifts_before(levels, record, ROOF, after(record)),
        atol=1e-9,
    )


@pytest.mark.parametrize(
    "record", [cloudy(50).part(0, 0), holed(cloudy(50), 0, 50 * DAY)], ids=["empty", "unmeasured"]
)
def test_with_nothing_measured_bands_stay_as_they_were_fitted(record: PlantRecord) -> None:
    starts = after(cloudy(50))
    found = shifts_before(constant(0.5, 0.1), record, ROOF, starts)
    np.testing.assert_array_equal(found, np.zeros((1, len(LEVELS))))


@pytest.mark.parametrize("change", ["2023-10-29T01:00Z", "2024-03-31T01:00Z"])
def test_issues_in_the_time_of_a_zone_are_the_same_through_its_changes(change: str) -> None:
    record, at = cloudy(450), pd.Timestamp(change)
    starts = pd.date_range(at - LOOK_BACK * INTERVAL, at + LOOK_BACK * INTERVAL, freq="5h")
    levels = constant(0.5, 0.1)
    np.testing.assert_array_equal(
        shifts_before(levels, record, ROOF, starts.tz_convert("Europe/Berlin")),
        shifts_before(levels, record, ROOF, starts),
    )


def test_where_the_rating_decides_the_quantiles_are_left_alone() -> None:
    """A plant with more modules than its inverter takes stands at its rating for hours."""
    record = cloudy(60)
    power = np.where(sky_seen(record, ROOF).clear > 0.3, ROOF.rated_kw, np.nan)
    full = replace(record, parts_kw=power[:, None], floor_kw=np.nan_to_num(power))
    (shift,) = shifts_before(constant(INDEX_MAX / 0.3, 0.1), full, ROOF, after(full))
    np.testing.assert_allclose(shift, 0.0, atol=1e-12)


def test_moved_quantiles_ascend_within_the_believed_indices() -> None:
    levels = np.sort(np.random.default_rng(1).uniform(0.0, INDEX_MAX, (5, DAY, len(LEVELS))))
    shifts = np.random.default_rng(2).uniform(-5.0, 5.0, (5, len(LEVELS)))
    found = moved(levels, shifts)
    assert (np.diff(found, axis=-1) >= 0.0).all()
    assert found.min() >= 0.0
    assert found.max() <= INDEX_MAX
    np.testing.assert_array_equal(moved(levels, np.zeros_like(shifts)), levels)
