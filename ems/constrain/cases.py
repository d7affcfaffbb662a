"""The operating points a dispatch must survive, and what each of them breaks.

A setpoint holds for a quarter of an hour while sun and load move, so it is verified where it
hurts: every PV plant at its cap and the load at the low end of its band (`high`), the least sun
and the load at the high end (`low`), and what is expected. The least sun is none, unless a lower
confidence is asked for. Both ends again while generators still stand where they were, because they
ramp for minutes; and, where a DER is not three-phase, with single plants shaded, because then less
power on one phase lifts another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

import numpy as np

from ems.domain import (
    Forecast,
    Injections,
    Limits,
    LoadFlow,
    PvForecast,
    Quality,
    Regulation,
    RowKind,
    Setpoint,
    Site,
    Snapshot,
    Unmoved,
    Violation,
)

TOLERANCE_PU = 1e-9
"""Round-off allowed when a voltage is held against its limit [pu]."""
TOLERANCE_PCT = 1e-6
"""Likewise of a loading [%]."""
STALE_BAND = 3.0
"""How much wider the load's band is taken when the meter no longer answers."""
MOST_SHADED = 8
"""Most PV plants that are shaded one by one."""
RUNS_KW = 1.0
"""Power from which a generator runs, and gives reactive power [kW]."""


class Sun(StrEnum):
    """What the PV plants do in a case."""

    EXPECTED = "expected"
    CAP = "cap"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One operating point of the coming interval."""

    name: str
    side: Literal["expected", "high", "low"]
    """Which end of the range a DER that cannot be commanded is taken at."""
    sun: Sun
    load_kw: float
    load_kvar: float | None
    dark: frozenset[str] = frozenset()
    """PV plants in shade while the others are as `sun` says."""
    dg_kw: Mapping[str, float] = field(default_factory=dict)
    """Generators that still stand where they were [kW]."""
    regulation: Regulation | None = None
    """Where taps and capacitors stand; None: as the feeder file leaves them."""
    momentary: bool = False
    """Whether these are about to act, and end it."""

    def limits(self, site: Site) -> Limits:
        """What is asked of the feeder in it."""
        return site.limits.momentarily() if self.momentary else site.limits


def cases_of(site: Site, snapshot: Snapshot, forecast: Forecast) -> tuple[Case, ...]:
    """The cases of an interval; sun and load have one only where they are certain."""
    lowest_kw, highest_kw = _load_range(site, snapshot, forecast)
    expected = _case("expected", "expected", Sun.EXPECTED, forecast.load_kw, forecast)
    high = _case("high", "high", Sun.CAP, lowest_kw, forecast)
    low = _case("low", "low", Sun.LOWER, highest_kw, forecast)
    certain = all(f.lower_kw == f.expected_kw == f.upper_kw for f in _skies(forecast).values())
    if lowest_kw == highest_kw and certain:
        cases = [replace(high, name="expected")]
    else:
        uneven = any(d.phases != 3 for d in site.ders)
        cases = [expected, high, low, *(crossed(high, low) if uneven else ())]
        cases += _shaded(site, forecast, high)
    if site.dgs:
        still = next((c for c in cases if c.name == "low"), replace(cases[0], side="low"))
        cases.append(replace(still, name="low, ramping", dg_kw=_present(site, snapshot)))
    return tuple(cases)


def ramping(site: Site, snapshot: Snapshot, cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases while generators still stand where they were, those that may be the worst.

    On three phases that is the highest; where a DER is not three-phase, any of them.
    """
    if not site.dgs:
        return ()
    if all(d.phases == 3 for d in site.ders):
        moving = [next((c for c in cases if c.name == "high"), cases[0])]
    else:
        moving = [c for c in cases if not c.dg_kw]
    still = _present(site, snapshot)
    return tuple(replace(c, name=f"{c.name}, ramping", dg_kw=still) for c in moving)


def _case(
    name: str,
    side: Literal["expected", "high", "low"],
    sun: Sun,
    load_kw: float,
    forecast: Forecast,
) -> Case:
    kvar = forecast.load_kvar
    if kvar is not None and forecast.load_kw:
        kvar *= load_kw / forecast.load_kw
    return Case(name=name, side=side, sun=sun, load_kw=load_kw, load_kvar=kvar)


