"""What is kept from cycle to cycle is what would be found by looking at everything anew."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.forecast.kept import Kept
from ems.forecast.observed import KEPT, Observed
from ems.forecast.plain import CONTEXT, is_odd
from ems.ports import History
from forecasting.calibration.correction import INPUTS, Correction
from forecasting.calibration.residuals import ResidualBins
from forecasting.clearsky import Floats, PvGeometry, clear_sky_mean_kw
from forecasting.data.screening import CENSORED, Reason, screened
from forecasting.ladder import LadderState, PlantLadder, ladder_series, next_of_all
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.series import INTERVAL
from forecasting.sky import GROUPS, Newest, light_of, sky_next, sky_seen
from tests.cloudy import ROOF, cloudy, holed
from tests.pooled_skies import clouds

DAY = 96
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 40
PLACE = PvGeometry(
    latitude_deg=48.1,
    longitude_deg=11.6,
    tilt_deg=35.0,
    azimuth_deg=170.0,
    rated_kw=10.0,
    scale=1.2,
)
STARTS = pd.date_range(FIRST, periods=DAYS * DAY, freq=INTERVAL)
CLEAR_KW = clear_sky_mean_kw(PLACE, STARTS)

faults = st.lists(
    st.tuples(
        st.sampled_from(["gap", "dead", "level", "dim", "offset", "capped", "limit", "crawl"]),
        st.integers(30 * DAY, 36 * DAY),
        st.integers(1, 60),
    ),
    max_size=5,
)


def powers(seed: int, harm: Sequence[tuple[str, int, int]]) -> tuple[Floats, Floats]:
    """Power of each third of each interval, and caps, with faults in them [kW]."""
    made = np.minimum(CLEAR_KW * clouds(len(STARTS), seed), PLACE.rated_kw)
    cap = np.full(len(STARTS), np.inf)
    for kind, begin, count in harm:
        rows = slice(begin, begin + count)
        if kind == "gap":
            made[rows] = np.nan
        elif kind == "dead":
            made[rows] = 0.0
        elif kind == "level":
            made[rows] = 0.45 * PLACE.rated_kw
        elif kind == "dim":
            made[rows] *= 0.045
        elif kind == "offset":
            made[rows] += 0.006 * PLACE.rated_kw
        elif kind == "capped":
            made[rows], cap[rows] = np.minimum(made[rows], 3.0), 3.0
        elif kind == "limit":
            made[rows] = np.where(CLEAR_KW[rows] > 0.0, 0.989 * PLACE.rated_kw, 0.0)
        else:  # as slowly as a plateau may just move
            made[rows] = 4.0 + 0.0299 * (np.arange(count) % 2)
    return np.repeat(made[:, None], 3, axis=1), cap


class Growing:
    """A history whose newest part comes late: a cycle later it is there."""

    def __init__(self, parts_kw: Floats, cap_kw: Floats, *, late: bool) -> None:
        self.parts_kw, self.cap_kw, self.late = parts_kw, cap_kw, late

    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
        del der
        begin, end = (int((t - FIRST) / timedelta(minutes=15)) for t in (since, until))
        parts = self.parts_kw[begin:end].copy()
        if self.late and len(parts):
            parts[-1, -1] = np.nan
        cap = self.cap_kw[begin:end]
        return PlantRecord(
            starts=STARTS[begin:end],
            parts_kw=np.where(np.isposinf(cap)[:, None], parts, np.nan),
            floor_kw=parts[:, 0],
            cap_kw=cap,
        )

    def load_kw(self, since: datetime, until: datetime) -> "pd.Series[float]":
        raise AssertionError(f"the sun does not ask for the load, {since} {until}")


class Suspecting(Observed):
    """The same, but screening looks at the newest days whole in every cycle."""

    def _measured(self, coming: int, history: History, geometry: PvGeometry) -> Kept:
        found = super()._measured(coming, history, geometry)
        self._odd = np.ones_like(self._odd)
        return found


def same(one: PlantRecord, other: PlantRecord) -> bool:
    fields = ("parts_kw", "floor_kw", "cap_kw", "available_kw")
    return one.starts.equals(other.starts) and all(
        np.array_equal(getattr(one, f), getattr(other, f), equal_nan=True) for f in fields
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 50), harm=faults, late=st.booleans(), skip=st.integers(1, 300))
def test_a_month_added_to_is_the_month_read_and_screened_anew(
    seed: int, harm: list[tuple[str, int, int]], *, late: bool, skip: int
) -> None:
    history = Growing(*powers(seed, harm), late=late)
    quick, whole = Observed("pv", PLACE.rated_kw), Suspecting("pv", PLACE.rated_kw)
    begin = 33 * DAY
    for at in [*range(begin, begin + 12), *range(begin + 12 + skip, begin + 60 + skip)]:
        now = STARTS[at].to_pydatetime()
        told = [o.until(STARTS[at], history, PLACE, None, now) for o in (quick, whole)]
        found, known = (s.newest for s in told)
        assert same(found.record, known.record)
        assert np.array_equal(found.available_kw, found.record.available_kw, equal_nan=True)
        assert told[0].reason in (told[1].reason, Reason.FINE)
        assert told[0].reason == told[1].reason or told[1].reason not in CENSORED
        read = history.pv_record("pv", (STARTS[at] - KEPT).to_pydatetime(), now)
        assert np.array_equal(told[0].measured_kw, read.floor_kw, equal_nan=True)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 50),
    harm=faults,
    end=st.integers(31 * DAY, 37 * DAY),
    days=st.integers(1, 4),
)
def test_what_screening_would_censor_is_never_taken_for_plain(
    seed: int, harm: list[tuple[str, int, int]], end: int, days: int
) -> None:
    parts_kw, cap_kw = powers(seed, harm)
    rows = slice(end - days * DAY - CONTEXT, end)
    record = PlantRecord(
        starts=STARTS[rows],
        parts_kw=np.where(np.isposinf(cap_kw[rows])[:, None], parts_kw[rows], np.nan),
        floor_kw=parts_kw[rows, 0],
        cap_kw=cap_kw[rows],
    )
    odd = is_odd(record.available_kw, PLACE, record.starts[CONTEXT])
    newest = record.part(CONTEXT, len(record))
    for judged in (screened(newest, PLACE, causal=True), screened(newest, PLACE)):
        # Looking back from later, an earlier interval of the same run may be censored too.
        censored = np.isin(judged.reason, [int(r) for r in CENSORED])
        assert odd.any() or not censored.any()
    censored = np.isin(screened(newest, PLACE, causal=True).reason, [int(r) for r in CENSORED])
    counted = light_of(PLACE, newest.starts[0], len(newest))[0] > 0.15
    assert not (censored & counted & ~odd).any()


def test_all_plants_at_once_get_what_each_gets_alone() -> None:
    records = [cloudy(36), holed(cloudy(36, seed=2), 34 * DAY + 20, 34 * DAY + 70), cloudy(3)]
    models = [Half(), None, Half()]
    alone = [PlantLadder(m, ROOF) for m in models]
    together = [PlantLadder(m, ROOF) for m in models]
    for ladder, record in zip([*alone, *together], [*records, *records], strict=True):
        ladder.replay(record.part(0, len(record) - 2 * DAY))
    for back in range(2 * DAY, DAY, -1):
        now = [r.part(0, len(r) - back) for r in records]
        newest = [Newest(record=r, available_kw=r.available_kw, geometry=ROOF) for r in now]
        for one, found in zip(
            [ladder.next(r) for ladder, r in zip(alone, now, strict=True)],
            next_of_all(together, newest),
            strict=True,
        ):
            assert (one.branch, one.notes) == (found.branch, found.notes)
            assert one.forecast.mean_kw == pytest.approx(found.forecast.mean_kw, abs=1e-12)
            quantiles_kw = found.forecast.quantiles_kw
            assert one.forecast.quantiles_kw == pytest.approx(quantiles_kw, abs=1e-12)


class Half:
    """A model that says half the clear sky ± 15 %."""

    def series(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        return self._of(sky_seen(record, geometry).clear, record.starts, geometry)

    def next(self, record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        clear = sky_next(record, geometry).clear[-1:]
        return self._of(clear, record.starts[-1:] + INTERVAL, geometry)

    def _of(
        self, clear: Floats, starts: pd.DatetimeIndex, geometry: PvGeometry
    ) -> QuantileForecast:
        mean_kw = 0.5 * clear * geometry.rated_kw
        spread = np.linspace(0.85, 1.15, len(LEVELS))
        return QuantileForecast(
            starts=starts, mean_kw=mean_kw, quantiles_kw=mean_kw[:, None] * spread
        )


@pytest.mark.parametrize("minutes", [5, 15])
def test_a_replay_learns_what_forecasting_the_same_record_learns(minutes: int) -> None:
    record = holed(cloudy(30, minutes=minutes), 20 * DAY + 40, 20 * DAY + 50)
    walked, ladder = LadderState(), PlantLadder(Half(), ROOF)
    ladder_series(Half(), record, ROOF, walked)
    ladder.replay(record)
    expected, found = walked.to_json(), ladder.state.to_json()
    assert found["smart"] == expected["smart"]
    assert found["usual"] == expected["usual"]
    assert found["contest"] == pytest.approx(expected["contest"], rel=1e-9)
    bands, wanted = found["bands"], expected["bands"]
    assert bands["calibration"] == wanted["calibration"]
    assert bands["contest"] == pytest.approx(wanted["contest"], rel=1e-6)
    for part in ("groups", "all"):  # kept to five digits, in which a last one may turn
        kept = zip(bands["errors"][part], wanted["errors"][part], strict=True)
        assert all(one == pytest.approx(other, abs=2e-5) for one, other in kept)
    for part in ("covered", "explained"):
        assert np.array(found["correction"][part]) == pytest.approx(
            np.array(expected["correction"][part]), rel=1e-9, abs=1e-12
        )


def test_a_correction_run_at_once_is_the_one_learnt_step_by_step() -> None:
    rng = np.random.default_rng(4)
    inputs = rng.normal(0.0, 0.2, (1300, len(INPUTS)))
    errors = 0.3 * inputs[:, 1] + rng.normal(0.0, 0.1, len(inputs))
    inputs[rng.uniform(size=len(inputs)) < 0.1, 2] = np.nan
    errors[rng.uniform(size=len(inputs)) < 0.1] = np.nan
    stepwise, at_once = Correction(), Correction()
    expected = []
    for row, error in zip(inputs, errors.tolist(), strict=True):
        expected.append(stepwise.of(row))
        stepwise.learn(row, error)
    assert at_once.run(inputs, errors) == pytest.approx(np.array(expected), abs=1e-12)
    assert at_once.of(np.ones(len(INPUTS))) == pytest.approx(stepwise.of(np.ones(len(INPUTS))))


@given(data=st.data())
def test_errors_kept_at_once_are_those_kept_one_after_the_other(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    count = data.draw(st.integers(0, 1500))
    errors, clear = rng.normal(0.0, 0.1, count), rng.uniform(0.0, 1.0, count)
    groups = rng.integers(0, 3, count) * (GROUPS // 3)
    stepwise, at_once = ResidualBins(), ResidualBins()
    for bins in (stepwise, at_once):
        bins.learn(0.25, 0, 0.5)
    for error, group, sun in zip(errors.tolist(), groups.tolist(), clear.tolist(), strict=True):
        stepwise.learn(error, group, sun)
    at_once.learn_all(errors, groups, clear)
    assert at_once.to_json() == stepwise.to_json()
    assert at_once.around(0.4, 0, 0.5) == stepwise.around(0.4, 0, 0.5)
