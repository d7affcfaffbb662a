"""What a day ahead is measured against: the last clear-sky index kept, plainly and faded."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from forecasting.clearsky import Floats
from forecasting.day_ahead.features import DAY, Ints
from forecasting.day_ahead.references import faded_index, kept_index
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
    np.testing.assert_allclose(kept_index(SKY, *rows), expected)
    np.testing.assert_allclose(faded_index(SKY, *rows), expected)


def test_by_night_the_index_of_the_evening_before_is_kept_for_the_whole_day() -> None:
    last = newest_before(MIDNIGHT, LOW_SUN_SHARE)
    index = SKY.power[last] / SKY.clear[last]
    rows = day(MIDNIGHT)
    found = kept_index(SKY, *rows)
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
    assert kept_index(sky, *rows)[0, at] == pytest.approx(0.6 * noon)
    # A quarter of the trust is left to the zero, the rest goes to the 30 days before.
    assert faded_index(sky, *rows)[0, at] == pytest.approx(0.75 * sky.usual[MIDNIGHT] * noon)


def test_a_gap_is_bridged_by_what_was_measured_before_it() -> None:
    issue = noon_of(MIDNIGHT)
    power = SKY.power.copy()
    power[issue - 8 : issue] = np.nan
    kept = power[issue - 9] / SKY.clear[issue - 9]
    found = kept_index(with_power(power), *day(issue))
    assert found[0, 0] == pytest.approx(min(kept * SKY.clear[issue], 1.0))


def test_the_edge_of_a_cloud_is_no_index_for_a_day() -> None:
    issue = noon_of(MIDNIGHT)
    power = SKY.power.copy()
    power[issue - 1] = 1.5 * SKY.clear[issue - 1]
    found = kept_index(with_power(power), *day(issue))
    assert found[0, 0] == pytest.approx(min(INDEX_MAX * SKY.clear[issue], 1.0))


@pytest.mark.parametrize("reference", [kept_index, faded_index])
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
    for reference in (kept_index, faded_index):
        np.testing.assert_array_equal(reference(with_power(power), *rows), reference(SKY, *rows))
