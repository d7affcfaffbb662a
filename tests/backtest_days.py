"""Days that take no time to simulate: what a chain is tested with."""

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from ems.backtest.case import Case, DayInput, DayResult, DayState, DeviceState
from ems.backtest.rows import schema_of
from ems.backtest.study import Study, StudySite
from ems.settings import TEMPLATE, load_settings

KEEPS = 0.2
"""Share of the battery's distance from its rest that a day leaves: seams agree after some days."""
REST_PCT = 30.0
FIRST = date(2019, 6, 1)


def study(days: int, *policies: str, **more: object) -> Study:
    """A study of the template's site, from the first of June on."""
    of = StudySite.of(load_settings(TEMPLATE, {}))
    return Study(
        sites=(of,),
        first=FIRST,
        last=date.fromordinal(FIRST.toordinal() + days - 1),
        policies=policies or ("none",),  # type: ignore[arg-type]
        forecast="clear_sky",
        **more,  # type: ignore[arg-type]
    )


def tiny_day(case: Case, given: DayInput, state: DayState) -> DayResult:
    """A day after which the battery is nearer to its rest, to a tenth of a per cent."""
    before = state.devices["bes"].soc_pct or 0.0
    return _result(case, given, state, before, next_soc_pct(before))


def next_soc_pct(before_pct: float) -> float:
    """Charge after a tiny day [%]."""
    return round(REST_PCT + KEEPS * (before_pct - REST_PCT), 1)


def forgetful_day(case: Case, given: DayInput, state: DayState) -> DayResult:
    """A day after which the battery is where it always is."""
    return _result(case, given, state, state.devices["bes"].soc_pct or 0.0, REST_PCT)


def failing_day(case: Case, given: DayInput, state: DayState) -> DayResult:
    """Fails on the third of June."""
    if given.day == date(2019, 6, 3):
        raise ValueError("the third of June is not to be had")
    return tiny_day(case, given, state)


def deadly_day(case: Case, given: DayInput, state: DayState) -> DayResult:
    """Ends its process on the third of June."""
    if given.day == date(2019, 6, 3):
        os.kill(os.getpid(), signal.SIGKILL)
    return tiny_day(case, given, state)


def once_deadly_day(case: Case, given: DayInput, state: DayState) -> DayResult:
    """Ends its process on the third of June, the first time only."""
    mark = Path(os.environ["GEEMS_TEST_MARK"])
    if given.day == date(2019, 6, 3) and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return tiny_day(case, given, state)


def _result(case: Case, given: DayInput, state: DayState, before: float, after: float) -> DayResult:
    devices: Mapping[str, DeviceState] = {
        **state.devices,
        "bes": replace(state.devices["bes"], soc_pct=after),
    }
    return DayResult(
        rows=rows(case, given, soc_pct=before),
        state=replace(state, devices=devices),
        seconds=0.0,
    )


def rows(case: Case, given: DayInput, *, soc_pct: float = 50.0, **told: Any) -> pa.Table:
    """Rows of a day on which nothing is produced and all load is bought; `told` in all of them."""
    count = len(given)
    plain: dict[str, object] = {
        "start": None, "day": given.day.isoformat(), "site": case.name, "policy": case.method,
        "seed": case.seed, "status": "none", "converged": True, "nodes_violated": "",
        "v_max_node": "B1.1", "v_min_node": "B1.1", "alarms_told": "", "why": "",
        "soc_pct.bes": soc_pct, "v_max_pu": 1.0, "v_min_pu": 1.0,
    }  # fmt: skip
    columns = []
    for field in schema_of(case.site):
        zero = 0 if pa.types.is_integer(field.type) else 0.0
        value = told.get(field.name, plain.get(field.name, zero))
        values: Any = value if isinstance(value, list) else [value] * count
        if field.name == "start":
            values = given.starts.astype("datetime64[us]")
        if field.name in ("load_kw", "grid_kw") and field.name not in told:
            values = given.load_kw.mean(axis=1)
        columns.append(pa.array(values, type=field.type))
    return pa.table(columns, schema=schema_of(case.site))
