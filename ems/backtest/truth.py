"""What really happens on the feeder: its own context of the engine, its own load and lines."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Literal

from ems.backtest.case import Case
from ems.domain import DerPlacement, Injections, LoadFlow, Regulation, terminals
from ems.plant.bus_load import BusLoads, Shares
from feeders import Feeder, LineErrors

KEPT_OPEN = 8
"""Feeders that a process keeps open: compiling one takes longer than simulating an hour, and days
of several sites come in any order."""


class Truth:
    """The feeder as it is, with the site's DERs on it. Taps stay where they were last."""

    def __init__(self, case: Case, regulation: Regulation | None) -> None:
        """Open it.

        Args:
            case: which feeder, and in what it differs from the model.
            regulation: where taps and capacitors stand; None: as the feeder file leaves them.

        Raises:
            feeders.FeederFault: the feeder does not compile, or lacks a bus.
        """
        errors = case.errors
        self._feeder = feeder_of(case, "truth")
        self._head_v_pu = errors.head_v_pu
        self._newest: tuple[datetime, Shares] | None = None
        self._loads = BusLoads(
            self._feeder.loads,
            noise=errors.load_noise,
            seed=case.seed,
            reactive_share=errors.reactive_share,
        )
        self.regulation = regulation
        """Where taps and capacitors stand."""
        at = terminals((d.bus for d in case.site.ders), self._feeder.nodes)
        self._nodes = {d.name: at[d.bus] for d in case.site.ders}

    def kvar_per_kw(self, when: datetime) -> float:
        """Reactive power of the whole load over its active power, at an instant [1]."""
        return float(self._shares(when).kvar.sum())

    def solve(
        self, when: datetime, p_kw: Mapping[str, float], q_kvar: Mapping[str, float], load_kw: float
    ) -> LoadFlow:
        """The feeder at one instant; regulators and capacitor controls act.

        Args:
            when: for the draw of the load's shares.
            p_kw: active power of each DER, injection positive [kW].
            q_kvar: reactive power of each.
            load_kw: of the segment [kW].
        """
        shares = self._shares(when)
        flow = self._feeder.load_flow(
            Injections(
                p_kw=p_kw,
                q_kvar=q_kvar,
                load_kw=dict(zip(shares.names, (load_kw * shares.kw).tolist(), strict=True)),
                load_kvar=dict(zip(shares.names, (load_kw * shares.kvar).tolist(), strict=True)),
                head_v_pu=self._head_v_pu,
                regulation=self.regulation,
            ),
            controls=self._feeder.regulated,
        )
        if flow.converged and self._feeder.regulated:
            self.regulation = flow.regulation
        return flow

    def rest(
        self, when: datetime, p_kw: Mapping[str, float], q_kvar: Mapping[str, float], load_kw: float
    ) -> None:
        """Let regulators and capacitor controls come to rest; arguments as of `solve`.

        A feeder without them is not solved: nothing would come of it.
        """
        if self._feeder.regulated:
            self.solve(when, p_kw, q_kvar, load_kw)

    def _shares(self, when: datetime) -> Shares:
        """How the load lies on the buses at an instant; the newest is asked for twice."""
        if self._newest is None or self._newest[0] != when:
            self._newest = when, self._loads.at(when)
        return self._newest[1]

    def felt(self, flow: LoadFlow) -> dict[str, float]:
        """Voltage each DER measures: the mean of its phases [pu]."""
        v_pu = flow.v_pu
        return {name: float(v_pu[nodes].mean()) for name, nodes in self._nodes.items()}


def feeder_of(case: Case, part: Literal["model", "truth"]) -> Feeder:
    """A feeder of the case; truth and model share none, and a process opens each once.

    Raises:
        feeders.FeederFault: it does not compile, or lacks a bus.
    """
    sd = case.errors.parameter_error if part == "truth" else 0.0
    lines = LineErrors(sd=sd, seed=case.seed) if sd else None
    return _open(part, case.feeder, case.site.placements, lines)


@lru_cache(maxsize=KEPT_OPEN)
def _open(
    part: str,  # noqa: ARG001 - truth and model must not share a context
    source: str,
    placements: tuple[DerPlacement, ...],
    lines: LineErrors | None,
) -> Feeder:
    return Feeder.open(source, placements, line_errors=lines)
