"""What uncertainty costs: one interval in service, and a history replayed at the start."""

import time

import numpy as np

from forecasting.baselines import fading_persistence_share
from forecasting.calibration.conformal import Calibration
from forecasting.calibration.residuals import ResidualBins, residual_run
from forecasting.clearsky import Floats
from forecasting.ladder import PlantLadder, ladder_series
from forecasting.sky import SkySeen, sky_seen
from tests.bench.table import median_ms, tell
from tests.calibrating import calibration_run
from tests.cloudy import ROOF, cloudy

DAY = 96


def quantiles(sky: SkySeen) -> Floats:
    mean = fading_persistence_share(sky)
    return np.clip(mean[:, None] + 0.2 * sky.clear[:, None] * np.linspace(-1, 1, 7), 0.0, 1.0)


def test_uncertainty_costs_little() -> None:
    sky = sky_seen(cloudy(60), ROOF)
    raw, mean = quantiles(sky), fading_persistence_share(sky)
    rows = []

    def timed(name: str, count: int, seconds: list[float]) -> None:
        whole_ms = median_ms(seconds)
        rows.append({"what": name, "ms": whole_ms, "us_per_interval": 1e3 * whole_ms / count})

    def repeated(run: object, times: int = 5) -> list[float]:
        assert callable(run)
        found = []
        for _ in range(times):
            begin = time.perf_counter()
            run()
            found.append(time.perf_counter() - begin)
        return found

    light = int(sky.daylight.sum())
    timed("calibration, 60 days", light, repeated(lambda: calibration_run(raw, sky, Calibration())))
    timed("residuals, 60 days", light, repeated(lambda: residual_run(mean, sky, ResidualBins())))
    whole = cloudy(60)
    timed("ladder, 60 days", len(whole), repeated(lambda: ladder_series(None, whole, ROOF)))
    ladder = PlantLadder(None, ROOF)
    ladder.replay(whole.part(0, 59 * DAY))
    parts = [whole.part(59 * DAY + k - 40 * DAY, 59 * DAY + k) for k in range(20, 80)]
    ladder.next(parts[0])  # the sun of these days is worked out once
    timed("ladder, next", 1, [repeated(lambda p=part: ladder.next(p), 1)[0] for part in parts])
    tell("forecast_uncertainty", rows)
    assert len(rows) == 4
