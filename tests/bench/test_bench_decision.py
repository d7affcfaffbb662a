"""Time of a full decision on the reference segment: forecast, both dispatches, load flows."""

import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import Injections, Verified
from ems.forecast import LadderForecaster
from ems.store import Store
from feeders import Feeder
from tests.bench.table import median_ms, tell
from tests.sites import LOAD_KW, NOW, PRICE_USD_PER_KWH, segment, snapshot

RUNS = 60


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Five days of history, as a service has it."""
    opened = Store.open(tmp_path / "bench.sqlite")
    starts = pd.date_range(NOW - timedelta(days=5), NOW, freq="15min", inclusive="left")
    hour = np.asarray(starts.hour + starts.minute / 60.0)
    day = np.clip(9_000.0 * np.sin((hour - 13.0) / 14.0 * np.pi), 0.0, None)
    opened.add_history("pv", pd.Series(day.tolist(), index=starts))
    yield opened
    opened.close()


def test_bench_full_decision_on_segment13(store: Store) -> None:
    site = segment()
    feeder = Feeder.open("segment13", site.placements)
    forecaster = LadderForecaster("lstm")
    state = snapshot(site)
    flat = Injections(p_kw={"pv": 9e3, "dg": 3e3}, q_kvar={}, load_kw=LOAD_KW)
    spent: dict[str, list[float]] = {
        k: [] for k in ("forecast", "dispatch", "constrain", "full decision", "one load flow")
    }
    for run in range(RUNS + 5):
        t0 = time.perf_counter()
        forecast = forecaster.predict(site, state, store)
        t1 = time.perf_counter()
        resolve = partial(dispatch, site, state, forecast, PRICE_USD_PER_KWH)
        free = resolve((), {})
        t2 = time.perf_counter()
        secured = constrain(site, state, forecast, free, feeder, resolve)
        t3 = time.perf_counter()
        feeder.load_flow(flat)
        t4 = time.perf_counter()
        assert isinstance(secured, Verified)
        assert secured.linearisations >= 1
        if run >= 5:  # the first ones build the model and fill caches
            for key, value in zip(
                spent, (t1 - t0, t2 - t1, t3 - t2, t3 - t0, t4 - t3), strict=True
            ):
                spent[key].append(value)
    asked = {"full decision": 60.0}
    tell(
        "decision",
        [
            {
                "stage": key,
                "median_ms": median_ms(values),
                "p95_ms": 1e3 * float(np.quantile(values, 0.95)),
                "asked_ms": asked.get(key, "-"),
                "load_flows": median_ms(values) / median_ms(spent["one load flow"]),
            }
            for key, values in spent.items()
        ],
    )
