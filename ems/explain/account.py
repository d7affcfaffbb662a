"""The ledger: what each DER's move cost, and which limits' prices pay for it.

The secure dispatch x minimises cost cᵀx over the devices' own limits X and the network's rows
G·x ≤ b. With the rows' prices μ it also minimises (c + Gᵀμ)ᵀx over X alone (Boyd & Vandenberghe,
Convex Optimization, section 5.5.5). The free dispatch y lies in X, so

    cᵀ(x − y)  =  μᵀG(y − x)  −  R,    R = (c + Gᵀμ)ᵀ(y − x) ≥ 0
    compliance =  relief      −  what the devices' own limits take up

and R is the sum over the devices' limits of reduced cost times distance. Devices share nothing
but the power balance, whose price is that of grid energy, so each DER has this line of its own:
c is then fuel or storage worth less price. It holds for any convex X, the circle of an inverter's
P² + Q² ≤ S² too, and with rows that could not be kept. Where x is no optimum (caps held back
after it) or X is not convex (a generator switched off), R may be negative: that part is named
unattributed, and so is what the objective holds beyond the DERs' own terms.

Power of a PV plant is here what it is expected to make. The small worth of a cap above that is
no money: it cancels, but for one per cent of what is curtailed, which R holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ems.clock import INTERVAL
from ems.domain import (
    Bes,
    Der,
    Dg,
    Dispatch,
    LedgerEntry,
    LimitPrice,
    Pv,
    RowKind,
    RowPrice,
    Setpoint,
    Site,
    Worth,
)
from ems.explain.places import Places

MOVED_KW = 0.01
"""A DER that moved less, and bears no cap, gets no entry of its own [kW, kvar]."""
MOST_NAMED = 3
"""Limits named per DER."""

HOURS = INTERVAL.total_seconds() / 3600.0
"""Length of an interval; a new peak is paid for within it [h]."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The figures of a ledger."""

    entries: tuple[LedgerEntry, ...]
    limits: tuple[LimitPrice, ...]
    objective_usd_per_h: float
    relief_usd_per_h: float
    device_usd_per_h: float
    unattributed_usd_per_h: float


def accounted(site: Site, free: Dispatch, held: Dispatch, places: Places) -> Account:
    """Draw the ledger of one interval."""
    before = [free.setpoints[d.name] for d in site.ders]
    after = [held.setpoints[d.name] for d in site.ders]
    moved_kw = np.array([h.p_kw - f.p_kw for f, h in zip(before, after, strict=True)])
    moved_kvar = np.array([h.q_kvar - f.q_kvar for f, h in zip(before, after, strict=True)])
    binding, per_kwh, per_kvarh = _grouped(site, held.binding, places)
    by_limit = -(per_kwh * moved_kw + per_kvarh * moved_kvar)
    order = np.argsort(-by_limit.sum(axis=1), kind="stable")
    binding = [binding[i] for i in order]
    per_kwh, per_kvarh, by_limit = per_kwh[order], per_kvarh[order], by_limit[order]
    relief = by_limit.sum(axis=0)
    cost = np.array([
        _own_cost(d, h, site, held) - _own_cost(d, f, site, held)
        for d, f, h in zip(site.ders, before, after, strict=True)
    ])  # fmt: skip
    objective = held.objective_usd_per_h - free.objective_usd_per_h
    device = np.maximum(relief - cost, 0.0)
    beyond = np.maximum(cost - relief, 0.0)
    worth = _worth([place for place, _ in binding], per_kwh, per_kvarh, after)
    all_kwh, all_kvarh = per_kwh.sum(axis=0), per_kvarh.sum(axis=0)
    entries = tuple(
        LedgerEntry(
            der=der.name,
            moved_kw=float(moved_kw[i]),
            moved_kvar=float(moved_kvar[i]),
            worth=worth[i],
            limits=tuple(w.place for w in worth[i]),
            limits_usd_per_kwh=float(all_kwh[i]),
            limits_usd_per_kvarh=float(all_kvarh[i]),
            energy_usd_per_kwh=_energy_worth(der, after[i], site, held),
            cost_usd_per_h=float(cost[i]),
            relief_usd_per_h=float(relief[i]),
            device_usd_per_h=float(device[i]),
            unattributed_usd_per_h=float(beyond[i]),
        )
        for i, der in enumerate(site.ders)
        if max(abs(moved_kw[i]), abs(moved_kvar[i])) >= MOVED_KW or after[i].cap_kw is not None
    )
    return Account(
        entries=entries,
        limits=tuple(
            _limit(rows, place, float(total))
            for (place, rows), total in zip(binding, by_limit.sum(axis=1), strict=True)
        ),
        objective_usd_per_h=objective,
        relief_usd_per_h=float(relief.sum()),
        device_usd_per_h=float(device.sum()),
        unattributed_usd_per_h=objective - float(relief.sum() - device.sum()),
    )


