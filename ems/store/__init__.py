"""The database: one SQLite file per site, in write-ahead mode, migrated when opened."""

from ems.store.lease import Holder, describe
from ems.store.minutes import MinuteMeans
from ems.store.store import Store
from ems.store.values import (
    LOAD,
    KeptForecast,
    KeptSetpoint,
    Lease,
    MinuteMean,
    MissedRun,
    StoreFault,
)

__all__ = [
    "LOAD",
    "Holder",
    "KeptForecast",
    "KeptSetpoint",
    "Lease",
    "MinuteMean",
    "MinuteMeans",
    "MissedRun",
    "Store",
    "StoreFault",
    "describe",
]
