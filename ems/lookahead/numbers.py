"""What changes from cycle to cycle: prices, sky, load and state, laid on a site's matrices."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ems.domain import Bes, Forecast, Pv, Setpoint, Site, Snapshot
from ems.domain.ahead import Horizon, TerminalSoc
from ems.errors import BadInput
from ems.lookahead.model import HOURS, Frame
from ems.lookahead.program import Floats, Program

CAP_WORTH = 0.01
"""Worth of a kW of PV allowed but not expected, as a fraction of the grid price: it buys head-room
with what is nearly free (reactive power) and never with energy."""
HEAD_FACTOR = 1e2
"""Price of breaking a limit at the point of common coupling, over the dearest energy [1]: a tenth
of a network row's, so that where both cannot be kept the voltage is."""
TERMINAL_FACTOR = 10.0
"""Price of a kWh missing at the end of the horizon, over the dearest energy. A stored kWh never
earns its price over the two efficiencies, so the policy is kept wherever it can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where the batteries stand, and how far they may go. Shape (bes,) each [kWh]."""

    now: Floats
    low: Floats
    high: Floats
    target: Floats
    """Least energy at the end; minus infinity: free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Everything a solve is a function of, network rows apart."""

    snapshot: Snapshot
    forecast: Forecast
    horizon: Horizon
    pins: Mapping[str, Setpoint]
    generators_may_fall: bool
    loss_factor: float
    """K of eq. (2) [1]."""
    peak_kw: float | None
    """The month's highest import so far; None: no demand charge is counted [kW]."""

    @property
    def selling(self) -> Floats:
        """What the grid pays in each interval, shape (interval,) [$/kWh]."""
        return np.array(self.horizon.selling_usd_per_kwh)

    @property
    def price(self) -> Floats:
        """What it asks, shape (interval,) [$/kWh]."""
        return np.array(self.horizon.price_usd_per_kwh)


def dearest(site: Site, given: Given) -> float:
    """The highest worth a kWh can have in the horizon; penalties are multiples of it [$/kWh]."""
    grid = max(np.abs(given.price).max(), np.abs(given.selling).max())
    charge = 0.0 if given.peak_kw is None else site.demand_charge_usd_per_kw / HOURS
    extra = max(site.curtailment_usd_per_kwh, charge)
    return max([1.0, float(grid) + extra, *(d.cost_usd_per_kwh for d in site.dgs)])


def most_kw(der: Pv | Bes) -> float:
    """Active power its inverter can carry [kW]."""
    return der.rated_kw if der.s_max_kva is None else min(der.rated_kw, der.s_max_kva)


def cap_worth(price_usd_per_kwh: float) -> float:
    """Worth of a kW of cap [$/kWh]: negative with the price, so that PV is then held down."""
    if price_usd_per_kwh < 0.0:
        return CAP_WORTH * price_usd_per_kwh
    return max(CAP_WORTH * price_usd_per_kwh, 1e-4)


def numbered(frame: Frame, given: Given) -> tuple[Program, State]:
    """The program of one cycle, eq. (10) apart.

    Raises:
        BadInput: the horizon lacks a PV plant of the site.
    """
    missing = [pv.name for pv in frame.site.pvs if pv.name not in given.horizon.pv_kw]
    if missing:
        raise BadInput.at("horizon.pv_kw", f"lacks {', '.join(missing)}: give one series per plant")
    program = Program(
        c=np.zeros(frame.columns.size),
        a=frame.a,
        row_lo=frame.row_lo.copy(),
        row_hi=frame.row_hi.copy(),
        x_lo=np.zeros(frame.columns.size),
        x_hi=np.full(frame.columns.size, np.inf),
    )
    _grid(program, frame, given)
    _pv(program, frame, given)
    state = _storage(program, frame, given)
    _generators(program, frame, given)
    _pinned(program, frame, given.pins)
    _still_running(program, frame)
    return program, state