Group = tuple[str, Sequence[RowPrice]]
"""A place, and the rows of one limit that bind there: phases and cases."""


def _grouped(
    site: Site, binding: Sequence[RowPrice], places: Places
) -> tuple[list[Group], Floats, Floats]:
    """Rows by limit and place, and what one more kWh and kvarh of each DER costs through each.

    Returns:
        The groups; [$/kWh] and [$/kvarh], each of shape (group, der).
    """
    # What is asked until regulators have acted is another limit than what is asked at any time.
    groups: dict[tuple[RowKind, str, float], list[RowPrice]] = {}
    for bound in binding:
        key = (bound.row.kind, places.name(bound), bound.row.limit)
        groups.setdefault(key, []).append(bound)
    shape = (len(groups), len(site.ders))
    per_kwh, per_kvarh = np.zeros(shape), np.zeros(shape)
    for g, rows in enumerate(groups.values()):
        for bound in rows:
            per_kwh[g] += bound.price * _along(bound.row.c_p, site)
            per_kvarh[g] += bound.price * _along(bound.row.c_q, site)
    return [(place, rows) for (_, place, _), rows in groups.items()], per_kwh, per_kvarh


def _along(slopes: Mapping[str, float], site: Site) -> Floats:
    return np.array([slopes.get(d.name, 0.0) for d in site.ders])


def _limit(rows: Sequence[RowPrice], place: str, relief_usd_per_h: float) -> LimitPrice:
    return LimitPrice(
        kind=rows[0].row.kind,
        place=place,
        limit=rows[0].row.limit,
        price=sum(b.price for b in rows),
        slack=max(b.slack for b in rows),
        relief_usd_per_h=relief_usd_per_h,
        case=_dearest_case(rows),
    )


def _dearest_case(rows: Sequence[RowPrice]) -> str:
    prices: dict[str, float] = {}
    for bound in rows:
        prices[bound.row.case] = prices.get(bound.row.case, 0.0) + bound.price
    return max(prices, key=prices.__getitem__)


def _worth(
    places: Sequence[str], per_kwh: Floats, per_kvarh: Floats, after: Sequence[Setpoint]
) -> list[tuple[Worth, ...]]:
    """Of each DER the limits on which it bears most, by what it may move there."""
    p_kw = np.array([max(abs(s.p_kw), 1.0) for s in after])
    q_kvar = np.array([abs(s.q_kvar) for s in after])
    weight = np.abs(per_kwh) * p_kw + np.abs(per_kvarh) * q_kvar
    dearest = np.argsort(-weight, axis=0, kind="stable")[:MOST_NAMED].T
    kwh, kvarh = per_kwh.T.tolist(), per_kvarh.T.tolist()
    return [
        tuple(
            Worth(place=places[i], usd_per_kwh=kwh[d][i], usd_per_kvarh=kvarh[d][i])
            for i in limits
            if kwh[d][i] or kvarh[d][i]
        )
        for d, limits in enumerate(dearest.tolist())
    ]


def _own_cost(der: Der, at: Setpoint, site: Site, held: Dispatch) -> float:
    """What one DER adds to eq. (1): grid energy replaced, fuel, storage worth, |Q| [$/h]."""
    own = site.q_cost_usd_per_kvarh * abs(at.q_kvar) - _grid_price(site, held) * at.p_kw
    match der:
        case Pv():
            return own - site.curtailment_usd_per_kwh * at.p_kw
        case Dg():
            return own + der.cost_usd_per_kwh * at.p_kw
        case Bes():
            return own + _stored_worth(der, at) * at.p_kw


def _energy_worth(der: Der, at: Setpoint, site: Site, held: Dispatch) -> float:
    """What one more kWh of a DER saves, were there no limit [$/kWh]."""
    price = _grid_price(site, held)
    match der:
        case Pv():
            return price + site.curtailment_usd_per_kwh
        case Dg():
            return price - der.cost_usd_per_kwh
        case Bes():
            return price - _stored_worth(der, at)


def _grid_price(site: Site, held: Dispatch) -> float:
    """What one more kWh from the DERs saves or earns at the grid [$/kWh].

    Just where import turns into export, or reaches the month's peak, it lies between two prices;
    the higher one is taken, and the difference shows as unattributed.
    """
    if held.grid_kw < 0.0 and site.export_price_usd_per_kwh is not None:
        return site.export_price_usd_per_kwh
    charge = held.demand_usd_per_kwh
    if charge is None:
        above = held.peak_kw is not None and held.grid_kw > held.peak_kw
        charge = site.demand_charge_usd_per_kw / HOURS if above else 0.0
    return held.price_usd_per_kwh + charge


def _stored_worth(bes: Bes, at: Setpoint) -> float:
    """w_es at the bus: of a kWh discharged, or of what is left of a kWh charged [$/kWh]."""
    share = 1.0 if at.p_kw > 0.0 else bes.eta_charge * bes.eta_discharge
    return bes.weight_usd_per_kwh * share
