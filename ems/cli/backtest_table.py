"""A backtest as tables for people, and how far it is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ems.backtest.case import SAME_SOC_PCT
from ems.backtest.period import parts_of_months
from ems.cli.side_by_side import print_side_by_side

if TYPE_CHECKING:
    from ems.backtest.running import Told

Line = tuple[str, str, float, int]
"""Name, key of the document, what it is divided by, decimals."""

COST: tuple[Line, ...] = (
    ("grid energy and fuel, $", "cost_usd", 1, 0),
    ("demand charge, $", "demand_usd", 1, 0),
    ("together, $", "total_usd", 1, 0),
    ("of both on days all have, $", "compared_usd", 1, 0),
    ("of it more than the oracle, $", "regret_usd", 1, 0),
    ("for limits, energy and fuel, $", "compliance_usd", 1, 0),
    ("for limits, demand charge, $", "compliance_demand_usd", 1, 0),
    ("for caution, $", "caution_usd", 1, 0),
    ("import, MWh", "imported_kwh", 1000, 1),
    ("export, MWh", "exported_kwh", 1000, 1),
    ("PV, MWh", "pv_kwh", 1000, 1),
    ("PV not used, MWh", "curtailed_kwh", 1000, 1),
    ("PV not used, %", "curtailed_pct", 1, 2),
    ("generators, MWh", "dg_kwh", 1000, 1),
    ("losses, MWh", "losses_kwh", 1000, 1),
    ("full cycles of batteries", "cycles", 1, 1),
    ("fairness (Jain)", "fairness", 1, 3),
    ("forecast nRMSE, %", "forecast_nrmse_pct", 1, 1),
)
LIMITS: tuple[Line, ...] = (
    ("intervals", "intervals", 1, 0),
    ("with a limit broken", "violated", 1, 0),
    ("longest run beyond a limit, h", "longest_h", 1, 2),
    ("furthest beyond, pu", "depth_pu", 1, 4),
    ("nodes", "nodes_violated", 1, 0),
    ("with an element overloaded", "overloaded", 1, 0),
    ("without a solution", "unsolved", 1, 0),
    ("beyond a limit of the grid", "grid_over", 1, 0),
    ("furthest beyond import, kW", "import_over_kw", 1, 1),
    ("furthest beyond export, kW", "export_over_kw", 1, 1),
    ("beyond power factor, kvar", "power_factor_over_kvar", 1, 1),
    ("broken in the EMS's model", "model_violated", 1, 0),
    ("not verified as optimal", "unverified", 1, 0),
    ("wall time of one, ms", "interval_ms", 1, 1),
)
OPTIONAL = (
    *("demand_usd", "regret_usd", "compliance_usd", "compliance_demand_usd", "caution_usd"),
    *("exported_kwh", "fairness", "dg_kwh", "cycles", "overloaded", "unsolved", "grid_over"),
    *("import_over_kw", "export_over_kw", "power_factor_over_kvar"),
)
"""Lines that are left out where no policy has anything to tell."""
NO_BREAK = "\u00a0"
"""Between thousands: a number stays on its line."""
COLUMN_WIDTH = 10
"""Of a policy at least, so that tables of few numbers look like the others."""
SHOWN = 10
"""Failed days that are told one by one; all are in failed.json."""
LINES = 20
"""Of progress in a log."""


def print_backtest(document: Mapping[str, Any]) -> None:
    """Policies side by side, cheapest first; those that break limits apart, on the right."""
    console = Console()
    rows = document["policies"]
    for site in dict.fromkeys(row["site"] for row in rows):
        of_site = sorted((r for r in rows if r["site"] == site), key=_rank)
        title = f"{site}, {document['from']} to {document['to']}"
        for name, lines in ((title, COST), ("Limits, in the truth", LIMITS)):
            drawn = partial(_table, name, _told(lines, of_site))
            print_side_by_side(console, of_site, drawn)
    for line in _words(document):
        console.print(escape(line), highlight=False, soft_wrap=True)


def _rank(row: Mapping[str, Any]) -> tuple[bool, float]:
    """Dearer ones later, as far as they can be compared."""
    known = row["compared_usd"]
    return row["violated"] > 0, float(
        row["cost_usd"] + row["demand_usd"] if known is None else known
    )


def _table(title: str, lines: Sequence[Line], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=title, title_justify="default", box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for row in rows:
        name = escape(row["policy"]).replace("_", "\n")
        name = f"[red]{name} ¹[/red]" if row["violated"] else name
        table.add_column(name, justify="right", no_wrap=True, min_width=COLUMN_WIDTH)
    for name, key, over, decimals in lines:
        table.add_row(name, *(_cell(row[key], over, decimals) for row in rows))
    return table


def _told(lines: Sequence[Line], rows: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Lines in which any policy of a site has something to tell: each part of a table has all."""
    left_out = set()
    if all(r["compared_days"] == r["days"] for r in rows):
        left_out.add("compared_usd")
    if not any(r["demand_usd"] for r in rows):
        left_out.add("total_usd")
    left_out |= {key for key in OPTIONAL if not any(row[key] for row in rows)}
    return [line for line in lines if line[1] not in left_out]


