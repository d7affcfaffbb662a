"""A model that is refused or missing is an alarm; a fallback that is normal is none."""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from ems.cli import main
from ems.cli.forecast_lines import MOST_LINES, forecast_lines
from ems.cli.tables import print_cycle
from ems.cycle import run_cycle
from ems.daemon import Service
from ems.domain import (
    CycleRecord,
    DerReading,
    Forecast,
    Limits,
    LoadReading,
    Policy,
    Pv,
    PvForecast,
    Setup,
    Site,
    Snapshot,
)
from ems.forecast import LadderForecaster
from ems.outlook import TariffOutlook
from ems.ports import Ports
from ems.record import from_json, to_json
from ems.replay import again, compared, given_of
from ems.settings import TEMPLATE
from ems.store import Store
from ems.tariff import flat
from ems.web import present
from feeders import Feeder
from forecasting.clearsky import PvGeometry, clear_sky_mean_kw
from forecasting.ladder import ladder_series
from forecasting.ladder.answers import LOOKS_BACK
from forecasting.pooled import PooledLstm
from forecasting.pooled.observed import RECENT
from forecasting.record import PlantRecord
from models import ArtefactFault, artefact, champion
from models.champions import promote
from models.register import shipped_root
from tests.artefacts import write_artefact
from tests.cloudy import ROOF, cloudy, holed
from tests.sites import (
    AUTO,
    NOW,
    PRICE_USD_PER_KWH,
    GivenForecast,
    NoHistory,
    available,
    ports,
    segment,
    sky,
)
from tests.sites import snapshot as segment_snapshot

NOON = datetime(2019, 7, 15, 20, 0, tzinfo=UTC)
SAMPLE = Path(__file__).with_name("test_record_sample.json").read_text(encoding="utf-8")
DAY = 96
SITE = Site(
    name="two roofs",
    latitude_deg=36.7,
    longitude_deg=-119.8,
    ders=(
        Pv(name="a", bus="b", rated_kw=1000.0, tilt_deg=20.0),
        Pv(name="b", bus="b", rated_kw=1000.0, tilt_deg=20.0),
    ),
    limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
    load_max_kw=1000.0,
    load_min_kw=10.0,
)
GEOMETRY = PvGeometry(
    latitude_deg=36.7, longitude_deg=-119.8, tilt_deg=20.0, azimuth_deg=180.0, rated_kw=1000.0
)
REFUSED = "artefact 'pv_pooled': model.tflite was changed after training; reinstall the package"


class Sunny(NoHistory):
    """A history under clouds that come and go, up to some hours before noon."""

    def __init__(self, silent: timedelta = timedelta(0)) -> None:
        starts = pd.date_range(
            NOON - timedelta(days=6), NOON - silent, freq="15min", inclusive="left"
        )
        index = np.random.default_rng(1).uniform(0.2, 1.0, len(starts))
        self.series = pd.Series(index * clear_sky_mean_kw(GEOMETRY, starts), index=starts)

    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
        del der
        return available(self.series, since, until)


