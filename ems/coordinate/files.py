"""What a coordinated moment leaves behind: a summary, tables, pictures, messages."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ems.constrain.cases import violations
from ems.coordinate.case import Plant
from ems.coordinate.decide import Coordination
from ems.coordinate.pictures import curtailment_picture, voltage_picture
from ems.domain import LoadFlow, RowKind, Verified
from ems.protocols.cim_difference import DeviceChange, difference_document, encode
from feeders.cim.naming import Names

FORMAT = 1
"""Of the summary document."""


def write(found: Coordination, folder: Path, simulation_id: str) -> dict[str, Any]:
    """Write everything into a folder, which is made if it is not there.

    Messages are written only where a load flow verified the setpoints; those of an earlier run
    are removed in any case, so that none is taken for this run's.

    Returns:
        The summary, as in `summary.json`.
    """
    messages = folder / "messages"
    messages.mkdir(parents=True, exist_ok=True)
    for old in messages.glob("*.json"):
        old.unlink()
    for name, text in _messages(found, simulation_id) if found.written else ():
        (messages / f"{name}.json").write_text(text, encoding="utf-8")
    _table(folder / "voltages.csv", _voltages(found))
    _table(folder / "plants.csv", _plants(found))
    (folder / "voltages.svg").write_text(voltage_picture(found), encoding="utf-8")
    (folder / "curtailment.svg").write_text(curtailment_picture(found), encoding="utf-8")
    summary = document(found)
    text = json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    return summary


def document(found: Coordination) -> dict[str, Any]:
    """The summary as plain values ready for JSON."""
    case, secured, price = found.case, found.secured, found.price
    available_kw = float(found.available_kw.sum())
    kept_kw = float(found.available_kw @ found.fractions)
    setpoints = secured.dispatch.setpoints
    return {
        "format": FORMAT,
        "feeder": case.name,
        "time": case.snapshot.time.isoformat(),
        "status": type(secured).__name__.lower(),
        "reason": "" if isinstance(secured, Verified) else secured.reason,
        "fairness": case.site.fairness,
        "limits": {"v_min_pu": case.site.limits.v_min_pu, "v_max_pu": case.site.limits.v_max_pu,
                   "loading_max_pct": case.site.limits.loading_max_pct},
        "load_kw": round(case.forecast.load_kw, 3),
        "plants": len(case.plants),
        "transformers": len({p.transformer for p in case.plants if p.transformer}),
        "available_kw": round(available_kw, 3),
        "kept_kw": round(kept_kw, 3),
        "curtailed_kw": round(available_kw - kept_kw, 3),
        "reactive_kvar": round(sum(setpoints[p.der].q_kvar for p in case.plants), 3),
        "before": _state(found, found.before),
        "after": _state(found, found.after),
        "price_of_fairness": None if price is None else _rounded(asdict(price)),
        "notes": [*case.notes, *secured.notes],
        "wall_s": round(found.wall_s, 3),
    }  # fmt: skip


def _state(found: Coordination, flow: LoadFlow) -> dict[str, Any]:
    """A load flow in a few numbers."""
    limits = found.case.site.limits
    broken = violations(flow, limits, "") if flow.converged else ()
    high, low = flow.highest(), flow.lowest()
    return {
        "converged": flow.converged,
        "v_max_pu": round(high[1], 6),
        "v_max_node": high[0],
        "v_min_pu": round(low[1], 6),
        "v_min_node": low[0],
        "nodes_above": sum(v.kind is RowKind.V_MAX for v in broken),
        "nodes_below": sum(v.kind is RowKind.V_MIN for v in broken),
        "overloaded": sum(v.kind is RowKind.LOADING for v in broken),
        "head_kw": round(flow.head_kw, 3),
        "losses_kw": round(flow.losses_kw, 3),
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) + 0.0 for name, value in values.items()}


def _messages(found: Coordination, simulation_id: str) -> Iterable[tuple[str, str]]:
    """File name and text of each service transformer's message; `primary` holds the rest."""
    behind: dict[tuple[str, str], list[Plant]] = {}
    for plant in found.case.plants:
        behind.setdefault((plant.transformer, plant.transformer_mrid), []).append(plant)
    names = Names()
    names.give("primary")
    for (name, mrid), plants in behind.items():
        text = encode(
            difference_document(
                [_change(found, plant) for plant in plants],
                simulation_id=simulation_id,
                timestamp=found.case.snapshot.time,
                service_transformer={"mrid": mrid, "name": name} if name else None,
            )
        )
        yield (names.give(name) if name else "primary"), text


def _change(found: Coordination, plant: Plant) -> DeviceChange:
    at = found.secured.dispatch.setpoints[plant.der]
    return DeviceChange(
        mrid=plant.mrid,
        p_w=1e3 * at.p_kw,
        q_var=1e3 * at.q_kvar,
        p_before_w=1e3 * plant.p_before_kw,
        q_before_var=1e3 * plant.q_before_kvar,
    )


def _voltages(found: Coordination) -> Iterable[Sequence[object]]:
    top, before, after = found.case.topology, found.before, found.after
    yield "node", "phase", "distance_km", "v_before_pu", "v_after_pu"
    for node, v0, v1 in zip(before.nodes, before.v_pu.tolist(), after.v_pu.tolist(), strict=True):
        km = top.distance_km.get(node.rpartition(".")[0].lower())
        yield (
            node,
            top.phase(node),
            "" if km is None else f"{km:.4f}",
            f"{v0:.6f}",
            f"{v1:.6f}",
        )


def _plants(found: Coordination) -> Iterable[Sequence[object]]:
    cheap = found.least_cost_fractions
    cheapest = np.full(len(found.case.plants), np.nan) if cheap is None else cheap
    yield (
        "plant", "mrid", "customer", "service_transformer", "bus", "available_kw", "kept_kw",
        "curtailment_factor", "q_kvar", "curtailment_factor_least_cost",
    )  # fmt: skip
    buses = {pv.name: pv.bus for pv in found.case.site.pvs}
    for plant, available, kept, at_least_cost in zip(
        found.case.plants, found.available_kw.tolist(), found.fractions.tolist(),
        cheapest.tolist(), strict=True,
    ):  # fmt: skip
        yield (
            plant.der, plant.mrid, plant.customer, plant.transformer, buses[plant.der],
            f"{available:.3f}", f"{available * kept:.3f}", f"{1.0 - kept + 0.0:.5f}",
            f"{found.secured.dispatch.setpoints[plant.der].q_kvar:.3f}",
            "" if cheap is None else f"{1.0 - at_least_cost + 0.0:.5f}",
        )  # fmt: skip


def _table(path: Path, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
