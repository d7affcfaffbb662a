"""How long a day ahead takes: PV, with a weather forecast, in a batch; and the load."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.day_ahead.horizon import DayAhead
from forecasting.day_ahead.load import load_ahead
from forecasting.day_ahead.weather import WeatherForecast
from forecasting.day_ahead.weather_file import read_weather
from tests.bench.table import median_ms, tell
from tests.cloudy import ROOF, cloudy
from tests.households import ZONE, is_holiday, load_kw

DAY = 96
RUNS = 50


def test_bench_day_ahead(tmp_path: Path) -> None:
    record, load = cloudy(365), load_kw("feeder", 0)
    end, short = record.starts[-1], record.part(305 * DAY, 365 * DAY)
    forecaster = DayAhead.load()
    weather = WeatherForecast(read_weather(_weather_file(tmp_path, end)))
    issues = np.arange(DAY, 365 * DAY, 5)
    cases: dict[str, tuple[int, Callable[[], object]]] = {
        "PV, 60 days known": (1, lambda: forecaster.path(short, ROOF, end)),
        "PV, a year known": (1, lambda: forecaster.path(record, ROOF, end)),
        "PV, the mean alone": (1, lambda: forecaster.path(record, ROOF, end, calibrated=False)),
        "PV with a weather file": (1, lambda: forecaster.path(record, ROOF, end, weather=weather)),
        "PV, a year of issues": (len(issues), lambda: forecaster.batch(record, ROOF, issues)),
        "load, 70 days known": (1, lambda: load_ahead(load, load.index[-1], ZONE, is_holiday)),
    }
    rows = [_timed(case, paths, call) for case, (paths, call) in cases.items()]
    tell("day_ahead", rows)


def _timed(case: str, paths: int, call: Callable[[], object]) -> dict[str, object]:
    """Processor time: what a machine's other work adds is not the forecast's."""
    call()
    spent = []
    for _ in range(RUNS if paths == 1 else 2):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    ms = median_ms(spent)
    return {"case": case, "paths": paths, "ms": ms, "ms_a_path": ms / paths}


def _weather_file(folder: Path, now: pd.Timestamp) -> Path:
    """Two weeks of hourly forecasts, issued every six hours."""
    tables = []
    for issue in pd.date_range(now - pd.Timedelta(days=14), now, freq="6h"):
        times = pd.date_range(issue, periods=48, freq="1h")
        tables.append(pd.DataFrame({"issued_utc": issue, "time_utc": times, "ghi_wm2": 300.0}))
    path = folder / "weather.csv"
    pd.concat(tables).to_csv(path, index=False)
    return path
