"""Who fed the load on chosen days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ems.backtest.report.drawing import INK, Picture, picture
from ems.backtest.report.gathered import Gathered, day_named, local_time, reference
from ems.backtest.report.kept import Floats, Kept

COLUMNS = ("start", "pv_kw", "pv_available_kw", "bes_kw", "dg_kw", "grid_kw", "load_kw")
LAYERS = {
    "pv_kw": ("PV", "#e69f00"),
    "dg_kw": ("generators", "#cc79a7"),
    "bes_kw": ("batteries", "#009e73"),
    "grid_kw": ("grid", "#56b4e9"),
}
"""From below, with their names and colours (Okabe and Ito)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenDay:
    """A day that is shown, and why."""

    day: str
    reason: str


def chosen_days(policies: Sequence[Gathered]) -> list[ChosenDay]:
    """The worst day, the one of most curtailment, and a usual one; a day is shown once."""
    ours = reference(policies)
    deepest = max(policies, key=lambda g: float(g.days.depth_pu.max()))
    most_pu = float(deepest.days.depth_pu.max())
    reasons: dict[str, list[str]] = {}

    def choose(day: str, reason: str) -> None:
        reasons.setdefault(day, []).append(reason)

    if most_pu > 0.0:
        day = deepest.days.day[int(deepest.days.depth_pu.argmax())]
        choose(day, f"furthest beyond a limit, {most_pu:.4f} pu under {deepest.policy}")
    elif ours.days.compliance_usd.max() > 0.0:
        day = ours.days.day[int(ours.days.compliance_usd.argmax())]
        choose(day, f"limits cost most under {ours.policy}")
    if ours.days.curtailed_kwh.max() > 0.0:
        at = int(ours.days.curtailed_kwh.argmax())
        reason = f"most PV not used under {ours.policy}, {ours.days.curtailed_kwh[at]:,.0f} kWh"
        choose(ours.days.day[at], reason)
    usual = int(np.abs(ours.days.cost_usd - np.median(ours.days.cost_usd)).argmin())
    choose(ours.days.day[usual], f"a usual day: cost nearest to the median under {ours.policy}")
    return [ChosenDay(day=day, reason="; ".join(why)) for day, why in reasons.items()]


def stack_figure(
    folder: Path, kept: Kept, policies: Sequence[Gathered], chosen: ChosenDay
) -> Picture:
    """One day under each policy."""
    site = policies[0].site
    found = [(g.policy, kept.day(g.chain, chosen.day, COLUMNS)) for g in policies]
    rows = {policy: day for policy, day in found if day is not None}
    without = [policy for policy, day in found if day is None]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (policy, day) in zip(panels, rows.items(), strict=True):
            _panel(axes, policy, day, kept.zone(site))
        panels[-1].set_xlabel("hours since local midnight")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=3)

    words = (
        f"{chosen.reason[:1].upper()}{chosen.reason[1:]}. Above zero what feeds the load and the "
        "losses, below zero what charges and what is exported."
    )
    words += f" The day is missing under {', '.join(without)}." if without else ""
    name = f"{site}_day_{chosen.day}"
    return picture(folder, name, day_named(chosen.day), words, 1.0 + 2.0 * len(rows), draw)


def _panel(axes: Axes, policy: str, day: Mapping[str, Any], zone: str) -> None:
    first = local_time(day["start"][0], zone).normalize()
    hours = np.array([(local_time(s, zone) - first).total_seconds() / 3600 for s in day["start"]])
    edges = np.append(hours, hours[-1] + 0.25)
    above, below = np.zeros(len(edges)), np.zeros(len(edges))
    for column, (name, colour) in LAYERS.items():
        power = _held(day[column])
        up, down = np.maximum(power, 0.0), np.minimum(power, 0.0)
        axes.fill_between(
            edges, above, above + up, step="post", color=colour, label=name, linewidth=0
        )
        if down.any():
            axes.fill_between(edges, below, below + down, step="post", color=colour, linewidth=0)
        above, below = above + up, below + down
    axes.step(edges, _held(day["load_kw"]), where="post", color=INK, linewidth=1.4, label="load")
    axes.step(
        edges, _held(day["pv_available_kw"]), where="post", color="#a04000", linewidth=1.2,
        linestyle="--", label="PV available",
    )  # fmt: skip
    axes.axhline(0.0, color=INK, linewidth=0.6)
    axes.set(title=policy, ylabel="power [kW]", xlim=(edges[0], edges[-1]))
    axes.set_xticks(np.arange(0, edges[-1] + 0.1, 3))


def _held(values: Floats) -> Floats:
    """Held to the end of the last interval."""
    return np.append(values, values[-1])
