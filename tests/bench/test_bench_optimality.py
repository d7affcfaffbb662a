"""How far from the AC optimum a verified dispatch is.

The optimum is sought by a search that knows no sensitivities and no code of `feeders` or
`ems.dispatch`: differential evolution over the setpoints themselves, each point solved by plain
OpenDSS, then SQP from the best point and from random ones, with the load flow as its constraint.
The cost is written down here once more, from the site.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import opendssdirect
import pytest
from numpy.typing import NDArray
from scipy.optimize import Bounds, NonlinearConstraint, differential_evolution, minimize

from ems.clock import INTERVAL
from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import Bes, Dg, Forecast, Pv, PvForecast, Setpoint, Site, Snapshot, Verified
from ems.ports import Network
from ems.reproduce import reference_site
from feeders import Feeder
from tests.bench.cases import PRICE_USD_PER_KWH, seeded_pv
from tests.bench.frozen import FEEDERS, ieee13_text
from tests.bench.table import tell
from tests.sites import LOAD_KW, NOW, snapshot

Floats = NDArray[np.float64]

ASKED = 1e-3
"""Largest excess of cost over the optimum, as a fraction of it."""
ALLOWED_PU = 1e-9
STEP_KW = 1e-2
"""Of the differences that SQP takes: two load flows differ by far more than their tolerance."""
STARTS = 6
HOURS = INTERVAL.total_seconds() / 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One interval, as ours takes it and as the search does."""

    site: Site
    snapshot: Snapshot
    forecast: Forecast
    network: Network
    price_usd_per_kwh: float
    file: Path
    load_kw: float
    kv: Mapping[str, float]
    """Line-to-neutral base voltage by bus [kV]."""


# --- the problems ----------------------------------------------------------------------


def segment13(q_max_kvar: float) -> Problem:
    """The published case without bands."""
    site = reference_site(pv_q_max_kvar=q_max_kvar)
    sky = PvForecast(expected_kw=1e4, lower_kw=1e4, upper_kw=1e4, method="given")
    return Problem(
        site=site,
        snapshot=snapshot(site),
        forecast=Forecast(start=NOW, pv={"pv": sky}, load_kw=LOAD_KW),
        network=Feeder.open("segment13", site.placements),
        price_usd_per_kwh=0.57397,
        file=FEEDERS / "segment13" / "segment13.dss",
        load_kw=LOAD_KW,
        kv={d.bus.lower(): 12.47 / 3.0**0.5 for d in site.ders},
    )


def ieee13(folder: Path, *, reactive: bool) -> Problem:
    """Six plants on IEEE 13 at 60 % load, its regulators as they stood without them."""
    case = seeded_pv(
        "ieee13", ieee13_text(), folder, plants=6, total_kw=5.5e3, load_factor=0.6,
        limits=(0.95, 1.06), reactive=reactive,
    )  # fmt: skip
    return Problem(
        site=case.site,
        snapshot=case.snapshot,
        forecast=case.forecast,
        network=case.network,
        price_usd_per_kwh=PRICE_USD_PER_KWH,
        file=case.frozen.file,
        load_kw=case.frozen.load_kw,
        kv=case.frozen.kv,
    )


# --- the search ------------------------------------------------------------------------


