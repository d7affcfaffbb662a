"""What the devices can do, as columns and rows of a linear program.

A generator is off or runs; which of the two stays as it is at the point started from.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ems.constrain.cases import RUNS_KW, Case, Sun
from ems.constrain.rungs import (
    Setpoints,
    cap_of,
    capped,
    possible,
    running_range,
    storage_range,
)
from ems.domain import Bes, Dg, Forecast, Pv, Setpoint, Site, Snapshot, Unmoved

PIECES = 3
"""Of a PV plant's cap: up to the lower end of the sun, up to what is expected, and above. In a
case a cap moves only the pieces below the sun there, so the kink needs no smoothing."""
COLUMNS = PIECES + 1
"""Of each DER: the pieces of its active power, and its reactive power."""
SIDES = 64
"""Sides of the polygon inside an inverter's circle: 0.12 % of its rating is given away."""
OUT_OF_TURN = 1e-6
"""Power in a wrong piece or held back that is round-off, as a share of the rating [1]."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """All that the DERs can do around a point, convex: lo ≤ x ≤ hi and A·x ≤ b.

    x has shape (der · COLUMNS,), the DERs in site order; of a DER that has no pieces all of its
    power is in the first.
    """

    lo: Floats
    hi: Floats
    a: sp.csr_array
    b: Floats
    sizes: Floats
    """Rating each column is stepped by, shape as x [kW]."""


def reach(
    site: Site,
    snapshot: Snapshot,
    forecast: Forecast,
    pins: Mapping[str, Unmoved],
    around: Setpoints,
) -> Reach:
    """What the DERs can do, generators on or off as they are at a point."""
    lo, hi = np.zeros((2, len(site.ders), COLUMNS))
    rows: list[tuple[int, float, float, float]] = []
    for i, d in enumerate(site.ders):
        if d.name in pins:
            continue  # no column of it moves anything
        lo[i, PIECES], hi[i, PIECES] = -d.q_max_kvar, d.q_max_kvar
        if isinstance(d, Pv):
            hi[i, :PIECES] = np.diff(_levels(d.name, forecast), prepend=0.0)
            rows += _circle(i, d)
        elif isinstance(d, Bes):
            most_in, most_out = storage_range(d, snapshot.ders[d.name].soc_pct)
            lo[i, 0], hi[i, 0] = -most_in, most_out
            rows += _circle(i, d)
        else:
            least, most, may_stop = running_range(d, snapshot.ders[d.name].p_kw)
            off = may_stop and around[d.name].p_kw <= 0.0
            lo[i, 0], hi[i, 0] = (0.0, 0.0) if off else (least, most)
            slope = d.q_max_kvar / d.full_q_kw
            rows += [(i, -slope, 1.0, 0.0), (i, -slope, -1.0, 0.0)]
    shape = (len(rows), lo.size)
    a = sp.lil_array(shape)
    for k, (i, of_p, of_q, _) in enumerate(rows):
        a[k, COLUMNS * i : COLUMNS * i + PIECES] = of_p
        a[k, COLUMNS * i + PIECES] = of_q
    return Reach(
        lo=lo.ravel(),
        hi=hi.ravel(),
        a=a.tocsr(),
        b=np.array([bound for *_, bound in rows]),
        sizes=np.repeat([d.rated_kw for d in site.ders], COLUMNS),
    )


def columns_of(site: Site, snapshot: Snapshot, forecast: Forecast, setpoints: Setpoints) -> Floats:
    """The columns of some setpoints, brought within reach, shape (der · COLUMNS,)."""
    found = np.zeros((len(site.ders), COLUMNS))
    asked = possible(site, snapshot, setpoints)
    for i, d in enumerate(site.ders):
        at = asked[d.name]
        p_kw, q_kvar = at.p_kw, min(max(at.q_kvar, -d.q_max_kvar), d.q_max_kvar)
        if isinstance(d, Pv):
            p_kw = cap_of(asked, d.name, forecast)
        if not isinstance(d, Dg) and d.s_max_kva is not None:
            inside = d.s_max_kva * math.cos(math.pi / SIDES)
            scale = min(1.0, inside / max(math.hypot(p_kw, q_kvar), inside))
            p_kw, q_kvar = scale * p_kw, scale * q_kvar
        found[i, 0], found[i, PIECES] = p_kw, q_kvar
        if isinstance(d, Pv):
            below = np.minimum(p_kw, _levels(d.name, forecast))
            found[i, :PIECES] = np.diff(below, prepend=0.0)
    return found.ravel()


def setpoints_of(site: Site, snapshot: Snapshot, forecast: Forecast, x: Floats) -> Setpoints:
    """The setpoints of some columns; a plant whose cap holds nothing back has none."""
    found = {}
    for d, (*p_kw, q_kvar) in zip(site.ders, x.reshape(-1, COLUMNS).tolist(), strict=True):
        at = Setpoint(der=d.name, p_kw=sum(p_kw), q_kvar=q_kvar)
        if isinstance(d, Pv):
            held = at.p_kw < forecast.pv[d.name].upper_kw - OUT_OF_TURN * d.rated_kw
            at = capped(at, at.p_kw if held else math.inf, forecast)
        found[d.name] = at
    return possible(site, snapshot, found)


def in_order(x: Floats, bounds: Reach, forecast: Forecast, site: Site) -> Reach | None:
    """Bounds that keep each cap's pieces to the one it ends in; None where no piece is out of turn.

    The sun fills a piece only when those below are full; a program that wins by the contrary is
    asked again without it.
    """
    x = x.reshape(-1, COLUMNS)
    lo, hi = bounds.lo.reshape(x.shape).copy(), bounds.hi.reshape(x.shape).copy()
    turned = False
    for i, d in enumerate(site.ders):
        if not isinstance(d, Pv):
            continue
        cap = float(x[i, :PIECES].sum())
        filled = np.diff(np.minimum(cap, _levels(d.name, forecast)), prepend=0.0)
        if np.abs(filled - x[i, :PIECES]).max() <= OUT_OF_TURN * d.rated_kw:
            continue
        turned = True
        full = hi[i, :PIECES].copy()
        ends = int(np.searchsorted(np.cumsum(full), cap))
        lo[i, :ends] = full[:ends]
        hi[i, ends + 1 : PIECES] = 0.0
    return replace(bounds, lo=lo.ravel(), hi=hi.ravel()) if turned else None


def moving(
    case: Case, site: Site, forecast: Forecast, pins: Mapping[str, Unmoved]
) -> NDArray[np.bool_]:
    """Which columns act in a case, shape (der, COLUMNS)."""
    found = np.ones((len(site.ders), COLUMNS), dtype=bool)
    for i, d in enumerate(site.ders):
        if d.name in pins:
            found[i] = False
        elif d.name in forecast.pv:
            found[i, :PIECES] = np.arange(PIECES) < _filled(case, d.name)
        elif d.name in case.dg_kw:
            found[i] = False
            found[i, PIECES] = case.dg_kw[d.name] >= RUNS_KW
    return found


def _filled(case: Case, name: str) -> int:
    """Pieces of a cap that the sun of a case can fill."""
    if case.sun is Sun.CAP and name not in case.dark:
        return PIECES
    return 2 if case.sun is Sun.EXPECTED else 1


def _levels(name: str, forecast: Forecast) -> Floats:
    """Upper end of each piece of a cap, shape (PIECES,) [kW]."""
    sky = forecast.pv[name]
    lower = min(sky.lower_kw, sky.upper_kw)
    return np.array([lower, min(max(sky.expected_kw, lower), sky.upper_kw), sky.upper_kw])


def _circle(i: int, d: Pv | Bes) -> list[tuple[int, float, float, float]]:
    """The polygon inside P² + Q² ≤ S²: DER, factors of P and Q, bound."""
    if d.s_max_kva is None:
        return []
    turns = 2.0 * math.pi * (np.arange(SIDES) + 0.5) / SIDES
    bound = d.s_max_kva * math.cos(math.pi / SIDES)
    return [(i, math.cos(turn), math.sin(turn), bound) for turn in turns.tolist()]
