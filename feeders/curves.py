"""Inverters that answer to their own voltage: volt-var and volt-watt.

IEEE 1547-2018, 5.3.3 (voltage-reactive power) and 5.4.2 (voltage-active power), in steady state.
The voltage is the mean of the DER's phases in units of its rating.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feeders.bulk import Complexes
from feeders.errors import FeederFault
from feeders.laws import Draw, Law
from feeders.values import Curve, Floats, InverterCurves


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the DERs do at some voltages; every array has the shape (der,)."""

    p_kw: Floats
    q_kvar: Floats
    dp_dv: Floats
    """[kW/pu]."""
    dq_dv: Floats
    """[kvar/pu]."""
    gain: Floats
    """∂P/∂(P asked for): 0 where volt-watt holds a DER back, else 1."""


class CurveSet:
    """The curves of all DERs of one operating point."""

    def __init__(self, curves: Mapping[str, InverterCurves], ders: Sequence[str]) -> None:
        """Raises: FeederFault: curves of what is no DER of this feeder."""
        unknown = [n for n in curves if n not in ders]
        if unknown:
            raise FeederFault(
                f"curves are given for {', '.join(unknown)}; the DERs here are {', '.join(ders)}"
            )
        self._ders = len(ders)
        self.which = np.array([i for i, n in enumerate(ders) if n in curves], dtype=np.intp)
        """Places of the DERs with curves."""
        of = [curves[n] for n in ders if n in curves]
        self._volt_var = _grouped(self.which, [(c.volt_var, c.rated_kva) for c in of])
        self._volt_watt = _grouped(self.which, [(c.volt_watt, c.rated_kw) for c in of])
        self.scale_kw = float(max((max(c.rated_kva, c.rated_kw) for c in of), default=1.0))

    def answer(self, v_pu: Floats, p_kw: Floats, q_kvar: Floats) -> Answer:
        """What the DERs do at voltages `v_pu` when asked for `p_kw` and `q_kvar`."""
        p, q, gain = p_kw.copy(), q_kvar.copy(), np.ones(self._ders)
        dp, dq = np.zeros(self._ders), np.zeros(self._ders)
        for curve, i, rated in self._volt_var:
            value, slope = _follow(curve, v_pu[i])
            q[i] += rated * value
            dq[i] = rated * slope
        for curve, i, rated in self._volt_watt:
            value, slope = _follow(curve, v_pu[i])
            held = rated * value < p[i]
            p[i] = np.where(held, rated * value, p[i])
            dp[i] = np.where(held, rated * slope, 0.0)
            gain[i] = np.where(held, 0.0, 1.0)
        return Answer(p_kw=p, q_kvar=q, dp_dv=dp, dq_dv=dq, gain=gain)


Group = tuple[Curve, NDArray[np.intp], Floats]


def _grouped(which: NDArray[np.intp], curves: Sequence[tuple[Curve, float]]) -> list[Group]:
    """DERs of the same curve together: a thousand inverters share few."""
    found: dict[Curve, tuple[list[int], list[float]]] = {}
    for i, (curve, rated) in zip(which, curves, strict=True):
        if curve:
            places, ratings = found.setdefault(curve, ([], []))
            places.append(int(i))
            ratings.append(rated)
    return [(c, np.array(i, dtype=np.intp), np.array(r)) for c, (i, r) in found.items()]


def _follow(curve: Curve, v_pu: Floats) -> tuple[Floats, Floats]:
    """Value and slope of a curve; level beyond its ends."""
    x, y = np.array(curve, dtype=float).T
    slopes = np.concatenate(([0.0], np.diff(y) / np.diff(x), [0.0]))
    return np.interp(v_pu, x, y), slopes[np.searchsorted(x, v_pu, side="right")]


def terminal_v_pu(law: Law, voltage: Complexes, loads: int, ders: int) -> Floats:
    """Mean voltage of the phases of each DER, in units of its rating, shape (der,)."""
    b = law.branches
    own = np.flatnonzero(b.owner >= loads)
    each = np.abs(law.voltage(voltage)[own]) / b.rated_v[own] * b.share[own]
    return np.bincount(b.owner[own] - loads, each, minlength=ders).astype(float)


def slopes_of(
    law: Law, voltage: Complexes, draw: Draw, loads: int, answer: Answer | None
) -> tuple[Complexes, Complexes]:
    """∂current/∂V and ∂current/∂conj(V) of each pair of branches, curves included [S]."""
    b = law.branches
    drawing, seen = b.pairs
    straight, mirrored = np.zeros((2, drawing.size), dtype=complex)
    straight[: b.owner.size], mirrored[: b.owner.size] = draw.straight, draw.mirrored
    if answer is None:
        return straight, mirrored
    at = np.flatnonzero(b.owner[drawing] >= loads)
    i, j = drawing[at], seen[at]
    der = b.owner[i] - loads
    across = law.voltage(voltage)
    # A DER injects: what it draws falls as its power rises.
    rising = answer.dp_dv[der] * draw.unit[0, i] - 1j * answer.dq_dv[der] * draw.unit[1, i]
    per_v = -1e3 * b.share[i] * rising / np.conj(across[i])
    per_v = per_v * 0.5 * b.share[j] / (b.rated_v[j] * np.abs(across[j]))
    straight[at] += per_v * np.conj(across[j])
    mirrored[at] += per_v * across[j]
    return straight, mirrored
