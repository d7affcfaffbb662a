"""A folder of results whose numbers are made up: what a report is tested with."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from ems.backtest.case import DayInput, DayState
from ems.backtest.keeping import Failed, Results, packed
from ems.backtest.period import intervals_of, midnight
from ems.backtest.study import Chain, Study
from tests.backtest_days import rows, study
from tests.backtests import case, given

NOON = 52
"""First of the four intervals in which sun is given up: 13:00 local, in which clouds are rare."""
WHY = "PV plant pv is held <b>below</b> the sun: B13.3 is at its limit."


def kept_study(
    folder: Path,
    asked: Study | None = None,
    *,
    without: tuple[str, date] | None = None,
    quiet: bool = False,
    **more: Any,
) -> Study:
    """Write what a study left: `none` breaks the upper limit, `geems` gives up sun for it.

    Args:
        folder: of the results.
        asked: the study; None: three days of both.
        without: a policy and a day that failed.
        quiet: nothing happens.
        more: columns that are the same in every row.
    """
    asked = asked or study(3, "none", "geems")
    with Results.opened(folder, asked.asked()) as results:
        failed = []
        for chain in asked.chains():
            for i, day in enumerate(chain.days):
                if without == (chain.case.method, day):
                    failed.append(Failed(chain=chain.key, day=day, why="out of <memory>"))
                    continue
                happened = {} if quiet else numbers(chain, day, i)
                told = rows(chain.case, day_given(chain, day), **{**happened, **more})
                start = DayState.at_start(chain.case)
                data = packed(told, results.digest, start, start.to_bytes())
                results.keep(chain.key, day, data)
        results.tell_failed(failed)
    return asked


def day_given(chain: Chain, day: date) -> DayInput:
    """A steady load, and no sun."""
    zone = chain.case.zone
    start = midnight(day, zone).replace(tzinfo=None).isoformat()
    count = intervals_of(day, zone)
    return replace(given(case("none"), 0.0, intervals=count, start=start), day=day)


def numbers(chain: Chain, day: date, i: int) -> Mapping[str, Any]:
    """Columns of a day: later days are worse, by a quarter of an hour a day."""
    count = intervals_of(day, chain.case.zone)
    at = np.zeros(count)
    at[NOON : NOON + 4] = 1.0 + i
    common = {"cost_usd": [100.0 + 10 * i] * count, "pv_available_kw": (3000.0 * at).tolist()}
    if chain.case.method == "none":
        return {
            **common,
            "pv_kw": (3000.0 * at).tolist(),
            "v_max_pu": (1.08 + 0.03 * at).tolist(),
            "v_max_node": "B13.3",
            "depth_pu": np.maximum(0.03 * at - 0.02, 0.0).tolist(),
            "nodes_above": (3 * (at > 0)).astype(int).tolist(),
            "nodes_violated": ["B13.3,B13.1,B12.3" if a else "" for a in at.tolist()],
        }
    return {
        **common,
        "status": "verified",
        "pv_kw": (2000.0 * at).tolist(),
        "curtailed_kw": (1000.0 * at).tolist(),
        "compliance_usd_per_h": (50.0 * at).tolist(),
        "v_max_pu": (1.08 + 0.019 * (at > 0)).tolist(),
        "why": [WHY if a else "" for a in at.tolist()],
    }
