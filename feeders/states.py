"""The answer of the engine at one operating point."""

from dataclasses import dataclass

from feeders.bulk import Complexes
from feeders.curves import Answer
from feeders.laws import Draw
from feeders.stands import Stand
from feeders.values import Floats, Regulation


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the engine answered, and how good it is."""

    converged: bool
    residual_kw: float
    voltage: Complexes
    """Node voltages, ground in front, the engine's order, shape (node + 1,) [V]."""
    asked_va: Complexes
    """Power asked for of each load and DER, consumption positive [VA]."""
    draw: Draw
    stand: Stand
    regulation: Regulation
    note: str
    """Why it is no solution; empty when it is one."""
    head_kw: float
    head_kvar: float
    losses_kw: float
    v_pu: Floats
    """Moduli of the shown nodes' voltages, shape (node,) [pu]."""
    loading_pct: Floats
    """Shape (element,) [%]."""
    answer: Answer | None = None
    """What the DERs' curves make of it, where any are enabled."""
