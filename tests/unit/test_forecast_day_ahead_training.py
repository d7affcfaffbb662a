"""Training the day ahead: what is learnt, what is written, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from forecasting.clearsky import Floats
from forecasting.data.sources import TrainingSource
from forecasting.day_ahead import fit as horizon_fit
from forecasting.day_ahead.fit import Lesson, fit
from forecasting.day_ahead.horizon import DayAhead
from forecasting.day_ahead.train import train_day_ahead
from forecasting.record import LEVELS
from forecasting.series import SeriesFault
from models import artefact
from tests.cloudy import ROOF, cloudy, power_kw, write_csv


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantiles from fewer rows: what is learnt is rougher, how it is learnt the same."""
    monkeypatch.setattr(horizon_fit, "_ROWS", 1500)
    monkeypatch.setattr(horizon_fit, "_TOUCHES", 15)


def source(folder: Path, name: str, days: int, seed: int) -> TrainingSource:
    path = write_csv(folder / f"{name}.csv", power_kw(days, seed=seed))
    return TrainingSource(
        name=name, path=path, quantity="power_kw", geometry=ROOF, licence="made up", origin="a test"
    )


def test_the_same_series_give_the_same_artefact_which_the_register_believes(tmp_path: Path) -> None:
    sources = [source(tmp_path, name, 66, seed) for name, seed in (("one", 1), ("two", 2))]
    told: list[tuple[int, int, str]] = []
    first = train_day_ahead(
        sources, tmp_path / "a" / "mine", progress=lambda *now: told.append(now)
    )
    again = train_day_ahead(sources, tmp_path / "b" / "mine", leave_one_out=False)
    assert first.sha256 == again.sha256
    assert told == [(1, 3, ""), (2, 3, "one"), (3, 3, "two")]
    found = artefact("mine", tmp_path / "a")
    assert found.kind == "pv_day_ahead"
    assert set(found.manifest["metrics"]) == {"one", "two"}
    assert set(found.manifest["metrics_left_out"]) == {"one", "two"}
    assert again.scores[0].left_out is None
    assert first.scores[0].left_out is not None
    card = found.card.read_text(encoding="utf-8")
    assert "never saw it" in card
    assert found.sha256 in card
    assert first.scores[0].tested_from == "2023-04-14", "44 of 66 days on"
    assert found.manifest["training_window"]["one"]["last"] == "2023-04-14"
    assert DayAhead.load("mine", tmp_path / "a").branch == "pv_day_ahead"


def test_series_too_short_are_all_told(tmp_path: Path) -> None:
    sources = [source(tmp_path, "one", 20, 1), source(tmp_path, "two", 30, 2)]
    with pytest.raises(SeriesFault) as caught:
        train_day_ahead(sources, tmp_path / "mine")
    assert len(caught.value.faults) == 2
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_is_no_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no id"):
        train_day_ahead([source(tmp_path, "one", 66, 1)], tmp_path / "My Blend")


def test_on_the_data_it_learnt_from_each_quantile_lies_above_its_share_of_the_truths() -> None:
    record = cloudy(70)
    day_ahead = DayAhead(fit([Lesson(record=record, geometry=ROOF)]))
    issues = np.arange(10 * 96, 69 * 96, 37)
    batch = day_ahead.batch(record, ROOF, issues)
    at = issues[:, None] + np.arange(96)
    truth: Floats = record.available_kw[at]
    sunny = truth > 0.2 * ROOF.rated_kw
    rest = (batch.mean_kw > 1.0) | sunny
    below = (truth[rest][:, None] <= batch.quantiles_kw[rest]).mean(axis=0)
    np.testing.assert_allclose(below, LEVELS, atol=0.07)


def test_a_record_of_a_day_teaches_nothing() -> None:
    with pytest.raises(ValueError, match="two days"):
        fit([Lesson(record=cloudy(1), geometry=ROOF)])
