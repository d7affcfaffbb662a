"""Backtests: the service's own cycle over past or made-up days, judged by the plant's load flow.

seen = foresee(case, profiles, period)          # once for every policy of a site and seed
state = DayState.at_start(case)
for day in period.days:
    result = simulate_day(case, seen.day(case, day), state)
    state = result.state
"""

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
