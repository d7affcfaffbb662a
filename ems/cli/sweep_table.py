"""Sweeps as tables for people, and how far they are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ems.cli.side_by_side import print_side_by_side

Column = tuple[str, Sequence[str]]
"""Title and cells."""
WORDS = ("bus", "GEEMS", "judged by", "what limits it", "policy")
"""Titles of columns that stand left."""
LONG = ("judged by", "what limits it")
"""Of those that may be broken."""
A_YEAR = 365
"""Fewer days are multiplied to one [d]."""


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
    # What limits it is long: better broken than apart from what it is of.
    _print(document, f"Hosting capacity, {_where(document)}", titles, rows, keys=5)


def print_errors(document: Mapping[str, Any]) -> None:
    """What each share of the forecast's error cost."""
    titles = (
        "policy", "error", "nRMSE, %", "cost, $", "more, $", "PV not\nused, %", "broken",
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
    title = f"Sensitivity to the forecast's error, {_where(document)}"
    _print(document, title, titles, rows, keys=2)


def print_batteries(document: Mapping[str, Any]) -> None:
    """What batteries of each size save."""
    titles = (
        "policy", "kWh", "kW", "saved\na year, $", "per further\nkWh, $",
        "cycles\na year", "PV not\nused, %", "broken",
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
    title = f"Worth of a battery, {_where(document)}"
    _print(document, title, titles, rows, keys=3, words=_of_a_year(document))


def _print(
    document: Mapping[str, Any],
    title: str,
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    keys: int,
    words: Iterable[str] = (),
) -> None:
    """A table, in parts where the terminal is narrow, and what it does not say.

    Args:
        document: of the sweep.
        title: of the table.
        titles: of its columns.
        rows: cells of each.
        keys: so many columns at the left name the rows, and stand in every part.
        words: lines below.
    """
    columns: list[Column] = [(name, [row[i] for row in rows]) for i, name in enumerate(titles)]

    def drawn(some: Sequence[Column]) -> Table:
        table = Table(title=title, title_justify="default", box=box.SIMPLE_HEAD)
        for name, _cells in (*columns[:keys], *some):
            justify: Any = "left" if name in WORDS else "right"
            table.add_column(name, justify=justify, no_wrap=name not in LONG, overflow="fold")
        for row in zip(*(cells for _, cells in (*columns[:keys], *some)), strict=True):
            table.add_row(*map(escape, row))
        return table

    console = Console()
    rest = columns[keys:]
    if rest:
        print_side_by_side(console, rest, drawn)
    else:
        console.print(drawn(()))
    for line in (*words, *_failures(document), f"Figure: {document['figures'][0]}"):
        console.print(escape(line), highlight=False, soft_wrap=True)


def _of_a_year(document: Mapping[str, Any]) -> Iterator[str]:
    """What a few days tell of a year."""
    first, last = (date.fromisoformat(document[key]) for key in ("from", "to"))
    days = (last - first).days + 1
    if days < A_YEAR:
        yield (
            f"A year is reckoned here as {A_YEAR / days:,.1f} times these {days} days"
            if days > 1
            else f"A year is reckoned here as {A_YEAR} times this one day"
        ) + ": other seasons, prices and weather are not in it. Simulate a year before you buy."


def _failures(document: Mapping[str, Any]) -> Iterator[str]:
    for failed in document.get("failed", ()):
        yield f"! {failed['day']} ({failed['chain']}) failed: {failed['why']}"


def _where(document: Mapping[str, Any]) -> str:
    days = f", {document['from']} to {document['to']}" if document["from"] else ""
    return f"{document['site']}{days}"


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}".replace(",", " ")
