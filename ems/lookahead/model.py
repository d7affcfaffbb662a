"""Eq. (1)–(9) over a horizon as sparse matrices, built once per site and number of intervals.

Columns are laid out interval by interval. What a cycle changes (prices, sky, load, state) stands
in costs, bounds and right-hand sides only (`numbers`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from ems.clock import INTERVAL
from ems.domain import Dg, Site
from ems.lookahead.program import Floats, Ints

HOURS = INTERVAL.total_seconds() / 3600.0
"""Length of an interval, Δt [h]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where each variable stands. `n` intervals; DERs of a kind in site order."""

    imported: Ints
    """Power from the grid, shape (n,) [kW]."""
    exported: Ints
    """Power to the grid, shape (n,) [kW]."""
    pv: Ints
    """Shape (n, pv) [kW]."""
    charge: Ints
    """Shape (n, bes) [kW]."""
    discharge: Ints
    """Shape (n, bes) [kW]."""
    stored: Ints
    """Energy at the end of the interval, shape (n, bes) [kWh]."""
    dg: Ints
    """Shape (n, dg) [kW]."""
    on: Ints
    """Whether a generator with a least power runs, shape (n, started) [1]."""
    short: Ints
    """Energy missing at the end of the horizon, shape (bes,) [kWh]."""
    room: Ints
    """Cap of the first interval less production, shape (pv,) [kW]."""
    import_over: Ints
    """How far the import limit is broken, shape (n,), or (0,) without one [kW]."""
    export_over: Ints
    generation_over: Ints
    peak_over: Ints
    """How far the month's highest import is raised, shape (1,), or (0,) without a charge [kW]."""
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsAt:
    """Where each constraint stands."""

    balance: Ints
    """Eq. (2), shape (n,)."""
    charge: Ints
    """Eq. (3), shape (n, bes)."""
    terminal: Ints
    """Shape (bes,)."""
    import_limit: Ints
    """Shape (n,), or (0,) without one."""
    export_limit: Ints
    generation_limit: Ints
    peak: Ints
    """Shape (n,), or (0,) without a demand charge."""
    starts: tuple[int, ...]
    """Indices among the generators of those with a least power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The matrix of a site over n intervals, and the right-hand sides no cycle changes."""

    site: Site
    columns: Columns
    at: RowsAt
    a: sp.csr_array
    """Shape (row, variable)."""
    row_lo: Floats
    row_hi: Floats


@dataclass(slots=True)
class _Rows:
    """Constraints, gathered as triples."""

    i: list[Any] = field(default_factory=list)
    j: list[Any] = field(default_factory=list)
    v: list[Any] = field(default_factory=list)
    lo: list[Floats] = field(default_factory=list)
    hi: list[Floats] = field(default_factory=list)
    count: int = 0

    def add(
        self,
        shape: tuple[int, ...],
        terms: Sequence[tuple[Ints, float | Floats]],
        lo: float | Floats,
        hi: float | Floats,
    ) -> Ints:
        """Rows of `shape`; terms are columns of that shape, or one axis more, and coefficients."""
        rows = np.arange(self.count, self.count + int(np.prod(shape)), dtype=np.int32)
        rows = rows.reshape(shape)
        self.count += rows.size
        for columns, value in terms:
            wide = rows if columns.ndim == rows.ndim else rows[..., None]
            self.i.append(np.broadcast_to(wide, columns.shape).ravel())
            self.j.append(columns.ravel())
            self.v.append(np.broadcast_to(value, columns.shape).astype(float).ravel())
        self.lo.append(np.broadcast_to(lo, shape).astype(float).ravel())
        self.hi.append(np.broadcast_to(hi, shape).astype(float).ravel())
        return rows

    def matrix(self, width: int) -> sp.csr_array:
        i, j, v = (np.concatenate(parts) for parts in (self.i, self.j, self.v))
        return sp.csr_array((v, (i, j)), shape=(self.count, width))


@lru_cache(maxsize=8)
def frame(site: Site, n: int) -> Frame:
    """Matrices of `site` over `n` intervals."""
    starts = tuple(i for i, d in enumerate(site.dgs) if d.min_kw > 0.0)
    cols = _columns(site, n, len(starts))
    rows = _Rows()
    none = np.zeros(n)
    # (2) active power balance, with its right-hand side set by `numbers`.
    balance = rows.add(
        (n,),
        [(cols.imported, 1.0), (cols.exported, -1.0), (cols.pv, 1.0), (cols.discharge, 1.0),
         (cols.charge, -1.0), (cols.dg, 1.0)],
        none, none,
    )  # fmt: skip
    stored = _add_storage(rows, site, cols, n)
    terminal = rows.add(
        (len(site.bess),), [(cols.stored[-1], 1.0), (cols.short, 1.0)], -np.inf, np.inf
    )
    limits = _add_head(rows, site, cols)
    _add_generators(rows, site.dgs, cols, starts)
    return Frame(
        site=site,
        columns=cols,
        at=RowsAt(balance=balance, charge=stored, terminal=terminal, starts=starts, **limits),
        a=rows.matrix(cols.size),
        row_lo=np.concatenate(rows.lo),
        row_hi=np.concatenate(rows.hi),
    )