def _cell(value: float | None, over: float, decimals: int) -> str:
    return "–" if value is None else f"{value / over:,.{decimals}f}".replace(",", NO_BREAK)


def _words(document: Mapping[str, Any]) -> Iterator[str]:
    """What the tables do not say."""
    rows = document["policies"]
    if any(row["violated"] for row in rows):
        yield (
            "¹ breaks limits of the feeder or of the grid connection: its cost is that of another "
            "service."
        )
    yield from document.get("fixed_caps", ())
    yield from _compared(rows)
    if any(row["demand_usd"] for row in rows):
        yield from _parts_of_months(document)
    seeds = sorted({row["seeds"] for row in rows})
    if any(count > 1 for count in seeds):
        counts = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
        yield f"Means of {counts} seeds; broken, overloaded and unverified are sums."
    ends = {
        f"{row['policy']} {', '.join(f'{n} {soc:.0f} %' for n, soc in row['soc_end_pct'].items())}"
        for row in rows
        if row["soc_end_pct"]
    }
    if any(_end_differently(rows, site) for site in dict.fromkeys(r["site"] for r in rows)):
        yield f"Batteries end differently ({'; '.join(sorted(ends))}): see --end-soc start."
    yield (
        f"{document['simulated']} days simulated in {document['seconds']:.1f} s, "
        f"{document['mended']} of them after a seam; rows {document['rows_sha256'][:16]} in "
        f"{document['folder']}"
    )
    if document["workers_died"]:
        yield f"Workers died {document['workers_died']} times; what they were at ran again."
    if document.get("report"):
        yield f"Report: {document['report']}"
    for chain in document["missing"]:
        yield f"! {_chain(chain)}: has no day"
    for failed in document["failed"][:SHOWN]:
        yield f"! {failed['day']} ({_chain(failed['chain'])}) failed: {failed['why']}"
    more = len(document["failed"]) - SHOWN
    if more > 0:
        yield f"! and {more} more days, in failed.json"


def _chain(key: Mapping[str, Any]) -> str:
    return f"{key['site']}, {key['policy']}, seed {key['seed']}"


def _parts_of_months(document: Mapping[str, Any]) -> Iterator[str]:
    """Whose demand charge is of fewer days than it is paid for."""
    first, last = (date.fromisoformat(document[key]) for key in ("from", "to"))
    parts = parts_of_months(first, last)
    if parts:
        yield (
            "The demand charge is that of whole months, by the highest import of the days there "
            f"are ({' and '.join(parts)})."
        )


def _compared(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Over which days and intervals policies are compared."""
    for site in dict.fromkeys(row["site"] for row in rows):
        alike = [row for row in rows if row["site"] == site]
        if any(row["compared_seeds"] != row["seeds"] for row in alike):
            counts = ", ".join(f"{row['policy']} {row['seeds']}" for row in alike)
            yield (
                f"{site}: policies do not have the same seeds ({counts}): they are ranked by the "
                f"days that all have ({alike[0]['compared_days']}), and none is held against the "
                "oracle."
            )
        elif any(row["compared_days"] != row["days"] for row in alike):
            counts = ", ".join(f"{row['policy']} {row['days']}" for row in alike)
            yield (
                f"{site}: policies do not have the same days ({counts}): only the "
                f"{alike[0]['compared_days']} that all have are ranked and held against the oracle."
            )
        oracle = next((row for row in alike if row["policy"] == "oracle"), None)
        if oracle is not None and oracle["violated"]:
            yield (
                f"{site}: the oracle broke limits in {oracle['violated']} intervals; nothing is "
                "measured from it there."
            )
    left_out = [f"{r['policy']} {r['unverified']}" for r in rows if r["unverified"]]
    if left_out and any(row["compliance_usd"] is not None for row in rows):
        yield (
            "What limits and caution cost leaves out intervals that were not verified as optimal: "
            f"{', '.join(left_out)}."
        )


def _end_differently(rows: Sequence[Mapping[str, Any]], site: str) -> bool:
    """Whether a battery of a site holds more at the end under one policy than under another."""
    ends: dict[str, list[float]] = {}
    for row in (r for r in rows if r["site"] == site):
        for name, soc_pct in row["soc_end_pct"].items():
            ends.setdefault(name, []).append(soc_pct)
    return any(max(found) - min(found) > SAME_SOC_PCT for found in ends.values())


@contextmanager
def days_progress() -> Iterator[Callable[["Told"], None]]:
    """A callable that shows how many days are over, and on a terminal how long the rest takes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("days"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("backtest", total=None)

        def tell(told: "Told") -> None:
            words = "backtest" + (f", {told.failed} failed" if told.failed else "")
            progress.update(task, total=told.days, completed=told.over, description=words)

        yield tell


def _lines(console: Console) -> Callable[["Told"], None]:
    """A line for each twentieth of the days, for a log."""
    shown = -1

    def tell(told: "Told") -> None:
        nonlocal shown
        part = LINES * told.over // told.days
        if part > shown:
            shown = part
            console.print(f"{told.over} of {told.days} days, {told.failed} failed", highlight=False)

    return tell
