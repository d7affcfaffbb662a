"""One interval being decided, and a dispatch tried on it."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ems.constrain.cases import (
    Case,
    cases_of,
    crossed,
    injections,
    keeping,
    ramping,
    severity,
    violations,
)
from ems.constrain.rungs import priced
from ems.domain import (
    Dispatch,
    Forecast,
    Injections,
    LoadFlow,
    Regulation,
    RowKind,
    Setpoint,
    Site,
    Snapshot,
    Unmoved,
    Violation,
)
from ems.mismatch import present_state
from ems.ports import Network

MOVED = ", taps moved"
"""Ends the name of a case in which taps and capacitors have moved."""

_EXPECTED = ("expected", f"expected{MOVED}")

FLOWS_KEPT = 16
"""Load flows of an interval that are kept; those of a large feeder are large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A dispatch and what the load flows say of it."""

    decided: Dispatch
    cases: tuple[Case, ...]
    """The cases of the interval, and each one again whose taps would move."""
    flows: Mapping[str, LoadFlow]
    """By case."""
    broken: tuple[Violation, ...]
    """Over all cases, worst first; a diverged load flow counts as broken."""

    @property
    def flow(self) -> LoadFlow:
        """Of the expected case, as it lasts: after taps and capacitors have moved."""
        return self.flows.get(f"expected{MOVED}", self.flows["expected"])

    @property
    def worst_flow(self) -> LoadFlow:
        """Of the expected case where it breaks most: as taps stand, or after they have moved."""
        worst = next((v.case for v in self.broken if v.case in _EXPECTED), None)
        return self.flow if worst is None else self.flows[worst]

    @property
    def safe(self) -> bool:
        """Whether no case breaks a limit."""
        return not self.broken and self.flow.converged

    @property
    def safe_as_expected(self) -> bool:
        """Whether at least the expected case breaks none."""
        return self.flow.converged and all(v.case not in _EXPECTED for v in self.broken)


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
    reasons: bool = True
    """Whether what caution costs is found too."""
    known: dict[Hashable, LoadFlow] = field(default_factory=dict)
    """The last load flows: trials come back to a point, and two cases may be one."""

    @classmethod
    def of(
        cls,
        site: Site,
        snapshot: Snapshot,
        forecast: Forecast,
        network: Network,
        pins: Mapping[str, Unmoved],
        *,
        reasons: bool = True,
    ) -> "Interval":
        """The interval with its cases."""
        regulation, cases = at_rest(snapshot, forecast, network), cases_of(site, snapshot, forecast)
        if regulation is not None:
            cases = tuple(replace(case, regulation=regulation) for case in cases)
        return cls(
            site=site, snapshot=snapshot, forecast=forecast, network=network, cases=cases,
            pins=pins, reasons=reasons,
        )  # fmt: skip

    def with_ramping(self) -> "Interval":
        """The same with the minutes in which generators still stand where they were."""
        known = {case.name for case in self.cases}
        more = [c for c in self._ramping() if c.name not in known]
        return replace(self, cases=(*self.cases, *more))

    def with_crossed(self) -> "Interval":
        """The same with sun at high load, and low load without sun; itself where it has them."""
        more = self._crossed()
        return replace(self, cases=(*self.cases, *more)) if more else self

    def _crossed(self) -> Sequence[Case]:
        named = {case.name: case for case in self.cases}
        high, low = named.get("high"), named.get("low")
        if high is None or low is None or high.load_kw == low.load_kw:
            return ()
        return [case for case in crossed(high, low) if case.name not in named]

    def _ramping(self) -> tuple[Case, ...]:
        return ramping(self.site, self.snapshot, self.cases)

    @property
    def held(self) -> Mapping[str, Setpoint]:
        """The pinned DERs at what they most likely do."""
        return {name: pin.expected for name, pin in self.pins.items()}

    def priced(self, like: Dispatch, setpoints: Mapping[str, Setpoint]) -> Dispatch:
        """Setpoints with the pins in them, priced as `like` was."""
        return priced(self.site, self.forecast, like, {**setpoints, **self.held})

    def capped_low(self, decided: Dispatch) -> Dispatch:
        """The same with every PV plant capped at the least the sun will give."""
        setpoints = dict(decided.setpoints)
        for name, sky in self.forecast.pv.items():
            at = setpoints[name]
            cap = sky.lower_kw if at.cap_kw is None else min(at.cap_kw, sky.lower_kw)
            setpoints[name] = replace(at, cap_kw=cap, p_kw=min(at.p_kw, cap))
        return self.priced(decided, setpoints)

    def flow(
        self, case: Case, setpoints: Mapping[str, Setpoint], *, controls: bool = False
    ) -> LoadFlow:
        """Load flow of a case; with `controls`, after taps and capacitors have moved."""
        head = self.snapshot.head_v_pu
        at = injections(case, setpoints, self.forecast, head, self.pins)
        point = _point(at, controls=controls)
        found = self.known.get(point)
        if found is None:
            found = self.network.load_flow(at, controls=controls)
            self._keep(point, found)
        return found

    def _all_flows(
        self, cases: Sequence[Case], setpoints: Mapping[str, Setpoint]
    ) -> Iterable[tuple[Case, LoadFlow]]:
        """`flows` of each case; where nothing moves by itself, in one go."""
        if self.network.regulated:
            return (pair for case in cases for pair in self.flows(case, setpoints))
        return zip(cases, self._at_once(cases, setpoints), strict=True)

    def _at_once(self, cases: Sequence[Case], setpoints: Mapping[str, Setpoint]) -> list[LoadFlow]:
        """Load flow of each case as taps stand; those not known yet in one go."""
        head = self.snapshot.head_v_pu
        asked = [injections(c, setpoints, self.forecast, head, self.pins) for c in cases]
        points = [_point(at, controls=False) for at in asked]
        fresh = {p: at for p, at in zip(points, asked, strict=True) if p not in self.known}
        made = self.network.load_flows(list(fresh.values())) if fresh else ()
        found = dict(zip(fresh, made, strict=True))
        flows = [self.known[p] if p in self.known else found[p] for p in points]
        for point, flow in found.items():
            self._keep(point, flow)
        return flows

    def _keep(self, point: Hashable, flow: LoadFlow) -> None:
        self.known[point] = flow
        if len(self.known) > FLOWS_KEPT:
            del self.known[next(iter(self.known))]

    def flows(
        self, case: Case, setpoints: Mapping[str, Setpoint]
    ) -> Iterator[tuple[Case, LoadFlow]]:
        """Load flow of a case as taps stand, and, where they then move, after they have.

        Both must hold: setpoints act at once, a regulator half a minute later. Until then the
        momentary limits are asked, where the site has any.
        """
        flow = self.flow(case, setpoints)
        rest = self.flow(case, setpoints, controls=True) if self.network.regulated else flow
        if rest is flow or (rest.converged and rest.regulation == case.regulation):
            yield case, flow
            return
        yield replace(case, momentary=True), flow
        yield replace(case, name=f"{case.name}{MOVED}", regulation=rest.regulation), rest

    def judge(self, case: Case, setpoints: Mapping[str, Setpoint]) -> tuple[Violation, ...]:
        """What setpoints break in a case."""
        return tuple(
            violation
            for one, flow in self.flows(case, setpoints)
            for violation in _judged(flow, self.site, one)
        )

    def breaks_any(self, cases: Sequence[Case], setpoints: Mapping[str, Setpoint]) -> bool:
        """Whether setpoints break something in any of some cases."""
        found = self._all_flows(cases, setpoints)
        if self.network.regulated:  # one by one: the first that breaks something ends it
            return any(_judged(flow, self.site, case) for case, flow in found)
        return any(self._broken(list(found)))

    def trial(self, decided: Dispatch) -> Trial:
        """Load flows of every case."""
        found = list(self._all_flows(self.cases, decided.setpoints))
        return Trial(
            decided=decided,
            cases=tuple(case for case, _ in found),
            flows={case.name: flow for case, flow in found},
            broken=tuple(sorted(self._broken(found), key=severity, reverse=True)),
        )

    def _broken(self, found: Sequence[tuple[Case, LoadFlow]]) -> Iterator[Violation]:
        """What load flows of some cases break; most often nothing, which is seen at once."""
        some = [(case, flow) for case, flow in found if not case.momentary and flow.converged]
        kept: set[str] = set()
        if len(some) > 1:
            fine = keeping([flow for _, flow in some], self.site.limits)
            kept = {case.name for (case, _), keeps in zip(some, fine, strict=True) if keeps}
        for case, flow in found:
            if case.name not in kept:
                yield from _judged(flow, self.site, case)

    def safe_while_ramping(self, decided: Dispatch) -> bool:
        """Whether the limits hold while generators still stand where they were."""
        cases = self._ramping()
        if cases and not self.network.regulated:  # what is asked next is solved in the same go
            self._at_once([*cases, *self._crossed()], decided.setpoints)
        return not self.breaks_any(cases, decided.setpoints)


def _point(at: Injections, *, controls: bool) -> Hashable:
    """What a load flow of an interval depends on; the voltage at the head is the same in all."""
    stand: Hashable = None
    if at.regulation is not None:
        stand = (*at.regulation.taps.items(), *at.regulation.capacitors.items())
    return (
        *at.p_kw.items(), *at.q_kvar.items(), at.load_kw, at.load_kvar, stand, controls,
    )  # fmt: skip


def at_rest(snapshot: Snapshot, forecast: Forecast, network: Network) -> Regulation | None:
    """Where taps and capacitors stand now: at rest in the present state, unless it diverges."""
    if not network.regulated:
        return snapshot.regulation
    flow = network.load_flow(present_state(snapshot, forecast), controls=True)
    return flow.regulation if flow.converged else snapshot.regulation


def _judged(flow: LoadFlow, site: Site, case: Case) -> tuple[Violation, ...]:
    """Violations of a load flow; one that did not converge proves nothing and so is one."""
    if flow.converged:
        return violations(flow, case.limits(site), case.name)
    return (
        Violation(kind=RowKind.LOADING, place="load flow (diverged)", value=float("inf"),
                  limit=1.0, case=case.name),
    )  # fmt: skip
