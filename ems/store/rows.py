"""What one cycle record becomes in each table.

SQLite keeps a NaN as NULL; the exact number stays in the record's JSON.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ems.domain import CycleRecord, Outcome, Partial, Refused, Sent
from ems.store.values import LOAD, MinuteMean

NO_OUTCOME = "none"
"""Outcome of a DER for which a cycle commanded nothing."""


def cycle(record: CycleRecord, text: str, setup: str | None) -> dict[str, Any]:
    """Row of `cycles`; `setup` is the digest of what it was run with."""
    return {
        "site": record.site,
        "start": record.start,
        "status": record.status,
        "cost_usd_per_h": record.secured.dispatch.cost_usd_per_h,
        "json": text,
        "setup": setup,
    }


def setpoints(record: CycleRecord, cycle_id: int) -> list[dict[str, Any]]:
    """Rows of `setpoints`."""
    return [
        {
            "cycle_id": cycle_id,
            "der": der,
            "start": record.start,
            "p_kw": setpoint.p_kw,
            "q_kvar": setpoint.q_kvar,
            "cap_kw": setpoint.cap_kw,
            **_outcome(record.outcomes.get(der)),
        }
        for der, setpoint in record.secured.dispatch.setpoints.items()
    ]


def _outcome(outcome: Outcome | None) -> dict[str, Any]:
    """Columns of `setpoints` that tell what became of the command."""
    readback = outcome.readback if isinstance(outcome, Sent | Partial) else None
    return {
        "outcome": NO_OUTCOME if outcome is None else type(outcome).__name__.lower(),
        "reason": outcome.reason if isinstance(outcome, Partial | Refused) else "",
        "readback_p_kw": readback.p_kw if readback else None,
        "readback_q_kvar": readback.q_kvar if readback else None,
        "readback_cap_kw": readback.cap_kw if readback else None,
    }


def forecasts(record: CycleRecord, cycle_id: int) -> list[dict[str, Any]]:
    """Rows of `forecasts`: one per PV plant, and one of the load."""
    common = {"cycle_id": cycle_id, "start": record.forecast.start}
    notes_of = record.forecast.notes_by_plant()
    plants = [
        {
            **common,
            "device": der,
            "expected_kw": pv.expected_kw,
            "lower_kw": pv.lower_kw,
            "upper_kw": pv.upper_kw,
            "method": pv.method,
            "quantiles_kw": _quantiles(record.forecast.levels, pv.quantiles_kw),
            "notes": _notes(notes_of[der]),
        }
        for der, pv in record.forecast.pv.items()
    ]
    load = {
        **common,
        "device": LOAD,
        "expected_kw": record.forecast.load_kw,
        "lower_kw": record.forecast.load_lower_kw,
        "upper_kw": record.forecast.load_upper_kw,
        "method": record.forecast.load_method,
        "quantiles_kw": _quantiles(record.forecast.levels, record.forecast.load_quantiles_kw),
        "notes": None,
    }
    return [*plants, load]


def _quantiles(levels: Sequence[float], quantiles_kw: Sequence[float]) -> str | None:
    """Column `quantiles_kw`: JSON, power by level; NULL where there are none."""
    if not quantiles_kw:
        return None
    return json.dumps({f"{q:g}": kw for q, kw in zip(levels, quantiles_kw, strict=True)})


def _notes(lines: Sequence[str]) -> str | None:
    """Column `notes`: JSON; NULL where there are none."""
    return json.dumps(lines, ensure_ascii=False) if lines else None


def minute(mean: MinuteMean) -> dict[str, Any]:
    """Row of `minutes`."""
    return asdict(mean)
