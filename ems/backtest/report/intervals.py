"""The worst intervals: a table, and for each of them an explanation that it links to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ems.backtest.connection import LIMITS, TOLERANCE_KW
from ems.backtest.keeping import NODES_NAMED
from ems.backtest.report.gathered import Gathered, Marked, local_time
from ems.backtest.report.kept import Kept
from ems.backtest.report.markup import number, table
from ems.domain import Bes, Pv, Site

WHOLE = (
    "start", "status", "price_usd_per_kwh", "load_kw", "grid_kw", "v_max_pu", "v_max_node",
    "v_min_pu", "v_min_node", "loading_max_pct", "nodes_above", "nodes_below", "elements_over",
    *LIMITS,
    "converged", "depth_pu", "nodes_violated", "model_v_max_pu", "model_v_min_pu",
    "model_violations", "compliance_usd_per_h", "compliance_demand_usd", "caution_usd_per_h",
    "pv_available_kw", "pv_expected_kw", "curtailed_kw", "alarms_told",
    "why",
)  # fmt: skip
AT_HEAD = dict(
    zip(
        LIMITS,
        (("kW", "the import limit"), ("kW", "the export limit"), ("kvar", "the power factor")),
        strict=True,
    )
)
"""Unit and name of each limit of the grid connection."""
UNDECIDED = {
    "none": "No cycle decides under this policy: PV gives what the sun offers, generators are off, "
    "batteries idle.",
    "rules": "No cycle decides under this policy: each device follows a rule of its own.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A marked interval with its row."""

    mark: Marked
    anchor: str
    row: Mapping[str, Any]


def worst_intervals(kept: Kept, policies: Sequence[Gathered]) -> str:
    """Table and explanations; a sentence where there is nothing to tell."""
    site = kept.sites[policies[0].site]
    zone = kept.zone(site.name)
    told = [
        Told(mark=mark, anchor=f"{site.name}-interval-{i}", row=_row(kept, site, mark))
        for i, mark in enumerate((m for g in policies for m in g.worst), start=1)
    ]
    if not told:
        return "<p>No interval broke a limit, and none paid for keeping one.</p>"
    head = ("When (local)", "Policy", "Why it is here", "V\u202f[pu]", "At", "PV not used [kW]")
    overview = table("Worst intervals", head, [_line(t, zone) for t in told])
    words = (
        "<p>Of each policy the intervals furthest beyond a limit in the truth, and those in "
        "which keeping limits cost most; at most one of a day, four of each kind.</p>"
    )
    return words + overview + "".join(_explained(t, site, zone) for t in told)


def _row(kept: Kept, site: Site, mark: Marked) -> dict[str, Any]:
    names = [*WHOLE, *(f"{what}.{d.name}" for d in site.ders for what in ("p_kw", "q_kvar"))]
    names += [f"{what}.{pv.name}" for pv in site.pvs for what in ("cap_kw", "available_kw")]
    names += [f"soc_pct.{bes.name}" for bes in site.bess]
    day = kept.day(mark.chain, mark.day, names)
    assert day is not None  # noqa: S101 - the mark was made from this file
    at = int(np.flatnonzero(day["start"] == mark.start)[0])
    return {name: values[at] for name, values in day.items()}


def _line(told: Told, zone: str) -> list[str]:
    row, mark = told.row, told.mark
    v_pu, node = _worst_voltage(row)
    return [
        f'<a href="#{escape(told.anchor)}">{local_time(mark.start, zone):%Y-%m-%d %H:%M}</a>',
        escape(mark.chain.policy),
        escape(_reason(told)),
        number(v_pu, 4),
        escape(node),
        number(row["curtailed_kw"]),
    ]


def _reason(told: Told) -> str:
    row = told.row
    if told.mark.reason == "grid limit broken":
        return ", ".join(
            f"{number(row[name], 1)} {unit} beyond {what}"
            for name, (unit, what) in AT_HEAD.items()
            if row[name] > TOLERANCE_KW
        )
    if told.mark.reason != "limit broken":
        return f"keeping limits cost {number(told.mark.size)} $/h"
    if not row["converged"]:
        return "no load flow"
    if row["depth_pu"] > 0.0:
        return f"{number(row['depth_pu'], 4)} pu beyond a limit"
    return f"{int(row['elements_over'])} elements overloaded"


def _worst_voltage(row: Mapping[str, Any]) -> tuple[float, str]:
    """The one that is beyond its limit, else the highest."""
    low = row["nodes_below"] > 0 and not row["nodes_above"] > 0
    side = "min" if low else "max"
    return row[f"v_{side}_pu"], row[f"v_{side}_node"]


