"""What a load flow is asked and what it answers.

Pure values: no engine is imported here, so every stage may use them.
Sign: DER injection positive (generation, discharge); load consumption positive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DerPlacement:
    """Where one DER stands on the feeder."""

    name: str
    """Name of the DER in the site file."""
    bus: str
    """Bus, as the feeder file spells it (case does not matter), and its nodes where they must
    be named: `B4.2`. One phase and two nodes, `X.1.2`, is between the two: line to line, or
    from leg to leg of a 120/240 V secondary."""
    phases: int = 3
    """Number of phases of the connection."""
    delta: bool = False
    """Three phases in delta; otherwise each phase to neutral."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regulation:
    """Where the devices stand that hold the voltage by themselves."""

    taps: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Turns of each winding of every transformer that a regulator moves, by its name
    (`transformer.reg1a`) [pu]."""
    capacitors: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Steps of every capacitor that a control switches, 1 where closed (`capacitor.c83`)."""


Curve = tuple[tuple[float, float], ...]
"""Points (voltage [pu], value [pu]), voltages rising; straight between, level beyond the ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterCurves:
    """What an inverter does by itself with the voltage at its terminals.

    The voltage is the mean of its phases. Raises ValueError where voltages do not rise.
    """

    rated_kva: float
    """Unit of the values of `volt_var`."""
    rated_kw: float
    """Unit of the values of `volt_watt`."""
    volt_var: Curve = ()
    """Reactive power, injection positive; `q_kvar` of the operating point comes on top of it."""
    volt_watt: Curve = ()
    """Highest active power."""

    def __post_init__(self) -> None:
        for name, curve in (("volt_var", self.volt_var), ("volt_watt", self.volt_watt)):
            volts = [v for v, _ in curve]
            if any(b <= a for a, b in pairwise(volts)):
                raise ValueError(f"{name}: voltages must rise from point to point: {volts}")


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
    regulation: Regulation | None = None
    """Taps and capacitors; None takes them as the feeder file leaves them."""
    curves: Mapping[str, InverterCurves] = field(default_factory=dict)
    """Volt-var and volt-watt of the DERs in which they are enabled. Slopes of a linearisation are
    then those with the curves at work, for what the DERs are asked for."""


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
    regulation: Regulation = Regulation()
    """Taps and capacitors in this solution; empty where the feeder has none that move."""
    note: str = ""
    """Why it has not converged; empty when it has."""
    by_curves: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Active and reactive power that each DER with curves comes to [kW, kvar]."""

    def with_voltages(self, v_pu: Floats) -> "LoadFlow":
        """The same with other voltages, shape (node,) [pu]; quicker than `dataclasses.replace`."""
        return LoadFlow(
            converged=self.converged, residual_kw=self.residual_kw, nodes=self.nodes, v_pu=v_pu,
            elements=self.elements, loading_pct=self.loading_pct, head_kw=self.head_kw,
            head_kvar=self.head_kvar, losses_kw=self.losses_kw, regulation=self.regulation,
            note=self.note, by_curves=self.by_curves,
        )  # fmt: skip

    def highest(self) -> tuple[str, float]:
        """Node with the highest voltage, and that voltage [pu]."""
        i = int(np.argmax(self.v_pu))
        return self.nodes[i], float(self.v_pu[i])

    def lowest(self) -> tuple[str, float]:
        """Energised node with the lowest voltage, and that voltage [pu]."""
        i = int(np.argmin(np.where(self.v_pu > 0.0, self.v_pu, np.inf)))
        return self.nodes[i], float(self.v_pu[i])


class Linearisation(Protocol):
    """The feeder around one operating point: how voltages and loadings move with each DER.

    Taps and capacitors stay where they are. It holds what it needs by itself: the engine may
    have moved on.
    """

    @property
    def flow(self) -> LoadFlow:
        """Load flow at the point."""
        ...

    @property
    def ders(self) -> tuple[str, ...]:
        """The DERs in the order of every `der` axis below: that of the placements."""
        ...

    def change(self, dp_kw: Floats, dq_kvar: Floats) -> tuple[Floats, Floats]:
        """Change of ALL voltages and loadings with powers moved, by one product or one solve.

        Args:
            dp_kw: shape (der,) [kW].
            dq_kvar: shape (der,) [kvar].

        Returns:
            Voltages, shape (node,) [pu]; loadings, shape (element,) [%].
        """
        ...

    def voltage_rows(self, nodes: Sequence[int]) -> tuple[Floats, Floats]:
        """∂|V|/∂P [pu/kW] and ∂|V|/∂Q [pu/kvar] of some nodes, each of shape (len(nodes), der)."""
        ...

    def loading_cuts(
        self, elements: Sequence[int], dp_kw: Floats, dq_kvar: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Loadings of some elements with powers moved, and their slopes there.

        A current's magnitude is convex in what moves it: no such tangent cuts off a point that
        keeps the limit, and enough of them describe it wholly.

        Returns:
            Loadings [%], shape (len(elements),); ∂loading/∂P [%/kW] and ∂loading/∂Q [%/kvar],
            each of shape (len(elements), der).
        """
        ...