def _load_range(site: Site, snapshot: Snapshot, forecast: Forecast) -> tuple[float, float]:
    """Lowest and highest load of the interval [kW]."""
    match snapshot.load.quality:
        case Quality.ASSUMED:
            return site.load_min_kw, site.load_max_kw
        case Quality.STALE:
            band = STALE_BAND * site.limits.load_band_pct / 100.0
        case Quality.GOOD:
            band = site.limits.load_band_pct / 100.0
    width = abs(forecast.load_kw) * band  # where PV is not metered apart, a load may be negative
    lowest_kw, highest_kw = forecast.load_kw - width, forecast.load_kw + width
    # A forecast that is less sure than the meter's band widens it; none narrows it.
    least_kw, most_kw = forecast.load_lower_kw, forecast.load_upper_kw
    return (
        lowest_kw if least_kw is None else min(least_kw, lowest_kw),
        highest_kw if most_kw is None else max(most_kw, highest_kw),
    )


def _present(site: Site, snapshot: Snapshot) -> Mapping[str, float]:
    return {d.name: min(snapshot.ders[d.name].p_kw, d.rated_kw) for d in site.dgs}


def crossed(high: Case, low: Case) -> tuple[Case, Case]:
    """Sun with high load, and low load without sun.

    Where a DER is not three-phase its power on one phase may balance a load there, and the
    heaviest current flows at neither end of the range; where only loads are uneven, it rarely does.
    """
    return (
        replace(high, name="high, load high", load_kw=low.load_kw, load_kvar=low.load_kvar),
        replace(low, name="low, load low", load_kw=high.load_kw, load_kvar=high.load_kvar),
    )


def unshaded(site: Site, forecast: Forecast) -> bool:
    """Whether there are too many plants to shade them one by one where that might matter."""
    skies = _skies(forecast).values()
    sunny = sum(sky.upper_kw > 0.0 for sky in skies)
    certain = all(f.lower_kw == f.upper_kw for f in skies)
    three_phase = all(d.phases == 3 for d in site.ders)
    return sunny > MOST_SHADED and not certain and not three_phase


def _skies(forecast: Forecast) -> Mapping[str, PvForecast]:
    """Of each plant, whatever others limit it to: it may not keep to that."""
    return {**forecast.pv, **forecast.unlimited}


def _shaded(site: Site, forecast: Forecast, high: Case) -> list[Case]:
    """`high` with each PV plant shaded alone, and each one alone in the sun."""
    skies = _skies(forecast)
    sunny = [p.name for p in site.pvs if skies[p.name].upper_kw > 0.0]
    three_phase = all(d.phases == 3 for d in site.ders)
    if three_phase or not 2 <= len(sunny) <= MOST_SHADED:
        return []
    shaded = [replace(high, name=f"high, {n} shaded", dark=frozenset({n})) for n in sunny]
    if len(sunny) == 2:
        return shaded
    alone = [replace(high, name=f"high, {n} alone", dark=frozenset(sunny) - {n}) for n in sunny]
    return shaded + alone


def pv_kw(case: Case, setpoint: Setpoint, forecast: Forecast) -> float:
    """What a PV plant makes in a case [kW]."""
    sun, cap = sun_kw(case, setpoint.der, forecast), setpoint.cap_kw
    return sun if cap is None or sun < cap else cap


def sun_kw(case: Case, name: str, forecast: Forecast) -> float:
    """What a PV plant could make in a case, were there no cap [kW]."""
    sky, sun = forecast.pv[name], case.sun
    if sun is Sun.CAP and name not in case.dark:
        return sky.upper_kw
    return sky.expected_kw if sun is Sun.EXPECTED else sky.lower_kw


def powers(
    case: Case,
    setpoints: Mapping[str, Setpoint],
    forecast: Forecast,
    pins: Mapping[str, Unmoved],
) -> tuple[dict[str, float], dict[str, float]]:
    """What a set of setpoints makes each DER do in a case: P [kW] and Q [kvar]."""
    p_kw, q_kvar = {}, {}
    skies = forecast.pv
    # A device that is not commanded may not keep to a limit of others either.
    free = forecast.unkept(pins)
    for name, asked in setpoints.items():
        held, sky = (getattr(pins[name], case.side), free) if name in pins else (asked, forecast)
        p_kw[name] = pv_kw(case, held, sky) if name in skies else held.p_kw
        q_kvar[name] = held.q_kvar
    for name, kw in case.dg_kw.items():
        if name in setpoints and name not in pins:
            p_kw[name] = kw
            if kw < RUNS_KW:
                q_kvar[name] = 0.0
    return p_kw, q_kvar


