"""The verdict that a promotion rests on: judged now, or kept from a training."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ems.errors import BadInput, Fault
from forecasting.judging.challenge import Trial, challenge
from forecasting.judging.contenders import contender
from forecasting.judging.judged import Asked, Judged, judged
from forecasting.series import SeriesFault
from models import Artefact
from models.verdicts import keep_verdict, last_verdict


def verdict_on(
    challenger: Artefact,
    champion: Artefact,
    root: Path,
    measured: Path | None,
    *,
    plant: str | None,
    calibration_days: int,
    **place: Any,
) -> Mapping[str, Any]:
    """Judge two artefacts on a measured series, and keep the verdict; or take the one kept.

    A series that does not fit what was said of its plant, or on which the champion itself fails,
    judges no model of all plants.

    Args:
        challenger: The artefact that shall be promoted.
        champion: The one in use.
        root: The user's folder.
        measured: Series to judge on; None: the newest verdict kept on these two.
        plant: The only plant the challenger shall be champion of; None: of all.
        calibration_days: First days of the series, forecast but not judged.
        place: The other options of `geems models promote`.

    Raises:
        BadInput: the challenger is the champion, series or options cannot be used, the series
            cannot judge for all plants, or there is no verdict.
        ChallengeFault: the two cannot be compared.
    """
    if challenger.sha256 == champion.sha256:
        which = f"the champion of {champion.kind}"
        problem = (
            f"'{challenger.id}' is {which} already"
            if challenger.id == champion.id
            else f"the model of '{challenger.id}' is a copy of '{champion.id}', {which}, bit by bit"
        )
        raise BadInput.at("ID", problem)
    if measured is None:
        _refuse_options(place)
        return _kept(challenger, champion, root, plant)
    trial, case = _trial(measured, calibration_days, place)
    if plant is None and case.misfits:
        raise _misfit(trial.name, case.misfits)
    for warning in case.warnings:
        click.echo(f"! {warning}", err=True)
    try:
        verdict = challenge(
            contender(champion), contender(challenger), [trial], calibration_days=calibration_days
        )
    except SeriesFault as fault:
        raise _told(fault) from fault
    if plant is None and verdict.misfits:
        raise _misfit(trial.name, verdict.misfits)
    for told in verdict.misfits:
        click.echo(f"! {trial.name}: {told}", err=True)
    document = verdict.to_json(datetime.now(UTC).isoformat(timespec="seconds"))
    document |= {"plant": plant, "misfits": [*case.misfits, *verdict.misfits]}
    keep_verdict(document, root)
    return document


def _misfit(name: str, told: Sequence[str]) -> BadInput:
    """Why a series judges no model of all plants."""
    problem = (
        f"this series does not fit: {'; '.join(told)}; mend what was said of it, give another, or "
        f"promote for this plant alone (--plant NAME)"
    )
    return BadInput.at(name, problem)


def _refuse_options(place: Mapping[str, Any]) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in place.items() if value is not None]
    if given:
        raise BadInput.at(", ".join(given), "means nothing without --on FILE; give the series too")


def _kept(
    challenger: Artefact, champion: Artefact, root: Path, plant: str | None
) -> Mapping[str, Any]:
    kept = last_verdict(challenger, champion, root, plant=plant)
    if kept is None:
        whom = "all plants" if plant is None else f"plant {plant}"
        raise BadInput.at(
            "--on",
            f"'{challenger.id}' was never judged against '{champion.id}' on what counts for "
            f"{whom}; give a series that neither has trained on, with --lat, --lon and "
            f"--capacity-kw",
        )
    return kept


def _trial(measured: Path, calibration_days: int, place: Mapping[str, Any]) -> tuple[Trial, Judged]:
    """The series as `geems forecast evaluate` reads it.

    Raises:
        BadInput: something is wrong with file or options; holds all faults.
    """
    resolution = place["resolution"]
    asked = Asked(
        path=measured,
        latitude_deg=place["lat"],
        longitude_deg=place["lon"],
        capacity_kw=place["capacity_kw"],
        column=place["column"],
        zone=place["zone"],
        tilt_deg=place["tilt"],
        azimuth_deg=place["azimuth"],
        kind=place["kind"],
        minutes=None if resolution is None else int(resolution.removesuffix("min")),
        calibration_days=calibration_days,
    )
    try:
        case = judged(asked)
    except SeriesFault as fault:
        raise _told(fault) from fault
    sha256 = hashlib.sha256(measured.read_bytes()).hexdigest() if measured.is_file() else None
    trial = Trial(name=measured.name, record=case.record, geometry=case.geometry, sha256=sha256)
    return trial, case


def _told(fault: SeriesFault) -> BadInput:
    """Each line `PLACE: PROBLEM` as a fault; the place is an option or a file."""
    lines = (line.partition(": ") for line in fault.faults)
    return BadInput(
        Fault(place=place if colon else "", problem=problem if colon else place)
        for place, colon, problem in lines
    )