class Search:
    """Setpoints as one vector: all P, then all Q, each within its own bounds."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.ders = problem.site.ders
        bounds = [self._p_bounds(d) for d in self.ders]
        bounds += [(-d.q_max_kvar, d.q_max_kvar) for d in self.ders]
        self.lo, self.hi = (np.array(b) for b in zip(*bounds, strict=True))
        self.free = np.flatnonzero(self.hi > self.lo)
        self.load_flows = 0
        self._dss = self._compiled()

    def _p_bounds(self, der: Pv | Bes | Dg) -> tuple[float, float]:
        at = self.problem.snapshot.ders[der.name]
        match der:
            case Pv():
                return 0.0, min(der.rated_kw, self.problem.forecast.pv[der.name].upper_kw)
            case Dg():
                return (
                    max(der.min_kw, at.p_kw - der.ramp_down_kw_per_h * HOURS),
                    min(der.rated_kw, at.p_kw + der.ramp_up_kw_per_h * HOURS),
                )
            case Bes():
                assert at.soc_pct is not None
                stored = (at.soc_pct - der.soc_min_pct) / 100.0 * der.capacity_kwh
                empty = (der.soc_max_pct - at.soc_pct) / 100.0 * der.capacity_kwh
                return (
                    -min(der.rated_kw, empty / der.eta_charge / HOURS),
                    min(der.rated_kw, stored * der.eta_discharge / HOURS),
                )

    def _compiled(self) -> Any:
        dss = opendssdirect.NewContext()
        dss.Basic.AllowEditor(False)
        dss.Basic.AllowChangeDir(False)
        dss.Text.Command(f'Compile "{self.problem.file}"')
        nominal = sum(self._nominal(dss))
        share = self.problem.load_kw / nominal
        for i in range(1, dss.Loads.Count() + 1):
            dss.Loads.Idx(i)
            kw, kvar = dss.Loads.kW(), dss.Loads.kvar()
            dss.Loads.kW(kw * share)
            dss.Loads.kvar(kvar * share)
        for d in self.ders:
            kv = self.problem.kv[d.bus.partition(".")[0].lower()]
            dss.Text.Command(
                f"New Generator.search_{d.name} bus1={d.bus} phases={d.phases} model=1 kW=0 kvar=0 "
                f"kV={kv * (3.0**0.5 if d.phases > 1 else 1.0)!r} vminpu=0.5 vmaxpu=1.5"
            )
        for option in ("ControlMode=OFF", "Tolerance=1e-11", "MaxIterations=200"):
            dss.Text.Command(f"Set {option}")
        return dss

    @staticmethod
    def _nominal(dss: Any) -> list[float]:
        found = []
        for i in range(1, dss.Loads.Count() + 1):
            dss.Loads.Idx(i)
            found.append(float(dss.Loads.kW()))
        return found

    def volts(self, x: Floats) -> Floats:
        """Voltages of all nodes [pu]."""
        self.load_flows += 1
        n = len(self.ders)
        generators = self._dss.Generators
        for d, p, q in zip(self.ders, x[:n], x[n:], strict=True):
            generators.Name(f"search_{d.name}")
            generators.kW(float(p))
            generators.kvar(float(q))
        self._dss.Solution.Solve()
        return np.array(self._dss.Circuit.AllBusMagPu())

    def cost(self, x: Floats) -> float:
        """Eq. (1): energy, fuel, worth of storage, and the small price on |Q| [$/h]."""
        site, price, n = self.problem.site, self.problem.price_usd_per_kwh, len(self.ders)
        total = price * (self.problem.load_kw - float(x[:n].sum()))
        total += site.q_cost_usd_per_kvarh * float(np.abs(x[n:]).sum())
        for d, p in zip(self.ders, x[:n], strict=True):
            if isinstance(d, Dg):
                total += d.cost_usd_per_kwh * float(p)
            elif isinstance(d, Bes):
                worth = 1.0 if p > 0 else d.eta_charge * d.eta_discharge
                total += d.weight_usd_per_kwh * worth * float(p)
        return total

    def excess(self, x: Floats) -> float:
        """How far the worst node is outside of its limits, 0 where none is [pu]."""
        v, limits = self.volts(x), self.problem.site.limits
        return float(max(v.max() - limits.v_max_pu, limits.v_min_pu - v.min(), 0.0))

    def whole(self, part: Floats) -> Floats:
        """All setpoints from those that can move, given between 0 and 1."""
        x = self.lo.copy()
        x[self.free] += part * (self.hi - self.lo)[self.free]
        return x

    def best(self) -> tuple[float, Floats]:
        """Least cost found that a load flow allows."""
        dice = np.random.default_rng(13)
        k = len(self.free)
        dearest = abs(self.cost(self.lo)) + abs(self.cost(self.hi))

        def dear(part: Floats) -> float:
            x = self.whole(part)
            return self.cost(x) + 100.0 * dearest * self.excess(x)

        evolved = differential_evolution(
            dear, Bounds(np.zeros(k), np.ones(k)), rng=dice, popsize=8, maxiter=60 + 10 * k,
            tol=1e-7, polish=False,
        )  # fmt: skip
        starts = [evolved.x, *dice.random((STARTS, k))]
        points = [self._refined(np.asarray(start)) for start in starts]
        points.append(self.whole(evolved.x))
        allowed = [(self.cost(x), x) for x in points if self.excess(x) <= ALLOWED_PU]
        return min(allowed, key=lambda pair: pair[0])

    def _refined(self, start: Floats) -> Floats:
        """SQP from one point; where it ends outside, `best` leaves it out."""
        limits = self.problem.site.limits
        scale = 1.0 / abs(self.cost(self.lo))
        span = float(np.min((self.hi - self.lo)[self.free]))
        inside = NonlinearConstraint(
            lambda part: self.volts(self.whole(part)), limits.v_min_pu, limits.v_max_pu
        )
        sqp: Any = minimize  # its stubs ask for arrays whose rank the checker knows
        found = sqp(
            lambda part: scale * self.cost(self.whole(part)), start, method="SLSQP",
            bounds=Bounds(np.zeros(len(start)), np.ones(len(start))), constraints=inside,
            options={"maxiter": 200, "ftol": 1e-12, "eps": STEP_KW / span},
        )  # fmt: skip
        return self.whole(np.clip(found.x, 0.0, 1.0))


def _vector(site: Site, setpoints: Mapping[str, Setpoint]) -> Floats:
    at = [setpoints[n] for n in site.names]
    return np.array([x.p_kw for x in at] + [x.q_kvar for x in at])


@pytest.mark.parametrize(
    "name",
    ["segment13 P", "segment13 PQ", "ieee13 P", "ieee13 PQ"],
    ids=lambda n: n.replace(" ", "_"),
)
def test_bench_optimality(tmp_path: Path, name: str) -> None:
    feeder, _, control = name.partition(" ")
    reactive = control == "PQ"
    problem = (
        segment13(2000.0 if reactive else 0.0)
        if feeder == "segment13"
        else ieee13(tmp_path, reactive=reactive)
    )
    resolve = partial(
        dispatch, problem.site, problem.snapshot, problem.forecast, problem.price_usd_per_kwh
    )
    secured = constrain(
        problem.site, problem.snapshot, problem.forecast, resolve((), {}), problem.network, resolve
    )
    assert isinstance(secured, Verified)
    search = Search(problem)
    ours = _vector(problem.site, secured.dispatch.setpoints)
    started = time.perf_counter()
    least, x = search.best()
    spent_s = time.perf_counter() - started
    cost = search.cost(ours)
    tell(
        f"optimality_{name.replace(' ', '_')}",
        [
            {"who": "geems", "usd_per_h": cost, "over_pct": 100.0 * (cost - least) / abs(least),
             "asked_pct": 100.0 * ASKED, "pv_kw": _pv_kw(problem.site, ours),
             "v_max_pu": float(search.volts(ours).max()), "load_flows": "-", "s": "-"},
            {"who": "search", "usd_per_h": least, "over_pct": 0.0, "asked_pct": "-",
             "pv_kw": _pv_kw(problem.site, x), "v_max_pu": float(search.volts(x).max()),
             "load_flows": search.load_flows, "s": spent_s},
        ],
    )  # fmt: skip
    assert search.excess(ours) <= ALLOWED_PU
    assert secured.dispatch.objective_usd_per_h == pytest.approx(cost, abs=1e-6 * abs(cost))
    assert cost - least <= ASKED * abs(least)


def _pv_kw(site: Site, x: Floats) -> float:
    return float(
        sum(p for d, p in zip(site.ders, x[: len(site.ders)], strict=True) if isinstance(d, Pv))
    )
