"""The reference forecasts: what each does, also where data lack, and what it never knows."""

from dataclasses import replace

import numpy as np
import pytest

from forecasting import baselines
from forecasting.baselines import Method
from forecasting.day_ahead.references import REFERENCES
from forecasting.record import LEVELS, QuantileForecast
from forecasting.runtime import PaperLstm
from forecasting.sky import GROUPS, INDEX_UNKNOWN, LOW_SUN_SHARE, group_of, sky_next, sky_seen
from models import artefact
from tests.cloudy import ROOF, changed, cloudy, holed

DAY = 96
METHODS: dict[str, Method] = {
    "persistence": baselines.persistence,
    "smart_persistence": baselines.smart_persistence,
    "fading_persistence": baselines.fading_persistence,
    "yesterday": baselines.yesterday,
    "five_day_mean": baselines.five_day_mean,
    "climatology": baselines.climatology,
    "paper_lstm": baselines.paper_lstm(PaperLstm(artefact("paper_lstm"))),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def same(one: QuantileForecast, other: QuantileForecast, rows: slice) -> bool:
    return bool(
        (one.mean_kw[rows] == other.mean_kw[rows]).all()
        and (one.quantiles_kw[rows] == other.quantiles_kw[rows]).all()
    )


@every_method
def test_no_forecast_knows_its_own_interval_or_a_later_one(method: Method) -> None:
    record = cloudy(14)
    for row in (9 * DAY + 44, 12 * DAY + 50):
        before, after = method(record, ROOF), method(changed(record, row), ROOF)
        assert same(before, after, slice(0, row + 1))
        assert not same(before, after, slice(row + 1, None))


@every_method
def test_every_interval_gets_an_answer_even_where_nothing_was_ever_measured(method: Method) -> None:
    for record in (
        cloudy(8),
        holed(cloudy(8), 0, 8 * DAY),
        holed(cloudy(8), 2 * DAY + 30, 7 * DAY),
    ):
        answer = method(record, ROOF)
        assert np.isfinite(answer.mean_kw).all()
        assert answer.quantiles_kw.shape == (len(record), len(LEVELS))
        assert np.isfinite(answer.quantiles_kw).all()


@every_method
def test_forecasts_lie_within_the_rating_in_order_and_are_zero_at_night(method: Method) -> None:
    record = cloudy(12)
    loud = replace(record, parts_kw=record.parts_kw * 3.0 - 5.0)
    answer = method(loud, ROOF)
    night = sky_seen(loud, ROOF).clear <= 0.0
    every = np.column_stack([answer.mean_kw, answer.quantiles_kw])
    assert (every >= 0.0).all()
    assert (every <= ROOF.rated_kw).all()
    assert (every[night] == 0.0).all()
    assert (np.diff(answer.quantiles_kw, axis=1) >= 0.0).all()


def test_persistence_repeats_the_last_interval() -> None:
    record = cloudy(3)
    answer = baselines.persistence(record, ROOF)
    noon = 2 * DAY + 46
    assert answer.mean_kw[noon] == pytest.approx(record.available_kw[noon - 1])


def test_smart_persistence_is_exact_under_a_steady_sky() -> None:
    sky = sky_seen(cloudy(3), ROOF)
    record = replace(
        cloudy(3), parts_kw=0.6 * ROOF.rated_kw * sky.clear[:, None], floor_kw=0.0 * sky.clear
    )
    answer = baselines.smart_persistence(record, ROOF)
    high = (sky.clear > 0.1) & (np.roll(sky.clear, 1) > 0.1)
    assert answer.mean_kw[high] == pytest.approx(record.available_kw[high])


def test_persistence_gives_way_to_the_usual_sky_after_an_hour_without_a_measurement() -> None:
    record = cloudy(12)
    noon = 11 * DAY + 44
    gap = holed(record, noon, noon + 8)
    sky = sky_seen(gap, ROOF)
    usual_kw = ROOF.rated_kw * baselines.climatology_share(sky)
    for method in (baselines.persistence, baselines.fading_persistence):
        answer = method(gap, ROOF).mean_kw
        assert answer[noon + 3] != pytest.approx(usual_kw[noon + 3])
        assert answer[noon + 4] == pytest.approx(usual_kw[noon + 4])
    assert list(sky.recent[noon : noon + 9]) == [True] * 4 + [False] * 4 + [False]


def test_smart_persistence_keeps_the_last_index_however_old_it_is_and_passes_low_sun_over() -> None:
    record = cloudy(12)
    noon = 11 * DAY + 44
    sky = sky_seen(record, ROOF)
    index = record.available_kw[noon - 1] / (ROOF.rated_kw * sky.clear[noon - 1])
    gap = holed(record, noon, noon + 8)
    assert baselines.smart_persistence(gap, ROOF).mean_kw[noon + 7] == pytest.approx(
        index * ROOF.rated_kw * sky.clear[noon + 7]
    )
    morning = 11 * DAY + int(np.argmax(sky.daylight[11 * DAY :]))
    evening = np.flatnonzero((sky.clear >= LOW_SUN_SHARE) & sky.daylight)
    last = evening[evening < morning][-1]
    kept = record.available_kw[last] / (ROOF.rated_kw * sky.clear[last])
    assert baselines.smart_persistence(record, ROOF).mean_kw[morning] == pytest.approx(
        kept * ROOF.rated_kw * sky.clear[morning]
    )


def test_smart_persistence_of_the_next_interval_is_the_first_hour_of_that_of_the_day() -> None:
    """One definition, whatever the horizon."""
    record = cloudy(12)
    sky = sky_seen(record, ROOF)
    issues = np.arange(5 * DAY, 11 * DAY)
    day = REFERENCES["smart_persistence"](sky, issues, issues[:, None] + np.arange(DAY))
    answer = baselines.smart_persistence(record, ROOF).mean_kw[issues]
    assert answer == pytest.approx(ROOF.rated_kw * day[:, 0])


def test_yesterday_goes_back_to_the_last_day_that_was_measured() -> None:
    record = cloudy(8)
    noon = 6 * DAY + 46
    assert baselines.yesterday(record, ROOF).mean_kw[noon] == pytest.approx(
        record.available_kw[noon - DAY]
    )
    gap = holed(record, noon - DAY, noon - DAY + 1)
    assert baselines.yesterday(gap, ROOF).mean_kw[noon] == pytest.approx(
        record.available_kw[noon - 2 * DAY]
    )


def test_the_five_day_mean_leaves_out_the_days_that_lack() -> None:
    record = cloudy(8)
    noon = 6 * DAY + 46
    days = [record.available_kw[noon - d * DAY] for d in range(1, 6)]
    assert baselines.five_day_mean(record, ROOF).mean_kw[noon] == pytest.approx(np.mean(days))
    gap = holed(record, noon - 3 * DAY, noon - 3 * DAY + 1)
    assert baselines.five_day_mean(gap, ROOF).mean_kw[noon] == pytest.approx(
        np.mean(days[:2] + days[3:])
    )


def test_the_usual_sky_is_a_guess_until_it_was_seen() -> None:
    record = replace(cloudy(10), parts_kw=0.0 * cloudy(10).parts_kw)
    usual = sky_seen(record, ROOF).usual
    assert usual[0] == INDEX_UNKNOWN
    assert usual[-1] == 0.0


def test_the_usual_sky_is_weighted_by_energy_and_skips_what_is_unknown() -> None:
    whole = cloudy(10)
    clear = sky_seen(whole, ROOF).clear
    share = np.where(clear > 0.5, 0.8, 0.2) * clear
    record = holed(
        replace(whole, parts_kw=ROOF.rated_kw * share[:, None]), 3 * DAY + 40, 3 * DAY + 60
    )
    known = np.isfinite(record.available_kw)[:-1]
    expected = share[:-1][known].sum() / clear[:-1][known].sum()
    assert sky_seen(record, ROOF).usual[-1] == pytest.approx(expected)


def test_the_sky_before_the_next_interval_is_that_of_a_record_that_reaches_it() -> None:
    record = cloudy(40)
    for end in (35 * DAY + 40, 36 * DAY + 50, 37 * DAY):
        whole, last = sky_seen(record, ROOF), sky_next(record.part(0, end), ROOF)
        assert last.clear[-1] == whole.clear[end]
        assert last.daylight[-1] == whole.daylight[end]
        assert last.group[-1] == whole.group[end]
        assert last.usual[-1] == pytest.approx(whole.usual[end])
        assert last.variability[-1] == pytest.approx(whole.variability[end], nan_ok=True)
        assert np.isnan(last.power[-1])


def test_a_situation_has_one_group_whether_asked_alone_or_in_a_record() -> None:
    sky = sky_seen(cloudy(20), ROOF)
    rows = np.arange(0, len(sky), 7)
    alone = [group_of(float(sky.clear[i]), float(sky.variability[i])) for i in rows]
    assert alone == sky.group[rows].tolist()
    assert set(sky.group) <= set(range(GROUPS))


def test_the_clear_sky_of_an_interval_does_not_depend_on_where_the_record_begins() -> None:
    whole = sky_seen(cloudy(20), ROOF)
    part = sky_seen(cloudy(20).part(777, 1500), ROOF)
    assert (part.clear == whole.clear[777:1500]).all()
    assert (part.daylight == whole.daylight[777:1500]).all()


def test_the_sun_of_leap_day_and_of_the_nights_the_clocks_change_is_that_of_its_neighbours() -> (
    None
):
    record = cloudy(60, first="2024-02-20")
    clear = sky_seen(record, ROOF).clear.reshape(60, DAY)
    energy = clear.sum(axis=1)
    assert np.abs(np.diff(energy) / energy[1:]).max() < 0.03
    assert np.abs(np.diff(clear, axis=0)).max() < 0.03
