"""One interval being decided, and a dispatch tried on it."""

from collections.abc import Mapping
from dataclasses import dataclass

from ems.constrain.cases import Case, cases_of, injections, ramping_high, severity, violations
from ems.constrain.rungs import priced
from ems.domain import (
    Dispatch,
    Forecast,
    LoadFlow,
    RowKind,
    Setpoint,
    Site,
    Snapshot,
    Unmoved,
    Violation,
)
from ems.ports import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A dispatch and what the load flows say of it."""

    decided: Dispatch
    flows: Mapping[str, LoadFlow]
    """By case."""
    broken: tuple[Violation, ...]
    """Over all cases, worst first; a diverged load flow counts as broken."""

    @property
    def flow(self) -> LoadFlow:
        """Of the expected case."""
        return self.flows["expected"]

    @property
    def safe(self) -> bool:
        """Whether no case breaks a limit."""
        return not self.broken and self.flow.converged

    @property
    def safe_as_expected(self) -> bool:
        """Whether at least the expected case breaks none."""
        return self.flow.converged and all(v.case != "expected" for v in self.broken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What stays the same while one interval is decided."""

    site: Site
    snapshot: Snapshot
    forecast: Forecast
    network: Network
    cases: tuple[Case, ...]
    pins: Mapping[str, Unmoved]
    """DERs that cannot be moved; every case has them at the end of their range that hurts."""

    @classmethod
    def of(
        cls,
        site: Site,
        snapshot: Snapshot,
        forecast: Forecast,
        network: Network,
        pins: Mapping[str, Unmoved],
    ) -> "Interval":
        """The interval with its cases."""
        return cls(
            site=site,
            snapshot=snapshot,
            forecast=forecast,
            network=network,
            cases=cases_of(site, snapshot, forecast),
            pins=pins,
        )

    @property
    def held(self) -> Mapping[str, Setpoint]:
        """The pinned DERs at what they most likely do."""
        return {name: pin.expected for name, pin in self.pins.items()}

    def priced(self, like: Dispatch, setpoints: Mapping[str, Setpoint]) -> Dispatch:
        """Setpoints with the pins in them, priced as `like` was."""
        return priced(self.site, self.forecast, like, {**setpoints, **self.held})

    def flow(self, case: Case, setpoints: Mapping[str, Setpoint]) -> LoadFlow:
        """Load flow of a case."""
        head = self.snapshot.head_v_pu
        at = injections(case, setpoints, self.forecast, head, self.pins)
        return self.network.load_flow(at)

    def judge(self, case: Case, setpoints: Mapping[str, Setpoint]) -> tuple[Violation, ...]:
        """What setpoints break in a case."""
        return _judged(self.flow(case, setpoints), self.site, case.name)

    def trial(self, decided: Dispatch) -> Trial:
        """Load flows of every case."""
        flows = {case.name: self.flow(case, decided.setpoints) for case in self.cases}
        broken = [v for name, flow in flows.items() for v in _judged(flow, self.site, name)]
        broken.sort(key=severity, reverse=True)
        return Trial(decided=decided, flows=flows, broken=tuple(broken))

    def safe_while_ramping(self, decided: Dispatch) -> bool:
        """Whether the highest case holds while generators still stand where they were."""
        case = ramping_high(self.site, self.snapshot, self.cases)
        return not self.judge(case, decided.setpoints)


def _judged(flow: LoadFlow, site: Site, case: str) -> tuple[Violation, ...]:
    """Violations of a load flow; one that did not converge proves nothing and so is one."""
    if flow.converged:
        return violations(flow, site.limits, case)
    return (
        Violation(kind=RowKind.LOADING, place="load flow (diverged)", value=float("inf"),
                  limit=1.0, case=case),
    )  # fmt: skip