def _explained(told: Told, site: Site, zone: str) -> str:
    row, mark = told.row, told.mark
    why = row["why"] or UNDECIDED.get(mark.chain.policy, "No reason was kept.")
    title = f"{local_time(mark.start, zone):%Y-%m-%d %H:%M %Z}, {mark.chain.policy}"
    seed = f", seed {mark.chain.seed}" if mark.chain.seed else ""
    status = "" if row["status"] == "none" else f" The decision: {row['status']}."
    beyond = _nodes_beyond(row)
    named = f" Nodes beyond limits: {escape(beyond)}." if beyond else ""
    lines = (row["alarms_told"] or "").splitlines()
    alarms = f"<p>Alarms: {escape('; '.join(lines))}.</p>" if lines else ""
    return (
        f'<article id="{escape(told.anchor)}"><h3>{escape(title + seed)}</h3>'
        f"<p>{escape(_reason(told)[:1].upper() + _reason(told)[1:])}.{escape(status)}</p>"
        f'<p class="why">{escape(why)}</p>{alarms}'
        f"{_voltages(row, site)}<p>{_circumstances(row)}{named}</p>{_devices(row, site)}"
        f'<p><a href="#{escape(site.name)}-worst">All worst intervals</a></p></article>'
    )


def _nodes_beyond(row: Mapping[str, Any]) -> str:
    """Those that the row names, and of how many it names only so many.

    Steps of an interval may differ in them: there are at least as many as at once.
    """
    named = str(row["nodes_violated"] or "").split(",")
    more = int(row["nodes_above"] + row["nodes_below"]) - len(named)
    told = ", ".join(named)
    cut = len(named) >= NODES_NAMED and more > 0
    return f"{told} and at least {more} more" if cut else told


def _voltages(row: Mapping[str, Any], site: Site) -> str:
    limits = site.limits
    lines = [
        ["limits", number(limits.v_max_pu, 4), "", number(limits.v_min_pu, 4), "", ""],
        [
            "EMS's model", number(row["model_v_max_pu"], 4), "", number(row["model_v_min_pu"], 4),
            "", number(row["model_violations"]),
        ],
        [
            "truth", number(row["v_max_pu"], 4), escape(row["v_max_node"]),
            number(row["v_min_pu"], 4), escape(row["v_min_node"]),
            number(row["nodes_above"] + row["nodes_below"] + row["elements_over"]),
        ],
    ]  # fmt: skip
    head = ("Voltages", "highest [pu]", "at", "lowest [pu]", "at", "beyond limits")
    return table("Model and truth", head, lines)


def _circumstances(row: Mapping[str, Any]) -> str:
    available, expected = number(row["pv_available_kw"]), number(row["pv_expected_kw"])
    known = [
        f"Load {number(row['load_kw'])}\u202fkW, grid import {number(row['grid_kw'])}\u202fkW",
        f"PV available {available}\u202fkW, expected {expected}\u202fkW",
        f"highest loading {number(row['loading_max_pct'])}\u202f%",
        f"price {number(row['price_usd_per_kwh'], 3)}\u202f$/kWh",
    ]
    if np.isfinite(row["compliance_usd_per_h"]):
        known.append(
            f"keeping limits costs {number(row['compliance_usd_per_h'])}\u202f$/h, caution "
            f"{number(row['caution_usd_per_h'])}\u202f$/h"
        )
    if row["compliance_demand_usd"] > 0.0:
        known.append(
            f"and once {number(row['compliance_demand_usd'])}\u202f$ of demand charge, for a new "
            "peak"
        )
    return "; ".join(known) + "."


MOST_DEVICES = 12
"""Devices of a feeder of many that are told, those furthest from what they could give."""


def _devices(row: Mapping[str, Any], site: Site) -> str:
    def given_up(name: str) -> float:
        return float(row.get(f"available_kw.{name}", np.inf) - row[f"p_kw.{name}"])

    shown = sorted(site.ders, key=lambda d: -given_up(d.name))[:MOST_DEVICES]
    lines = []
    for der in (d for d in site.ders if d in shown):
        kind = "PV" if isinstance(der, Pv) else "battery" if isinstance(der, Bes) else "generator"
        lines.append([
            f"{escape(der.name)} <small>{kind}, {escape(der.bus)}</small>",
            number(row[f"p_kw.{der.name}"]),
            number(row[f"q_kvar.{der.name}"]),
            number(row.get(f"cap_kw.{der.name}")),
            number(row.get(f"available_kw.{der.name}")),
            number(row.get(f"soc_pct.{der.name}"), 1),
        ])  # fmt: skip
    head = ("Device", "P [kW]", "Q [kvar]", "cap [kW]", "available [kW]", "charge [%]")
    title = "What the devices did"
    if len(site.ders) > len(shown):
        title += f" ({len(shown)} of {len(site.ders)}: those that gave up most)"
    return table(title, head, lines)
