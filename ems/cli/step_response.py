"""`geems step-response`: what the averaged inverter does when it is stepped."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli.outcome import json_option, print_json

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.plant.averaged import StepFigures
    from ems.plant.averaged.demonstration import Demonstration

ROWS = {
    "i_d": ("i_d, small step", "A"),
    "v_dc": ("v_dc, small step", "V"),
    "p": ("P, source 0.2 to 0.8", "kW"),
    "q": ("Q, order 0 to 0.4", "kvar"),
}


@click.command("step-response")
@click.option(
    "--rated-kva",
    type=click.FloatRange(0.1, 1e6),
    default=100.0,
    show_default=True,
    help="Rating of the inverter.",
)
@click.option(
    "--spacing",
    type=click.FloatRange(1.0, 20.0, min_open=True),
    default=2.0,
    show_default=True,
    help="a of the symmetrical optimum: more damps more and is slower.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Picture (PNG).")
@json_option
def step_response(rated_kva: float, spacing: float, plot: Path | None, *, as_json: bool) -> None:
    """Step the averaged inverter, and set its loops beside what their tuning promises.

    Small steps judge the loops: current by the technical optimum, DC link by the symmetrical.
    Large ones, of the source's power and of reactive power, show what the terminals see.
    """
    from ems.errors import BadInput
    from ems.plant.averaged import InverterParameters
    from ems.plant.averaged.demonstration import demonstrate, draw

    shown = demonstrate(InverterParameters(rated_kva=rated_kva, a=spacing))
    if plot is not None:
        try:
            draw(shown, plot)
        except OSError as error:
            raise BadInput.at("--plot", f"{plot} cannot be written: {error.strerror}") from error
    if as_json:
        print_json(shown.document())
    else:
        _print(shown)


def _print(shown: "Demonstration") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    p = shown.parameters
    table = Table(
        title=f"Averaged inverter, {p.rated_kva:g} kVA, Tσ = {1e6 * p.t_sigma_s:g} µs",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for title in ("", "from", "to", "rise ms", "overshoot %", "settle ms"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for key, (name, unit) in ROWS.items():
        found = shown.figures[key]
        ends = [f"{found.before:.1f}", f"{found.after:.1f} {unit}"]
        table.add_row(name, *ends, *_cells(found))
        if key in shown.promised:
            table.add_row("  promised", "", "", *_cells(shown.promised[key]))
    console = Console()
    console.print(table)
    console.print(
        f"Large steps move the DC link from {shown.v_dc_lowest_v:.1f} to "
        f"{shown.v_dc_highest_v:.1f} V. Rise: until the end value is first reached; settle: "
        "within 2 %. The rule for v_dc takes the current loop for one lag of 2 Tσ; its second "
        "order costs some damping.",
        highlight=False,
        soft_wrap=False,
    )


def _cells(found: "StepFigures") -> tuple[str, str, str]:
    def ms(seconds: float | None) -> str:
        return "–" if seconds is None else f"{1e3 * seconds:.2f}"

    return ms(found.rise_s), f"{found.overshoot_pct:.1f}", ms(found.settling_s)
