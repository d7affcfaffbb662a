"""Eq. (1)–(9) of the reference publication as one Pyomo model.

The publication: Hafiz et al., "Real-time Implementation of Grid Code Compliant Grid Edge
Energy Management System". Equation numbers up to (4) and (10) follow it; the grouping of the
device limits under (5)–(9) is ours. What is asked of the point of common coupling is in `grid`.
Eq. (10) is not here: its rows are dense and change at every linearisation, so they are appended
to the extracted matrices (`rows.with_rows`).
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

from ems.clock import INTERVAL
from ems.dispatch import grid
from ems.dispatch.columns import Columns
from ems.dispatch.extraction import Extraction
from ems.dispatch.program import LinearProgram
from ems.domain import Bes, Pv, Site

HOURS = INTERVAL.total_seconds() / 3600.0
"""Length of an interval, Δt [h]."""

SOC_UNBOUNDED_PCT = 1e6
"""Stands for no limit on a state of charge [%]."""
Q_UNBOUNDED_KVAR = 1e6
"""Stands for no limit on a reactive power [kvar]."""

LEAST_Q_KVAR = 1e-3
"""Reactive power below which a DER counts as having none: a var is no means of control."""
LEAST_Q_COST = 1e-7
"""Price on |Q| where the site sets none: without one, injecting and absorbing at once would
cost nothing [$/kvarh]."""

ROOM_SHARE = 0.9
"""Worth of room above the expected power, of that of the power itself: where energy is free, the
power is filled first [1]."""
CAP_WORTH = 0.01
"""Worth of a kW of PV allowed but not expected, as a fraction of the grid price. It buys
head-room with what is nearly free (reactive power) and never with energy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalData:
    """The numbers of one interval."""

    price_usd_per_kwh: float
    load_kw: float
    pv_expected_kw: Mapping[str, float]
    pv_upper_kw: Mapping[str, float]
    soc_pct: Mapping[str, float | None]
    """None: not known, the battery holds still."""
    dg_kw: Mapping[str, float]
    """Present power, from which a DG ramps."""
    dg_may_fall: bool = True
    """False: no DG goes below its present power."""
    pinned: frozenset[str] = frozenset()
    """DERs that hold what they do, whatever their limits say."""
    loss_factor: float | None = None
    """K of eq. (2); None: the site's [1]."""
    peak_kw: float | None = None
    """Highest import of the month so far; None: no demand charge [kW]."""
    load_kvar: float | None = None
    """Reactive power the head would carry with no DER giving any; None: by the load's power
    factor [kvar]."""


