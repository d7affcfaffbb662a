"""What a sweep is asked: all that is wrong with it is told at once."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.backtest import day_given, listed
from ems.errors import BadInput, Fault

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.backtest.study import Study, StudySite


def study_asked(
    path: str, *, first: str | None, last: str | None, profiles: Path | None, seed: int,
    forecast: Any, policies: str = "geems", needs_days: bool = True,
    check: Callable[["StudySite"], list[Fault]] = lambda _of: [],
    faults: list[Fault] | None = None,
) -> "Study":  # fmt: skip
    """What is run.

    Args:
        path: of the site file.
        first: local day, as typed.
        last: likewise.
        profiles: file of sun and load; None: they are made up.
        seed: of what is random.
        forecast: best forecast of the sun that is tried.
        policies: with commas.
        needs_days: False: without any days it is a study of none.
        check: what else is wrong with the site.
        faults: found already.

    Raises:
        BadInput: everything that is wrong with site, options and file.
    """
    from dataclasses import replace

    from ems.backtest.case import Errors
    from ems.backtest.period import UNDATED
    from ems.backtest.study import Study, study_faults
    from ems.cli.site_check import all_faults

    faults = [] if faults is None else faults
    wrong = all_faults(Path(path))
    faults += wrong
    asked = needs_days or first is not None or last is not None
    begin = day_given("--from", first, faults) if asked else UNDATED
    end = day_given("--to", last, faults) if asked else UNDATED
    sites = () if wrong else (_site(path),)
    study = Study(
        sites=sites,
        first=begin or end or UNDATED,
        last=end or begin or UNDATED,
        policies=tuple(listed(policies)),  # type: ignore[arg-type]  # told below if unknown
        seeds=(seed,),
        # What is swept is to be seen, not what else may be off.
        errors=Errors(load_noise=0.0),
        forecast=forecast,
        reasons=False,
    )
    told = study_faults(study)
    faults += [f for f in told if sites or f.place != "SITE"]
    for of in sites:
        faults += check(of)
        dated = begin and end and not any(f.place == "--to" for f in told)
        if profiles is not None and dated and asked:
            study = replace(study, sites=(_with_profiles(study, of, profiles, faults),))
    if faults:
        raise BadInput(faults)
    return study


def _site(path: str) -> "StudySite":
    from ems.backtest.study import StudySite
    from ems.settings import load_settings

    return StudySite.of(load_settings(Path(path)))


def battery_faults(of: "StudySite", battery: str | None) -> list[Fault]:
    """A battery that a site does not have."""
    from ems.backtest.sweeps import the_battery

    try:
        the_battery(of.site, battery)
    except BadInput as fault:
        return list(fault.faults)
    return []


def bus_faults(of: "StudySite", buses: tuple[str, ...]) -> list[Fault]:
    """Buses that a feeder does not have, or not with three phases."""
    from difflib import get_close_matches

    from feeders import Feeder

    if not buses:
        return [Fault(place="--bus", problem="missing: name a bus of the feeder")]
    feeder = Feeder.open(of.feeder, of.site.placements)
    try:
        nodes = [node.rpartition(".")[0] for node in feeder.nodes]
    finally:
        feeder.close()
    named = {bus.lower(): bus for bus in nodes}
    faults = []
    for bus in buses:
        phases = [node.lower() for node in nodes].count(bus.lower())
        if not phases:
            near = get_close_matches(bus.lower(), named, n=1)
            mend = (
                f"did you mean {named[near[0]]}?"
                if near
                else f"known: {', '.join(dict.fromkeys(nodes))}"
            )
            problem = f'the feeder has no bus "{bus}"; {mend}'
            faults.append(Fault(place="--bus", problem=problem))
        elif phases < 3:
            problem = f"{bus} has {phases} of three phases; name one that has all"
            faults.append(Fault(place="--bus", problem=problem))
    return faults


def _with_profiles(study: "Study", of: "StudySite", file: Path, faults: list[Fault]) -> "StudySite":
    from dataclasses import replace

    from ems.backtest.series_file import profiles_of_file

    try:
        found = profiles_of_file(file, of.site, study.period(of), study.steps)
    except BadInput as fault:
        faults += fault.faults
        return of
    for note in found.notes:
        click.echo(note, err=True)
    return replace(of, profiles=found)


def numbers(place: str, text: str, most: float, faults: list[Fault]) -> list[float]:
    """Numbers as `0,0.5,1`, from 0 to a largest."""
    found = []
    for part in listed(text):
        try:
            value = float(part)
        except ValueError:
            value = -1.0
        if 0.0 <= value <= most:
            found.append(value)
        else:
            problem = f'"{part}" is no number from 0 to {most:g}; write for example 0,0.5,1'
            faults.append(Fault(place=place, problem=problem))
    if not listed(text):
        faults.append(Fault(place=place, problem="none is given; write for example 0,0.5,1"))
    return found
