"""The columns of an interval, one row each.

Powers are means of the interval, voltages and loadings the worst of its steps. `cost_usd` is grid
energy and fuel as the truth has them, without a demand charge; fuel alone is `dg_cost_usd`. What
begins with `model_` is the EMS's own view. Timing columns begin with `s.`.

A rise of the month's peak is paid for once, so `model_demand_usd` and `compliance_demand_usd` tell
it as money, apart from the costs per hour. What limits cost is known only where the decision is a
verified optimum: elsewhere it is null.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from ems.backtest.case import Case, DayInput
from ems.backtest.connection import LIMITS, beyond, broken
from ems.backtest.keeping import NODES_NAMED
from ems.constrain.cases import TOLERANCE_PU
from ems.deciding import LOSSES_KW
from ems.domain import Bill, CycleRecord, LoadFlow, Site, Verified

TIMING: Final = "s."
"""Prefix of the columns that tell wall times: two runs differ in them, and in nothing else."""
STAGES: Final = ("measure", "forecast", "dispatch", "constrain", "command", "explain")
TOLERANCE_PCT: Final = 1e-6
"""Round-off allowed when a loading is held against its limit [%]."""

DECISION: Final = (
    "model_cost_usd_per_h", "model_demand_usd", "compliance_usd_per_h", "compliance_demand_usd",
    "caution_usd_per_h",
)  # fmt: skip
"""What a decision costs by its own account; null where there is none."""

WHOLE: Final = {
    "start": pa.timestamp("us", tz="UTC"),
    "day": pa.string(),
    "site": pa.string(),
    "policy": pa.string(),
    "seed": pa.int64(),
    "status": pa.string(),
    **dict.fromkeys(
        (
            "price_usd_per_kwh", "load_kw", "grid_kw", "losses_kw", "cost_usd", "dg_cost_usd",
            *DECISION, "pv_kw", "pv_available_kw", "pv_expected_kw", "curtailed_kw", "bes_kw",
            "dg_kw",
        ),
        pa.float64(),
    ),
    "v_max_pu": pa.float64(),
    "v_max_node": pa.string(),
    "v_min_pu": pa.float64(),
    "v_min_node": pa.string(),
    "loading_max_pct": pa.float64(),
    "nodes_above": pa.int64(),
    "nodes_below": pa.int64(),
    "elements_over": pa.int64(),
    **dict.fromkeys(LIMITS, pa.float64()),
    "converged": pa.bool_(),
    "depth_pu": pa.float64(),
    "nodes_violated": pa.string(),
    "model_v_max_pu": pa.float64(),
    "model_v_min_pu": pa.float64(),
    "model_violations": pa.int64(),
    "alarms": pa.int64(),
    "alarms_told": pa.string(),
    "why": pa.string(),
}  # fmt: skip
"""Columns of the whole site, with their types."""


def schema_of(site: Site) -> pa.Schema:
    """Columns of a site's rows, in order."""
    columns = dict(WHOLE)
    for der in site.ders:
        columns |= dict.fromkeys((f"p_kw.{der.name}", f"q_kvar.{der.name}"), pa.float64())
    for pv in site.pvs:
        columns |= dict.fromkeys((f"cap_kw.{pv.name}", f"available_kw.{pv.name}"), pa.float64())
    columns |= {f"soc_pct.{bes.name}": pa.float64() for bes in site.bess}
    columns |= {f"{TIMING}{stage}": pa.float64() for stage in (*STAGES, "truth", "total")}
    return pa.schema(list(columns.items()))


class Rows:
    """The rows of a day, one after the other."""

    def __init__(self, case: Case, given: DayInput) -> None:
        """None yet."""
        self._schema = schema_of(case.site)
        self._fixed = {
            "day": given.day.isoformat(),
            "site": case.name,
            "policy": case.method,
            "seed": case.seed,
        }
        self._starts = given.starts
        self._lists: dict[str, list[object]] = {
            name: [] for name in self._schema.names if name not in {"start", *self._fixed}
        }

    def add(self, row: Mapping[str, object]) -> None:
        """One interval; a key for each column but those of the day."""
        for name, values in self._lists.items():
            values.append(row[name])

    def table(self) -> pa.Table:
        """All of them."""
        count = len(self._starts)
        columns: dict[str, object] = {"start": self._starts.astype("datetime64[us]")}
        columns |= {name: [value] * count for name, value in self._fixed.items()}
        columns |= self._lists
        return pa.table(
            [pa.array(columns[f.name], type=f.type) for f in self._schema], schema=self._schema
        )


