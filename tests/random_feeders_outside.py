"""Random feeders seen from outside: plain OpenDSS text, and the corners of an interval.

It shares no code with `feeders` or `ems`: the text is executed by an engine context of its own,
DERs are loads of negative power, the corners of an interval and what a device can do are written
down here once more (`random_feeders_reach`). So what GEEMS calls safe is seen twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import opendssdirect
from numpy.typing import NDArray

from ems.domain import Dg, Forecast, Limits, Pv, Setpoint
from tests.random_feeders import RandomFeeder

Floats = NDArray[np.float64]

LIVE_PU = 0.1
"""Voltage above which a node is energised [pu]."""
RUNS_KW = 1.0
"""Power from which a generator gives reactive power [kW]."""
MOST_SHADED = 8
DIVERGED = 1.0
"""Counts for a load flow without a solution [pu]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corner:
    """One operating point of the interval, in the words of the architecture page."""

    name: str
    sun: str
    """`expected`, `cap` or `lower`."""
    load: float
    """Times the load that is forecast [1]."""
    shaded: frozenset[str] = frozenset()
    dg_still: bool = False
    """Generators stand where they are now."""


def corners_of(f: RandomFeeder) -> list[Corner]:
    """What may become of an interval: what a dispatch is promised to hold in."""
    band = f.site.limits.load_band_pct / 100.0
    sky = f.forecast.pv
    certain = all(x.lower_kw == x.expected_kw == x.upper_kw for x in sky.values())
    if certain and band == 0.0:
        found = [Corner(name="expected", sun="cap", load=1.0)]
    else:
        high = Corner(name="high", sun="cap", load=1.0 - band)
        low = Corner(name="low", sun="lower", load=1.0 + band)
        found = [
            Corner(name="expected", sun="expected", load=1.0),
            high,
            low,
            replace(high, name="high, load high", load=1.0 + band),
            replace(low, name="low, load low", load=1.0 - band),
            *_shaded(f, high),
        ]
    if any(isinstance(d, Dg) for d in f.site.ders):
        # Where a generator on one phase balances a load there, any corner may be the worst.
        ends = [c for c in found if c.name in {"low", "high"}] or found
        moving = ends if all(d.phases == len("123") for d in f.site.ders) else found
        found += [replace(c, name=f"{c.name}, ramping", dg_still=True) for c in moving]
    return found


def _shaded(f: RandomFeeder, high: Corner) -> list[Corner]:
    """Single plants in shade, and in the sun, where not all connections have three phases."""
    sunny = [n for n, x in f.forecast.pv.items() if x.upper_kw > 0.0]
    two = 2
    if all(d.phases == len("123") for d in f.site.ders) or not two <= len(sunny) <= MOST_SHADED:
        return []
    found = []
    for n in sunny:
        alone = frozenset(sunny) - {n}
        found.append(replace(high, name=f"high, {n} shaded", shaded=frozenset({n})))
        found.append(replace(high, name=f"high, {n} alone", shaded=alone))
    return found


def power_in(f: RandomFeeder, corner: Corner, asked: Mapping[str, Setpoint]) -> Floats:
    """P and Q of each DER in a corner, shape (der, 2) [kW, kvar]."""
    found = []
    for d in f.site.ders:
        at = asked[d.name]
        p_kw, q_kvar = at.p_kw, at.q_kvar
        if isinstance(d, Pv):
            p_kw = _sun_kw(f.forecast, corner, d.name)
            p_kw = p_kw if at.cap_kw is None else min(p_kw, at.cap_kw)
        elif isinstance(d, Dg) and corner.dg_still:
            p_kw = min(f.snapshot.ders[d.name].p_kw, d.rated_kw)
            q_kvar = q_kvar if p_kw >= RUNS_KW else 0.0
        found.append((p_kw, q_kvar))
    return np.array(found)


def _sun_kw(forecast: Forecast, corner: Corner, name: str) -> float:
    sky = forecast.pv[name]
    if corner.sun == "cap" and name not in corner.shaded:
        return sky.upper_kw
    return sky.expected_kw if corner.sun == "expected" else sky.lower_kw


# --- the engine --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the engine shows at one operating point."""

    converged: bool
    v_pu: Floats
    """Energised nodes, shape (node,)."""
    loading: Floats
    """Largest phase current at the first terminal over the normal rating, shape (element,) [1].

    Empty where the site limits no loading.
    """

    def excess(self, limits: Limits) -> Floats:
        """How far beyond each limit; negative inside, shape (limit,) [pu, or of the rating]."""
        parts = [self.v_pu - limits.v_max_pu, limits.v_min_pu - self.v_pu]
        if limits.loading_max_pct is not None:
            parts.append(self.loading - limits.loading_max_pct / 100.0)
        found = np.concatenate(parts)
        return found if self.converged else np.full(found.shape, DIVERGED)


Taps = tuple[float, ...]


@cache
def _engine() -> Any:
    """An engine context that GEEMS knows nothing of; to make one takes as long as ten solves."""
    return opendssdirect.NewContext()