def injections(
    case: Case,
    setpoints: Mapping[str, Setpoint],
    forecast: Forecast,
    head_v_pu: float | None,
    pins: Mapping[str, Unmoved],
) -> Injections:
    """The operating point that a set of setpoints makes of a case."""
    p_kw, q_kvar = powers(case, setpoints, forecast, pins)
    return Injections(
        p_kw=p_kw,
        q_kvar=q_kvar,
        load_kw=case.load_kw,
        load_kvar=case.load_kvar,
        head_v_pu=head_v_pu,
        regulation=case.regulation,
    )


def moves(
    case: Case, setpoint: Setpoint, forecast: Forecast, pins: Mapping[str, Unmoved]
) -> tuple[bool, bool]:
    """Whether a DER's setpoint moves its P, and its Q, in a case."""
    name = setpoint.der
    if name in pins:
        return False, False
    if name in forecast.pv:
        if case.sun is Sun.CAP and name not in case.dark:
            return True, True
        # A cap moves nothing where the sun gives less.
        cap, sun = setpoint.cap_kw, sun_kw(case, name, forecast)
        return cap is not None and sun > 0.0 and cap <= sun, True
    if name in case.dg_kw:
        return False, case.dg_kw[name] >= RUNS_KW
    return True, True


def violations(flow: LoadFlow, limits: Limits, case: str) -> tuple[Violation, ...]:
    """Every limit a load flow breaks, worst first; de-energised nodes are left out."""
    v, most_pct = flow.v_pu, limits.loading_max_pct
    if keeping((flow,), limits)[0]:
        return ()
    most, least = limits.v_max_pu + TOLERANCE_PU, limits.v_min_pu - TOLERANCE_PU
    above, below = v > most, (v > 0.0) & (v < least)
    found = [
        Violation(kind=kind, place=flow.nodes[i], value=float(v[i]), limit=limit, case=case)
        for kind, limit, broken in (
            (RowKind.V_MAX, limits.v_max_pu, above),
            (RowKind.V_MIN, limits.v_min_pu, below),
        )
        for i in np.flatnonzero(broken)
    ]
    if most_pct is not None:
        found += [
            Violation(
                kind=RowKind.LOADING,
                place=flow.elements[i],
                value=float(flow.loading_pct[i]),
                limit=most_pct,
                case=case,
            )
            for i in np.flatnonzero(flow.loading_pct > most_pct + TOLERANCE_PCT)
        ]
    return tuple(sorted(found, key=severity, reverse=True))


def keeping(flows: Sequence[LoadFlow], limits: Limits) -> list[bool]:
    """Which load flows of one feeder break no limit; asked of several at once it takes no longer.

    Args:
        flows: at least one.
        limits: those of all of them.
    """
    volts = np.array([flow.v_pu for flow in flows])
    most, least = limits.v_max_pu + TOLERANCE_PU, limits.v_min_pu - TOLERANCE_PU
    # A node without voltage shows 0 and is below no limit.
    found = (np.maximum.reduce(volts, axis=1, initial=0.0) <= most) & ~np.logical_or.reduce(
        (volts < least) & (volts > 0.0), axis=1
    )
    if limits.loading_max_pct is not None:
        loadings = np.array([flow.loading_pct for flow in flows])
        most_pct = limits.loading_max_pct + TOLERANCE_PCT
        found &= np.maximum.reduce(loadings, axis=1, initial=0.0) <= most_pct
    return [bool(keeps) for keeps in found]


def severity(violation: Violation) -> float:
    """How far beyond its limit, as a fraction of it."""
    return abs(violation.value - violation.limit) / violation.limit


def reversion_set(site: Site, forecast: Forecast | None) -> Mapping[str, Setpoint]:
    """What all devices do when GEEMS is silent: the values written beside every setpoint."""
    setpoints = {}
    for pv in site.pvs:
        sun = pv.rated_kw if forecast is None else forecast.pv[pv.name].expected_kw
        cap = pv.reversion_kw if pv.reversion_kw < pv.rated_kw else None
        setpoints[pv.name] = Setpoint(
            der=pv.name, p_kw=min(sun, pv.reversion_kw), q_kvar=0.0, cap_kw=cap
        )
    for bes in site.bess:
        setpoints[bes.name] = Setpoint(der=bes.name, p_kw=0.0, q_kvar=0.0)
    for dg in site.dgs:
        setpoints[dg.name] = Setpoint(der=dg.name, p_kw=dg.reversion_kw, q_kvar=0.0)
    return {name: setpoints[name] for name in site.names}


def worst(found: Sequence[Violation]) -> str:
    """The worst violation, in words."""
    return str(max(found, key=severity)) if found else "no violation"
