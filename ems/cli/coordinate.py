"""`geems coordinate`: every customer's PV of a feeder, held so that the feeder keeps its limits."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.number_types import Number
from ems.cli.outcome import Exit, json_option, print_json

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.coordinate import Scenario


class _UtilityPlant(click.ParamType[tuple[str, float]]):
    """`BUS=KW`."""

    name = "BUS=KW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Bus and rating [kW]."""
        if isinstance(value, tuple):
            return value
        bus, _, text = str(value).partition("=")
        try:
            rated_kw = float(text)
        except ValueError:
            rated_kw = 0.0
        if not bus or not 0.0 < rated_kw < float("inf"):
            self.fail(f"{value} is no bus and power; write for example 48=300", param, ctx)
        return bus, rated_kw


@click.command()
@click.option(
    "--feeder",
    default=None,
    metavar="NAME|PATH|MRID",
    help="A shipped feeder or a .dss file (default: ieee123_secondaries); with --cim, which feeder "
    "of the file, by mRID.",
)
@click.option(
    "--cim",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CIM100 model in RDF/XML, with its own PV.",
)
@click.option(
    "--load-scale",
    type=Number(0.0, 10.0),
    default=0.4,
    show_default=True,
    help="Consumption over nominal.",
)
@click.option(
    "--pv-scale",
    type=Number(0.0, 1.0),
    default=1.0,
    show_default=True,
    help="What PV can give over its rating.",
)
@click.option(
    "--measurements",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measured powers in W and var, in place of the scales: .csv with name,p_w,q_var by load; "
    "or JSON, by load, or by measurement mRID with --cim.",
)
@click.option(
    "--taps",
    type=click.Choice(["without-pv", "with-pv"]),
    default="without-pv",
    show_default=True,
    help="Where regulators stand at first: as before the sun came out, or after.",
)
@click.option(
    "--pv-share",
    type=Number(0.0, 1.0),
    default=0.6,
    show_default=True,
    help="Share of the customers that have PV.",
)
@click.option(
    "--pv-per-load",
    type=Number(0.0, 100.0, min_open=True),
    default=1.35,
    show_default=True,
    help="A customer's PV over the nominal load, on average.",
)
@click.option(
    "--utility",
    type=_UtilityPlant(),
    multiple=True,
    help="A three-phase plant of the utility; may be given often. Default: three of 300 kW on the "
    "shipped 123-bus feeders.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Seed of who has PV, and how much.",
)
@click.option(
    "--fairness",
    type=click.Choice(["least_cost", "equal_share", "proportional"]),
    default="proportional",
    show_default=True,
    help="Who bears curtailment.",
)
@click.option(
    "--group",
    type=click.Choice(["transformer", "feeder"]),
    default="transformer",
    show_default=True,
    help="Who keeps the same fraction under equal_share.",
)
@click.option(
    "--reactive/--no-reactive",
    default=True,
    show_default=True,
    help="Whether inverters may use reactive power.",
)
@click.option(
    "--limits",
    "preset",
    type=click.Choice(["ansi_c84_1_a", "ieee_1547_continuous"]),
    default="ansi_c84_1_a",
    show_default=True,
    help="Voltage limits.",
)
@click.option(
    "--loading/--no-loading",
    default=True,
    show_default=True,
    help="Whether lines and transformers are kept within their ratings.",
)
@click.option(
    "--price",
    type=Number(0.0, 100.0),
    default=0.3,
    show_default=True,
    help="What a kWh of PV saves, in $.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for tables, pictures, and a message for each service transformer.",
)
@click.option(
    "--simulation-id", default="geems", show_default=True, help="Stands in every message."
)
@json_option
def coordinate(
    feeder: str | None,
    cim: Path | None,
    load_scale: float,
    pv_scale: float,
    measurements: Path | None,
    taps: Any,
    pv_share: float,
    pv_per_load: float,
    utility: tuple[tuple[str, float], ...],
    seed: int,
    fairness: Any,
    group: Any,
    preset: str,
    price: float,
    out: Path | None,
    simulation_id: str,
    *,
    reactive: bool,
    loading: bool,
    as_json: bool,
) -> None:
    """Hold the PV of a feeder's customers so that it keeps its limits, and share what that costs.

    One moment: PV at its peak and loads scaled, or loads as measured. The setpoints go into
    --out, one JSON file for each service transformer, once a three-phase load flow has verified
    them. Ends with code 3 where they are on a lower rung than the optimum, or none was found.
    """
    from ems.coordinate import Scenario, document, write
    from ems.coordinate import coordinate as decide
    from ems.domain import Limits
    from ems.settings.tables import PRESETS

    lowest, highest = PRESETS[preset]
    scenario = Scenario(
        limits=Limits(
            v_min_pu=lowest,
            v_max_pu=highest,
            loading_max_pct=100.0 if loading else None,
            load_band_pct=0.0,
        ),
        fairness=fairness,
        group=group,
        load_scale=load_scale,
        pv_scale=pv_scale,
        taps=taps,
        reactive=reactive,
        price_usd_per_kwh=price,
        pv_share=pv_share,
        pv_per_load=pv_per_load,
        utility=utility or None,
        seed=seed,
    )
    case = _case(feeder, cim, measurements, scenario)
    try:
        _tell(f"{case.name}: {len(case.plants)} PV plants, load {case.forecast.load_kw:.0f} kW")
        found = decide(case, _tell)
    finally:
        case.network.feeder.close()
    result = document(found) if out is None else write(found, out, simulation_id)
    if out is not None:
        _tell(f"written to {out}")
    if as_json:
        print_json(result)
    else:
        from ems.cli.coordinate_table import print_coordination

        print_coordination(result)
    if result["status"] != "verified":
        raise click.exceptions.Exit(Exit.DEGRADED)


def _case(
    feeder: str | None, cim: Path | None, measurements: Path | None, scenario: "Scenario"
) -> Any:
    """The feeder and its moment, from whatever describes them."""
    from dataclasses import replace

    from ems.coordinate import cim_case, feeder_case
    from ems.coordinate.loads import powers_of, read_powers

    now = datetime.now(UTC)
    values = None if measurements is None else read_powers(measurements)
    if cim is not None:
        if scenario.utility:
            raise click.UsageError("--utility: with --cim the PV is the model's own")
        return cim_case(cim, feeder, scenario, now, values=values)
    if values is not None:
        scenario = replace(scenario, measured=powers_of(values))
    return feeder_case(feeder or "ieee123_secondaries", scenario, now)


def _tell(line: str) -> None:
    click.echo(line, err=True)
