"""The first interval of a simulated day that breaks a limit: which limit, where, and when."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ems.backtest.case import Case, Floats
from ems.backtest.connection import LIMITS, beyond_in_words, broken

NEEDED = (
    "v_max_pu", "v_min_pu", "curtailed_kw", "pv_available_kw", "nodes_above", "nodes_below",
    "elements_over", "loading_max_pct", "converged", "model_violations", *LIMITS,
)  # fmt: skip
"""Columns of numbers that are read of a day."""
NAMED = ("start", "v_max_node", "v_min_node")
"""Columns of times and names."""


def first_broken(
    rows: Mapping[str, Floats], named: Mapping[str, Sequence[Any]], case: Case
) -> tuple[int, str, str] | None:
    """The first interval of a day that breaks a limit: its number, the limit, and its place."""
    for row in range(len(rows["converged"])):
        why, at = _broken({name: float(values[row]) for name, values in rows.items()},
                          {name: values[row] for name, values in named.items()}, case)  # fmt: skip
        if why:
            return row, why, at
    return None


def _broken(row: Mapping[str, float], named: Mapping[str, Any], case: Case) -> tuple[str, str]:
    """The limit that an interval breaks, and its place; empty: none."""
    site, limits = case.site, case.site.limits
    if not row["converged"]:
        return "the load flow has no solution", ""
    if row["nodes_above"]:
        at, v_pu = named["v_max_node"], row["v_max_pu"]
        over = v_pu - limits.v_max_pu
        return f"{at} at {v_pu:.4f} pu, {over:.4f} pu above {limits.v_max_pu:g} pu", at
    if row["nodes_below"]:
        at, v_pu = named["v_min_node"], row["v_min_pu"]
        under = limits.v_min_pu - v_pu
        return f"{at} at {v_pu:.4f} pu, {under:.4f} pu below {limits.v_min_pu:g} pu", at
    if row["elements_over"]:
        most_pct = limits.loading_max_pct or 0.0
        return f"a line or transformer at {row['loading_max_pct']:.1f} %, above {most_pct:g} %", ""
    # Worst steps, not means: a quarter of an hour may keep a limit that five minutes of it break.
    beyond = {name: float(np.nan_to_num(row[name])) for name in LIMITS}
    if exceeded := broken(beyond):
        return beyond_in_words(exceeded[0], beyond[exceeded[0]], site), ""
    if case.method != "none" and row["model_violations"]:
        return "a decision breaks a limit in the EMS's own load flow", ""
    return "", ""
