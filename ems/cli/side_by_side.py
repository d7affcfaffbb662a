"""Tables of more columns than a terminal is wide: in parts that fit, so that no number is cut."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.table import Table

Column = TypeVar("Column")


def print_side_by_side(
    console: Console, columns: Sequence[Column], drawn: Callable[[Sequence[Column]], Table]
) -> None:
    """Print tables one below the other, each of as many columns as fit, of one at least.

    One that is wider than the terminal all the same goes beyond its edge.

    Args:
        console: where they are printed.
        columns: what may stand beside each other.
        drawn: a table of some of them; what names its rows it repeats.
    """
    for part in _parts_that_fit(console, columns, drawn):
        width = _width(console, part)
        wide = console if width <= console.width else Console(file=console.file, width=width)
        wide.print(part)


def _parts_that_fit(
    console: Console, columns: Sequence[Column], drawn: Callable[[Sequence[Column]], Table]
) -> Iterator[Table]:
    first = 0
    while first < len(columns):
        last = first + 1
        while last < len(columns) and _width(console, drawn(columns[first : last + 1])) <= (
            console.width
        ):
            last += 1
        yield drawn(columns[first:last])
        first = last


def _width(console: Console, table: Table) -> int:
    """Of all that stands in it, on one line each, with its edges and what parts its columns."""
    unbounded = console.options.update(max_width=10_000)  # wider than any table
    return console.measure(table, options=unbounded).maximum