def demand_kw(given: Given) -> Floats:
    """Load and losses, right-hand side of eq. (2), shape (interval,) [kW]."""
    load = np.array(given.horizon.load_kw, dtype=float)
    load[0] = given.forecast.load_kw
    return np.asarray((1.0 + given.loss_factor) * load)


def _grid(program: Program, frame: Frame, given: Given) -> None:
    """Bought and sold apart where the prices differ; else one import of either sign."""
    cols = frame.columns
    demand = demand_kw(given)
    program.row_lo[frame.at.balance] = program.row_hi[frame.at.balance] = demand
    price, selling = given.price, given.selling
    one = price == selling
    # Dearer sold than bought, the meter could turn both ways at once: bounded, so that a binary
    # can tell the two apart.
    at_most = np.abs(demand) + sum(d.rated_kw for d in frame.site.ders)
    at_most += sum(abs(s.p_kw) for s in given.pins.values())
    program.c[cols.imported] = HOURS * price
    program.c[cols.exported] = -HOURS * selling
    program.x_lo[cols.imported] = np.where(one, -np.inf, 0.0)
    program.x_hi[cols.imported] = np.where(selling > price, at_most, np.inf)
    program.x_hi[cols.exported] = np.where(one, 0.0, np.where(selling > price, at_most, np.inf))
    over = HOURS * HEAD_FACTOR * dearest(frame.site, given)
    program.c[cols.import_over] = program.c[cols.export_over] = over
    program.c[cols.generation_over] = over
    if given.peak_kw is not None:
        program.c[cols.peak_over] = frame.site.demand_charge_usd_per_kw
        program.row_hi[frame.at.peak] = given.peak_kw


def _pv(program: Program, frame: Frame, given: Given) -> None:
    cols, pvs = frame.columns, frame.site.pvs
    for i, pv in enumerate(pvs):
        sky = given.forecast.pv[pv.name]
        upper = min(sky.upper_kw, pv.rated_kw)
        available = np.array(given.horizon.pv_kw[pv.name], dtype=float)
        available[0] = min(sky.expected_kw, upper)
        program.x_hi[cols.pv[:, i]] = np.clip(available, 0.0, most_kw(pv))
        program.x_hi[cols.room[i]] = max(0.0, min(upper, most_kw(pv)) - available[0])
    curtailed = frame.site.curtailment_usd_per_kwh
    program.c[cols.pv] = -HOURS * curtailed
    # At the lesser of the two prices: where energy would be given away, none is allowed for.
    worth = HOURS * cap_worth(min(given.price[0], given.selling[0]) + curtailed)
    program.c[cols.pv[0]] -= worth
    program.c[cols.room] = -worth


def _storage(program: Program, frame: Frame, given: Given) -> State:
    cols, bess = frame.columns, frame.site.bess
    state = _state(bess, given)
    unknown = [i for i, b in enumerate(bess) if _soc_pct(given, b) is None]
    rated = np.array([most_kw(b) for b in bess])
    rated[unknown] = 0.0
    program.x_hi[cols.charge] = program.x_hi[cols.discharge] = rated
    program.x_lo[cols.stored], program.x_hi[cols.stored] = state.low, state.high
    first = frame.at.charge[0]
    program.row_lo[first] = program.row_hi[first] = state.now
    program.row_lo[frame.at.terminal] = state.target
    program.c[cols.short] = TERMINAL_FACTOR * dearest(frame.site, given)
    return state


def _state(bess: tuple[Bes, ...], given: Given) -> State:
    """Energy now, and the box it stays in.

    A battery found outside its limits may stay or return, never go further out; where one that
    is pinned will be, it is no plan's fault.
    """
    now, low, high, target = [], [], [], []
    for b in bess:
        per_pct = b.capacity_kwh / 100.0
        known = _soc_pct(given, b)
        kwh = per_pct * (b.soc_min_pct if known is None else known)
        pin = given.pins.get(b.name)
        ends = kwh if pin is None else kwh - HOURS * drawn_kw(b, pin.p_kw)
        now.append(kwh)
        box = (kwh, kwh) if known is None else (per_pct * b.soc_min_pct, per_pct * b.soc_max_pct)
        low.append(min(box[0], kwh, ends))
        high.append(max(box[1], kwh, ends))
        target.append(min(_target(given.horizon.terminal, kwh, per_pct), high[-1]))
    return State(now=np.array(now), low=np.array(low), high=np.array(high), target=np.array(target))


