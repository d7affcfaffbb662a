"""What the network cost, and why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """How far the network moved one DER, and which limit did it."""

    der: str
    moved_kw: float
    """Constrained minus unconstrained active power [kW]."""
    moved_kvar: float
    limits: tuple[str, ...]
    """Places that bind and that this DER bears on, dearest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Why the dispatch is what it is."""

    sentence: str
    compliance_usd_per_h: float
    """Cost of the secure dispatch less that of the free one [$/h]."""
    entries: tuple[LedgerEntry, ...] = ()
