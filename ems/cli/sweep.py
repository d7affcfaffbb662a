"""`geems sweep`: backtests along one quantity: PV at a bus, forecast error, battery size."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from ems.cli.backtest import going_on
from ems.cli.number_types import Number
from ems.cli.outcome import Exit, json_option, print_json, site_argument
from ems.cli.sweep_input import battery_faults, bus_faults, numbers, study_asked
from ems.errors import BadInput, Fault

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.backtest.study import Study, StudySite
    from ems.backtest.sweeps.points import Ran

F = TypeVar("F", bound=Callable[..., Any])

COMMON = (
    click.option("--from", "first", metavar="DATE", help="First local day, as 2019-06-01."),
    click.option("--to", "last", metavar="DATE", help="Last local day, included."),
    click.option(
        "--profiles",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Sun and load as measured, CSV or Parquet. Left out, they are made up from the seed.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Of what is random.",
    ),
    click.option(
        "--forecast",
        type=click.Choice(["lstm", "smart_persistence", "clear_sky", "perfect"]),
        default="lstm",
        show_default=True,
        help="Best forecast of the sun to try.",
    ),
    click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of it."),
)
POLICIES = click.option(
    "--policies",
    default="geems",
    show_default=True,
    help="Any of none, rules, paper, geems, geems_lookahead, oracle.",
)
JOBS = click.option("--jobs", type=click.IntRange(min=1), help="Processes (default: one per core).")


def _common(command: F) -> F:
    for option in reversed(COMMON):
        command = option(command)
    return command


def _interruptible(kept: str) -> Callable[[F], F]:
    """After Ctrl-C, whenever it comes: say what is kept, and how to go on."""

    def of(command: F) -> F:
        @wraps(command)
        def told(*args: Any, **values: Any) -> Any:
            with going_on(kept):
                return command(*args, **values)

        return cast(F, told)

    return of


KEPT = "days that are done are kept"


@click.group()
def sweep() -> None:
    """Backtests along one quantity, with a table and a plot."""


@sweep.command()
@site_argument
@click.option("--bus", "buses", multiple=True, metavar="BUS", help="May be given often.")
@click.option(
    "--given-up",
    type=Number(0.0, 100.0),
    default=5.0,
    show_default=True,
    help="With GEEMS: most of the energy that the PV adds that may be lost, in %.",
)
@click.option(
    "--most-kw",
    type=Number(1.0, 1e7),
    help="Largest PV that is tried (default: four times the site's highest load).",
)
@_common
@json_option
@_interruptible("nothing is kept of a search")
def hosting(
    site: str, buses: tuple[str, ...], given_up: float, most_kw: float | None,
    out: Path | None, *, as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """Find the largest PV at a bus before the first limit is broken.

    Without days: at the site's lowest load under a clear sky. With --from and --to also over
    these days, without GEEMS and with it. It stands in the place of all PV at the bus.
    """
    from dataclasses import asdict

    from ems.backtest.sweeps import hosting_capacity, hosting_plot
    from ems.cli.backtest_table import days_progress
    from ems.cli.sweep_table import print_hosting

    study = study_asked(
        site, needs_days=False, check=lambda of: bus_faults(of, tuple(dict.fromkeys(buses))),
        faults=_given_twice(buses), **asked,
    )  # fmt: skip
    of = study.sites[0]
    period = study.period(of) if asked["first"] else None
    found = []
    with _folder(out, "hosting", of) as folder:
        for bus in buses:
            found.append(hosting_capacity(of, bus, with_geems=False, most_kw=most_kw))
            for with_geems in (False, True) if period else ():
                click.echo(f"{bus}, {'with' if with_geems else 'without'} GEEMS", err=True)
                with days_progress() as tell:
                    found.append(
                        hosting_capacity(
                            of, bus, with_geems=with_geems, period=period,
                            given_up=given_up / 100.0, most_kw=most_kw, seed=study.seeds[0],
                            forecast=study.forecast, tell=tell,
                        )
                    )  # fmt: skip
    drawn = hosting_plot(folder, found, given_up / 100.0)
    document = {
        "ok": True,
        "sweep": "hosting",
        "site": of.name,
        **_days_of(study if period else None),
        "given_up_pct": given_up,
        "capacities": [asdict(h) for h in found],
    }
    _end(folder, document, drawn.name, print_hosting, as_json=as_json)
    if period is None and not as_json:
        click.echo("Give --from and --to to know what GEEMS makes of it.", err=True)


@sweep.command("forecast-error")
@site_argument
@click.option(
    "--errors",
    default="0,0.5,1,1.5,2",
    show_default=True,
    help="Shares of the forecast's error that are left; 0 is perfect, 1 as forecast.",
)
@POLICIES
@JOBS
@_common
@json_option
@_interruptible(KEPT)
def forecast_error_command(
    site: str, errors: str, jobs: int | None, out: Path | None, *, as_json: bool, **asked: Any
) -> None:
    """Tell what errors of the forecast cost."""
    from dataclasses import asdict

    from ems.backtest.sweeps import error_faults, error_plot, forecast_error
    from ems.cli.backtest_table import days_progress
    from ems.cli.sweep_table import print_errors

    faults = error_faults(asked["forecast"])
    shares = numbers("--errors", errors, 10.0, faults)
    study = study_asked(site, faults=faults, **asked)
    with _folder(out, "forecast_error", study.sites[0]) as folder, days_progress() as tell:
        points, ran = forecast_error(study, folder, shares, jobs=jobs, tell=tell)
    drawn = error_plot(folder, points)
    document = {
        "ok": not any(r.failed for r in ran),
        "sweep": "forecast-error",
        "site": study.sites[0].name,
        **_days_of(study),
        "points": [asdict(p) for p in points],
        "failed": _failed(ran),
    }
    _end(folder, document, drawn.name, print_errors, as_json=as_json)


@sweep.command()
@site_argument
@click.option(
    "--capacity-kwh",
    "capacities",
    default="0,400,800,1600",
    show_default=True,
    help="Sizes; none at all is always among them.",
)
@click.option("--battery", metavar="NAME", help="Which one, where the site has several.")
@click.option(
    "--hours",
    type=Number(0.0, 1000.0, min_open=True),
    help="Capacity over power (default: the site's).",
)
@POLICIES
@JOBS
@_common
@json_option
@_interruptible(KEPT)
def battery(
    site: str, capacities: str, battery: str | None, hours: float | None, jobs: int | None,
    out: Path | None, *, as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """Tell what a battery saves a year, by its size.

    It stands where the site's does, and ends the days as it began them.
    """
    from dataclasses import asdict

    from ems.backtest.sweeps import battery_plot, battery_size
    from ems.cli.backtest_table import days_progress
    from ems.cli.sweep_table import print_batteries

    faults: list[Fault] = []
    sizes = numbers("--capacity-kwh", capacities, 1e7, faults)
    study = study_asked(site, faults=faults, check=lambda of: battery_faults(of, battery), **asked)
    with _folder(out, "battery", study.sites[0]) as folder, days_progress() as tell:
        points, ran = battery_size(
            study, folder, sizes, battery=battery, hours=hours, jobs=jobs, tell=tell
        )
    drawn = battery_plot(folder, points)
    document = {
        "ok": not any(r.failed for r in ran),
        "sweep": "battery",
        "site": study.sites[0].name,
        **_days_of(study),
        "points": [asdict(p) for p in points],
        "failed": _failed(ran),
    }
    _end(folder, document, drawn.name, print_batteries, as_json=as_json)


# --- what all of them do -----------------------------------------------------------------


def _end(
    folder: Path,
    document: dict[str, Any],
    figure: str,
    show: Callable[[dict[str, Any]], None],
    *,
    as_json: bool,
) -> None:
    """Keep the document beside the figure, and show either."""
    import json

    from ems.backtest.keeping import write_whole

    document["figures"] = [str(folder / f"{figure}.{kind}") for kind in ("png", "svg")]
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    write_whole(folder / "sweep.json", text.encode())
    if as_json:
        print_json(document)
    else:
        show(document)
    if not document["ok"]:
        raise click.exceptions.Exit(Exit.DEGRADED)


def _given_twice(buses: Sequence[str]) -> list[Fault]:
    """Buses that are searched already, by whatever case."""
    lower = [bus.lower() for bus in buses]
    again = [bus for i, bus in enumerate(buses) if lower[i] in lower[:i]]
    return [Fault(place="--bus", problem=f"{bus} is given twice") for bus in dict.fromkeys(again)]


@contextmanager
def _folder(out: Path | None, what: str, of: "StudySite") -> Iterator[Path]:
    """Made before anything is computed: what cannot be written is known then.

    It goes again where nothing comes of it.
    """
    folder = out or Path(f"sweep_{what}_{of.name}")
    there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise BadInput.at("--out", f"{folder} cannot be written: {fault.strerror}") from None
    try:
        yield folder
    except BaseException:
        if not there:
            with suppress(OSError):  # something did come of it
                folder.rmdir()
        raise


def _days_of(study: "Study | None") -> dict[str, str | None]:
    if study is None:
        return {"from": None, "to": None}
    return {"from": str(study.first), "to": str(study.last)}


def _failed(ran: "list[Ran]") -> list[dict[str, str]]:
    return [{"chain": str(f.chain), "day": str(f.day), "why": f.why} for r in ran for f in r.failed]
