"""The database of one site: cycle records, minute means, missed runs, the lease."""

from ems.store.cycles import Cycles
from ems.store.measurements import Measurements
from ems.store.runs import Runs


class Store(Cycles, Measurements, Runs):
    """Thread-safe. Every method raises `StoreFault` when the database fails."""
