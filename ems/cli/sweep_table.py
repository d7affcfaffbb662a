"""Sweeps as tables for people, and how far they are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def print_hosting(document: Mapping[str, Any]) -> None:
    """Largest PV of each bus."""
    titles = ("bus", "GEEMS", "judged by", "largest PV, kW", "what limits it")
    rows = [
        (
            h["bus"],
            "with" if h["with_geems"] else "without",
            h["over"],
            f"{'≥ ' * h['at_least']}{_number(h['rated_kw'], 0)}",
            h["limited_by"] or "nothing that was tried",
        )
        for h in document["capacities"]
    ]
    _print(document, f"Hosting capacity, {_where(document)}", titles, rows, words=4)


def print_errors(document: Mapping[str, Any]) -> None:
    """What each share of the forecast's error cost."""
    titles = (
        "policy", "error", "nRMSE, %", "cost, $", "more, $", "PV not used, %", "broken",
        "in model",
    )  # fmt: skip
    rows = [
        (
            p["policy"],
            f"{p['error']:g}",
            _number(p["nrmse_pct"], 1),
            _number(p["cost_usd"], 0),
            _number(p["more_usd"], 0),
            _number(p["curtailed_pct"], 2),
            _number(p["violated"], 0),
            _number(p["model_violated"], 0),
        )
        for p in document["points"]
    ]
    _print(document, f"Sensitivity to the forecast's error, {_where(document)}", titles, rows)


def print_batteries(document: Mapping[str, Any]) -> None:
    """What batteries of each size save."""
    titles = (
        "policy", "kWh", "kW", "saved/year, $", "per further kWh, $",
        "cycles/year", "PV not used, %", "broken",
    )  # fmt: skip
    rows = [
        (
            p["policy"],
            _number(p["capacity_kwh"], 0),
            _number(p["rated_kw"], 0),
            _number(p["saved_usd_per_year"], 0),
            _number(p["marginal_usd_per_kwh_year"], 2),
            _number(p["cycles_per_year"], 0),
            _number(p["curtailed_pct"], 2),
            _number(p["violated"], 0),
        )
        for p in document["points"]
    ]
    _print(document, f"Worth of a battery, {_where(document)}", titles, rows)


def _print(
    document: Mapping[str, Any],
    title: str,
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    words: int = 0,
) -> None:
    """A table whose first column, and that of words, stand left."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for i, name in enumerate(titles):
        table.add_column(name, justify="left" if i == 0 or (words and i != 3) else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console()
    console.print(table)
    for line in (*_failures(document), f"Figure: {document['figures'][0]}"):
        console.print(escape(line), highlight=False, soft_wrap=True)


def _failures(document: Mapping[str, Any]) -> Iterator[str]:
    for failed in document.get("failed", ()):
        yield f"! {failed['day']} ({failed['chain']}) failed: {failed['why']}"


def _where(document: Mapping[str, Any]) -> str:
    days = f", {document['from']} to {document['to']}" if document["from"] else ""
    return f"{document['site']}{days}"


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}".replace(",", " ")
