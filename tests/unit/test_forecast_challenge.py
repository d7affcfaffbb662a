"""A challenger is promoted only for a win that is no luck, on data new to both."""

import json
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from forecasting.clearsky import Floats, PvGeometry
from forecasting.day_ahead.horizon import DayAhead
from forecasting.judging.challenge import ChallengeFault, Contender, Trial, challenge
from forecasting.judging.contenders import (
    DAY_AHEAD_INTERVALS,
    contender,
    method_of,
    parity_error,
)
from forecasting.judging.paired import DayLosses, gain, rmse
from forecasting.judging.seen import NoSpans, TrainingSpan, training_spans
from forecasting.judging.verdict import Verdict
from forecasting.record import LEVELS, PlantRecord, QuantileForecast, is_daylight, plant_record
from forecasting.series import SeriesFault
from models import Artefact, artefact
from tests.cloudy import ROOF as CLOUDY_ROOF
from tests.cloudy import cloudy

ROOF = PvGeometry(
    latitude_deg=48.1, longitude_deg=11.6, tilt_deg=30.0, azimuth_deg=180.0, rated_kw=20.0
)
FILE = "cd" * 32
# Standard normal quantiles at `LEVELS`.
NORMAL = np.array([-1.644854, -1.281552, -0.674490, 0.0, 0.674490, 1.281552, 1.644854])


@lru_cache
def record(days: int = 110, seed: int = 7) -> PlantRecord:
    starts = pd.date_range("2026-03-01", periods=96 * days, freq="15min", tz="UTC")
    share = np.random.default_rng(seed).uniform(0.3, 0.7, len(starts))
    return plant_record(pd.Series(share * ROOF.rated_kw, index=starts), 15)


