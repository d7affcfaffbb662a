"""What a policy came to: cost, energy, limits broken, and what forecast and fairness were worth.

Rows are read day by day and summed, so that a year of a hundred plants fits into little memory.
All but what begins with `model_` is of the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ems.backtest.bought import Bought, demand_usd, month_of
from ems.backtest.connection import LIMITS, TOLERANCE_KW
from ems.backtest.keeping import TIMING, ChainKey, rows_of
from ems.clock import INTERVAL
from ems.domain import Site

Floats = NDArray[np.float64]

HOURS = INTERVAL.total_seconds() / 3600.0
WORDS = ("alarms_told", "why")
"""Columns of text that nothing is summed up from, and that take most of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """One chain of days, summed up."""

    chain: ChainKey
    days: int
    intervals: int
    cost_usd: float
    """Grid energy less what was sold, and fuel [$]."""
    dg_cost_usd: float
    """Fuel alone [$]."""
    demand_usd: float
    """Demand charge: each month's highest import at its price, of a part of a month the whole
    charge; not in `cost_usd` [$]."""
    months: int
    """Calendar months of which there is a day."""
    load_kwh: float
    imported_kwh: float
    exported_kwh: float
    losses_kwh: float
    pv_kwh: float
    pv_available_kwh: float
    dg_kwh: float
    charged_kwh: float
    discharged_kwh: float
    cycles: float | None
    """Energy drawn from all batteries over their capacity; None: no battery [1]."""
    soc_end_pct: Mapping[str, float]
    """Of each battery when the last day ends [%]."""
    violated: int
    """Intervals with a node, an element or the grid's power beyond a limit, or without a
    solution."""
    nodes_violated: int
    """Different nodes beyond a voltage limit; of each interval at most twenty are known."""
    nodes_at_once: int
    """Most nodes beyond a limit in one interval."""
    depth_pu: float
    """Furthest beyond a voltage limit [pu]."""
    overloaded: int
    """Intervals with an element beyond its rating."""
    longest_h: float
    """Longest run of intervals in which a limit was broken [h]."""
    unsolved: int
    """Intervals in which the truth's load flow did not converge."""
    grid_over: int
    """Intervals beyond a limit at the point of common coupling."""
    import_over_kw: float | None
    """Furthest beyond the import limit, in any step; None: the site has none [kW]."""
    export_over_kw: float | None
    """Likewise, of the export limit [kW]."""
    power_factor_over_kvar: float | None
    """Likewise, reactive power beyond what the least power factor allows [kvar]."""
    model_violated: int
    """Intervals whose decision breaks a limit in the EMS's own load flow."""
    unverified: int
    """Intervals decided on a lower rung than a verified optimum; what limits cost in them is not
    known, and left out."""
    alarms: int
    compliance_usd: float | None
    """What keeping the limits cost in energy and fuel, as the cycles told of verified optima; None:
    no cycle told it [$]."""
    compliance_demand_usd: float | None
    """Likewise, in demand charge: what new peaks cost above those of the free optimum [$]."""
    caution_usd: float | None
    """Of it, what the band of the forecast cost; not known where the month's peak rises [$]."""
    forecast_nrmse_pct: float | None
    """RMS error of expected PV power while sun or forecast is above zero, over all ratings [%]."""
    fairness: float | None
    """Jain's index of the plants' kept shares of available energy, 1 is even; None: fewer than two
    plants had sun (doi:10.48550/arXiv.cs/9809099) [1]."""
    stage_s: Mapping[str, float]
    """Wall time of each stage, summed [s]."""
    by_day: Mapping[str, Bought]
    """Of each local day."""
    compared_days: int = 0
    """Days that every policy of the same site and seed has."""
    compared_usd: float | None = None
    """Cost of those with their demand charge; None: there is none [$]."""
    regret_usd: float | None = None
    """Of it, what is above the oracle's; None: there is none, or either broke limits [$]."""

    @property
    def total_usd(self) -> float:
        """All that is paid: energy, fuel and demand charge [$]."""
        return self.cost_usd + self.demand_usd

    @property
    def curtailed_kwh(self) -> float:
        """PV energy that was available and not used [kWh]."""
        return self.pv_available_kwh - self.pv_kwh

    @property
    def curtailed_pct(self) -> float:
        """Of what was available [%]."""
        return 100.0 * self.curtailed_kwh / self.pv_available_kwh if self.pv_available_kwh else 0.0

    @property
    def interval_ms(self) -> float:
        """Wall time of an interval, all in [ms]."""
        return 1000.0 * self.stage_s.get("total", 0.0) / max(1, self.intervals)

    def told(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        apart = ("chain", "by_day")
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        more = ("total_usd", "curtailed_kwh", "curtailed_pct", "interval_ms")
        return asdict(self.chain) | values | {name: getattr(self, name) for name in more}


def jain(values: Sequence[float]) -> float:
    """Jain's index: 1 where all have the same, 1/n where one has all [1]."""
    x = np.asarray(values, dtype=np.float64)
    squares = float((x * x).sum())
    return float(x.sum()) ** 2 / (len(x) * squares) if squares else 1.0


@dataclass(slots=True, kw_only=True)
class _Sums:
    """What adds up over the days."""

    site: Site
    days: int = 0
    of: dict[str, float] = field(default_factory=dict)
    """Sums of columns."""
    told: set[str] = field(default_factory=set)
    """Columns that had a value at all."""
    most: dict[str, float] = field(default_factory=dict)
    """Highest value of columns."""
    violated: list[NDArray[np.bool_]] = field(default_factory=list)
    """Of each day, shape (interval,)."""
    nodes: set[str] = field(default_factory=set)
    by_day: dict[str, Bought] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    soc_end_pct: dict[str, float] = field(default_factory=dict)
    kept_kwh: dict[str, float] = field(default_factory=dict)
    available_kwh: dict[str, float] = field(default_factory=dict)

    def add(self, table: pa.Table) -> None:
        """One day."""
        self.days += 1
        floats = {
            name: table[name].to_numpy().astype(np.float64)
            for name, kind in zip(table.schema.names, table.schema.types, strict=True)
            if pa.types.is_floating(kind) or pa.types.is_integer(kind)
        }
        for name, values in floats.items():
            finite = values[np.isfinite(values)]
            self.of[name] = self.of.get(name, 0.0) + float(finite.sum())
            if len(finite):
                self.told.add(name)
                self.most[name] = max(self.most.get(name, -np.inf), float(finite.max()))
        self._limits(table, floats)
        self._energy(floats)
        self.by_day[table["day"][0].as_py()] = Bought(
            cost_usd=float(floats["cost_usd"].sum()),
            peak_kw=float(floats["grid_kw"].max(initial=0.0)),
        )

    def _limits(self, table: pa.Table, floats: Mapping[str, Floats]) -> None:
        unsolved = ~table["converged"].to_numpy().astype(np.bool_)
        nodes = floats["nodes_above"] + floats["nodes_below"]
        over = floats["elements_over"] > 0
        # A column that is null throughout is of a limit that the site does not have.
        at_head = np.max([np.nan_to_num(floats[name]) for name in LIMITS], axis=0)
        grid = at_head > TOLERANCE_KW
        self.violated.append((nodes > 0) | over | grid | unsolved)
        self._count("grid_over", grid)
        status = np.array(table["status"].to_pylist())
        self._count("unsolved", unsolved)
        self._count("overloaded", over)
        self._count("model_violated", floats["model_violations"] > 0)
        self._count("unverified", (status != "verified") & (status != "none"))
        self.most["nodes"] = max(self.most.get("nodes", 0.0), float(nodes.max(initial=0.0)))
        for text in table["nodes_violated"].to_pylist():
            self.nodes.update(node for node in (text or "").split(",") if node)

    def _count(self, what: str, which: NDArray[np.bool_]) -> None:
        self.counts[what] = self.counts.get(what, 0) + int(which.sum())

    def _energy(self, floats: Mapping[str, Floats]) -> None:
        self._sum("imported", np.maximum(floats["grid_kw"], 0.0))
        self._sum("exported", np.maximum(-floats["grid_kw"], 0.0))
        for bes in self.site.bess:
            p_kw = floats[f"p_kw.{bes.name}"]
            self._sum("charged", np.maximum(-p_kw, 0.0))
            self._sum("discharged", np.maximum(p_kw, 0.0))
            self._sum("drawn", np.maximum(p_kw, 0.0) / bes.eta_discharge)
            self.soc_end_pct[bes.name] = float(floats[f"soc_pct.{bes.name}"][-1])
        for pv in self.site.pvs:
            kept, there = floats[f"p_kw.{pv.name}"], floats[f"available_kw.{pv.name}"]
            self.kept_kwh[pv.name] = self.kept_kwh.get(pv.name, 0.0) + HOURS * kept.sum()
            available = self.available_kwh.get(pv.name, 0.0)
            self.available_kwh[pv.name] = available + HOURS * float(there.sum())
        told, true = floats["pv_expected_kw"], floats["pv_available_kw"]
        light = ((told > 0) | (true > 0)) & np.isfinite(told)
        self._sum("error2", (told[light] - true[light]) ** 2)
        self._count("light", light)

    def _sum(self, what: str, values: Floats) -> None:
        self.of[what] = self.of.get(what, 0.0) + float(values.sum())

    def kwh(self, what: str) -> float:
        """Energy of a power [kWh]."""
        return HOURS * self.of.get(what, 0.0)

    def usd(self, rate: str) -> float | None:
        """Money of a rate in $/h; None where it is not told [$]."""
        return HOURS * self.of[rate] if rate in self.told else None


def summed(key: ChainKey, paths: Iterable[Path], site: Site) -> Metrics:
    """Metrics of one chain, compared with no other.

    Args:
        key: of the chain.
        paths: files of its days, in order.
        site: that it is of.
    """
    sums = _Sums(site=site)
    for path in paths:
        sums.add(rows_of(path, lambda name: name not in WORDS))
    violated = np.concatenate(sums.violated)
    capacity_kwh = sum(bes.capacity_kwh for bes in site.bess)
    counts = sums.counts
    return Metrics(
        chain=key,
        days=sums.days,
        intervals=len(violated),
        cost_usd=sums.of["cost_usd"],
        dg_cost_usd=sums.of["dg_cost_usd"],
        demand_usd=demand_usd(site, sums.by_day),
        months=len({month_of(day) for day in sums.by_day}),
        load_kwh=sums.kwh("load_kw"),
        imported_kwh=sums.kwh("imported"),
        exported_kwh=sums.kwh("exported"),
        losses_kwh=sums.kwh("losses_kw"),
        pv_kwh=sums.kwh("pv_kw"),
        pv_available_kwh=sums.kwh("pv_available_kw"),
        dg_kwh=sums.kwh("dg_kw"),
        charged_kwh=sums.kwh("charged"),
        discharged_kwh=sums.kwh("discharged"),
        cycles=sums.kwh("drawn") / capacity_kwh if capacity_kwh else None,
        soc_end_pct=sums.soc_end_pct,
        violated=int(violated.sum()),
        nodes_violated=len(sums.nodes),
        nodes_at_once=int(sums.most["nodes"]),
        depth_pu=sums.most.get("depth_pu", 0.0),
        overloaded=counts["overloaded"],
        longest_h=HOURS * longest_run(violated),
        unsolved=counts["unsolved"],
        grid_over=counts["grid_over"],
        import_over_kw=sums.most.get("import_over_kw"),
        export_over_kw=sums.most.get("export_over_kw"),
        power_factor_over_kvar=sums.most.get("power_factor_over_kvar"),
        model_violated=counts["model_violated"],
        unverified=counts["unverified"],
        alarms=int(sums.of["alarms"]),
        compliance_usd=sums.usd("compliance_usd_per_h"),
        compliance_demand_usd=sums.of["compliance_demand_usd"]
        if "compliance_demand_usd" in sums.told
        else None,
        caution_usd=sums.usd("caution_usd_per_h"),
        forecast_nrmse_pct=_nrmse_pct(sums),
        fairness=_fairness(sums),
        stage_s={
            name.removeprefix(TIMING): total
            for name, total in sums.of.items()
            if name.startswith(TIMING)
        },
        by_day=sums.by_day,
    )


def longest_run(flags: NDArray[np.bool_]) -> int:
    """Most that are true one after the other."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _nrmse_pct(sums: _Sums) -> float | None:
    rated_kw = sum(pv.rated_kw for pv in sums.site.pvs)
    if not rated_kw or not sums.counts["light"]:
        return None
    return 100.0 * float(np.sqrt(sums.of["error2"] / sums.counts["light"])) / rated_kw


def _fairness(sums: _Sums) -> float | None:
    shares = [sums.kept_kwh[n] / kwh for n, kwh in sums.available_kwh.items() if kwh > 0]
    return jain(shares) if len(shares) > 1 else None
