"""Time to fit a plant's orientation, and to screen its record, by length of the record."""

import time
from collections.abc import Callable
from dataclasses import replace

from forecasting.data.orientation import fit_plant
from forecasting.data.screening import screened
from tests.bench.table import median_ms, tell
from tests.cloudy import ROOF, cloudy


def timed_ms(what: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        what()
        seconds.append(time.perf_counter() - begin)
    return median_ms(seconds)


def test_orientation_and_screening_take_about_a_second_for_a_year() -> None:
    guess = replace(ROOF, tilt_deg=10.0, azimuth_deg=90.0)
    rows = []
    for days in (60, 365):
        record = cloudy(days)
        rows.append(
            {
                "days": days,
                "fit ms": timed_ms(lambda r=record: fit_plant(r, guess), 3),  # type: ignore[misc]
                "screen ms": timed_ms(lambda r=record: screened(r, ROOF), 3),  # type: ignore[misc]
                "screen causal ms": timed_ms(
                    lambda r=record: screened(r, ROOF, causal=True),  # type: ignore[misc]
                    3,
                ),
            }
        )
    tell("orientation", rows)
