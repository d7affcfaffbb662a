"""Two pictures as SVG text: voltages along the feeder, and what each plant gives up.

Drawn here because they are dots and bars, and a plotting library is more than the rest of the
service takes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

import numpy as np

from ems.coordinate.decide import Coordination

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP, BOTTOM = 960, 210, 62, 16, 58, 26, 46
"""Of a picture and its panels [px]."""
BEFORE, AFTER, LIMIT, GRID, TEXT = "#d1603d", "#20639b", "#9a031e", "#dddddd", "#222222"
PHASES = ("A", "B", "C")
SHOWN_PX = 9
"""A transformer's name needs as much width [px]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """From a value to a place [px]."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def voltage_picture(found: Coordination) -> str:
    """Voltage of every energised node against its distance from the source, phase by phase."""
    limits, top = found.case.site.limits, found.case.topology
    before, after = found.before, found.after
    km = [top.distance_km.get(n.rpartition(".")[0].lower(), 0.0) for n in before.nodes]
    phases = [top.phase(n)[:1] for n in before.nodes]
    live = np.concatenate([before.v_pu[before.v_pu > 0.0], after.v_pu[after.v_pu > 0.0]])
    ends = [limits.v_min_pu, limits.v_max_pu, *live.tolist()]
    low, high = min(ends) - 0.005, max(ends) + 0.005
    x = _Axis(low=0.0, high=max([*km, 0.1]) * 1.02, start=LEFT, end=WIDTH - RIGHT)
    shown = [p for p in PHASES if p in phases]
    height = TOP + len(shown) * (PANEL + GAP) + BOTTOM - GAP
    parts = [
        _heading(f"{found.case.name}: voltages before and after", [
            (BEFORE, "nothing capped"), (AFTER, found.case.site.fairness.replace("_", " ")),
            (LIMIT, "limits"),
        ]),
    ]  # fmt: skip
    for i, phase in enumerate(shown):
        floor = TOP + i * (PANEL + GAP) + PANEL
        y = _Axis(low=low, high=high, start=floor, end=floor - PANEL)
        parts += _frame(x, y, f"phase {phase}", _ticks(low, high))
        parts += [_line(x.start, y.at(v), x.end, y.at(v), LIMIT, "6 4")
                  for v in (limits.v_min_pu, limits.v_max_pu)]  # fmt: skip
        for flow, colour in ((before, BEFORE), (after, AFTER)):
            dots = [
                f'<circle cx="{x.at(d):.1f}" cy="{y.at(v):.1f}" r="1.7"/>'
                for d, v, p in zip(km, flow.v_pu.tolist(), phases, strict=True)
                if p == phase and v > 0.0
            ]
            parts.append(f'<g fill="{colour}" fill-opacity="0.65">{"".join(dots)}</g>')
    parts += [_text(x.at(d), height - 26, f"{d:g}", anchor="middle") for d in _ticks(x.low, x.high)]
    parts.append(_text((x.start + x.end) / 2, height - 8, "km from the source", anchor="middle"))
    parts.append(_text(16, 50, "pu"))
    return _picture(height, parts)


def curtailment_picture(found: Coordination) -> str:
    """Share of its available power that each plant gives up, beside its neighbours."""
    plants = found.case.plants
    order = sorted(range(len(plants)), key=lambda i: (plants[i].transformer, plants[i].der))
    given_up = (1.0 - found.fractions)[order]
    cheap = found.least_cost_fractions
    height = TOP + PANEL + 130
    x = _Axis(low=0.0, high=float(max(len(order), 1)), start=LEFT, end=WIDTH - RIGHT)
    y = _Axis(low=0.0, high=1.0, start=TOP + PANEL, end=TOP)
    legend = [(AFTER, found.case.site.fairness.replace("_", " "))]
    parts = _frame(x, y, "", [0.0, 0.25, 0.5, 0.75, 1.0])
    wide = (x.end - x.start) / x.high
    parts.append(
        f'<g fill="{AFTER}">'
        + "".join(
            f'<rect x="{x.at(i):.2f}" y="{y.at(g):.1f}" width="{max(0.85 * wide, 0.5):.2f}" '
            f'height="{y.start - y.at(g):.1f}"/>'
            for i, g in enumerate(given_up.tolist())
            if g > 0.0
        )
        + "</g>"
    )
    if cheap is not None:
        legend.append((BEFORE, "at least cost"))
        parts += [
            _line(x.at(i), y.at(g), x.at(i + 0.85), y.at(g), BEFORE)
            for i, g in enumerate((1.0 - cheap)[order].tolist())
        ]
    parts += _transformer_names(x, y, [plants[i].transformer or "primary" for i in order])
    parts.append(_heading(f"{found.case.name}: share of available PV given up", legend))
    return _picture(height, parts)


def _transformer_names(x: _Axis, y: _Axis, names: Sequence[str]) -> Iterator[str]:
    """Boundaries between the transformers, and their names where there is room."""
    at = 0
    for name, members in groupby(names):
        count = len(list(members))
        start, end = x.at(at), x.at(at + count)
        at += count
        yield _line(end, y.start, end, y.end, GRID)
        if end - start >= SHOWN_PX:
            middle = (start + end) / 2 + 3
            yield (
                f'<text x="{middle:.1f}" y="{y.start + 8:.1f}" font-size="8" text-anchor="end" '
                f'transform="rotate(-90 {middle:.1f} {y.start + 8:.1f})">{escape(name)}</text>'
            )


def _frame(x: _Axis, y: _Axis, title: str, ticks: Sequence[float]) -> list[str]:
    """Axes of a panel, its title and the lines of its scale."""
    parts = []
    for tick in ticks:
        parts.append(_line(x.start, y.at(tick), x.end, y.at(tick), GRID))
        parts.append(_text(x.start - 6, y.at(tick) + 4, f"{tick:g}", anchor="end"))
    parts.append(_line(x.start, y.start, x.end, y.start, TEXT))
    parts.append(_text(x.start + 6, y.end + 14, title))
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Round values inside a range, some eight of them."""
    rough = (high - low) / 8
    size = 10.0 ** np.floor(np.log10(rough))
    step = float(next(m * size for m in (1, 2, 5, 10) if m * size >= rough))
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [round(i * step, 6) for i in range(first, last + 1)]


def _heading(title: str, legend: Sequence[tuple[str, str]]) -> str:
    parts = [f'<text x="16" y="24" font-size="16">{escape(title)}</text>']
    at = 16.0 + 46.0
    for colour, label in legend:
        parts.append(f'<rect x="{at:.0f}" y="36" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(at + 15, 45, label))
        at += 30 + 7 * len(label)
    return "".join(parts)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _picture(height: float, parts: Sequence[str]) -> str:
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'font-family="sans-serif" font-size="12" fill="{TEXT}">\n'
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="white"/>\n{inside}\n</svg>\n'
    )