@dataclass(slots=True, kw_only=True)
class Worst:
    """What the steps of an interval come to against limits."""

    site: Site
    v_max_pu: float = -np.inf
    v_max_node: str = ""
    v_min_pu: float = np.inf
    v_min_node: str = ""
    loading_max_pct: float = 0.0
    nodes_above: int = 0
    nodes_below: int = 0
    elements_over: int = 0
    converged: bool = True
    depth_pu: float = 0.0
    beyond_pu: dict[str, float] = field(default_factory=dict)
    """Nodes beyond limits, and how far [pu]."""
    over: dict[str, float] = field(default_factory=dict)
    """How far beyond each limit at the point of common coupling [kW], [kvar]."""

    def add(self, flow: LoadFlow) -> None:
        """Take in the load flow of one step."""
        if not flow.converged:
            self.converged = False
            return
        (top, v_max), (bottom, v_min) = flow.highest(), flow.lowest()
        if v_max > self.v_max_pu:
            self.v_max_pu, self.v_max_node = v_max, top
        if v_min < self.v_min_pu:
            self.v_min_pu, self.v_min_node = v_min, bottom
        self.loading_max_pct = max(self.loading_max_pct, float(flow.loading_pct.max(initial=0.0)))
        for name, by in beyond(self.site, flow).items():
            self.over[name] = max(self.over.get(name, 0.0), by)
        limits = self.site.limits
        high, low = limits.v_max_pu + TOLERANCE_PU, limits.v_min_pu - TOLERANCE_PU
        if v_max > high or v_min < low:
            above, below = flow.v_pu > high, (flow.v_pu < low) & (flow.v_pu > 0.0)
            self.nodes_above = max(self.nodes_above, int(above.sum()))
            self.nodes_below = max(self.nodes_below, int(below.sum()))
            depth = max(v_max - limits.v_max_pu, limits.v_min_pu - v_min)
            self.depth_pu = max(self.depth_pu, depth)
            deep = np.maximum(flow.v_pu - limits.v_max_pu, limits.v_min_pu - flow.v_pu)
            for i in np.flatnonzero(above | below).tolist():
                node = flow.nodes[i]
                self.beyond_pu[node] = max(self.beyond_pu.get(node, 0.0), float(deep[i]))
        if limits.loading_max_pct is not None:
            over = flow.loading_pct > limits.loading_max_pct + TOLERANCE_PCT
            self.elements_over = max(self.elements_over, int(over.sum()))

    def columns(self) -> dict[str, object]:
        """As a row holds them; no voltages where nothing converged."""
        solved = self.v_max_pu > -np.inf
        return {
            "v_max_pu": self.v_max_pu if solved else None,
            "v_max_node": self.v_max_node,
            "v_min_pu": self.v_min_pu if solved else None,
            "v_min_node": self.v_min_node,
            "loading_max_pct": self.loading_max_pct,
            "nodes_above": self.nodes_above,
            "nodes_below": self.nodes_below,
            "elements_over": self.elements_over,
            **{name: self.over.get(name) for name in LIMITS},
            "converged": self.converged,
            "depth_pu": self.depth_pu,
            "nodes_violated": ",".join(
                sorted(self.beyond_pu, key=self.beyond_pu.__getitem__, reverse=True)[:NODES_NAMED]
            ),
        }


def decided(record: CycleRecord | None, flow: LoadFlow, site: Site) -> dict[str, object]:
    """What the cycle, if there was one, says of its interval.

    Args:
        record: None: no cycle decides.
        flow: the model's, at what was decided.
        site: with its limits.
    """
    seen = Worst(site=site)
    seen.add(flow)
    nodes = seen.nodes_above + seen.nodes_below
    found: dict[str, object] = {
        "model_v_max_pu": seen.v_max_pu if flow.converged else None,
        "model_v_min_pu": seen.v_min_pu if flow.converged else None,
        # A cycle keeps limits at the grid to what losses may be off; without an answer nothing is
        # known to keep its limit.
        "model_violations": nodes + seen.elements_over + len(broken(seen.over, LOSSES_KW))
        if flow.converged
        else len(flow.nodes) + len(flow.elements) + len(beyond(site, flow)),
    }
    none = dict.fromkeys(DECISION)
    if record is None:
        return found | none | {"status": "none", "alarms": 0, "alarms_told": "", "why": ""}
    return found | none | _costs(record, site) | {
        "status": record.status,
        "alarms": len(record.alarms),
        "alarms_told": "\n".join(record.alarms),
        "why": record.ledger.sentence,
    }  # fmt: skip


def _costs(record: CycleRecord, site: Site) -> dict[str, float | None]:
    """Of a decision; what limits cost it only where it is an optimum."""
    held = Bill.of(site, record.secured.dispatch)
    found: dict[str, float | None] = {
        "model_cost_usd_per_h": held.energy_usd_per_h,
        "model_demand_usd": held.demand_usd,
    }
    if record.status != "verified" or not isinstance(record.secured, Verified):
        return found
    free = Bill.of(site, record.free)
    return found | {
        "compliance_usd_per_h": held.energy_usd_per_h - free.energy_usd_per_h,
        "compliance_demand_usd": held.demand_usd - free.demand_usd,
        # It is a difference of objectives, which hold a new peak as a rate: not told apart there.
        "caution_usd_per_h": None if held.demand_usd else record.secured.caution_usd_per_h,
    }


def timing(stage_s: Mapping[str, float], truth_s: float, total_s: float) -> dict[str, object]:
    """Wall times [s]; a stage that did not run took none."""
    found: dict[str, object] = {f"{TIMING}{s}": stage_s.get(s, 0.0) for s in STAGES}
    return found | {f"{TIMING}truth": truth_s, f"{TIMING}total": total_s}
