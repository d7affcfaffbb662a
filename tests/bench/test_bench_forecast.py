"""The pooled forecast: time of one, of a year at once, and what loading it costs in memory."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from ems.domain import DerReading, Limits, LoadReading, Pv, Quality, Site, Snapshot
from ems.forecast import LadderForecaster
from ems.ports import History
from ems.store import Store
from forecasting.pooled import PooledLstm
from forecasting.record import PlantRecord
from models import artefact
from tests.bench.table import median_ms, tell
from tests.pooled_skies import ROOF, roof_record

RUNS = 300
PLANTS = 100
DAY = 96
QUARTER = timedelta(minutes=15)

# Memory once everything the service has imported anyway is there, then with the forecaster.
GROWTH = """
import os, numpy, pandas, pvlib
import forecasting.baselines, forecasting.record
from tests.pooled_skies import ROOF, roof_record

def resident_mb():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

record = roof_record()
forecasting.baselines.smart_persistence(record, ROOF)
before = resident_mb()
from forecasting.pooled import PooledLstm
from models import artefact
model = PooledLstm(artefact("pv_pooled"))
loaded = resident_mb()
for _ in range(50):
    model.next(record, ROOF)
print(before, loaded, resident_mb())
"""


def test_bench_one_forecast() -> None:
    model, record = PooledLstm(artefact("pv_pooled")), roof_record(days=30, minutes=5)
    noon = record.part(0, 29 * 96 + 44)
    coarse = replace(noon, parts_kw=noon.available_kw[:, None])
    minutes = replace(noon, parts_kw=np.repeat(noon.parts_kw, 5, axis=1))
    fleet = [replace(ROOF, azimuth_deg=90.0 + i) for i in range(PLANTS)]
    rows = []
    for name, history in (("15 min", coarse), ("5 min", noon), ("1 min", minutes)):
        model.next(history, ROOF)
        spent = []
        for _ in range(RUNS):
            began = time.perf_counter()
            model.next(history, ROOF)
            spent.append(time.perf_counter() - began)
        rows.append({"case": f"one plant, {name}", "median_ms": median_ms(spent)})
    for name in (f"{PLANTS} plants, first of the day", f"{PLANTS} plants, then"):
        began = time.perf_counter()
        for geometry in fleet:
            model.next(noon, geometry)
        each_ms = 1e3 * (time.perf_counter() - began) / PLANTS
        rows.append({"case": f"{name}, each", "median_ms": each_ms})
    tell("forecast_next", rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A history that answers at once: every plant made the same, the load is not known."""

    record: PlantRecord

    def pv_record(self, der: str, since: datetime, until: datetime) -> PlantRecord:
        del der
        first = self.record.starts[0].to_pydatetime()
        begin, end = (t - first for t in (since, until))
        return self.record.part(begin // QUARTER, end // QUARTER)

    def pv_records(
        self, ders: Sequence[str], since: datetime, until: datetime
    ) -> Mapping[str, PlantRecord]:
        return dict.fromkeys(ders, self.pv_record("", since, until))

    def load_kw(self, since: datetime, until: datetime) -> "pd.Series[float]":
        del since, until
        return pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC"))


def fleet_of(plants: int) -> Site:
    return Site(
        name="bench",
        latitude_deg=ROOF.latitude_deg,
        longitude_deg=ROOF.longitude_deg,
        limits=Limits(v_min_pu=0.95, v_max_pu=1.05),
        load_max_kw=100.0,
        load_min_kw=10.0,
        ders=tuple(
            Pv(name=f"pv{i}", bus="a", rated_kw=5.0, tilt_deg=30.0, azimuth_deg=90.0 + i)
            for i in range(plants)
        ),
    )


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / 1e6


def cycles(
    site: Site, history: History, record: PlantRecord, rows: range
) -> dict[str, float | int | str]:
    """The forecast stage in consecutive intervals of a record that every plant measured."""
    forecaster, spent, cpu = LadderForecaster(), [], []
    before_mb = resident_mb()
    for at in rows:
        now = record.starts[at].to_pydatetime() + timedelta(seconds=5)
        # Polled one after the other, so that no two plants share an instant.
        readings = {
            p.name: DerReading(
                der=p.name,
                time=now - timedelta(milliseconds=20 * i),
                p_kw=float(record.floor_kw[at - 1]),
                q_kvar=0.0,
            )
            for i, p in enumerate(site.pvs)
        }
        load = LoadReading(time=now, p_kw=100.0, q_kvar=0.0, quality=Quality.GOOD)
        snapshot = Snapshot(time=now, ders=readings, load=load)
        began, cpu_began = time.perf_counter(), time.process_time()
        forecaster.predict(site, snapshot, history)
        spent.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)
        if at == rows[0]:
            first_mb = resident_mb()
    plants = len(site.pvs)
    return {
        "plants": plants,
        "first_ms": 1e3 * spent[0],
        "median_ms": median_ms(spent[1:]),
        "each_ms": median_ms(spent[1:]) / plants,
        "each_cpu_ms": median_ms(cpu[1:]) / plants,
        "worst_ms": 1e3 * max(spent[1:]),
        "first_mb": first_mb - before_mb,
        "then_mb": resident_mb() - first_mb,
    }


def test_bench_a_cycle_of_the_service() -> None:
    """First cycle, in which each plant learns from its month, and those after it."""
    record, rows = roof_record(days=40, minutes=5), []
    first = 34 * DAY + 20
    for plants, count in ((1, 96), (10, 96), (PLANTS, 48)):
        site = fleet_of(plants)
        told = cycles(site, Measured(record=record), record, range(first, first + count))
        rows.append({"history": "in memory", **told})
    tell("forecast_predict", rows)


def test_bench_a_cycle_of_the_service_on_its_database(tmp_path: Path) -> None:
    """Polls every minute of a day, of a hundred plants; no month to learn from."""
    site, record = fleet_of(PLANTS), roof_record(days=1, minutes=1)
    minutes_kw = record.parts_kw.ravel()
    index = pd.date_range(record.starts[0], periods=len(minutes_kw), freq="min")
    with closing(Store.open(tmp_path / "bench.db")) as store:
        for pv in site.pvs:
            store.add_history(pv.name, pd.Series(minutes_kw, index=index))
        told = cycles(site, store, record, range(40, 64))
    tell("forecast_predict_sqlite", [{"history": "SQLite, 1 min", **told}])


def test_bench_a_year_at_once() -> None:
    model = PooledLstm(artefact("pv_pooled"))
    rows = []
    for name, minutes in (("15 min", 15), ("5 min", 5), ("1 min", 1)):
        year = roof_record("2026-01-01", days=365, minutes=minutes)
        began = time.perf_counter()
        answer = model.series(year, ROOF)
        spent = time.perf_counter() - began
        rows.append({"case": name, "intervals": len(answer.mean_kw), "seconds": spent})
    tell("forecast_year", rows)


def test_bench_memory_of_the_forecaster() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True
    )
    before, loaded, used = map(float, done.stdout.split())
    tell(
        "forecast_memory",
        [
            {"state": "before", "resident_mb": before, "growth_mb": 0.0},
            {"state": "loaded", "resident_mb": loaded, "growth_mb": loaded - before},
            {"state": "after 50 forecasts", "resident_mb": used, "growth_mb": used - before},
        ],
    )