def _columns(site: Site, n: int, started: int) -> Columns:
    taken = 0

    def block(*shape: int) -> Ints:
        nonlocal taken
        found = np.arange(taken, taken + int(np.prod(shape)), dtype=np.int32).reshape(shape)
        taken += found.size
        return found

    pv, bes, dg = len(site.pvs), len(site.bess), len(site.dgs)
    return Columns(
        imported=block(n), exported=block(n), pv=block(n, pv), charge=block(n, bes),
        discharge=block(n, bes), stored=block(n, bes), dg=block(n, dg), on=block(n, started),
        short=block(bes), room=block(pv),
        import_over=block(0 if site.import_limit_kw is None else n),
        export_over=block(0 if site.export_limit_kw is None else n),
        generation_over=block(0 if site.generation_limit_kw is None else n),
        peak_over=block(1 if site.demand_charge_usd_per_kw > 0.0 else 0), size=taken,
    )  # fmt: skip


def _add_head(rows: _Rows, site: Site, cols: Columns) -> dict[str, Ints]:
    """Limits at the point of common coupling, elastic; and what raises the month's peak.

    Export and generation count every PV plant at its cap, which only the interval that is sent
    has.
    """
    count = len(cols.import_over)
    imports = rows.add(
        (count,),
        [(cols.imported[:count], 1.0), (cols.exported[:count], -1.0), (cols.import_over, -1.0)],
        -np.inf, site.import_limit_kw or 0.0,
    )  # fmt: skip
    count = len(cols.export_over)
    exports = rows.add(
        (count,),
        [(cols.exported[:count], 1.0), (cols.imported[:count], -1.0), (cols.export_over, -1.0)],
        -np.inf, site.export_limit_kw or 0.0,
    )  # fmt: skip
    count = len(cols.generation_over)
    injected = rows.add(
        (count,),
        [(cols.pv[:count], 1.0), (cols.dg[:count], 1.0), (cols.discharge[:count], 1.0),
         (cols.charge[:count], -1.0), (cols.generation_over, -1.0)],
        -np.inf, site.generation_limit_kw or 0.0,
    )  # fmt: skip
    for limited in (exports, injected):
        if len(limited):
            rows.i.append(np.repeat(limited[:1], len(cols.room)))
            rows.j.append(cols.room)
            rows.v.append(np.ones(len(cols.room)))
    n = len(cols.imported) if len(cols.peak_over) else 0
    peak = rows.add(
        (n,),
        [(cols.imported[:n], 1.0), (cols.exported[:n], -1.0), (np.repeat(cols.peak_over, n), -1.0)],
        -np.inf, np.inf,
    )  # fmt: skip
    return {
        "import_limit": imports,
        "export_limit": exports,
        "generation_limit": injected,
        "peak": peak,
    }


def _add_storage(rows: _Rows, site: Site, cols: Columns, n: int) -> Ints:
    """(3) charge balance: charging stores η·p, discharging draws p/η."""
    eta_in = np.array([b.eta_charge for b in site.bess])
    eta_out = np.array([b.eta_discharge for b in site.bess])
    shape = (n, len(site.bess))
    stored = rows.add(
        shape,
        [(cols.stored, 1.0), (cols.charge, -HOURS * eta_in), (cols.discharge, HOURS / eta_out)],
        0.0, 0.0,
    )  # fmt: skip
    rows.i.append(stored[1:].ravel())
    rows.j.append(cols.stored[:-1].ravel())
    rows.v.append(np.full(stored[1:].size, -1.0))
    return stored


def _add_generators(rows: _Rows, dgs: Sequence[Dg], cols: Columns, starts: tuple[int, ...]) -> None:
    """(8) ramps between intervals, (7) least power. The first interval's ramp is a bound.

    As in one interval: a generator that is off may start at its least power, and one may stop
    from as high as that and a ramp.
    """
    limited = [
        i
        for i, d in enumerate(dgs)
        if i not in starts and min(_ramp(d)) < d.rated_kw
    ]  # fmt: skip
    up, down = np.array([_ramp(dgs[i]) for i in limited]).reshape(-1, 2).T
    now, before = cols.dg[1:, limited], cols.dg[:-1, limited]
    rows.add(now.shape, [(now, 1.0), (before, -1.0)], -down, up)
    if not starts:
        return
    least = np.array([dgs[i].min_kw for i in starts])
    rated = np.array([dgs[i].rated_kw for i in starts])
    up, down = np.array([_ramp(dgs[i]) for i in starts]).T
    wide_up, wide_down = np.maximum(up, least), np.minimum(least + down, rated)
    power = cols.dg[:, list(starts)]
    shape, later = power.shape, power[1:].shape
    rows.add(shape, [(power, 1.0), (cols.on, -least)], 0.0, np.inf)
    rows.add(shape, [(power, 1.0), (cols.on, -rated)], -np.inf, 0.0)
    # As tight as a row of two intervals can be: with `on` between 0 and 1 it allows least.
    rows.add(
        later,
        [(power[1:], 1.0), (power[:-1], -1.0), (cols.on[1:], -wide_up),
         (cols.on[:-1], wide_up - up)],
        -np.inf, 0.0,
    )  # fmt: skip
    rows.add(
        later,
        [(power[:-1], 1.0), (power[1:], -1.0), (cols.on[:-1], -wide_down),
         (cols.on[1:], wide_down - down)],
        -np.inf, 0.0,
    )  # fmt: skip


def _ramp(dg: Dg) -> tuple[float, float]:
    """Largest rise and fall within an interval [kW]."""
    up, down = dg.ramp_up_kw_per_h * HOURS, dg.ramp_down_kw_per_h * HOURS
    return min(up, dg.rated_kw), min(down, dg.rated_kw)
