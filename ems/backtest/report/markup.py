"""Pieces of the page."""

from collections.abc import Iterable, Sequence
from html import escape

NOTHING = "–"


def number(value: float | None, decimals: int = 0) -> str:
    """For people: thousands apart, a true minus, a dash where nothing is known."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return NOTHING
    text = f"{value:,.{decimals}f}".replace(",", "\u202f")  # narrow space, never a line break
    if not text.strip("-0.\u202f"):
        text = text.lstrip("-")
    return text.replace("-", "−")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names the rows; cells are markup already."""
    columns = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    lines = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead>"
        f"<tbody>{lines}</tbody></table></div>"
    )


def section(anchor: str, title: str, body: str) -> str:
    """A part of the page that can be linked to."""
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>{body}</section>'


def items(lines: Iterable[str]) -> str:
    """A list; its lines are plain text."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def figure(svg: str, title: str, words: str, file: str) -> str:
    """A figure with its title and words."""
    return (
        f'<figure><h3>{escape(title)}</h3><div class="drawn" tabindex="0" role="region" '
        f'aria-label="{escape(title)}">{svg}</div><figcaption>{escape(words)} '
        f"<small>figures/{escape(file)}.svg, .png</small></figcaption></figure>"
    )
