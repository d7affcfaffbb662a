"""What a load flow is asked and what it answers.

Pure values: no engine is imported here, so every stage may use them.
Sign: DER injection positive (generation, discharge); load consumption positive.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DerPlacement:
    """Where one DER stands on the feeder."""

    name: str
    """Name of the DER in the site file."""
    bus: str
    """Bus, as the feeder file spells it (case does not matter)."""
    phases: int = 3
    """Number of phases of the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injections:
    """One operating point of a feeder."""

    p_kw: Mapping[str, float]
    """Active power of each DER at its bus, injection positive [kW]."""
    q_kvar: Mapping[str, float]
    """Reactive power of each DER at its bus, injection positive [kvar]."""
    load_kw: float | Mapping[str, float]
    """Consumption: of the whole feeder, shared over its loads in proportion to
    their nominal kW, or of each load by name [kW]."""
    load_kvar: float | Mapping[str, float] | None = None
    """Reactive consumption, likewise; None keeps each load's nominal power factor [kvar]."""
    head_v_pu: float | None = None
    """Voltage behind the source impedance; None keeps the feeder file's [pu]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFlow:
    """The feeder's answer to one operating point.

    Arrays are aligned with `nodes` and `elements`, which are the same tuples in
    every answer of one feeder.
    """

    converged: bool
    """True when the engine converged AND the power balance closes."""
    residual_kw: float
    """Largest mismatch between a power asked for and the power in the solution [kW]."""
    nodes: tuple[str, ...]
    """Node names, `BUS.phase`, in the feeder file's order."""
    v_pu: Floats
    """Voltage magnitude, shape (node,) [pu]."""
    elements: tuple[str, ...]
    """Lines and transformers that carry a rating."""
    loading_pct: Floats
    """Largest phase current over the normal rating, shape (element,) [%]."""
    head_kw: float
    """Active power taken from the grid at the feeder head, import positive [kW]."""
    head_kvar: float
    """Reactive power taken from the grid at the feeder head, import positive [kvar]."""
    losses_kw: float
    """Active losses of the feeder [kW]."""
    taps: Mapping[str, float] = field(default_factory=dict)
    """Regulator taps in force [pu]; empty where the feeder has none."""

    def highest(self) -> tuple[str, float]:
        """Node with the highest voltage, and that voltage [pu]."""
        i = int(np.argmax(self.v_pu))
        return self.nodes[i], float(self.v_pu[i])

    def lowest(self) -> tuple[str, float]:
        """Energised node with the lowest voltage, and that voltage [pu]."""
        i = int(np.argmin(np.where(self.v_pu > 0.0, self.v_pu, np.inf)))
        return self.nodes[i], float(self.v_pu[i])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """How voltages and loadings move with each DER around one operating point, taps frozen."""

    ders: tuple[str, ...]
    """Column names."""
    dv_dp: Floats
    """∂|V|/∂P, shape (node, der) [pu/kW]."""
    dv_dq: Floats
    """∂|V|/∂Q, shape (node, der) [pu/kvar]."""
    dl_dp: Floats
    """∂loading/∂P, shape (element, der) [%/kW]."""
    dl_dq: Floats
    """∂loading/∂Q, shape (element, der) [%/kvar]."""
