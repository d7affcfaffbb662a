"""Eq. (10) in any interval of the horizon: elastic network rows on the matrices."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ems.domain import Bes, Der, Pv, RowBlock, Setpoint, Site
from ems.lookahead.model import HOURS, Columns
from ems.lookahead.program import Floats, Ints, Program

PENALTY_FACTOR = 1e3
"""Price of breaking a row, over the largest energy price, in the row's own kW. An elastic row is
exact once its penalty exceeds its multiplier, and no multiplier reaches the price of energy times
the ratio of two sensitivities."""
LEAST_Q_KVAR = 1e-3
"""Reactive power below which a DER counts as having none: a var is no means of control."""
LEAST_Q_COST = 1e-7
"""Price on |Q| where the site sets none: without one, injecting and absorbing at once would cost
nothing [$/kvarh]."""
CHORDS = 16
"""Chords of a quarter of an inverter's circle: they cut off 0.12 % of S at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elastic:
    """Where one interval's rows, their slacks and its reactive power stand."""

    block: RowBlock
    q_inject: Ints
    """Shape (der,), in site order."""
    q_absorb: Ints
    slack: Ints
    """Shape (row,)."""
    rows: Ints
    """Shape (row,)."""
    scale: Floats
    """Shape (row,): largest coefficient of each row; rows are divided by it to read in kW."""


def with_rows(
    program: Program,
    columns: Columns,
    site: Site,
    blocks: Mapping[int, RowBlock],
    pins: Mapping[str, Setpoint],
    dearest_usd_per_kwh: float,
) -> tuple[Program, dict[int, Elastic]]:
    """Append  Σ c_p·P + Σ c_q·Q − slack ≤ bound,  and reactive power in intervals with rows.

    P of a PV plant is its cap in the first interval, which is sent, and its production in later
    ones. `pins` hold the first interval.
    """
    found: dict[int, Elastic] = {}
    for t, block in sorted(blocks.items()):
        held = pins if t == 0 else {}
        program, found[t] = _appended(program, columns, site, t, block, held, dearest_usd_per_kwh)
    return program, found


def _appended(
    program: Program,
    columns: Columns,
    site: Site,
    t: int,
    block: RowBlock,
    pins: Mapping[str, Setpoint],
    dearest_usd_per_kwh: float,
) -> tuple[Program, Elastic]:
    n, m, k, ders = len(program.c), program.a.shape[0], len(block), len(site.ders)
    coefficients = _coefficients(site, block)
    scale = np.abs(np.hstack([coefficients[0], coefficients[1]])).max(axis=1, initial=0.0)
    scale[scale == 0.0] = 1.0
    per_kw, per_kvar = (part / scale[:, None] for part in coefficients)
    power = sp.csr_array(per_kw) @ _power(columns, site, t, n)
    runs, runs_power, free = _running(columns, site, t, n, pins)
    body = sp.hstack([power, per_kvar, -per_kvar, -sp.eye_array(k)])
    none = sp.csr_array((runs.shape[0], k))
    limited = sp.hstack([runs_power, runs, runs, none])
    circles = _circles(columns, site, t, n, k, pins)
    wide = sp.hstack([program.a, sp.csr_array((m, 2 * ders + k))])
    q_lo, q_hi = _reactive_bounds(site, pins)
    q_cost = HOURS * max(site.q_cost_usd_per_kvarh, LEAST_Q_COST)
    penalty = HOURS * PENALTY_FACTOR * dearest_usd_per_kwh
    at = np.arange(n, n + 2 * ders + k, dtype=np.int32)
    appended = Program(
        c=np.concatenate([program.c, np.full(2 * ders, q_cost), np.full(k, penalty)]),
        a=sp.csr_array(sp.vstack([wide, body, limited, circles[0]])),
        row_lo=np.concatenate([program.row_lo, np.full(k + len(free) + len(circles[1]), -np.inf)]),
        row_hi=np.concatenate([program.row_hi, block.bound / scale, free, circles[1]]),
        x_lo=np.concatenate([program.x_lo, q_lo, np.zeros(k)]),
        x_hi=np.concatenate([program.x_hi, q_hi, np.full(k, np.inf)]),
    )
    return appended, Elastic(
        block=block,
        q_inject=at[:ders],
        q_absorb=at[ders : 2 * ders],
        slack=at[2 * ders :],
        rows=np.arange(m, m + k, dtype=np.int32),
        scale=scale,
    )


