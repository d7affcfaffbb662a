"""The vocabulary of GEEMS: every value that passes from one stage to another.

Signs and units, stated once:

- DER power is an injection into the feeder: generation and discharge positive,
  charging and absorption negative.
- Grid power is an import: positive when the feeder takes from the grid.
- `load_kw` is consumption, positive.
- Units stand in the name: `_kw _kvar _kwh _pu _pct _usd_per_kwh _usd_per_h`.
- Times are aware and UTC; an interval is labelled by its start.
"""

from ems.domain.address import DeviceAddress, EndDeviceAddress
from ems.domain.ahead import Horizon, Plan, StoragePlan, TerminalSoc
from ems.domain.costs import Bill, Cost, at_worth, cost
from ems.domain.decided import (
    Degraded,
    Dispatch,
    Infeasible,
    NetworkRow,
    RowBlock,
    RowKind,
    RowPrice,
    Secured,
    Setpoint,
    SolverStatus,
    Unmoved,
    Verified,
    Violation,
)
from ems.domain.expected import Forecast, PvForecast, band_kw, least_kw
from ems.domain.explained import Counterfactual, Ledger, LedgerEntry, LimitPrice, Worth
from ems.domain.given import Before, Given, LateSolve, Setup, Timed
from ems.domain.imposed import Imposed
from ems.domain.measured import PLAUSIBLE, DerReading, LoadReading, Quality, Snapshot, named
from ems.domain.mismatch import BusMismatch, Feedback, terminals
from ems.domain.peak import MonthPeak, month_peak, unaccounted
from ems.domain.sent import (
    Advised,
    Answer,
    Command,
    CycleRecord,
    Outcome,
    Partial,
    Readback,
    Refused,
    Sent,
    first_step_kw,
    same_kw,
)
from ems.domain.site import Bes, Der, Dg, Limits, Policy, Pv, Site
from ems.domain.watched import Alike, Followed, Ignored, InForce, Response, Waiting, Watched
from feeders.values import DerPlacement, Injections, Linearisation, LoadFlow, Regulation

__all__ = [
    "PLAUSIBLE",
    "Advised",
    "Alike",
    "Answer",
    "Before",
    "Bes",
    "Bill",
    "BusMismatch",
    "Command",
    "Cost",
    "Counterfactual",
    "CycleRecord",
    "Degraded",
    "Der",
    "DerPlacement",
    "DerReading",
    "DeviceAddress",
    "Dg",
    "Dispatch",
    "EndDeviceAddress",
    "Feedback",
    "Followed",
    "Forecast",
    "Given",
    "Horizon",
    "Ignored",
    "Imposed",
    "InForce",
    "Infeasible",
    "Injections",
    "LateSolve",
    "Ledger",
    "LedgerEntry",
    "LimitPrice",
    "Limits",
    "Linearisation",
    "LoadFlow",
    "LoadReading",
    "MonthPeak",
    "NetworkRow",
    "Outcome",
    "Partial",
    "Plan",
    "Policy",
    "Pv",
    "PvForecast",
    "Quality",
    "Readback",
    "Refused",
    "Regulation",
    "Response",
    "RowBlock",
    "RowKind",
    "RowPrice",
    "Secured",
    "Sent",
    "Setpoint",
    "Setup",
    "Site",
    "Snapshot",
    "SolverStatus",
    "StoragePlan",
    "TerminalSoc",
    "Timed",
    "Unmoved",
    "Verified",
    "Violation",
    "Waiting",
    "Watched",
    "Worth",
    "at_worth",
    "band_kw",
    "cost",
    "first_step_kw",
    "least_kw",
    "month_peak",
    "named",
    "same_kw",
    "terminals",
    "unaccounted",
]
