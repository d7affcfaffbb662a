"""What really happened, as the plant tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ems.domain import Limits, LoadFlow


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantTruth:
    """The state of the plant at one instant."""

    time: datetime
    load_flow: LoadFlow
    p_kw: Mapping[str, float]
    """Active power of each DER, injection positive [kW]."""
    q_kvar: Mapping[str, float]
    pv_available_kw: Mapping[str, float]
    """What the sun offers each PV plant, capped or not [kW]."""
    load_kw: float
    """Consumption of the whole segment [kW]."""
    load_kvar: float
    soc_pct: Mapping[str, float]
    """State of charge of each battery [%]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """How one step of the simulation stood against limits."""

    time: datetime
    v_max_pu: float
    v_max_node: str
    v_min_pu: float
    v_min_node: str
    nodes_above: int
    """Nodes above the highest voltage allowed."""
    nodes_below: int
    elements_over: int
    """Lines and transformers above the highest loading allowed."""
    converged: bool

    @property
    def violated(self) -> bool:
        """Whether any limit was broken, or the load flow gave no answer."""
        return bool(
            self.nodes_above or self.nodes_below or self.elements_over or not self.converged
        )


def excursion(time: datetime, flow: LoadFlow, limits: Limits) -> Excursion:
    """One load flow against limits."""
    highest, lowest = flow.highest(), flow.lowest()
    loading = limits.loading_max_pct
    return Excursion(
        time=time,
        v_max_pu=highest[1],
        v_max_node=highest[0],
        v_min_pu=lowest[1],
        v_min_node=lowest[0],
        nodes_above=int((flow.v_pu > limits.v_max_pu).sum()),
        nodes_below=int((flow.v_pu < limits.v_min_pu).sum()),
        elements_over=0 if loading is None else int((flow.loading_pct > loading).sum()),
        converged=flow.converged,
    )
