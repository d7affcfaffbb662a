"""The database: one SQLite file per site, in write-ahead mode, migrated when opened."""

from ems.store.derms import DermsStore, Document, Happening
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
    "DermsStore",
    "Document",
    "Happening",
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