def knowing(
    sigma: float,
    seed: int,
    *,
    width: float = 1.0,
    silent: float = 0.0,
    hard_days: float = 1.0,
) -> "Contender":
    """A forecaster that knows the truth but for a normal error of `sigma` of the rating.

    Its bands are `width` times as wide as they should be; it is silent in a share of the
    intervals; on every third day its errors are `hard_days` times as large.
    """

    def method(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        rng = np.random.default_rng(seed)
        hard = np.where((np.arange(len(record)) // 96) % 3 == 0, hard_days, 1.0)
        spread = sigma * geometry.rated_kw * hard
        mean = record.available_kw + spread * rng.normal(size=len(record))
        mean[rng.uniform(size=len(record)) < silent] = np.nan
        quantiles = mean[:, None] + width * spread[:, None] * NORMAL
        return QuantileForecast(starts=record.starts, mean_kw=mean, quantiles_kw=quantiles)

    name = f"{sigma}-{seed}-{width}-{silent}-{hard_days}"
    return Contender(id=name, kind="pv_pooled", sha256=name, method=method, spans=())


def trial(
    days: int = 110, *, name: str = "roof.csv", sha256: str | None = FILE, seed: int = 7
) -> Trial:
    return Trial(name=name, record=record(days, seed), geometry=ROOF, sha256=sha256)


def judged(champion: Contender, challenger: Contender, *trials: Trial) -> Verdict:
    return challenge(champion, challenger, trials or [trial()])


def seen(contender: Contender, last: str, **where: str | float | None) -> Contender:
    span: dict[str, str | float | None] = {
        "sha256": None,
        "latitude_deg": ROOF.latitude_deg,
        "longitude_deg": ROOF.longitude_deg,
    }
    span |= where
    return replace(contender, spans=(TrainingSpan(site="Roof", last=last, **span),))  # type: ignore[arg-type]


# --- who wins ------------------------------------------------------------------------


def test_a_better_challenger_wins_and_the_verdict_says_by_how_much() -> None:
    verdict = judged(knowing(0.10, 1), knowing(0.09, 2))
    assert verdict.won
    assert verdict.rmse.mean_pct == pytest.approx(10.0, abs=4.0)
    assert 0.0 < verdict.rmse.low_pct < verdict.rmse.mean_pct < verdict.rmse.high_pct < 20.0
    assert verdict.pinball.mean_pct == pytest.approx(10.0, abs=4.0)
    (on_roof,) = verdict.trials
    assert on_roof.champion.nrmse_pct == pytest.approx(10.0, abs=0.3)
    assert on_roof.challenger.nrmse_pct == pytest.approx(9.0, abs=0.3)
    assert on_roof.challenger.coverage80_pct == pytest.approx(80.0, abs=2.0)
    assert verdict.sentence.startswith(
        "0.09-2-1.0-0.0-1.0 wins against 0.1-1-1.0-0.0-1.0 on 50 days"
    )


def test_a_worse_challenger_loses() -> None:
    verdict = judged(knowing(0.09, 1), knowing(0.10, 2))
    assert not verdict.won
    assert verdict.against == ("its RMSE is not lower", "its pinball loss is not lower")
    assert "does not win" in verdict.sentence
    assert "higher" in verdict.sentence


def test_a_gain_within_luck_is_no_win() -> None:
    verdict = judged(knowing(0.10, 1, hard_days=4.0), knowing(0.098, 3, hard_days=4.0))
    assert verdict.rmse.low_pct < 0.0 < verdict.rmse.mean_pct
    assert verdict.pinball.low_pct < 0.0 < verdict.pinball.mean_pct
    assert verdict.against == ("the lower RMSE may be luck", "the lower pinball loss may be luck")


def test_bands_that_cover_too_little_keep_a_better_mean_from_winning() -> None:
    verdict = judged(knowing(0.10, 1), knowing(0.07, 2, width=0.7))
    assert verdict.rmse.low_pct > 0.0
    assert verdict.pinball.low_pct > 0.0
    (reason,) = verdict.against
    assert "its 80 % band covers 6" in reason


def test_bands_no_further_off_than_the_champions_are_no_hindrance() -> None:
    assert judged(knowing(0.10, 1, width=0.6), knowing(0.08, 2, width=0.7)).won


def test_who_is_silent_in_hard_intervals_does_not_win() -> None:
    verdict = judged(knowing(0.10, 1), knowing(0.05, 2, silent=0.02))
    (reason,) = verdict.against
    assert reason.startswith("it answers 98")


def test_intervals_the_champion_leaves_out_are_judged_for_neither() -> None:
    champion = knowing(0.10, 1, silent=0.3)
    verdict = judged(champion, knowing(0.08, 2))
    both = judged(knowing(0.10, 1), knowing(0.08, 2))
    assert verdict.won
    assert verdict.trials[0].intervals == pytest.approx(0.7 * both.trials[0].intervals, rel=0.05)


def test_the_same_question_has_the_same_answer() -> None:
    assert judged(knowing(0.10, 1), knowing(0.09, 2)) == judged(knowing(0.10, 1), knowing(0.09, 2))


def test_several_records_count_alike_whatever_their_length() -> None:
    short, long = trial(100, name="a.csv"), trial(200, name="b.csv", seed=8)
    verdict = judged(knowing(0.10, 1), knowing(0.09, 2), short, long)
    assert [t.name for t in verdict.trials] == ["a.csv", "b.csv"]
    gains = [1 - t.challenger.nrmse_pct / t.champion.nrmse_pct for t in verdict.trials]
    assert verdict.rmse.mean_pct == pytest.approx(100 * np.mean(gains))


def test_equals_win_on_one_criterion_in_about_one_of_twenty_trials() -> None:
    rng = np.random.default_rng(5)
    wins = 0
    for _ in range(100):
        hard: Floats = rng.lognormal(0.0, 1.0, (60, 1))  # hard days are hard for both
        squares = hard * rng.lognormal(0.0, 0.3, (60, 2))
        days = DayLosses(count=np.full(60, 40.0), squares=squares, pinballs=squares)
        wins += gain([days], rmse).low_pct > 0.0
    assert wins <= 8  # 5 expected


def test_a_champion_without_error_is_not_beaten() -> None:
    verdict = judged(knowing(0.0, 1), knowing(0.01, 2))
    assert verdict.rmse.mean_pct == -100.0
    assert not verdict.won


# --- what is judged ------------------------------------------------------------------


def test_only_daylight_after_the_calibration_days_is_judged() -> None:
    (on_roof,) = judged(knowing(0.10, 1), knowing(0.09, 2)).trials
    light = is_daylight(ROOF, record().starts)
    late = record().starts >= pd.Timestamp("2026-04-30", tz="UTC")
    assert on_roof.first == "2026-04-30"
    assert on_roof.intervals == (light & late).sum()
    assert on_roof.left_out == (light & ~late).sum()


def test_capped_intervals_are_not_judged() -> None:
    whole = record()
    capped = np.where(np.arange(len(whole)) % 4 == 0, 5.0, np.inf)
    held = plant_record(pd.Series(whole.parts_kw[:, 0], index=whole.starts), 15, cap_kw=capped)
    free, hidden = trial(), replace(trial(), record=held)
    counts = [
        judged(knowing(0.10, 1), knowing(0.09, 2), t).trials[0].intervals for t in (free, hidden)
    ]
    assert counts[1] == pytest.approx(0.75 * counts[0], rel=0.01)


def test_days_are_solar_so_that_no_midnight_falls_into_daylight() -> None:
    far = replace(ROOF, longitude_deg=-150.0)
    verdict = judged(knowing(0.10, 1), knowing(0.09, 2), replace(trial(), geometry=far))
    assert verdict.trials[0].days <= 51


@pytest.mark.parametrize("side", ["champion", "challenger"])
def test_what_either_has_seen_at_this_place_is_not_judged(side: str) -> None:
    pair = {"champion": knowing(0.10, 1), "challenger": knowing(0.09, 2)}
    pair[side] = seen(pair[side], "2026-05-14")
    (on_roof,) = judged(pair["champion"], pair["challenger"]).trials
    assert (on_roof.first, on_roof.days) == ("2026-05-15", 35)


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        ({"latitude_deg": 48.1 + 0.08}, True),  # 9 km
        ({"latitude_deg": 48.1 + 0.10}, False),  # 11 km
        ({"longitude_deg": 11.6 + 0.2}, False),
        ({"latitude_deg": -48.1}, False),
        ({"latitude_deg": None}, True),  # nobody knows where: it may be here
        ({"latitude_deg": 10.0, "sha256": FILE}, True),
        ({"latitude_deg": 10.0, "sha256": "ef" * 32}, False),
    ],
)
def test_a_span_counts_for_the_same_file_or_the_same_sky(
    where: dict[str, str | float | None], counts: bool
) -> None:
    champion = seen(knowing(0.10, 1), "2026-05-14", **where)
    (on_roof,) = judged(champion, knowing(0.09, 2)).trials
    assert (on_roof.first == "2026-05-15") == counts


def test_data_of_the_training_are_refused_and_all_records_are_told_at_once() -> None:
    champion = seen(knowing(0.10, 1), "2026-06-30")
    with pytest.raises(SeriesFault) as caught:
        judged(champion, knowing(0.09, 2), trial(name="a.csv"), trial(name="b.csv"))
    first, second = caught.value.faults
    assert first.startswith("a.csv: 0 days")
    assert second.startswith("b.csv: 0 days")
    assert "seen in training at this place" in first
    assert "from another place" in first


def test_a_record_that_leaves_too_few_days_is_refused() -> None:
    with pytest.raises(SeriesFault, match=r"29 days.*30 are needed"):
        judged(knowing(0.10, 1), knowing(0.09, 2), trial(89))
    assert judged(knowing(0.10, 1), knowing(0.09, 2), trial(90)).trials[0].days == 30


def test_what_cannot_be_compared_is_refused() -> None:
    champion, challenger = knowing(0.10, 1), knowing(0.09, 2)
    with pytest.raises(ChallengeFault, match="only models of one kind"):
        judged(champion, replace(challenger, kind="paper_lstm"))
    with pytest.raises(ChallengeFault, match="the champion itself"):
        judged(champion, replace(challenger, sha256=champion.sha256))
    with pytest.raises(ChallengeFault, match="no record"):
        challenge(champion, challenger, [])
    with pytest.raises(ChallengeFault, match="answer on fewer than 30 days"):
        judged(champion, knowing(0.09, 2, silent=2.0))


# --- from an artefact ----------------------------------------------------------------


def test_the_paper_model_can_be_judged_as_it_ships() -> None:
    shipped = artefact("paper_lstm")
    found = contender(shipped)
    assert (found.id, found.kind, found.sha256) == ("paper_lstm", "paper_lstm", shipped.sha256)
    assert len(found.spans) == 4
    answer = found.method(record(10), ROOF)
    assert np.isfinite(answer.mean_kw).all()
    assert answer.quantiles_kw.shape == (960, len(LEVELS))
    error = parity_error(shipped)
    assert error is not None
    assert error < 1e-5


def test_the_pooled_model_is_judged_with_its_bands_calibrated_as_in_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class TooSure:
        parity_error = 1e-7

        def __init__(self, _: Artefact) -> None:
            self.raw = knowing(0.10, 1, width=0.5).method

        def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
            return self.raw(record, geometry)

    monkeypatch.setattr("forecasting.pooled.PooledLstm", TooSure)
    shipped = artefact("paper_lstm")
    manifest = {**shipped.manifest, "kind": "pv_pooled"}
    pooled = Artefact(id="pooled", path=shipped.path, manifest=manifest, content=b"")
    verdict = judged(knowing(0.12, 3), replace(contender(pooled), kind="pv_pooled"))
    assert 74.0 < verdict.trials[0].challenger.coverage80_pct < 86.0  # raw: 48
    assert parity_error(pooled) == 1e-7


def test_a_day_ahead_is_judged_on_days_that_follow_each_other_from_all_hours() -> None:
    shipped = artefact("pv_day_ahead")
    found = contender(shipped)
    assert (found.id, found.kind, found.sha256) == ("pv_day_ahead", "pv_day_ahead", shipped.sha256)
    known = record(6)
    answer = found.method(known, ROOF)
    assert len(answer.mean_kw) == len(known)
    assert np.isfinite(answer.quantiles_kw).all()
    begin = 2 * DAY_AHEAD_INTERVALS
    (day,) = DayAhead.load().batch(known, ROOF, [begin]).mean_kw
    np.testing.assert_allclose(answer.mean_kw[begin:][:DAY_AHEAD_INTERVALS], day[:91], atol=1e-9)


def test_a_day_ahead_that_is_judged_sees_nothing_after_its_issue() -> None:
    method = method_of(artefact("pv_day_ahead"))
    known, begin = record(6), 3 * DAY_AHEAD_INTERVALS
    later = replace(known, parts_kw=known.parts_kw.copy())
    later.parts_kw[begin:] = np.random.default_rng(3).uniform(0, 20, later.parts_kw[begin:].shape)
    until = begin + DAY_AHEAD_INTERVALS
    np.testing.assert_array_equal(
        method(known, ROOF).mean_kw[:until], method(later, ROOF).mean_kw[:until]
    )


def test_a_better_day_ahead_replaces_the_champion() -> None:
    shipped = artefact("pv_day_ahead")
    document = json.loads(shipped.content)
    for weights in ("mean", "spread"):
        document[weights] = (0.6 * np.array(document[weights])).tolist()
    worse = Artefact(
        id="worse",
        path=shipped.path,
        manifest={**shipped.manifest, "id": "worse", "sha256": "ab" * 32},
        content=json.dumps(document).encode(),
    )
    sky = Trial(name="sky.csv", record=cloudy(200), geometry=CLOUDY_ROOF, sha256=FILE)
    verdict = judged(contender(worse), contender(shipped), sky)
    assert verdict.won, verdict.sentence
    assert not judged(contender(shipped), contender(worse), sky).won


def test_a_kind_nothing_is_known_of_is_not_judged() -> None:
    shipped = artefact("paper_lstm")
    manifest = {**shipped.manifest, "kind": "pv_tomorrow"}
    ahead = Artefact(id="ahead", path=shipped.path, manifest=manifest, content=b"")
    with pytest.raises(ChallengeFault, match="of kind pv_tomorrow"):
        method_of(ahead)
    assert parity_error(ahead) is None


def test_a_model_that_does_not_say_what_it_was_trained_on_cannot_be_judged() -> None:
    with pytest.raises(NoSpans, match="train it again"):
        training_spans({"id": "mine"})


def test_the_verdict_as_json_holds_all_of_it() -> None:
    document = judged(knowing(0.10, 1), knowing(0.09, 2)).to_json("2026-07-01T12:00:00+00:00")
    assert document["won"] is True
    assert document["champion"] == {"id": "0.1-1-1.0-0.0-1.0", "sha256": "0.1-1-1.0-0.0-1.0"}
    assert document["trials"][0]["challenger"]["nrmse_pct"] == pytest.approx(9.0, abs=0.3)
    assert set(document["rmse"]) == {"mean_pct", "low_pct", "high_pct"}