class Outside:
    """One feeder in the engine, alone there until it is closed."""

    def __init__(self, f: RandomFeeder) -> None:
        self.f = f
        self.dss = _engine()
        self._say("ClearAll")
        for line in f.text.splitlines():
            self._say(line)
        names = [str(n) for n in self.dss.Loads.AllNames()]
        self.nominal = []
        for name in names:
            self.dss.Loads.Name(name)
            self.nominal.append((name, float(self.dss.Loads.kW()), float(self.dss.Loads.kvar())))
        for d in f.site.ders:
            between = d.phases == 1 and d.bus.count(".") == len("12")
            self._say(
                f"New Load.outside_{d.name} bus1={d.bus} phases={d.phases} model=1 "
                f"conn={'delta' if between else 'wye'} kV={f.kv[d.name]!r} kW=0 kvar=0 "
                "vminpu=0.5 vmaxpu=1.5"
            )
        self.regulators = [str(n) for n in self.dss.RegControls.AllNames() if n != "NONE"]
        # What the engine holds is told once: a search asks for thousands of points that differ
        # in one power.
        self._held: dict[str, tuple[float, float]] = {}
        self._stand: Taps | None = None
        head = f.snapshot.head_v_pu
        if head is not None:
            self._say(f"Edit Vsource.source pu={head!r}")
        self._say("Set Mode=Snapshot ControlMode=OFF")
        self._say("Set Tolerance=1e-10 MaxIterations=300 MaxControlIter=100")
        self._say("Solve")
        self.rated = self._rated()
        live = np.array(self.dss.Circuit.AllBusMagPu()) > LIVE_PU
        self.live = np.flatnonzero(live)
        names = [str(n) for n in self.dss.Circuit.AllNodeNames()]
        self.nodes = [names[i].upper() for i in self.live]
        self.present = self._at_rest()

    def close(self) -> None:
        self._say("ClearAll")

    def seen(self, corner: Corner, power: Floats, taps: Taps) -> Seen:
        """With taps frozen."""
        self._put(corner.load, power)
        self._tap(taps)
        return self._solved()

    def moved(self, corner: Corner, power: Floats) -> Taps:
        """Where taps go from where they stand now."""
        self._put(corner.load, power)
        self._tap(self.present)
        return self._settled()

    def all_of(
        self, corners: Sequence[Corner], asked: Mapping[str, Setpoint]
    ) -> Iterator[tuple[str, Corner, Taps, Seen]]:
        """Every corner with taps as they stand, and after they have moved."""
        for corner in corners:
            power = power_in(self.f, corner, asked)
            yield corner.name, corner, self.present, self.seen(corner, power, self.present)
            if self.regulators:
                taps = self.moved(corner, power)
                if taps != self.present:
                    yield f"{corner.name}, moved", corner, taps, self.seen(corner, power, taps)

    # --- below this line, the engine's own words ------------------------------------------

    def _say(self, line: str) -> None:
        self.dss.Text.Command(line)

    def _put(self, load: float, power: Floats) -> None:
        f, loads = self.f, self.dss.Loads
        total = sum(kw for _, kw, _ in self.nominal)
        share = f.forecast.load_kw * load / total
        reactive = share
        if f.forecast.load_kvar is not None:
            reactive = f.forecast.load_kvar * load / sum(kvar for _, _, kvar in self.nominal)
        powers = [(name, kw * share, kvar * reactive) for name, kw, kvar in self.nominal]
        powers += [
            (f"outside_{d.name}", -p, -q) for d, (p, q) in zip(f.site.ders, power, strict=True)
        ]
        for name, kw, kvar in powers:
            if self._held.get(name) == (kw, kvar):
                continue
            loads.Name(name)
            loads.kW(float(kw))
            loads.kvar(float(kvar))
            self._held[name] = kw, kvar

    def _solved(self) -> Seen:
        converged = self._solve()
        if not converged:  # perhaps it set out from a bad place
            self.dss.YMatrix.SolutionInitialized(False)
            converged = self._solve()
        v = np.array(self.dss.Circuit.AllBusMagPu())[self.live]
        loading = []
        limited = self.f.site.limits.loading_max_pct is not None
        for name, phases, amps in self.rated if limited else ():
            self.dss.Circuit.SetActiveElement(name)
            currents = np.array(self.dss.CktElement.CurrentsMagAng()[: 2 * phases : 2])
            loading.append(float(currents.max()) / amps)
        if not converged:
            self.dss.YMatrix.SolutionInitialized(False)
        return Seen(converged=converged, v_pu=v, loading=np.array(loading))

    def _solve(self) -> bool:
        try:
            self.dss.Solution.Solve()
        except opendssdirect.DSSException:
            return False
        return bool(self.dss.Solution.Converged())

    def _rated(self) -> list[tuple[str, int, float]]:
        found = []
        for name in self.dss.PDElements.AllNames():
            if str(name).lower().startswith(("line.", "transformer.")):
                self.dss.Circuit.SetActiveElement(name)
                amps = float(self.dss.CktElement.NormalAmps())
                if amps > 0.0:
                    found.append((str(name), int(self.dss.CktElement.NumPhases()), amps))
        return found

    def _at_rest(self) -> Taps:
        """Taps in the present state."""
        readings = [self.f.snapshot.ders[d.name] for d in self.f.site.ders]
        self._put(1.0, np.array([(r.p_kw, r.q_kvar) for r in readings]))
        return self._settled() if self.regulators else ()

    def _settled(self) -> Taps:
        self._say("Reset Controls")
        self.dss.YMatrix.SolutionInitialized(False)
        self._say("Set ControlMode=STATIC")
        self._solve()
        self._say("Set ControlMode=OFF")
        self._stand = self._taps()
        return self._stand

    def _taps(self) -> Taps:
        found = []
        for name in self.regulators:
            self.dss.RegControls.Name(name)
            self.dss.Transformers.Name(self.dss.RegControls.Transformer())
            self.dss.Transformers.Wdg(2)
            found.append(round(float(self.dss.Transformers.Tap()), 10))
        return tuple(found)

    def _tap(self, taps: Taps) -> None:
        if taps == (self._taps() if self._stand is None else self._stand):
            return
        for name, tap in zip(self.regulators, taps, strict=True):
            self.dss.RegControls.Name(name)
            self.dss.Transformers.Name(self.dss.RegControls.Transformer())
            self.dss.Transformers.Wdg(2)
            self.dss.Transformers.Tap(tap)
        self._stand = taps
