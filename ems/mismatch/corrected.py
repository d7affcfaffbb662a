"""The feeder with its voltages corrected: what the decision is proved on."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ems.domain import BusMismatch, Injections, Limits, Linearisation, LoadFlow, Site
from ems.mismatch.spread import Shift, reach_of, spread
from ems.ports import Network

Floats = NDArray[np.float64]

FLOWS_KEPT = 12
"""Load flows that are kept, as many as the model keeps."""


def corrected(site: Site, network: Network, found: Mapping[str, BusMismatch]) -> Network:
    """The network as the measurements correct it; itself where they do not."""
    if not any(one.upper_pu or one.lower_pu for one in found.values()):
        return network
    return Corrected(
        network=network, shift=spread(reach_of(site, network), found), limits=site.limits
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corrected:
    """A network (`ems.ports.Network`) whose every voltage is shifted; powers and loadings stay.

    Above the middle of the band between the limits a node takes the shift for the upper limit,
    below it that for the lower; over the middle fifth, far from either limit, the one passes into
    the other. A node without voltage stays at 0.
    """

    network: Network
    """The model, uncorrected."""
    shift: Shift
    limits: Limits
    known: deque[tuple[LoadFlow, LoadFlow]] = field(
        default_factory=lambda: deque(maxlen=FLOWS_KEPT)
    )
    """The model's last load flows, and what was made of each: they are judged, then linearised."""

    @property
    def regulated(self) -> bool:
        """Whether taps or capacitors move by themselves."""
        return self.network.regulated

    def load_flow(self, at: Injections, *, controls: bool = False) -> LoadFlow:
        """The model's load flow, its voltages corrected."""
        return self._corrected(self.network.load_flow(at, controls=controls))

    def load_flows(self, points: Sequence[Injections]) -> Sequence[LoadFlow]:
        """As `load_flow` of each, taps and capacitors frozen."""
        return [self._corrected(flow) for flow in self.network.load_flows(points)]

    def linearise(self, at: Injections) -> "CorrectedLinearisation":
        """The model's slopes at a point, around corrected voltages.

        A shift is constant where rows stand, so no slope changes.
        """
        model = self.network.linearise(at)
        return CorrectedLinearisation(model=model, flow=self._corrected(model.flow))

    def _corrected(self, flow: LoadFlow) -> LoadFlow:
        for model, made in self.known:
            if model is flow:
                return made
        v, limits = flow.v_pu, self.limits
        up = (v - limits.v_min_pu) / (limits.v_max_pu - limits.v_min_pu)
        share = np.minimum(np.maximum(5.0 * up - 2.0, 0.0), 1.0)
        lower, upper = self.shift.lower_pu, self.shift.upper_pu
        found = flow.with_voltages(np.where(v > 0.0, v + lower + share * (upper - lower), 0.0))
        self.known.append((flow, found))
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorrectedLinearisation:
    """A linearisation of the model around corrected voltages (`feeders.values.Linearisation`)."""

    model: Linearisation
    flow: LoadFlow

    @property
    def ders(self) -> tuple[str, ...]:
        """The DERs in the order of every `der` axis."""
        return self.model.ders

    def change(self, dp_kw: Floats, dq_kvar: Floats) -> tuple[Floats, Floats]:
        """Change of all voltages and loadings."""
        return self.model.change(dp_kw, dq_kvar)

    def voltage_rows(self, nodes: Sequence[int]) -> tuple[Floats, Floats]:
        """Slopes of some voltages."""
        return self.model.voltage_rows(nodes)

    def loading_cuts(
        self, elements: Sequence[int], dp_kw: Floats, dq_kvar: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Loadings with powers moved, and their slopes there: those of the model."""
        return self.model.loading_cuts(elements, dp_kw, dq_kvar)
