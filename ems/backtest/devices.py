"""Devices in memory: they hold what they were written, under their sun and within their energy.

Implements `ems.ports.Field`. Whatever is commanded, a battery keeps its bounds, a generator its
ramp, and a plant gives no more than its sun.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from ems.backtest.case import DeviceState
from ems.clock import INTERVAL
from ems.domain import Bes, Command, DerReading, Dg, LoadReading, Pv, Readback, Site
from ems.errors import DeviceError

HOURS = INTERVAL.total_seconds() / 3600.0


class Devices:
    """The DERs of a site, and the meter of its load."""

    def __init__(self, site: Site, state: Mapping[str, DeviceState]) -> None:
        """Start where they stand."""
        self._site = site
        self._rated = {d.name: d.rated_kw for d in site.ders}
        self._pvs = tuple((d.name, d.rated_kw) for d in site.pvs)
        self.p_kw = {name: d.p_kw for name, d in state.items()}
        """What each makes, mean of the newest step, injection positive [kW]."""
        self.q_kvar = {name: d.q_kvar for name, d in state.items()}
        self.cap_kw = {d.name: state[d.name].cap_kw for d in site.pvs}
        self.soc_pct = {d.name: _soc(state[d.name]) for d in site.bess}
        self.v_pu = {name: d.v_pu for name, d in state.items()}
        self.available_kw: dict[str, float] = {}
        """What the sun offers each PV plant [kW]."""
        self.load_kw = 0.0
        self.load_kvar = 0.0
        self._ordered_kw = {d.name: self.p_kw[d.name] for d in site.ders if not isinstance(d, Pv)}
        self._ordered_kvar = dict(self.q_kvar)
        self._stands_kw = {d.name: self.p_kw[d.name] for d in site.dgs}

    # --- the link ------------------------------------------------------------------------

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        """Read every DER."""
        return {
            name: DerReading(
                der=name,
                time=now,
                p_kw=self._stands_kw.get(name, p_kw),
                q_kvar=self.q_kvar[name],
                v_pu=self.v_pu[name],
                soc_pct=self.soc_pct.get(name),
                cap_kw=self.cap_kw.get(name),
                available_kw=self.available_kw.get(name),
                rated_kw=self._rated[name],
            )
            for name, p_kw in self.p_kw.items()
        }

    def read_load(self, now: datetime) -> LoadReading | DeviceError:
        """Read the aggregate load meter."""
        return LoadReading(time=now, p_kw=self.load_kw, q_kvar=self.load_kvar)

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        """Take every command."""
        for c in commands:
            if c.der in self.cap_kw:
                self.cap_kw[c.der] = c.cap_kw
            elif c.p_kw is not None:
                self._ordered_kw[c.der] = c.p_kw
            self._ordered_kvar[c.der] = c.q_kvar
        return {c.der: Readback(p_kw=c.p_kw, q_kvar=c.q_kvar, cap_kw=c.cap_kw) for c in commands}

    def close(self) -> None:
        """Nothing is open."""

    # --- the physics ---------------------------------------------------------------------

    def offer(self, share: Sequence[float]) -> None:
        """Let the sun offer each PV plant a share of its rating, in site order [1]."""
        for (name, rated_kw), part in zip(self._pvs, share, strict=True):
            self.available_kw[name] = rated_kw * part

    def bound(self, name: str, lowest_pct: float, highest_pct: float) -> None:
        """Bend a battery's order so that within the interval it comes into bounds [%]."""
        bes = self._bes(name)
        low_kw, high_kw = (power_to(bes, self.soc_pct[name], at, HOURS)
                           for at in (highest_pct, lowest_pct))  # fmt: skip
        self._ordered_kw[name] = min(max(self._ordered_kw[name], low_kw), high_kw)

    def step(self, hours: float) -> None:
        """Go on for a while: `p_kw` is then its mean, everything else stands at its end [h]."""
        for name, available_kw in self.available_kw.items():
            cap_kw = self.cap_kw[name]
            self.p_kw[name] = available_kw if cap_kw is None else min(available_kw, cap_kw)
            self.q_kvar[name] = self._ordered_kvar[name]
        for bes in self._site.bess:
            self._store(bes, hours)
        for dg in self._site.dgs:
            self._drive(dg, hours)

    def state(self) -> dict[str, DeviceState]:
        """Where they stand."""
        return {
            name: DeviceState(
                p_kw=self._stands_kw.get(name, p_kw),
                q_kvar=self.q_kvar[name],
                cap_kw=self.cap_kw.get(name),
                soc_pct=self.soc_pct.get(name),
                v_pu=self.v_pu[name],
            )
            for name, p_kw in self.p_kw.items()
        }

    def _store(self, bes: Bes, hours: float) -> None:
        """A battery at its order, or at what its bounds leave of it."""
        soc = self.soc_pct[bes.name]
        lowest, highest = min(bes.soc_min_pct, soc), max(bes.soc_max_pct, soc)
        p_kw = min(
            max(self._ordered_kw[bes.name], power_to(bes, soc, highest, hours)),
            power_to(bes, soc, lowest, hours),
        )
        self.p_kw[bes.name] = p_kw
        self.soc_pct[bes.name] = soc_after(bes, soc, p_kw, hours)
        self.q_kvar[bes.name] = self._ordered_kvar[bes.name]

    def _drive(self, dg: Dg, hours: float) -> None:
        """A generator on its ramp; below some power it gives less reactive power."""
        stood, ordered = self._stands_kw[dg.name], self._ordered_kw[dg.name]
        there = dg.towards(stood, ordered, 3600.0 * hours)
        self.p_kw[dg.name] = _mean_kw(dg, stood, there, ordered, hours)
        self._stands_kw[dg.name] = there
        most = dg.q_max_kvar * min(1.0, max(there, 0.0) / dg.full_q_kw)
        self.q_kvar[dg.name] = min(max(self._ordered_kvar[dg.name], -most), most)

    def _bes(self, name: str) -> Bes:
        return next(b for b in self._site.bess if b.name == name)


def power_to(bes: Bes, soc_pct: float, to_pct: float, hours: float) -> float:
    """Power that brings a battery to a charge in some hours, discharge positive [kW].

    No rating is looked at.
    """
    kw = (soc_pct - to_pct) / 100.0 * bes.capacity_kwh / hours
    return kw * bes.eta_discharge if kw > 0.0 else kw / bes.eta_charge


def soc_after(bes: Bes, soc_pct: float, p_kw: float, hours: float) -> float:
    """Charge after some hours at a power, discharge positive [%]."""
    drawn_kw = p_kw / bes.eta_discharge if p_kw > 0.0 else p_kw * bes.eta_charge
    return soc_pct - 100.0 * drawn_kw * hours / bes.capacity_kwh


def _mean_kw(dg: Dg, stood: float, there: float, ordered: float, hours: float) -> float:
    """Mean on the way: at the ramp, then level where it arrived. A step is none of the way."""
    ramp = dg.ramp_up_kw_per_h if there > stood else dg.ramp_down_kw_per_h
    way = abs(there - stood)
    on_the_way = hours if there != ordered or way <= 0.0 else min(way / ramp, hours)
    return there + (stood - there) / 2.0 * on_the_way / hours


def _soc(state: DeviceState) -> float:
    if state.soc_pct is None:
        raise ValueError("a battery's state tells no charge")
    return state.soc_pct
