"""How every figure looks, and how it gets into a file and onto the page.

Figures are made without pyplot, whose figures are a state of the process. The page shows their SVG
inline, so that text can be read, searched and enlarged, and so that ink and paper follow the
reader's light or dark setting.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, PAPER, FAINT = "#1f2933", "#fefefd", "#c3cad2"
"""Colours that the page replaces by its own; no figure uses them for data."""
LIMIT = "#d55e00"
COLOURS = {
    "none": "#767676",
    "rules": "#e69f00",
    "paper": "#cc79a7",
    "geems": "#0072b2",
    "geems_lookahead": "#56b4e9",
    "oracle": "#009e73",
}
"""Of policies: the palette of Okabe and Ito, which colour-blind readers can tell apart."""
STROKES = {
    "none": ":",
    "rules": (0, (6, 2)),
    "paper": "-.",
    "geems": "-",
    "geems_lookahead": (0, (4, 1, 1, 1)),
    "oracle": (0, (1, 1)),
}
"""Line styles of policies: told apart without colour as well."""
WIDE = 7.2
"""Width of a figure: its text can still be read on a phone [in]."""
_STYLE: Any = {  # its keys are a long list of literals
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-9, 9),  # figures in full, not as powers of ten
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "svg.fonttype": "none",
    # Ids are hashes; with a salt of their own two runs write the same file.
    "svg.hashsalt": "geems",
}
_PAGE = {INK: "currentColor", PAPER: "none", FAINT: "var(--faint)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure that is drawn, and written beside the page."""

    name: str
    """Of its files, without the ending."""
    title: str
    words: str
    """What is to be seen, below it."""
    svg: str
    """For the page."""


def picture(
    folder: Path, name: str, title: str, words: str, height: float, draw: Callable[[Figure], None]
) -> Picture:
    """Draw a figure, and write it as PNG and SVG.

    Args:
        folder: of the files; it is there.
        name: of the files.
        title: for those who cannot see it, and above it.
        words: below it.
        height: of the figure [in].
        draw: puts axes on it.

    Raises:
        OSError: a file cannot be written.
    """
    sink = io.StringIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=(WIDE, height), layout="constrained")
        draw(figure)
        figure.savefig(folder / f"{name}.png", dpi=150)
        figure.set_layout_engine("none")  # as in the first file; half of the time goes into it
        figure.savefig(sink, format="svg", metadata={"Date": None})
    text = re.sub(r'\bd="[^"]*"', _rounded, sink.getvalue())
    (folder / f"{name}.svg").write_text(text, encoding="utf-8")
    return Picture(name=name, title=title, words=words, svg=inline(text, name, title))


def _rounded(path: re.Match[str]) -> str:
    """Coordinates of a path to a hundredth of a point, which no eye sees."""
    return re.sub(r"(\.\d\d)\d+", r"\1", path[0])


def inline(text: str, name: str, title: str) -> str:
    """An SVG file as part of a page.

    Args:
        text: of the file.
        name: put before its ids, which other figures have too.
        title: for those who cannot see it.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\sid=")', rf"\g<1>{name}-", text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, own in _PAGE.items():
        text = text.replace(colour, own)
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(title)}">{rest}'


def stroke(policy: str) -> dict[str, object]:
    """Colour and line style of a policy; of any other name those of `geems`."""
    return {
        "color": COLOURS.get(policy, COLOURS["geems"]),
        "linestyle": STROKES.get(policy, "-"),
        "linewidth": 1.8,
    }


def limit_line(axes: Axes, v_pu: float, name: str) -> None:
    """A limit, named on the line."""
    axes.axhline(v_pu, color=LIMIT, linewidth=1.2)
    axes.annotate(
        f"{name} {v_pu:g}", (1.0, v_pu), xycoords=("axes fraction", "data"), ha="right",
        va="bottom", fontsize=9, xytext=(0, 2), textcoords="offset points",
    )  # fmt: skip
