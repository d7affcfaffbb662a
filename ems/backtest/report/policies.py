"""Policies side by side, in tables; those that break limits stand apart."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ems.backtest.report.markup import number, table

Line = tuple[str, str, float, int]
"""Name, key of the metrics, what it is divided by, decimals."""

COST: tuple[Line, ...] = (
    ("grid energy and fuel [$]", "cost_usd", 1, 0),
    ("of it fuel [$]", "dg_cost_usd", 1, 0),
    ("demand charge [$]", "demand_usd", 1, 0),
    ("total: energy, fuel and demand charge [$]", "total_usd", 1, 0),
    ("of both on days that all have [$]", "compared_usd", 1, 0),
    ("of it more than the oracle (regret) [$]", "regret_usd", 1, 0),
    ("cost of compliance, energy and fuel [$]", "compliance_usd", 1, 0),
    ("cost of compliance, demand charge [$]", "compliance_demand_usd", 1, 0),
    ("for caution [$]", "caution_usd", 1, 0),
)
ENERGY: tuple[Line, ...] = (
    ("load [MWh]", "load_kwh", 1000, 1),
    ("imported [MWh]", "imported_kwh", 1000, 1),
    ("exported [MWh]", "exported_kwh", 1000, 1),
    ("PV [MWh]", "pv_kwh", 1000, 1),
    ("PV not used [MWh]", "curtailed_kwh", 1000, 1),
    ("PV not used [%]", "curtailed_pct", 1, 2),
    ("generators [MWh]", "dg_kwh", 1000, 1),
    ("batteries charged [MWh]", "charged_kwh", 1000, 2),
    ("batteries discharged [MWh]", "discharged_kwh", 1000, 2),
    ("full cycles of the batteries", "cycles", 1, 1),
    ("losses [MWh]", "losses_kwh", 1000, 1),
)
LIMITS: tuple[Line, ...] = (
    ("intervals", "intervals", 1, 0),
    ("with a limit broken, in the truth", "violated", 1, 0),
    ("with a limit broken, in the EMS's model", "model_violated", 1, 0),
    ("longest run beyond a limit [h]", "longest_h", 1, 2),
    ("furthest beyond a limit [pu]", "depth_pu", 1, 5),
    ("different nodes beyond a limit", "nodes_violated", 1, 0),
    ("most nodes at once", "nodes_at_once", 1, 0),
    ("intervals with an element overloaded", "overloaded", 1, 0),
    ("intervals without a solution", "unsolved", 1, 0),
    ("intervals beyond a limit of the grid connection", "grid_over", 1, 0),
    ("furthest beyond the import limit [kW]", "import_over_kw", 1, 1),
    ("furthest beyond the export limit [kW]", "export_over_kw", 1, 1),
    ("furthest beyond the power factor [kvar]", "power_factor_over_kvar", 1, 1),
    ("decided on a lower rung than a verified optimum", "unverified", 1, 0),
    ("alarms", "alarms", 1, 0),
)
QUALITY: tuple[Line, ...] = (
    ("forecast of the sun, nRMSE [% of the ratings]", "forecast_nrmse_pct", 1, 1),
    ("fairness between plants (Jain, 1 is even)", "fairness", 1, 3),
    ("wall time of an interval [ms]", "interval_ms", 1, 1),
)
GROUPS = {
    "Cost": COST,
    "Energy": ENERGY,
    "Limits": LIMITS,
    "Forecast, fairness, time": QUALITY,
}


def policy_tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """All metrics of a site's policies.

    Args:
        rows: as `seeds.summed_up` gives them, of one site.
    """
    kept = sorted((r for r in rows if not breaks(r)), key=_cost)
    broken = sorted((r for r in rows if breaks(r)), key=_cost)
    ordered = [*kept, *broken]
    head = ["", *(f'<span class="policy">{escape(r["policy"])}</span>' for r in kept)]
    head += [
        f'<span class="policy">{escape(r["policy"])}</span><span class="broken">breaks limits'
        "</span>"
        for r in broken
    ]
    tables = "".join(table(title, head, _lines(ordered, g)) for title, g in GROUPS.items())
    tables += table("Wall time of an interval by stage [ms]", head, _stages(ordered))
    return _verdict(kept, broken) + tables


def breaks(row: Mapping[str, Any]) -> bool:
    """Whether a policy broke a limit in the truth."""
    return bool(row["violated"])


def _cost(row: Mapping[str, Any]) -> float:
    """What policies are compared by: days that all have, where there are any."""
    known = row["compared_usd"]
    return float(row["cost_usd"] + row["demand_usd"] if known is None else known)


def _depths(row: Mapping[str, Any]) -> str:
    """How far beyond limits, each kind that was broken."""
    told = [
        f"{number(row[key], decimals)}\u202f{unit}"
        for key, unit, decimals in (
            ("depth_pu", "pu", 4),
            ("import_over_kw", "kW of import", 1),
            ("export_over_kw", "kW of export", 1),
            ("power_factor_over_kvar", "kvar", 1),
        )
        if row[key]
    ]
    return f", by up to {', '.join(told)}" if told else ""


def _verdict(kept: Sequence[Mapping[str, Any]], broken: Sequence[Mapping[str, Any]]) -> str:
    """What the tables come to, in words."""
    words = ""
    if kept:
        costs = ", ".join(f"<b>{escape(r['policy'])}</b> {number(_cost(r))}\u202f$" for r in kept)
        words += f"<p>Kept every limit of the feeder and the grid: {costs}.</p>"
    if broken:
        told = ", ".join(
            f"<b>{escape(r['policy'])}</b> in {number(r['violated'])} of "
            f"{number(r['intervals'])} intervals{_depths(r)}"
            for r in broken
        )
        words += (
            f"<p>Broke limits: {told}. Their costs are those of another service and are not "
            "compared with the others'; they stand on the right.</p>"
        )
    return words


def _lines(rows: Sequence[Mapping[str, Any]], lines: Sequence[Line]) -> list[list[str]]:
    """Cells of the lines in which any policy has something to tell."""
    same_days = all(row["compared_days"] == row["days"] for row in rows)
    return [
        [escape(name), *(_cell(row[key], over, decimals) for row in rows)]
        for name, key, over, decimals in lines
        if any(row[key] is not None for row in rows) and not (same_days and key == "compared_usd")
    ]


def _cell(value: float | None, over: float, decimals: int) -> str:
    return number(None if value is None else value / over, decimals)


def _stages(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    stages = dict.fromkeys(stage for row in rows for stage in row["stage_s"])
    return [
        [
            escape(stage),
            *(
                number(1000.0 * r["stage_s"].get(stage, 0.0) / r["intervals"] * r["seeds"], 2)
                for r in rows
            ),
        ]
        for stage in stages
    ]
