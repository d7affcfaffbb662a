"""The plant's own feeder: what devices and loads make of it, and what devices feel."""

from collections.abc import Mapping

from ems.domain import Injections, LoadFlow, Regulation, Site, terminals
from ems.plant.bus_load import BusLoads, Shares
from ems.plant.terminal import NOMINAL, Terminal
from feeders import Feeder


class Grid:
    """A feeder with the site's DERs on it. Taps and capacitors stay where they were last."""

    def __init__(
        self,
        site: Site,
        feeder: str,
        *,
        noise: float,
        seed: int,
        head_v_pu: float | None,
        reactive_share: float,
    ) -> None:
        """Compile it.

        Args:
            site: what stands on it.
            feeder: name of a shipped feeder, or path of an OpenDSS file.
            noise: standard deviation of each bus' share of the load, of itself [1].
            seed: of the noise.
            head_v_pu: voltage behind the source impedance; None: the file's [pu].
            reactive_share: of the loads' nominal reactive power, what they really take [1].

        Raises:
            feeders.FeederFault: the feeder does not compile, or lacks a bus.
        """
        self._feeder = Feeder.open(feeder, site.placements)
        self._head_v_pu = head_v_pu
        self._regulation: Regulation | None = None
        at = terminals((d.bus for d in site.ders), self._feeder.nodes)
        self._nodes = {d.name: at[d.bus] for d in site.ders}
        self.loads = BusLoads(
            self._feeder.loads, noise=noise, seed=seed, reactive_share=reactive_share
        )
        self.felt = dict.fromkeys(self._nodes, NOMINAL)
        """What each DER feels since the last load flow."""

    def solve(
        self,
        p_kw: Mapping[str, float],
        q_kvar: Mapping[str, float],
        load_kw: float,
        shares: Shares,
        *,
        regulate: bool,
    ) -> LoadFlow:
        """Solve it, and let the devices feel the answer.

        Args:
            p_kw: active power of each DER, injection positive [kW].
            q_kvar: reactive power of each.
            load_kw: of the segment [kW].
            shares: how it lies on the buses.
            regulate: whether regulators and capacitor controls act.
        """
        flow = self.what_if(p_kw, q_kvar, load_kw, shares, regulate=regulate)
        if flow.converged:
            self._regulation = flow.regulation
            for name, nodes in self._nodes.items():
                phases = tuple(map(float, flow.v_pu[nodes]))
                self.felt[name] = Terminal(v_pu=sum(phases) / len(phases), phases_pu=phases)
        return flow

    def what_if(
        self,
        p_kw: Mapping[str, float],
        q_kvar: Mapping[str, float],
        load_kw: float,
        shares: Shares,
        *,
        regulate: bool = True,
    ) -> LoadFlow:
        """The same, and nobody feels it."""
        at = Injections(
            p_kw=p_kw,
            q_kvar=q_kvar,
            load_kw=dict(zip(shares.names, (load_kw * shares.kw).tolist(), strict=True)),
            load_kvar=dict(zip(shares.names, (load_kw * shares.kvar).tolist(), strict=True)),
            head_v_pu=self._head_v_pu,
            regulation=self._regulation,
        )
        return self._feeder.load_flow(at, controls=regulate and self._feeder.regulated)

    def close(self) -> None:
        """Give the feeder back."""
        self._feeder.close()