def _coefficients(site: Site, block: RowBlock) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`c_p` and `c_q` in site order, shape (row, der); DERs the block does not name: 0."""
    where = {name: i for i, name in enumerate(block.ders)}
    c_p, c_q = np.zeros((2, len(block), len(site.ders)))
    for i, name in enumerate(site.names):
        if name in where:
            c_p[:, i], c_q[:, i] = block.c_p[:, where[name]], block.c_q[:, where[name]]
    return c_p, c_q


def _power(columns: Columns, site: Site, t: int, width: int) -> sp.csr_array:
    """Active power towards the network of each DER from the variables, shape (der, variable)."""
    order = {name: i for i, name in enumerate(site.names)}
    where: list[tuple[Der, int, float]] = [
        *((d, columns.pv[t, i], 1.0) for i, d in enumerate(site.pvs)),
        *((d, columns.room[i], 1.0) for i, d in enumerate(site.pvs) if t == 0),
        *((d, columns.discharge[t, i], 1.0) for i, d in enumerate(site.bess)),
        *((d, columns.charge[t, i], -1.0) for i, d in enumerate(site.bess)),
        *((d, columns.dg[t, i], 1.0) for i, d in enumerate(site.dgs)),
    ]
    rows, cols, signs = zip(*((order[d.name], c, s) for d, c, s in where), strict=True)
    return sp.csr_array((signs, (rows, cols)), shape=(len(order), width))


def _q_max(der: Der) -> float:
    return der.q_max_kvar if der.q_max_kvar >= LEAST_Q_KVAR else 0.0


def _reactive_bounds(site: Site, pins: Mapping[str, Setpoint]) -> tuple[Floats, Floats]:
    """(9) Injected and absorbed apart, so that |Q| has a price; shape (2·der,) each [kvar]."""
    q_max = np.array([_q_max(d) for d in site.ders])
    lo, hi = np.zeros(2 * len(q_max)), np.concatenate([q_max, q_max])
    for i, der in enumerate(site.ders):
        if (pin := pins.get(der.name)) is not None:
            lo[i] = hi[i] = max(pin.q_kvar, 0.0)
            lo[i + len(q_max)] = hi[i + len(q_max)] = max(-pin.q_kvar, 0.0)
    return lo, hi


def _running(
    columns: Columns, site: Site, t: int, width: int, pins: Mapping[str, Setpoint]
) -> tuple[sp.csr_array, sp.csr_array, Floats]:
    """A generator that is off gives no reactive power:  |Q| − q/kW·P ≤ 0.

    All of it is counted on from the least power it runs at, and less below: the off state itself
    is no number between.
    """
    order = {name: i for i, name in enumerate(site.names)}
    free = [(i, d) for i, d in enumerate(site.dgs) if _q_max(d) > 0.0 and d.name not in pins]
    k = np.arange(len(free))
    reactive = sp.csr_array(
        (np.ones(len(free)), (k, [order[d.name] for _, d in free])), shape=(len(k), len(order))
    )
    per_kw = [-_q_max(d) / d.full_q_kw for _, d in free]
    active = sp.csr_array((per_kw, (k, [columns.dg[t, i] for i, _ in free])), shape=(len(k), width))
    return reactive, active, np.zeros(len(free))


def _circles(
    columns: Columns,
    site: Site,
    t: int,
    width: int,
    rows: int,
    pins: Mapping[str, Setpoint],
) -> tuple[sp.csr_array, Floats]:
    """Inverter capability P² + Q² ≤ S² by chords inside the circle, P of PV at its cap.

    Of two powers of opposite sign one is zero, so their sum is |P| or |Q| and one quarter of the
    circle is enough.
    """
    n_ders, order = len(site.ders), {name: i for i, name in enumerate(site.names)}
    angles = np.linspace(0.0, np.pi / 2.0, CHORDS + 1)
    mid, half = (angles[1:] + angles[:-1]) / 2.0, np.pi / 4.0 / CHORDS
    parts, bounds = [], []
    inverters: list[tuple[Pv | Bes, list[int]]] = [
        *((d, [columns.pv[t, i], *columns.room[i : i + (t == 0)]]) for i, d in enumerate(site.pvs)),
        *((d, [columns.discharge[t, i], columns.charge[t, i]]) for i, d in enumerate(site.bess)),
    ]
    for d, active in inverters:
        s = d.s_max_kva
        if s is None or d.name in pins or np.hypot(d.rated_kw, _q_max(d)) <= s:
            continue
        reactive = width + order[d.name] + np.array([0, n_ders])
        chord = sp.lil_array((CHORDS, width + 2 * n_ders + rows))
        chord[:, active] = np.repeat(np.cos(mid)[:, None], len(active), axis=1)
        chord[:, reactive] = np.repeat(np.sin(mid)[:, None], 2, axis=1)
        parts.append(chord)
        bounds.append(np.full(CHORDS, s * np.cos(half)))
    empty = sp.csr_array((0, width + 2 * n_ders + rows))
    return sp.csr_array(sp.vstack([empty, *parts])), np.concatenate([np.empty(0), *bounds])