def forecast(history: NoHistory, forecaster: LadderForecaster, *, heard: bool = True) -> Forecast:
    """What is expected of two plants at noon, with present readings or without."""
    readings = {
        name: DerReading(der=name, time=NOON, p_kw=500.0, q_kvar=0.0) for name in SITE.names
    }
    seen = Snapshot(
        time=NOON,
        ders=readings if heard else {},
        load=LoadReading(time=NOON, p_kw=100.0),
    )
    return forecaster.predict(SITE, seen, history)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of what ships, that may be harmed."""
    root = tmp_path / "shipped"
    for kind in ("paper_lstm", "pv_pooled", "pv_day_ahead"):
        shutil.copytree(shipped_root() / kind, root / kind)
    monkeypatch.setattr("models.register.files", lambda _: root)
    return root


def spoil(root: Path, kind: str, file: str = "model.tflite") -> None:
    with (root / kind / file).open("ab") as model:
        model.write(b"X")


# --- what the forecast tells ---------------------------------------------------------


def test_a_changed_model_is_one_fault_for_all_plants_and_a_short_note_of_each(
    shipped: Path,
) -> None:
    spoil(shipped, "pv_pooled")
    found = forecast(Sunny(), LadderForecaster())
    (fault,) = found.faults
    assert fault.startswith(f"the forecast goes without its model: {REFUSED}")
    assert len(fault) < 200
    for name in SITE.names:
        (note,) = found.notes_by_plant()[name]
        assert note.startswith(f"lstm not used: {REFUSED}")
        assert note.count("artefact '") == 1
        assert found.pv[name].method == "smart_persistence"


def test_a_model_that_is_not_there_is_a_fault(shipped: Path) -> None:
    shutil.rmtree(shipped / "pv_pooled")
    (fault,) = forecast(Sunny(), LadderForecaster()).faults
    assert "no artefact of kind pv_pooled is there; reinstall the package" in fault


def test_another_kinds_broken_model_is_nobodys_fault_here(shipped: Path) -> None:
    spoil(shipped, "paper_lstm")
    (shipped / "pv_day_ahead" / "manifest.json").write_text("{", encoding="utf-8")
    found = forecast(Sunny(), LadderForecaster())
    assert (found.faults, found.notes, found.pv["a"].method) == ((), (), "lstm")
    assert champion("pv_pooled").notes == ()
    with pytest.raises(ArtefactFault, match="expected model"):
        artefact("paper_lstm")


def test_a_promoted_model_that_is_refused_is_a_fault_though_another_serves(tmp_path: Path) -> None:
    write_artefact(tmp_path, "mine", artefact("paper_lstm").content)
    over = champion("paper_lstm", tmp_path).artefact
    promote(artefact("mine", tmp_path), tmp_path, over=over, why="It won.", when=NOON)
    spoil(tmp_path, "mine")
    found = forecast(Sunny(), LadderForecaster("paper_lstm", models=tmp_path))
    (fault,) = found.faults
    assert fault.startswith("champion 'mine' of paper_lstm is refused: artefact 'mine': model.tfl")
    assert len(fault) < 200
    assert found.pv["a"].method == "paper_lstm"


def test_a_model_that_fails_its_parity_check_is_a_fault_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("forecasting.runtime.PARITY_TOLERANCE", -1.0)
    (fault,) = forecast(Sunny(), LadderForecaster()).faults
    assert fault.startswith("the forecast goes without its model: artefact 'pv_pooled': the conv")


def test_a_plant_that_was_silent_for_four_hours_is_said_to_be_and_no_fault() -> None:
    found = forecast(Sunny(timedelta(hours=4)), LadderForecaster(), heard=False)
    assert found.faults == ()
    assert found.notes_by_plant()["a"] == (
        "lstm not used: no measurement of the last four hours that can be used",
        "smart_persistence not used: no uncapped measurement of the last hour",
    )
    nearly = forecast(Sunny(timedelta(hours=3, minutes=45)), LadderForecaster(), heard=False)
    assert (nearly.pv["a"].method, nearly.notes, nearly.faults) == ("lstm", (), ())


def test_a_first_cycle_without_any_history_and_a_night_are_no_fault() -> None:
    assert forecast(NoHistory(), LadderForecaster(), heard=False).faults == ()
    at_night = segment_snapshot(segment(), now=datetime(2019, 7, 15, 8, tzinfo=UTC), pv=0.0)
    assert LadderForecaster().predict(segment(), at_night, NoHistory()).faults == ()


# --- intervals before which nothing was measured -------------------------------------


class Half(PooledLstm):
    """The model that ships, silent in some intervals it could answer."""

    def __init__(self, silent: Mapping[int, int]) -> None:
        super().__init__(artefact("pv_pooled"))
        self._silent = silent

    def series(self, record: PlantRecord, geometry: PvGeometry) -> Any:
        found = super().series(record, geometry)
        mean = found.mean_kw.copy()
        for begin, end in self._silent.items():
            mean[begin:end] = np.nan
        return replace(found, mean_kw=mean)


def test_the_ladder_looks_back_as_far_as_the_model() -> None:
    assert LOOKS_BACK == RECENT


def test_an_interval_before_which_nothing_was_measured_is_not_the_models_failure() -> None:
    whole = cloudy(8)
    morning = int(np.argmax(whole.available_kw > 0.1 * ROOF.rated_kw))
    record = holed(whole.part(morning, len(whole)), 2 * DAY, 4 * DAY)
    found = ladder_series(PooledLstm(artefact("pv_pooled")), record, ROOF)
    assert "lstm" in set(found.branch)
    assert {"clear_sky"} == set(found.branch[:1])
    assert found.notes == ()


def test_an_interval_that_the_model_could_have_answered_is_its_failure() -> None:
    record = holed(cloudy(8), 2 * DAY, 4 * DAY)
    (note,) = ladder_series(Half({5 * DAY + 40: 5 * DAY + 43}), record, ROOF).notes
    told = np.isfinite(record.available_kw)
    asked = [told[max(i - LOOKS_BACK, 0) : i].any() for i in range(len(record))]
    assert note.startswith(f"the model gave no usable answer in 3 of {sum(asked)} intervals")


# --- the day ahead ---------------------------------------------------------------------


def ahead() -> Any:
    given = segment_snapshot(segment())
    return TariffOutlook(flat(0.2)).ahead(segment(), given, sky(5000.0, 10_000.0), NoHistory())


def test_a_changed_blend_of_the_day_ahead_is_a_fault_of_the_horizon(shipped: Path) -> None:
    assert ahead().faults == ()
    spoil(shipped, "pv_day_ahead", "coefficients.json")
    (fault,) = ahead().faults
    assert fault.startswith(
        "day ahead from the usual sky, without a trained blend: artefact 'pv_da"
    )
    assert "coefficients.json was changed after training" in fault
    assert f"pv: {fault}" in ahead().notes


# --- the cycle, the service, what is told --------------------------------------------


class Faulty(GivenForecast):
    """A forecaster whose model is refused."""

    def predict(self, *given: Any) -> Forecast:
        notes = ("pv: lstm not used: it was changed", "pv: stands still")
        return replace(super().predict(*given), notes=notes, faults=("no model: it was changed",))


def cycled(world: Ports) -> CycleRecord:
    return run_cycle(segment(), AUTO, PRICE_USD_PER_KWH, world, NOW)


@pytest.fixture(scope="module")
def made() -> CycleRecord:
    return cycled(ports(segment(), forecast=Faulty(10_000.0, 10_000.0)))


def test_a_refused_model_is_an_alarm_of_a_cycle_that_is_verified_all_the_same(
    made: CycleRecord,
) -> None:
    assert made.alarms == ("no model: it was changed",)
    assert made.status == "verified"
    assert replace(made, alarms=(*made.alarms, "a device is silent")).status == "degraded"
    assert replace(made, alarms=("a device is silent",)).status == "degraded"


def test_a_record_with_a_refused_model_is_kept_and_replayed_to_the_last_bit(
    made: CycleRecord,
) -> None:
    kept = from_json(to_json(made))
    assert (kept.forecast.faults, kept.model_faults) == (made.forecast.faults, made.alarms)
    with closing(Feeder.open("segment13", segment().placements)) as network:
        decided = again(kept, given_of(kept, Setup(site=segment(), policy=Policy()), None), network)
    assert compared(kept, decided).differences == ()


def test_a_record_of_an_older_version_has_no_such_fault() -> None:
    assert '"faults"' not in SAMPLE.partition('"forecast"')[2].partition('"free"')[0]
    assert from_json(SAMPLE).model_faults == ()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "geems.sqlite")) as opened:
        yield opened


def test_why_a_plant_was_not_forecast_better_is_kept_and_told_beside_its_method(
    store: Store, made: CycleRecord
) -> None:
    store.append(made)
    start = made.start
    kept = {k.device: k for k in store.forecasts(start, start + timedelta(minutes=15))}
    why = ("lstm not used: it was changed", "stands still")
    assert (kept["pv"].notes, kept["load"].notes) == (why, ())
    ders = {d.der: d for d in present.dispatch(made, segment(), {}).ders}
    assert ders["pv"].available_notes == why
    assert ders["dg"].available_notes == ()


def test_the_service_shows_a_refused_model_and_logs_it_once(
    store: Store, made: CycleRecord, caplog: pytest.LogCaptureFixture
) -> None:
    world = ports(segment())
    records = iter([made, made, replace(made, alarms=(), forecast=sky(1.0, 2.0)), made])
    service = Service(
        site=segment(), policy=Policy(), ports=world, store=store, run=lambda *_: next(records)
    )
    told = "no model: it was changed"
    with caplog.at_level(logging.INFO, logger="ems.daemon.service"):
        for alarms in ((told,), (told,), (), (told,)):
            service._lease.take()
            service.cycle()
            assert service.health().alarms == alarms
    lines = [r for r in caplog.records if r.name == "ems.daemon.service"]
    assert [r.levelno for r in lines if told in r.getMessage()] == [logging.WARNING] * 2
    assert [told in r.getMessage() for r in lines] == [True, False, False, False, True, False]


def test_run_and_explain_tell_the_branch_of_each_plant_and_why(
    tmp_path: Path,
    made: CycleRecord,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = "Forecast of pv: given (lstm not used: it was changed; stands still)"
    monkeypatch.setenv("COLUMNS", "120")
    print_cycle(made)
    shown = capsys.readouterr().out.splitlines()
    assert shown[-2:] == [line, "! no model: it was changed"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    with closing(Store.open(tmp_path / "geems.sqlite")) as kept:
        kept.append(made)
    assert line in CliRunner().invoke(main, ["explain"]).stdout.splitlines()
    document = json.loads(CliRunner().invoke(main, ["explain", "--json"]).stdout)
    notes = ["lstm not used: it was changed", "stands still"]
    assert document["forecast"] == {"pv": {"method": "given", "notes": notes}}
    assert document["alarms"] == ["no model: it was changed"]


def test_plants_are_told_with_their_branch_and_alike_ones_together() -> None:
    def pv(method: str) -> PvForecast:
        return PvForecast(expected_kw=1.0, lower_kw=0.0, upper_kw=2.0, method=method)

    plants = {f"p{i}": pv("lstm") for i in range(5)} | {"q": pv("clear_sky"), "p": pv("lstm")}
    whole = Forecast(start=NOON, pv=plants, load_kw=1.0, notes=("q: silent", "q: odd", "p: x: y"))
    assert list(forecast_lines(whole)) == [
        "Forecast of p0, p1, p2 and 2 more: lstm",
        "Forecast of q: clear_sky (silent; odd)",
        "Forecast of p: lstm (x: y)",
    ]
    many = {f"p{i}": pv("lstm") for i in range(30)}
    notes = tuple(f"p{i}: note {i}" for i in range(30))
    lines = list(forecast_lines(replace(whole, pv=many, notes=notes)))
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == "Forecast of 10 other plants: see the record, with --json"
