"""Sweeps as figures, PNG and SVG."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib.figure import Figure

from ems.backtest.report.drawing import COLOURS, INK, LIMIT, Picture, picture, stroke
from ems.backtest.sweeps.battery import BatteryPoint
from ems.backtest.sweeps.error import ErrorPoint
from ems.backtest.sweeps.hosting import Hosting

KINDS = {
    (False, "worst hours"): ("at the worst hours", COLOURS["none"]),
    (False, "period"): ("without GEEMS, over the period", COLOURS["rules"]),
    (True, "period"): ("with GEEMS, over the period", COLOURS["geems"]),
}
LETTERS = 84
"""Of a line of text below axes, as far as they are wide."""
LINE_IN = 0.18
"""Height of such a line [in]."""


def hosting_plot(folder: Path, found: Sequence[Hosting], given_up: float) -> Picture:
    """Largest PV at each bus and its limit; where GEEMS was asked, what it gives up of more PV.

    Args:
        folder: of the files.
        found: capacities.
        given_up: most of the added energy that may be lost [1].
    """
    buses = list(dict.fromkeys(h.bus for h in found))
    against = [
        line
        for h in found
        if h.limited_by
        for line in wrap(f"{h.bus}, {KINDS[h.with_geems, h.over][0]}: {h.limited_by}", LETTERS)
    ]
    curves = [h for h in found if h.with_geems and any(t.rated_kw for t in h.tried)]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2 if curves else 1, 1, squeeze=False)[:, 0]
        bars = panels[0]
        kinds = [k for k in KINDS if any((h.with_geems, h.over) == k for h in found)]
        width = 0.8 / len(kinds)
        for k, kind in enumerate(kinds):
            of_kind = {h.bus: h for h in found if (h.with_geems, h.over) == kind}
            name, colour = KINDS[kind]
            left = [buses.index(bus) - 0.4 + (k + 0.5) * width for bus in of_kind]
            heights = [h.rated_kw for h in of_kind.values()]
            drawn = bars.bar(left, heights, width, label=name, color=colour)
            labels = [
                f"{'≥ ' * h.at_least}{h.rated_kw:,.0f}{h.limited_at and f', {h.limited_at}'}"
                for h in of_kind.values()
            ]
            bars.bar_label(drawn, labels, padding=2, fontsize=9)
        bars.set_xticks(range(len(buses)), buses)
        bars.margins(y=0.15)
        below = "\n".join(("bus", *against))
        bars.set(title="Largest PV at the bus", xlabel=below, ylabel="rating [kW]")
        bars.grid(axis="x", visible=False)
        figure.legend(loc="outside upper center", ncols=2)
        if curves:
            axes = panels[1]
            for h, style in zip(curves, 10 * ("-", "--", "-.", ":"), strict=False):
                told = [t for t in h.tried if t.given_up is not None and t.rated_kw]
                axes.plot(
                    [t.rated_kw for t in told], [100.0 * (t.given_up or 0.0) for t in told],
                    marker="o", markersize=4, color=COLOURS["geems"],
                    linestyle=style, label=h.bus,
                )  # fmt: skip
            axes.axhline(100.0 * given_up, color=LIMIT, linewidth=1.2)
            axes.set(
                title="What GEEMS gives up of the energy it adds", xlabel="rating [kW]",
                ylabel="PV energy not used [%]", ylim=(0.0, None),
            )  # fmt: skip
            # Far beyond the answer lies only how the search began.
            axes.set_xlim(0.0, 2.5 * max(h.rated_kw for h in curves) or None)
            if len(curves) > 1:
                axes.legend()

    words = "The largest PV at a bus before the first limit is broken."
    height = (6.4 if curves else 3.6) + LINE_IN * len(against)
    return picture(folder, "hosting", "Hosting capacity", words, height, draw)


def error_plot(folder: Path, points: Sequence[ErrorPoint]) -> Picture:
    """Cost and curtailment against the share of the forecast's error."""

    def draw(figure: Figure) -> None:
        cost, lost = figure.subplots(2, 1, sharex=True)
        for policy in dict.fromkeys(p.policy for p in points):
            told = [p for p in points if p.policy == policy]
            shares = [p.error for p in told]
            cost.plot(
                shares, _drawn(p.more_usd for p in told), marker="o", label=policy,
                **stroke(policy),
            )  # fmt: skip
            lost.plot(shares, [p.curtailed_pct for p in told], marker="o", **stroke(policy))
        cost.set(title="Cost above that of the best forecast", ylabel="cost [$]")
        lost.set(
            title="PV energy not used", ylabel="share [%]",
            xlabel="share of the forecast's error that is left [1]",
        )  # fmt: skip
        if points:
            figure.legend(loc="outside upper center", ncols=3)

    words = "0 is a perfect forecast, 1 the forecast as it is."
    title = "Sensitivity to the forecast's error"
    return picture(folder, "forecast_error", title, words, 5.2, draw)


def battery_plot(folder: Path, points: Sequence[BatteryPoint]) -> Picture:
    """What batteries of each size save, and what each further kWh adds."""

    def draw(figure: Figure) -> None:
        saved, marginal = figure.subplots(2, 1, sharex=True)
        for policy in dict.fromkeys(p.policy for p in points):
            told = [p for p in points if p.policy == policy]
            sizes = np.array([p.capacity_kwh for p in told])
            saved.plot(
                sizes, _drawn(p.saved_usd_per_year for p in told), marker="o", label=policy,
                **stroke(policy),
            )  # fmt: skip
            steps = [p.marginal_usd_per_kwh_year for p in told if p.capacity_kwh > sizes[0]]
            marginal.stairs(_drawn(steps), sizes, baseline=None, **stroke(policy))
        saved.set(title="Saved against no battery", ylabel="saved a year [$]")
        marginal.axhline(0.0, linewidth=0.6, color=INK)
        marginal.set(
            title="What each further kWh saves", ylabel="a year [$/kWh]", xlabel="capacity [kWh]"
        )
        if points:
            figure.legend(loc="outside upper center", ncols=3)

    words = "A year like the days simulated; price and wear of the battery are not counted."
    return picture(folder, "battery", "Worth of a battery by its size", words, 5.2, draw)


def _drawn(values: Iterable[float | None]) -> list[float]:
    """A gap where there is no value."""
    return [math.nan if value is None else value for value in values]
