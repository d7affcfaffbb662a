"""Backtests: the service's own cycle over past or made-up days, judged by the plant's load flow.

seen = foresee(case, profiles, period)          # once for every policy of a site and seed
state = DayState.at_start(case)
for day in period.days:
    result = simulate_day(case, seen.day(case, day), state)
    state = result.state

What forecasts and what simulates is loaded with its first use: a process does one or the other.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ems.backtest.case import (
    Ahead,
    Case,
    DayInput,
    DayResult,
    DayState,
    DeviceState,
    Errors,
    ForecastName,
    PolicyName,
    Profiles,
)

if TYPE_CHECKING:
    from ems.backtest.day import simulate_day
    from ems.backtest.forecasts import Foreseen, foresee
    from ems.backtest.policies import POLICIES
    from ems.backtest.rows import TIMING, schema_of

__all__ = [
    "POLICIES",
    "TIMING",
    "Ahead",
    "Case",
    "DayInput",
    "DayResult",
    "DayState",
    "DeviceState",
    "Errors",
    "ForecastName",
    "Foreseen",
    "PolicyName",
    "Profiles",
    "foresee",
    "schema_of",
    "simulate_day",
]

_LATER = {
    "POLICIES": "policies", "TIMING": "rows", "schema_of": "rows", "simulate_day": "day",
    "Foreseen": "forecasts", "foresee": "forecasts",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"ems.backtest.{_LATER[name]}"), name)
