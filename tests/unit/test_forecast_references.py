"""What a day ahead is measured against: smart persistence, and two other readings of it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from forecasting.clearsky import Floats
from forecasting.day_ahead.features import DAY, Ints
from forecasting.day_ahead.horizon import ahead_batch
from forecasting.day_ahead.references import REFERENCES, faded, last_hour, smart_persistence
from forecasting.day_ahead.scores import judge_day_ahead
from forecasting.sky import INDEX_MAX, INDEX_UNKNOWN, LOW_SUN_SHARE, SkySeen, sky_seen
from tests.cloudy import ROOF, cloudy

Reference = Callable[[SkySeen, Ints, Ints], Floats]

SKY = sky_seen(cloudy(40), ROOF)
MIDNIGHT = 35 * DAY


def day(issue: int) -> tuple[Ints, Ints]:
    """One issue, and the rows of its day."""
    return np.array([issue]), np.arange(issue, issue + DAY)[None, :]


def with_power(power: Floats) -> SkySeen:
    return replace(SKY, power=power)


def newest_before(issue: int, least_clear: float) -> int:
    """Last measured daylight row before an issue under a clear sky of that share."""
    good = np.isfinite(SKY.power) & SKY.daylight & (SKY.clear >= least_clear)
    return int(np.flatnonzero(good[:issue])[-1])


def noon_of(issue: int) -> int:
    return issue + int(np.argmax(SKY.clear[issue : issue + DAY]))


def test_by_day_the_index_of_the_interval_before_the_issue_is_kept_by_both() -> None:
    issue = noon_of(MIDNIGHT)
    index = SKY.power[issue - 1] / SKY.clear[issue - 1]
    rows = day(issue)
    expected = np.clip(index * SKY.clear[rows[1]], 0.0, 1.0)
    np.testing.assert_allclose(smart_persistence(SKY, *rows), expected)
    np.testing.assert_allclose(faded(SKY, *rows), expected)


def test_by_night_the_index_of_the_evening_before_is_kept_for_the_whole_day() -> None:
    last = newest_before(MIDNIGHT, LOW_SUN_SHARE)
    index = SKY.power[last] / SKY.clear[last]
    rows = day(MIDNIGHT)
    found = smart_persistence(SKY, *rows)
    np.testing.assert_allclose(found, np.clip(index * SKY.clear[rows[1]], 0.0, 1.0))


def test_an_index_of_low_sun_is_passed_over_by_the_one_and_given_up_by_the_other() -> None:
    last = newest_before(MIDNIGHT, 0.0)
    low = newest_before(MIDNIGHT, LOW_SUN_SHARE)
    power = SKY.power.copy()
    power[last], power[low] = 0.0, 0.6 * SKY.clear[low]
    clear = SKY.clear.copy()
    clear[last] = 0.25 * LOW_SUN_SHARE
    sky = replace(SKY, power=power, clear=clear)
    rows = day(MIDNIGHT)
    at = noon_of(MIDNIGHT) - MIDNIGHT
    noon = SKY.clear[MIDNIGHT + at]
    assert smart_persistence(sky, *rows)[0, at] == pytest.approx(0.6 * noon)
    # A quarter of the trust is left to the zero, the rest goes to the 30 days before.
    assert faded(sky, *rows)[0, at] == pytest.approx(0.75 * sky.usual[MIDNIGHT] * noon)


def test_a_mean_index_is_that_of_the_last_hour_of_daylight() -> None:
    issue = noon_of(MIDNIGHT)
    indices = np.array([0.2, 0.4, 0.6, 0.8])
    power = SKY.power.copy()
    power[issue - 4 : issue] = indices * SKY.clear[issue - 4 : issue]
    power[issue - 5] = 0.0
    found = last_hour(with_power(power), *day(issue))
    assert found[0, 0] == pytest.approx(0.5 * SKY.clear[issue])
    power[issue - 2] = np.nan
    known = last_hour(with_power(power), *day(issue))
    assert known[0, 0] == pytest.approx(np.mean([0.2, 0.4, 0.8]) * SKY.clear[issue])


def test_an_hour_that_reaches_back_into_the_night_is_that_of_its_daylight() -> None:
    first = MIDNIGHT + int(np.argmax(SKY.daylight[MIDNIGHT : MIDNIGHT + DAY]))
    power = SKY.power.copy()
    power[first : first + 2] = 0.5 * SKY.clear[first : first + 2]
    found = last_hour(with_power(power), *day(first + 2))
    assert found[0, 0] == pytest.approx(0.5 * SKY.clear[first + 2])


def test_power_in_the_dark_is_no_index() -> None:
    dark = ~SKY.daylight & (SKY.clear < LOW_SUN_SHARE)
    lit, plain = (with_power(np.where(dark, power, SKY.power)) for power in (0.3, np.nan))
    rows = day(MIDNIGHT)
    for reference in REFERENCES.values():
        np.testing.assert_array_equal(reference(lit, *rows), reference(plain, *rows))


def test_the_scores_are_those_of_the_references_and_of_issues_in_daylight() -> None:
    """Worked out once more, straight from the definitions."""
    record = cloudy(90)
    sky = sky_seen(record, ROOF)
    issues = np.arange(60 * DAY, 89 * DAY + 1, 5)
    targets = issues[:, None] + np.arange(DAY)
    truth = np.where(sky.daylight[targets], sky.power[targets], np.nan)
    own = ahead_batch(record, ROOF, issues).mean_kw / ROOF.rated_kw

    def error_pct(forecast: Floats, which: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> float:
        squares = ((forecast - truth)[which] ** 2).reshape(-1, 24, 4)
        hourly = [np.sqrt(np.nanmean(squares[:, h])) for h in range(24)]
        return 100.0 * float(np.mean(hourly))

    every, by_day = np.ones(len(issues), dtype=bool), sky.daylight[issues]
    found = judge_day_ahead(record, ROOF)
    assert found.nrmse_pct == pytest.approx(error_pct(own, every))
    assert found.n == int(np.isfinite(truth).sum())
    for name, reference in REFERENCES.items():
        kept = error_pct(reference(sky, issues, targets), every)
        assert found.references[name].nrmse_pct == pytest.approx(kept)
        assert found.ratio(name) == pytest.approx(found.nrmse_pct / kept)
    kept_by_day = error_pct(smart_persistence(sky, issues, targets), by_day)
    assert found.daytime_ratio == pytest.approx(error_pct(own, by_day) / kept_by_day)
    assert len({round(against.nrmse_pct, 6) for against in found.references.values()}) == 3


def test_a_reference_that_errs_by_nothing_has_no_ratio() -> None:
    """A plant that stands still: zero is kept, and right."""
    whole = cloudy(90)
    parts_kw = whole.parts_kw.copy()
    parts_kw[55 * DAY :] = 0.0
    found = judge_day_ahead(replace(whole, parts_kw=parts_kw), ROOF)
    assert found.references["smart_persistence"].nrmse_pct == 0.0
    assert found.ratio() is None
    assert found.daytime_ratio is None
    assert found.ratio("faded") is not None


def test_a_gap_is_bridged_by_what_was_measured_before_it() -> None:
    issue = noon_of(MIDNIGHT)
    power = SKY.power.copy()
    power[issue - 8 : issue] = np.nan
    kept = power[issue - 9] / SKY.clear[issue - 9]
    found = smart_persistence(with_power(power), *day(issue))
    assert found[0, 0] == pytest.approx(min(kept * SKY.clear[issue], 1.0))


def test_the_edge_of_a_cloud_is_no_index_for_a_day() -> None:
    issue = noon_of(MIDNIGHT)
    power = SKY.power.copy()
    power[issue - 1] = 1.5 * SKY.clear[issue - 1]
    found = smart_persistence(with_power(power), *day(issue))
    assert found[0, 0] == pytest.approx(min(INDEX_MAX * SKY.clear[issue], 1.0))


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
def test_with_nothing_measured_the_usual_sky_is_kept(reference: Reference) -> None:
    nothing = replace(with_power(np.full(len(SKY), np.nan)), usual=np.full(len(SKY), INDEX_UNKNOWN))
    rows = day(MIDNIGHT)
    expected = INDEX_UNKNOWN * SKY.clear[rows[1]]
    np.testing.assert_allclose(reference(nothing, *rows), expected)


@pytest.mark.parametrize("issue", [MIDNIGHT, MIDNIGHT + 30, MIDNIGHT + 50])
def test_nothing_from_the_issue_on_is_looked_at(issue: int) -> None:
    power = SKY.power.copy()
    power[issue:] = 0.0
    rows = day(issue)
    for reference in REFERENCES.values():
        np.testing.assert_array_equal(reference(with_power(power), *rows), reference(SKY, *rows))
