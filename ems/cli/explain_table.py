"""The ledger of an interval as tables, of figures that are whole on a terminal of 80 columns."""

from collections.abc import Callable, Sequence
from functools import partial

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ems.domain import Ledger, LedgerEntry

MOST_ROWS = 20
"""DERs and limits listed one by one; the others are summed up."""
KEPT = 1e-6
"""Slack up to which a limit counts as kept [pu or %]."""
LEAST_TEXT = 12
"""Characters of a name or of words on one line, where the terminal is narrow."""


def print_moved(console: Console, ledger: Ledger) -> None:
    """How far each DER was moved, and what it comes to [$/h]."""
    ranked = _ranked(ledger)
    others = ranked[MOST_ROWS:]
    rows = [(entry.der, *_moved([entry])) for entry in ranked[:MOST_ROWS]]
    if others:
        rows.append((f"{len(others)} others", *_moved(others)))
    heads = ("DER", "kW", "kvar", "costs\n$/h", "relieves\n$/h", "own limits\n$/h")
    _print(console, partial(_table, "What moved, and what it comes to", heads, rows))


def print_worth(console: Console, ledger: Ledger) -> None:
    """What one more kWh and kvarh of each DER is worth [$/kWh], [$/kvarh]."""
    rows = [
        (
            entry.der,
            f"{entry.energy_usd_per_kwh:.4f}",
            f"{entry.limits_usd_per_kwh:.4f}",
            f"{entry.limits_usd_per_kvarh:.4f}",
            ", ".join(entry.limits),
        )
        for entry in _ranked(ledger)[:MOST_ROWS]
    ]
    heads = (
        *("DER", "saves\n$/kWh", "costs limits\n$/kWh", "costs limits\n$/kvarh"),
        "limits,\ndearest first",
    )
    title = "What one more kWh or kvarh of it saves, and costs limits"
    _print(console, partial(_table, title, heads, rows, last_is_text=True))


def print_limits(console: Console, ledger: Ledger) -> None:
    """Limits that bind, and what moving away from them relieved [$/h]."""
    from ems.explain import limit_words  # the solver: seconds

    rows = []
    for limit in ledger.limits[:MOST_ROWS]:
        kept = "" if limit.slack <= KEPT else f" (not kept, over by {limit.slack:.4g})"
        rows.append((limit_words(limit) + kept, f"{limit.relief_usd_per_h:.2f}"))
    others = ledger.limits[MOST_ROWS:]
    if others:
        rest = sum(limit.relief_usd_per_h for limit in others)
        rows.append((f"{len(others)} others", f"{rest:.2f}"))
    heads = ("limit", "relieved\n$/h")
    _print(console, partial(_table, "What binds", heads, rows))


def _ranked(ledger: Ledger) -> list[LedgerEntry]:
    """What costs or relieves most, first."""
    return sorted(ledger.entries, key=lambda e: -(abs(e.cost_usd_per_h) + e.relief_usd_per_h))


def _moved(entries: Sequence[LedgerEntry]) -> tuple[str, ...]:
    """Sums, as the columns after the name."""
    return (
        f"{sum(e.moved_kw for e in entries):.1f}",
        f"{sum(e.moved_kvar for e in entries):.1f}",
        f"{sum(e.cost_usd_per_h for e in entries):.2f}",
        f"{sum(e.relief_usd_per_h for e in entries):.2f}",
        f"{sum(e.device_usd_per_h for e in entries):.2f}",
    )


def _table(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    most_text: int | None = None,
    *,
    last_is_text: bool = False,
) -> Table:
    """Names on the left, figures beside them, words on the right if there are any.

    Figures stay whole; what is text goes on in the next line where there is no room.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for k, head in enumerate(heads):
        if k == 0 or (last_is_text and k == len(heads) - 1):
            table.add_column(head, overflow="fold", max_width=most_text)
        else:
            table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _print(console: Console, drawn: Callable[..., Table]) -> None:
    """A table as wide as the terminal; wider where its figures would have to be cut."""
    unbounded = console.options.update(max_width=10_000)  # wider than any table
    least = console.measure(drawn(most_text=LEAST_TEXT), options=unbounded).maximum
    wide = console if least <= console.width else Console(file=console.file, width=least)
    wide.print(drawn())