def _target(terminal: TerminalSoc, kwh: float, per_pct: float) -> float:
    match terminal:
        case "free":
            return -math.inf
        case "keep":
            return kwh
        case _:
            return per_pct * terminal


def _soc_pct(given: Given, b: Bes) -> float | None:
    """None: not known, the battery holds still."""
    soc = given.snapshot.ders[b.name].soc_pct
    return soc if soc is not None and math.isfinite(soc) else None


def drawn_kw(b: Bes, p_kw: float) -> float:
    """Power out of the store while `p_kw` leaves the battery [kW]."""
    return p_kw / b.eta_discharge if p_kw > 0.0 else p_kw * b.eta_charge


def _generators(program: Program, frame: Frame, given: Given) -> None:
    cols, dgs = frame.columns, frame.site.dgs
    program.x_hi[cols.on] = 1.0
    for i, dg in enumerate(dgs):
        program.c[cols.dg[:, i]] = HOURS * dg.cost_usd_per_kwh
        program.x_hi[cols.dg[:, i]] = dg.rated_kw
        now = min(max(given.snapshot.ders[dg.name].p_kw, 0.0), dg.rated_kw)
        hi = min(dg.rated_kw, now + dg.ramp_up_kw_per_h * HOURS)
        lo = now - (dg.ramp_down_kw_per_h * HOURS if given.generators_may_fall else 0.0)
        if dg.min_kw > 0.0:
            hi = max(hi, dg.min_kw)  # it starts at its least power
            lo = lo if lo > dg.min_kw else 0.0  # it may stop
            if now >= dg.min_kw and not given.generators_may_fall:
                lo = now
        program.x_lo[cols.dg[0, i]], program.x_hi[cols.dg[0, i]] = min(max(lo, 0.0), hi), hi


def _pinned(program: Program, frame: Frame, pins: Mapping[str, Setpoint]) -> None:
    """Hold DERs that do not follow at what they do now, for the interval that is sent."""
    cols, site = frame.columns, frame.site

    def hold(column: int, value: float) -> None:
        program.x_lo[column] = program.x_hi[column] = value

    for i, pv in enumerate(site.pvs):
        if (pin := pins.get(pv.name)) is not None:
            expected, room = program.x_hi[cols.pv[0, i]], program.x_hi[cols.room[i]]
            cap = expected + room if pin.cap_kw is None else min(pin.cap_kw, expected + room)
            hold(cols.pv[0, i], min(expected, cap))
            hold(cols.room[i], max(0.0, cap - expected))
    for i, bes in enumerate(site.bess):
        if (pin := pins.get(bes.name)) is not None:
            hold(cols.discharge[0, i], max(pin.p_kw, 0.0))
            hold(cols.charge[0, i], max(-pin.p_kw, 0.0))
    for i, dg in enumerate(site.dgs):
        if (pin := pins.get(dg.name)) is not None:
            # Above its rating it would be outside its own ramp in the next interval.
            hold(cols.dg[0, i], min(max(pin.p_kw, 0.0), dg.rated_kw))


def _still_running(program: Program, frame: Frame) -> None:
    """Generators that cannot be off yet: on their way down, above what they may stop from."""
    for k, i in enumerate(frame.at.starts):
        dg, cols = frame.site.dgs[i], frame.columns
        fall = dg.ramp_down_kw_per_h * HOURS
        least = program.x_lo[cols.dg[0, i]]
        if least >= dg.min_kw:
            program.x_lo[cols.on[0, k]] = 1.0
        for t in range(1, len(cols.on)):
            if least <= dg.min_kw + fall:
                break
            least -= fall
            program.x_lo[cols.dg[t, i]], program.x_lo[cols.on[t, k]] = least, 1.0
