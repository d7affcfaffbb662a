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
        flows = self.network.load_flows(points)
        fresh = [flow for flow in flows if self._recalled(flow) is None]
        if len(fresh) > 1:  # at once: of a small feeder most of the time goes into calling NumPy
            shifted = self._shifted(np.array([flow.v_pu for flow in fresh]))
            for flow, v_pu in zip(fresh, shifted, strict=True):
                self.known.append((flow, flow.with_voltages(v_pu)))
        return [self._corrected(flow) for flow in flows]

    def linearise(self, at: Injections) -> "CorrectedLinearisation":
        """The model's slopes at a point, around corrected voltages.

        A shift is constant where rows stand, so no slope changes.
        """
        model = self.network.linearise(at)
        return CorrectedLinearisation(model=model, flow=self._corrected(model.flow))

    def _corrected(self, flow: LoadFlow) -> LoadFlow:
        found = self._recalled(flow)
        if found is None:
            found = flow.with_voltages(self._shifted(flow.v_pu))
            self.known.append((flow, found))
        return found

    def _recalled(self, flow: LoadFlow) -> LoadFlow | None:
        """What was made of a load flow of the model, if it still is known."""
        return next((made for model, made in self.known if model is flow), None)

    def _shifted(self, v_pu: Floats) -> Floats:
        """Voltages corrected, shape (…, node) [pu]."""
        limits, lower, upper = self.limits, self.shift.lower_pu, self.shift.upper_pu
        up = (v_pu - limits.v_min_pu) / (limits.v_max_pu - limits.v_min_pu)
        share = np.minimum(np.maximum(5.0 * up - 2.0, 0.0), 1.0)
        return np.where(v_pu > 0.0, v_pu + lower + share * (upper - lower), 0.0)


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