class DispatchModel:
    """The model of one site: built once, its parameters set at every interval."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._model = _build(site)
        self._extraction: Extraction | None = None
        self._lock = threading.Lock()
        self._last: tuple[IntervalData, LinearProgram, Columns] | None = None

    def extract(self, data: IntervalData) -> tuple[LinearProgram, Columns]:
        """Matrices of eq. (1)–(9) for one interval, and the column of each variable.

        The same interval is asked again for every set of network rows, so the last answer
        is kept.
        """
        with self._lock:
            if self._last is not None and self._last[0] == data:
                return self._last[1], self._last[2]
            program, columns = self._extract(data)
            self._last = data, program, columns
            return program, columns

    def _extract(self, data: IntervalData) -> tuple[LinearProgram, Columns]:
        _set(self._model, self.site, data)
        if self._extraction is None:  # a cost that is 0 before it is set might be left out
            self._extraction = Extraction(self._model, self.site.names)
        return self._extraction.program(), self._extraction.columns


def _build(site: Site) -> Any:
    m = pyo.ConcreteModel(name=site.name)
    pv = [d.name for d in site.pvs]
    dg = [d.name for d in site.dgs]
    bes = {d.name: d for d in site.bess}
    for name in ("load_kw", "loss_factor", "cap_worth"):
        m.add_component(name, grid.number())
    for name, index in (
        ("pv_expected", pv), ("pv_room", pv), ("dg_lo", dg), ("dg_hi", dg),
        ("soc", list(bes)), ("soc_lo", list(bes)), ("soc_hi", list(bes)), ("bes_hi", list(bes)),
    ):  # fmt: skip
        m.add_component(name, grid.number(index))

    # (5) PV: produced up to what is expected; capped some room above that, up to what the sky
    #     can give. Two variables, because a PV setpoint is a cap and not a forecast.
    m.p_pv = pyo.Var(pv, bounds=lambda m, i: (0.0, m.pv_expected[i]))
    m.room = pyo.Var(pv, bounds=lambda m, i: (0.0, m.pv_room[i]))
    # (6) BES power, charge and discharge apart; that both are never used at once is no linear
    #     thing, and seen to after the solve (`exclusion`).
    m.p_ch = pyo.Var(bes, bounds=lambda m, i: (0.0, m.bes_hi[i]))
    m.p_dis = pyo.Var(bes, bounds=lambda m, i: (0.0, m.bes_hi[i]))
    # (7), (8) DG: rating and ramp, folded into one pair of bounds; that it is off or above its
    #     least power is seen to likewise.
    m.p_dg = pyo.Var(dg, bounds=lambda m, i: (m.dg_lo[i], m.dg_hi[i]))
    _add_reactive(m, site)
    grid.add(m, site)

    # (2) active power balance; K stands for the losses as a fraction of the load.
    m.balance = pyo.Constraint(
        expr=m.p_grid
        + sum(m.p_pv[i] for i in pv)
        + sum(m.p_dg[i] for i in dg)
        + sum(m.p_dis[i] - m.p_ch[i] for i in bes)
        == (1.0 + m.loss_factor) * m.load_kw
    )

    # (3) charge balance. The publication applies one η both ways; here charging stores η·p
    #     and discharging draws p/η, so a round trip loses 1 − η².
    # (4) SOC limits, as its text has them (its print swaps them).
    def soc_after(m: Any, i: str) -> Any:
        stored_kw = bes[i].eta_charge * m.p_ch[i] - m.p_dis[i] / bes[i].eta_discharge
        return m.soc[i] + 100.0 * HOURS / bes[i].capacity_kwh * stored_kw

    m.soc_max = pyo.Constraint(bes, rule=lambda m, i: soc_after(m, i) <= m.soc_hi[i])
    m.soc_min = pyo.Constraint(bes, rule=lambda m, i: soc_after(m, i) >= m.soc_lo[i])

    # (1) cost per hour. w_es values a kWh that storage can still deliver: discharging spends
    #     one, charging a kWh earns η·η, so that charging and discharging never pays by itself.
    m.cost = pyo.Objective(
        expr=m.grid_cost
        + sum(d.cost_usd_per_kwh * m.p_dg[d.name] for d in site.dgs)
        + sum(
            d.weight_usd_per_kwh * (m.p_dis[i] - d.eta_charge * d.eta_discharge * m.p_ch[i])
            for i, d in bes.items()
        )
        + max(site.q_cost_usd_per_kvarh, LEAST_Q_COST)
        * sum(m.q_inj[i] + m.q_abs[i] for i in site.names)
        - site.curtailment_usd_per_kwh * sum(m.p_pv[i] for i in pv)
        - m.cap_worth * sum(m.p_pv[i] + ROOM_SHARE * m.room[i] for i in pv)
    )
    return m


def _add_reactive(m: Any, site: Site) -> None:
    """(9) Reactive power, injected and absorbed apart so that |Q| has a price.

    A generator gives none while it is off. All of it is counted on from the least power it runs
    at, and less below: the off state itself is no number between.
    """
    q_max = {d.name: d.q_max_kvar if d.q_max_kvar >= LEAST_Q_KVAR else 0.0 for d in site.ders}
    m.q_inj = pyo.Var(list(q_max), bounds=lambda _m, i: (0.0, q_max[i]))
    m.q_abs = pyo.Var(list(q_max), bounds=lambda _m, i: (0.0, q_max[i]))
    q_per_kw = {d.name: q_max[d.name] / d.full_q_kw for d in site.dgs if q_max[d.name] > 0.0}
    m.dg_q_free = grid.number(list(q_per_kw))

    def runs(m: Any, i: str) -> Any:
        return m.q_inj[i] + m.q_abs[i] <= m.dg_q_free[i] + q_per_kw[i] * m.p_dg[i]

    m.q_runs = pyo.Constraint(list(q_per_kw), rule=runs)

    # Inverter capability P² + Q² ≤ S², P of PV at its cap; over S, so that it reads in kVA. Of two
    # powers of opposite sign one is 0, so their sum is |P| or |Q|. Out of the linear form
    # (inactive), and not at all where rating and Q stay inside.
    inverters = {d.name: d for d in site.ders if isinstance(d, Pv | Bes)}
    s_max = {
        name: d.s_max_kva
        for name, d in inverters.items()
        if d.s_max_kva is not None and math.hypot(d.rated_kw, q_max[name]) > d.s_max_kva
    }

    def circle(m: Any, i: str) -> Any:
        p = m.p_pv[i] + m.room[i] if isinstance(inverters[i], Pv) else m.p_dis[i] + m.p_ch[i]
        return (p**2 + (m.q_inj[i] + m.q_abs[i]) ** 2) / s_max[i] <= s_max[i]

    m.capability = pyo.Constraint(list(s_max), rule=circle)
    m.capability.deactivate()


def _set(m: Any, site: Site, data: IntervalData) -> None:
    loss_factor = site.loss_factor if data.loss_factor is None else data.loss_factor
    m.load_kw = data.load_kw
    m.loss_factor = loss_factor
    m.cap_worth = cap_worth(data.price_usd_per_kwh + site.curtailment_usd_per_kwh)
    most_kw, least_kw = 0.0, 0.0  # what the DERs can make together
    for pv in site.pvs:
        upper = min(data.pv_upper_kw[pv.name], pv.rated_kw)
        expected = min(data.pv_expected_kw[pv.name], upper)
        m.pv_room[pv.name] = upper - expected
        m.pv_expected[pv.name] = expected
        most_kw += expected
    for dg in site.dgs:
        now = min(max(data.dg_kw[dg.name], 0.0), dg.rated_kw)
        hi = min(dg.rated_kw, now + dg.ramp_up_kw_per_h * HOURS)
        lo = now - (dg.ramp_down_kw_per_h * HOURS if data.dg_may_fall else 0.0)
        if dg.min_kw > 0.0:
            hi = max(hi, dg.min_kw)  # it starts at its least power
            lo = lo if lo > dg.min_kw else 0.0  # it may stop (`exclusion` forbids between)
            if now >= dg.min_kw and not data.dg_may_fall:
                lo = now
        m.dg_hi[dg.name], m.dg_lo[dg.name] = hi, min(max(lo, 0.0), hi)
        most_kw += hi
        if dg.name in m.dg_q_free:
            # A pinned one gives what it gives, more than its rating too.
            m.dg_q_free[dg.name] = Q_UNBOUNDED_KVAR if dg.name in data.pinned else 0.0
    for bes in site.bess:
        soc = data.soc_pct[bes.name]
        known = soc is not None and math.isfinite(soc)
        m.soc[bes.name] = now = soc if known and soc is not None else bes.soc_min_pct
        # A battery found outside its limits may stay or return, never go further out.
        m.soc_lo[bes.name] = min(bes.soc_min_pct, now)
        m.soc_hi[bes.name] = max(bes.soc_max_pct, now)
        m.bes_hi[bes.name] = bes.rated_kw if known else 0.0
        most_kw, least_kw = most_kw + bes.rated_kw, least_kw - bes.rated_kw
        if bes.name in data.pinned:
            # It does what it does; its charge is not ours to keep, nor to call infeasible.
            m.soc_lo[bes.name], m.soc_hi[bes.name] = -SOC_UNBOUNDED_PCT, SOC_UNBOUNDED_PCT
    grid.set_interval(
        m,
        site,
        grid.Terms.of(
            site,
            (1.0 + loss_factor) * data.load_kw,
            (least_kw, most_kw),
            price=data.price_usd_per_kwh,
            peak_kw=data.peak_kw,
            load_kvar=data.load_kvar,
        ),
    )


def cap_worth(price_usd_per_kwh: float) -> float:
    """Worth of a kW of cap [$/kWh]: negative with the price, so that PV is then held down.

    Never 0: a variable without any cost would leave the matrices.
    """
    if price_usd_per_kwh < 0.0:
        return min(CAP_WORTH * price_usd_per_kwh, -1e-7)
    return max(CAP_WORTH * price_usd_per_kwh, 1e-4)
