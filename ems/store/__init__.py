"""The database: one SQLite file per site, in write-ahead mode, migrated when opened."""

from ems.store.backup import Held, Restored, back_up, examine, restore
from ems.store.derms import DermsStore
from ems.store.derms_records import DermsRecords, Document, Happening
from ems.store.lease import Holder, describe
from ems.store.minutes import MinuteMeans
from ems.store.store import Store
from ems.store.values import (
    LOAD,
    Damaged,
    KeptForecast,
    KeptSetpoint,
    Lease,
    MinuteMean,
    MissedRun,
    StoreFault,
)

__all__ = [
    "LOAD",
    "Damaged",
    "DermsRecords",
    "DermsStore",
    "Document",
    "Happening",
    "Held",
    "Holder",
    "KeptForecast",
    "KeptSetpoint",
    "Lease",
    "MinuteMean",
    "MinuteMeans",
    "MissedRun",
    "Restored",
    "Store",
    "StoreFault",
    "back_up",
    "describe",
    "examine",
    "restore",
]
