"""Figures of a whole period: voltages, cost, and when the sun was given up."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ems.backtest.report.drawing import Picture, limit_line, picture, stroke
from ems.backtest.report.gathered import LEVELS, Gathered
from ems.domain import Site

MOST_TICKS = 12
"""Names of parts below an axis; more would touch."""


def voltage_figure(folder: Path, site: Site, policies: Sequence[Gathered]) -> Picture:
    """Duration curves of the highest and the lowest voltage on the feeder."""

    def draw(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True)
        for g in policies:
            top.plot(100 * LEVELS, g.highest_pu, label=g.policy, **stroke(g.policy))
            bottom.plot(100 * LEVELS, g.lowest_pu, **stroke(g.policy))
        limit_line(top, site.limits.v_max_pu, "upper limit")
        limit_line(bottom, site.limits.v_min_pu, "lower limit")
        top.set(title="Highest voltage on the feeder", ylabel="voltage [pu]", xlim=(0, 100))
        bottom.set(
            title="Lowest voltage on the feeder", ylabel="voltage [pu]",
            xlabel="share of the intervals at or above [%]",
        )  # fmt: skip
        for axes in (top, bottom):
            axes.margins(y=0.12)
        figure.legend(loc="outside upper center", ncols=3)

    return picture(
        folder, f"{site.name}_voltage", "How long each voltage lasted",
        "The worst node of the feeder in the worst step of each interval, as the truth has it, "
        "sorted by size. A curve beyond a limit line breaks the limit for as long as it is "
        "beyond.",
        6.0, draw,
    )  # fmt: skip


def cost_figure(folder: Path, site: Site, policies: Sequence[Gathered]) -> Picture:
    """Cost of each month, policies side by side."""
    parts = policies[0].parts
    monthly = len(parts[0]) == len("2019-06")

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        width = 0.8 / len(policies)
        for k, g in enumerate(policies):
            left = np.arange(len(parts)) - 0.4 + (k + 0.5) * width
            colour = stroke(g.policy)["color"]
            axes.bar(left, g.cost_usd, width, label=g.policy, color=colour)
        every = _ticks(len(parts))
        axes.set_xticks(every, [_short(parts[i]).replace(" ", "\n") for i in every])
        axes.set(
            title="Cost by month" if monthly else "Cost by day", ylabel="cost [$]",
            xlabel="month" if monthly else "local day",
        )  # fmt: skip
        axes.grid(axis="x", visible=False)
        figure.legend(loc="outside upper center", ncols=3)

    with_demand = monthly and site.demand_charge_usd_per_kw > 0.0
    words = "Energy from the grid less what was sold, fuel"
    words += ", and the month's demand charge." if with_demand else "."
    return picture(folder, f"{site.name}_cost", "What it cost", words, 3.8, draw)


def curtailment_figure(folder: Path, site: Site, policies: Sequence[Gathered]) -> Picture | None:
    """Heat maps of sun that was not used; None where all of it was."""
    shown = [g for g in policies if np.nanmax(g.curtailed_kw, initial=0.0) > 0.5]  # half a kW
    if not shown:
        return None
    most = max(float(np.nanmax(g.curtailed_kw)) for g in shown)
    parts = shown[0].parts
    height = 1.1 + max(1.5, 0.2 * len(parts) + 0.7) * len(shown)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, g in zip(panels, shown, strict=True):
            mesh = axes.pcolormesh(
                np.arange(25), np.arange(len(parts) + 1), g.curtailed_kw, vmin=0.0, vmax=most,
                cmap="cividis",
            )  # fmt: skip
            every = _ticks(len(parts))
            axes.set_yticks([i + 0.5 for i in every], [_short(parts[i]) for i in every])
            axes.invert_yaxis()
            axes.set(title=g.policy, ylabel="month" if len(parts[0]) == len("2019-06") else "day")
            axes.grid(visible=False)
        panels[-1].set(xlabel="hour of the local day", xticks=range(0, 25, 3))
        figure.colorbar(mesh, ax=panels, label="PV power not used, mean [kW]")

    without = [g.policy for g in policies if g not in shown]
    words = "Mean power that the sun offered and the policy did not use."
    words += f" Nothing was given up under {', '.join(without)}." if without else ""
    return picture(
        folder, f"{site.name}_curtailment", "When the sun was given up", words, height, draw
    )


def _ticks(count: int) -> list[int]:
    return list(range(0, count, -(-count // MOST_TICKS)))


def _short(part: str) -> str:
    """Month, or day, as an axis names it."""
    if len(part) == len("2019-06"):
        return f"{date.fromisoformat(f'{part}-01'):%b %Y}"
    return f"{date.fromisoformat(part):%-d %b}"
