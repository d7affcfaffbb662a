"""A coordinated moment as a table."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

STATES = (
    ("highest voltage, pu", "v_max_pu", ".4f"),
    ("at", "v_max_node", ""),
    ("lowest voltage, pu", "v_min_pu", ".4f"),
    ("at", "v_min_node", ""),
    ("nodes too high", "nodes_above", "d"),
    ("nodes too low", "nodes_below", "d"),
    ("overloaded lines and transformers", "overloaded", "d"),
    ("import at the head, kW", "head_kw", ".0f"),
    ("losses, kW", "losses_kw", ".1f"),
)
"""Rows: name, key of the document, format."""


def print_coordination(result: Mapping[str, Any]) -> None:
    """Before and after, and what fairness costs."""
    policy = str(result["fairness"]).replace("_", " ")
    table = Table(
        title=escape(f"{result['feeder']}, {policy}: {result['status']}"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for title in ("", "nothing capped", "coordinated"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for name, key, form in STATES:
        table.add_row(name, *(escape(_told(result[s], key, form)) for s in ("before", "after")))
    available, kept = result["available_kw"], result["kept_kw"]
    table.add_row("PV, kW", f"{available:.0f}", f"{kept:.0f}")
    table.add_row("PV, kvar", "0", f"{result['reactive_kvar']:.0f}")
    console = Console()
    console.print(table)
    for line in _said(result):
        console.print(escape(line), highlight=False)


def _said(result: Mapping[str, Any]) -> Iterator[str]:
    price = result["price_of_fairness"]
    if result["reason"]:
        yield f"{result['status']}: {result['reason']}"
    if result["status"] == "infeasible":
        yield "No message was written: no load flow verified setpoints to send."
    if price is not None:
        less_kw = price["least_cost_kept_kw"] - price["kept_kw"]
        yield (
            f"Price of fairness: {less_kw:.1f} kW of PV and {price['cost_usd_per_h']:.2f} $/h "
            f"against least cost; Jain index {price['least_cost_jain']:.3f} → {price['jain']:.3f}."
        )
    for note in result["notes"]:
        yield f"- {note}"


def _told(state: Mapping[str, Any], key: str, form: str) -> str:
    """A figure of a load flow; of one that did not converge there is none."""
    return format(state[key], form) if state["converged"] else "no solution"
