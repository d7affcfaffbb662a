"""`geems backtest`: what a period would have cost under each policy, judged by the truth."""

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.number_types import Number
from ems.cli.outcome import Exit, json_option, print_json
from ems.errors import BadInput, Fault

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.backtest.running import Outcome
    from ems.backtest.study import Study, StudySite


@click.command()
@click.argument("sites", nargs=-1, metavar="SITE...", type=click.Path(path_type=Path))
@click.option("--from", "first", metavar="DATE", help="First local day, as 2019-06-01.")
@click.option("--to", "last", metavar="DATE", help="Last local day, included.")
@click.option(
    "--policies",
    default="none,rules,geems",
    show_default=True,
    help="Any of none, rules, paper, geems, geems_lookahead, oracle.",
)
@click.option(
    "--profiles",
    multiple=True,
    metavar="[NAME=]FILE",
    help="Sun and load as measured, CSV or Parquet; with several sites NAME=FILE for each. "
    "Left out, they are made up from the seed.",
)
@click.option(
    "--seeds",
    "--seed",
    "seeds",
    default="0",
    show_default=True,
    help="Of what is random: one, or several as 1,2,3.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the results; the same command goes on there. Default: named for the days.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes (default: one per core).")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, in place of processes.")
@click.option(
    "--load-noise",
    type=Number(0.0, 1.0),
    default=0.02,
    show_default=True,
    help="How far each bus' true share of the load is off, standard deviation over its value.",
)
@click.option(
    "--parameter-error",
    type=Number(0.0, 0.3),  # feeders.astray.LARGEST_SD
    default=0.0,
    show_default=True,
    help="How far the impedance of each true line is off, likewise.",
)
@click.option(
    "--forecast",
    type=click.Choice(["lstm", "smart_persistence", "clear_sky", "perfect"]),
    default="lstm",
    show_default=True,
    help="Best forecast of the sun to try; perfect knows sun and load.",
)
@click.option(
    "--forecast-error",
    type=Number(0.0, 10.0),
    default=1.0,
    show_default=True,
    help="Share of the forecast's error that is left.",
)
@click.option("--steps", type=int, help="Load flows of the truth in 15 minutes: 1, 3, 5 or 15.")
@click.option(
    "--end-soc",
    type=click.Choice(["free", "start"]),
    default="free",
    show_default=True,
    help="start: batteries end the period as they began, under every policy.",
)
@click.option(
    "--soc-start",
    type=Number(0.0, 100.0),
    default=60.0,
    show_default=True,
    metavar="PERCENT",
    help="Charge that batteries begin with, within their bounds.",
)
@click.option(
    "--independent-days",
    is_flag=True,
    help="Every day begins from the site's initial state, and knows no peak of its month.",
)
@click.option(
    "--solver", type=click.Choice(["auto", "ipopt", "highs"]), help="Default: the site file's."
)
@click.option("--no-reasons", is_flag=True, help="Explain no interval: faster.")
@click.option("--no-report", is_flag=True, help="Write no HTML.")
@click.option(
    "--report-only", is_flag=True, help="Simulate nothing: write the report of --out anew."
)
@json_option
def backtest(
    sites: tuple[Path, ...], out: Path | None, jobs: int | None, scheduler: str | None,
    *, no_report: bool, report_only: bool, as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """Run a period of days under several policies, and compare what they cost and kept.

    The cycle is the service's own; the feeder it acts on is another one, with errors of its own.
    Interrupted, the same command goes on. Ends with code 3 where days failed, and 130 after Ctrl-C.
    """
    with going_on("days that are done are kept"):
        if report_only:
            told = {"ok": True, "report": _report(_folder_of_results(out))}
            print_json(told) if as_json else click.echo(told["report"])
            return
        study, notes = _study(sites or (Path("site.toml"),), **asked)
        for note in notes:
            click.echo(note, err=True)
        folder = out or Path(f"backtest_{study.first}_{study.last}")
        document = _simulated(study, folder, jobs, scheduler)
        if not no_report and document["chains"]:
            document["report"] = _report(folder)
        if as_json:
            print_json(document)
        else:
            from ems.cli.backtest_table import print_backtest

            print_backtest(document)
        if not document["ok"]:
            raise click.exceptions.Exit(Exit.DEGRADED)


@contextmanager
def going_on(kept: str) -> Iterator[None]:
    """Say what is kept and how to go on after Ctrl-C, whenever it comes."""
    try:
        yield
    except KeyboardInterrupt:
        again = shlex.join(["geems", *sys.argv[1:]])
        click.echo(f"interrupted; {kept}. Go on with\n  {again}", err=True)
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None


def _simulated(
    study: "Study", folder: Path, jobs: int | None, scheduler: str | None
) -> dict[str, Any]:
    """Run a study; all that is told of it."""
    from ems.backtest.running import run
    from ems.cli.backtest_table import days_progress

    began = time.monotonic()
    with days_progress() as tell:
        outcome = run(study, folder, jobs=jobs, scheduler=scheduler, tell=tell)
    return _document(study, folder, outcome, time.monotonic() - began)


def _document(study: "Study", folder: Path, outcome: "Outcome", seconds: float) -> dict[str, Any]:
    """All that is told of a backtest."""
    from dataclasses import asdict

    from ems.backtest.comparing import measured
    from ems.backtest.fixed_caps import fixed_caps_told
    from ems.backtest.keeping import days_of, hash_of
    from ems.backtest.seeds import summed_up

    sites = {of.name: of.site for of in study.sites}
    metrics, kept = measured(folder, sites), days_of(folder)
    return {
        "ok": not outcome.failed,
        "folder": str(folder),
        "from": str(study.first),
        "to": str(study.last),
        "rows_sha256": hash_of(folder),
        "days": outcome.days,
        "simulated": outcome.simulated,
        "mended": outcome.mended,
        "workers_died": outcome.deaths,
        "seconds": round(seconds, 3),
        "failed": [asdict(f) | {"day": str(f.day)} for f in outcome.failed],
        "missing": [asdict(chain.key) for chain in study.chains() if chain.key not in kept],
        "policies": summed_up(metrics),
        "chains": [m.told() for m in metrics],
        "fixed_caps": list(fixed_caps_told(kept, sites)),
    }


def _report(folder: Path) -> str:
    """Write the report; its place."""
    from ems.backtest.report import write_report

    click.echo(f"writing the report of {folder}", err=True)
    return str(write_report(folder))


def _folder_of_results(out: Path | None) -> Path:
    if out is None:
        raise BadInput.at("--out", "missing: give the folder whose report is to be written")
    return out


# --- what is asked ---------------------------------------------------------------------


def _study(
    paths: tuple[Path, ...], *, first: str | None, last: str | None, policies: str,
    profiles: tuple[str, ...], seeds: str, load_noise: float, parameter_error: float,
    forecast: Any, forecast_error: float, steps: int | None, end_soc: Any,
    soc_start: float, independent_days: bool, solver: Any, no_reasons: bool,
) -> tuple["Study", tuple[str, ...]]:  # fmt: skip
    """The study, and what is worth knowing of its profiles.

    Raises:
        BadInput: everything that is wrong with sites, options and files.
    """
    from dataclasses import replace

    from ems.backtest.case import Errors
    from ems.backtest.period import UNDATED
    from ems.backtest.study import Study, StudySite, study_faults
    from ems.cli.site_check import all_faults
    from ems.settings import load_settings

    faults: list[Fault] = []
    begin, end = day_given("--from", first, faults), day_given("--to", last, faults)
    sites = []
    for path in paths:
        wrong = all_faults(path)
        faults += wrong
        if not wrong:
            of = StudySite.of(load_settings(path))
            site = replace(of.site, solver=solver or of.site.solver)
            sites.append(replace(of, site=site))
    study = Study(
        sites=tuple(sites),
        first=begin or end or UNDATED,
        last=end or begin or UNDATED,
        policies=tuple(listed(policies)),  # type: ignore[arg-type]  # told below if unknown
        seeds=tuple(_seeds(seeds, faults)),
        errors=Errors(load_noise=load_noise, parameter_error=parameter_error),
        forecast=forecast,
        forecast_error=forecast_error,
        steps=steps,
        end_soc=end_soc,
        soc_start_pct=soc_start,
        independent_days=independent_days,
        reasons=not no_reasons,
    )
    told = study_faults(study)
    # A site that is no site is told already; so are dates.
    faults += [f for f in told if sites or f.place != "SITE"]
    sound = begin and end and not any(f.place in ("--to", "--steps") for f in told)
    files = _files(profiles, [of.name for of in sites], faults)
    if not sound or not files:
        files = {}
    given, notes = _with_profiles(study, files, faults)
    if faults:
        raise BadInput(faults)
    return given, notes


def _with_profiles(
    study: "Study", files: dict[str, Path], faults: list[Fault]
) -> tuple["Study", tuple[str, ...]]:
    """The study with the series of its files; faults of all of them are added."""
    from dataclasses import replace

    from ems.backtest.series_file import profiles_of_file

    sites: list[StudySite] = []
    notes: list[str] = []
    for of in study.sites:
        if of.name not in files:
            sites.append(of)
            continue
        try:
            found = profiles_of_file(files[of.name], of.site, study.period(of), study.steps)
        except BadInput as fault:
            faults += fault.faults
            continue
        sites.append(replace(of, profiles=found))
        notes += found.notes
    return replace(study, sites=tuple(sites)), tuple(notes)


def day_given(place: str, text: str | None, faults: list[Fault]) -> date | None:
    """The day an option names, None where it names none that can be simulated.

    What is wrong with it is added to the faults.
    """
    from ems.backtest.period import day_faults

    if text is None:
        faults.append(Fault(place=place, problem="missing: write a local day, as 2019-06-01"))
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        problem = f'"{text}" is no day of the calendar; write it as 2019-06-01'
        faults.append(Fault(place=place, problem=problem))
        return None
    beyond = day_faults(place, day)
    faults += beyond
    return None if beyond else day


def _seeds(text: str, faults: list[Fault]) -> list[int]:
    seeds = []
    for part in listed(text):
        if part.isdecimal():
            seeds.append(int(part))
        else:
            problem = f'"{part}" is no seed; write whole numbers, as 1,2,3'
            faults.append(Fault(place="--seeds", problem=problem))
    # Where none of them is a seed that is told already.
    return seeds or [0] * bool(listed(text))


def _files(told: tuple[str, ...], names: list[str], faults: list[Fault]) -> dict[str, Path]:
    """File of each site."""
    files: dict[str, Path] = {}
    for text in told:
        name, equals, file = text.partition("=")
        if not equals or Path(text).exists():
            files |= dict.fromkeys(names, Path(text))
        elif name in names:
            files[name] = Path(file)
        elif names:
            problem = f"no site is called {name}; sites: {', '.join(names)}"
            faults.append(Fault(place="--profiles", problem=problem))
    for name in names if files else ():
        if name not in files:
            problem = f"none for {name}; give {name}=FILE as well"
            faults.append(Fault(place="--profiles", problem=problem))
    return files


def listed(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
