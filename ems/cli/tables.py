"""Results as tables for people; progress on standard error."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ems.cli.forecast_lines import forecast_lines
from ems.domain import (
    Advised,
    CycleRecord,
    Outcome,
    Partial,
    Refused,
    Sent,
    Setpoint,
    first_step_kw,
)

CASES = {
    "paper": "published",
    "unconstrained": "unlimited",
    "paper_mode": "paper mode",
    "geems_mode": "geems",
    "geems_mode_pv_q": "geems+PV Q",
}
"""Columns of the reproduction: key of the document, title."""

ROWS = {
    "pv_kw": ("PV, kW", 0),
    "pv_kvar": ("PV, kvar", 0),
    "dg_kw": ("generator, kW", 0),
    "dg_kvar": ("generator, kvar", 0),
    "bes_kw": ("battery, kW", 0),
    "bes_kvar": ("battery, kvar", 0),
    "grid_kw": ("grid import, kW", 0),
    "nodes_above": ("nodes too high", 0),
    "nodes_below": ("nodes too low", 0),
    "v_max_pu": ("highest V, pu", 4),
    "v_max_bus": ("at bus", 0),
    "cost_usd_per_h": ("cost, $/h", 0),
    "solve_s": ("solver, s", 4),
    "loadflow_s": ("load flow, s", 4),
}
"""Rows of the reproduction: key, name, decimals."""


def print_reproduction(result: Mapping[str, Any]) -> None:
    """The published case and ours, side by side, and what is assumed."""
    table = _table("The published case, 14:00")
    table.add_column("", no_wrap=True)
    for title in CASES.values():
        table.add_column(title, justify="right", no_wrap=True)
    for key, (name, decimals) in ROWS.items():
        cells = [_cell(result[case].get(key), decimals) for case in CASES]
        table.add_row(name, *cells)
    console = Console()
    console.print(table)
    for line in result.get("assumptions", ()):
        console.print(f"- {escape(str(line))}", highlight=False)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)


def _cell(value: Any, decimals: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, int | float):
        return f"{value:,.{decimals}f}".replace(",", " ")
    return escape(str(value))


def print_cycle(record: CycleRecord) -> None:
    """One cycle: what was asked of each device, what became of it, and why."""
    table = _table(f"{record.site}, {record.start:%Y-%m-%d %H:%M} UTC: {record.status}")
    for title in ("DER", "measured kW", "asked kW", "cap kW", "kvar"):
        table.add_column(title, justify="left" if title == "DER" else "right")
    table.add_column("outcome")
    for name, setpoint in record.secured.dispatch.setpoints.items():
        table.add_row(
            name,
            _cell(record.snapshot.ders[name].p_kw, 0),
            _cell(setpoint.p_kw, 0),
            _cell(setpoint.cap_kw, 0),
            _cell(setpoint.q_kvar, 0),
            _outcome(setpoint, record.outcomes.get(name)),
        )
    console = Console()
    console.print(table)
    place, volts = record.secured.load_flow.highest()
    console.print(f"highest voltage {volts:.4f} pu at {escape(place)}", highlight=False)
    console.print(escape(record.ledger.sentence), highlight=False)
    for line in forecast_lines(record.forecast):
        console.print(escape(line), highlight=False)
    for alarm in record.alarms:
        console.print(f"[red]! {escape(alarm)}[/red]", highlight=False)


def _outcome(target: Setpoint, outcome: Outcome | None) -> str:
    match outcome:
        case Sent():
            step_kw = first_step_kw(target, outcome)
            ramp = "" if step_kw is None else f"; first {_cell(step_kw, 0)} kW, on its ramp"
            return f"sent, read back{ramp}"
        case Advised():
            return "advised, not written"
        case Partial(reason=reason):
            return f"partial: {escape(reason)}"
        case Refused(reason=reason):
            return f"refused: {escape(reason)}"
        case None:
            return "–"


@contextmanager
def cycle_progress(cycles: int | None) -> Iterator[Callable[[CycleRecord], None]]:
    """A callable that tells of each finished cycle on standard error."""
    console = Console(stderr=True)
    done = 0

    def tell(record: CycleRecord) -> None:
        nonlocal done
        done += 1
        place, volts = record.secured.load_flow.highest()
        setpoints = record.secured.dispatch.setpoints.items()
        asked = ", ".join(f"{name} {s.p_kw:.0f} kW" for name, s in setpoints)
        count = f"{done}/{cycles}" if cycles else f"{done}"
        console.print(
            f"{count}  {record.start:%H:%M}  {record.status:10} {escape(asked)}; "
            f"{volts:.4f} pu at {escape(place)}",
            highlight=False,
        )

    yield tell


def print_demo(result: Mapping[str, Any]) -> None:
    """Cycles of a demo, one line each, and what they come to."""
    cycles = result["cycles"]
    ders = [
        key.removesuffix("_kvar") for key in (cycles[0] if cycles else ()) if key.endswith("_kvar")
    ]
    table = _table(f"Simulated plant, {result['site']}, {result['start'][:10]}, UTC")
    table.add_column("", no_wrap=True)
    for title in ("sun kW", *(f"{name} kW" for name in ders)):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("V uncontr.", "V kept", "broken"):
        table.add_column(title, justify="right", no_wrap=True)
    for cycle in cycles:
        sun = sum(value for key, value in cycle.items() if key.endswith("_available_kw"))
        table.add_row(
            cycle["start"][11:16],
            _cell(sun, 0),
            *(_cell(cycle.get(f"{name}_made_kw", cycle[f"{name}_kw"]), 0) for name in ders),
            _cell(cycle["v_max_uncontrolled_pu"], 4),
            _cell(cycle["v_max_pu"], 4),
            _cell(cycle["violations"], 0),
        )
    console = Console()
    console.print(table)
    for line in _demo_words(result):
        console.print(escape(line), highlight=False, soft_wrap=True)


def _demo_words(result: Mapping[str, Any]) -> Iterator[str]:
    """What the table's columns mean, and the totals."""
    lowest, highest = result["limits_pu"]
    yield "sun: what PV could give; pv: what it made under its cap. V: highest voltage in the"
    yield "plant's own load flow [pu], had PV not been capped and no reactive power been moved,"
    yield f"and as kept; broken: limits broken ({lowest:g} to {highest:g} pu)."
    written, asked = result["setpoints_written_and_read_back"], result["setpoints"]
    yield f"{written} of {asked} setpoints were written and read back over Modbus TCP."
    yield f"{result['violations']} limits were broken after a cycle,"
    yield f"{result['violations_within']} while the plant lived through the quarters of an hour."
    yield f"Energy and fuel: {result['cost_usd']:.2f} $."
    for cycle in result["cycles"][-1:]:
        yield f"The last cycle: {cycle['why']}"
    for cycle in result["cycles"]:
        for alarm in cycle["alarms"]:
            yield f"! {cycle['start'][11:16]} {alarm}"
