"""The vocabulary of GEEMS: every value that passes from one stage to another.

Signs and units, stated once:

- DER power is an injection into the feeder: generation and discharge positive,
  charging and absorption negative.
- Grid power is an import: positive when the feeder takes from the grid.
- `load_kw` is consumption, positive.
- Units stand in the name: `_kw _kvar _kwh _pu _pct _usd_per_kwh _usd_per_h`.
- Times are aware and UTC; an interval is labelled by its start.
"""

from ems.domain.decided import (
    Degraded,
    Dispatch,
    Infeasible,
    NetworkRow,
    RowKind,
    RowPrice,
    Secured,
    Setpoint,
    SolverStatus,
    Unmoved,
    Verified,
    Violation,
)
from ems.domain.expected import Forecast, PvForecast
from ems.domain.explained import Ledger, LedgerEntry
from ems.domain.measured import DerReading, LoadReading, Quality, Snapshot
from ems.domain.sent import (
    Advised,
    Command,
    CycleRecord,
    InForce,
    Outcome,
    Partial,
    Readback,
    Refused,
    Sent,
)
from ems.domain.site import Bes, Der, DeviceAddress, Dg, Limits, Policy, Pv, Site
from feeders.values import DerPlacement, Injections, LoadFlow, Sensitivity

__all__ = [
    "Advised",
    "Bes",
    "Command",
    "CycleRecord",
    "Degraded",
    "Der",
    "DerPlacement",
    "DerReading",
    "DeviceAddress",
    "Dg",
    "Dispatch",
    "Forecast",
    "InForce",
    "Infeasible",
    "Injections",
    "Ledger",
    "LedgerEntry",
    "Limits",
    "LoadFlow",
    "LoadReading",
    "NetworkRow",
    "Outcome",
    "Partial",
    "Policy",
    "Pv",
    "PvForecast",
    "Quality",
    "Readback",
    "Refused",
    "RowKind",
    "RowPrice",
    "Secured",
    "Sensitivity",
    "Sent",
    "Setpoint",
    "Site",
    "Snapshot",
    "SolverStatus",
    "Unmoved",
    "Verified",
    "Violation",
]
