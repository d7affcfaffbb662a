"""`geems doctor`: whether this machine can run GEEMS."""

import os
import platform
import shutil
import socket
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli.foreign import foreign_packages, owners
from ems.cli.outcome import Exit, json_option, print_json

if TYPE_CHECKING:
    from ems.domain import Forecast, Site, Snapshot
    from models import Artefact

LIBRARIES = (
    *("geems", "numpy", "pandas", "pyomo", "cyipopt-wheels", "opendssdirect.py"),
    *("ai-edge-litert", "pymodbus", "fastapi", "sqlalchemy", "apscheduler"),
)
LEAST_DISK_MB = 500
"""A year of records of a small site is about 200 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    ok: bool
    detail: str


def _versions() -> Iterator[Finding]:
    found = [f"python {platform.python_version()}"]
    missing = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    detail = ", ".join(found) + (f"; MISSING: {', '.join(missing)}" if missing else "")
    yield Finding(check="versions", ok=not missing, detail=detail)


def interpreter() -> Iterator[Finding]:
    """Which Python it is, and whether it was built to be quick."""
    options = sysconfig.get_config_var("CONFIG_ARGS")
    # Distributions set their own by other means.
    slow = options and "--enable-optimizations" not in options and sys.base_prefix != "/usr"
    detail = f"{sys.base_prefix}, built " + (
        "WITHOUT --enable-optimizations, as pyenv does unless asked: all takes a sixth longer"
        if slow
        else "with its optimisations"
    )
    yield Finding(check="interpreter", ok=True, detail=detail)


def _names() -> Iterator[Finding]:
    strangers = foreign_packages()
    for name, claimed in owners().items():
        others = [dist for dist in claimed if dist != "geems"]
        if others:
            strangers.append(f"package {name} is also installed by {', '.join(others)}")
    yield Finding(
        check="package names", ok=not strangers, detail="; ".join(strangers) or "no clash"
    )


def _solver() -> Iterator[Finding]:
    from ems.dispatch import dispatch

    site, snapshot, forecast = _smallest_case()
    began = time.perf_counter()
    answer = dispatch(site, snapshot, forecast, price_usd_per_kwh=0.3)
    took = 1e3 * (time.perf_counter() - began)
    detail = f"dispatch of segment13 {answer.status.value}, {took:.0f} ms"
    yield Finding(check="Ipopt", ok=answer.status.value == "optimal", detail=detail)


def _smallest_case() -> "tuple[Site, Snapshot, Forecast]":
    """The site that `geems init` writes, at noon of a summer's day."""
    from ems.domain import DerReading, Forecast, LoadReading, PvForecast, Snapshot
    from ems.settings import TEMPLATE, load_settings

    site = load_settings(TEMPLATE, {}).to_site()
    now = datetime(2026, 7, 1, 19, tzinfo=UTC)
    readings = {
        der.name: DerReading(
            der=der.name,
            time=now,
            p_kw=0.0,
            q_kvar=0.0,
            soc_pct=60.0 if der in site.bess else None,
        )
        for der in site.ders
    }
    load_kw = site.load_max_kw / 2
    load = LoadReading(time=now, p_kw=load_kw)
    sun = {
        pv.name: PvForecast(
            expected_kw=pv.rated_kw, lower_kw=0.0, upper_kw=pv.rated_kw, method="given"
        )
        for pv in site.pvs
    }
    forecast = Forecast(start=now, pv=sun, load_kw=load_kw)
    return site, Snapshot(time=now, ders=readings, load=load), forecast


def _load_flow() -> Iterator[Finding]:
    from feeders.engine import Feeder
    from feeders.values import Injections

    began = time.perf_counter()
    with closing(Feeder.open("segment13")) as feeder:
        flow = feeder.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=10_000.0))
    took = 1e3 * (time.perf_counter() - began)
    detail = f"segment13 {'solved' if flow.converged else 'DOES NOT CONVERGE'}, {took:.0f} ms"
    yield Finding(check="OpenDSS", ok=flow.converged, detail=detail)


def _forecaster() -> Iterator[Finding]:
    from ems.cli.models import models_folder
    from models import ArtefactFault, champion, everything

    folder = models_folder(None)
    entries = everything(folder)
    if not entries:
        yield Finding(check="LiteRT", ok=False, detail="no trained artefact ships with geems")
    faults = [entry for entry in entries if isinstance(entry, ArtefactFault)]
    broken, told = [str(fault) for fault in faults], [fault.in_short for fault in faults]
    sound = [entry for entry in entries if not isinstance(entry, ArtefactFault)]
    for kind in dict.fromkeys(entry.kind for entry in sound):
        try:
            broken += [n for n in champion(kind, folder).notes if n not in (*broken, *told)]
        except ArtefactFault as fault:
            broken.append(str(fault))
    yield from (Finding(check="LiteRT", ok=False, detail=detail) for detail in broken)
    yield from map(_loaded, sound)


def _loaded(artefact: "Artefact") -> Finding:
    """Whether an artefact answers as it did when it was trained."""
    from forecasting.judging.contenders import parity_error
    from forecasting.runtime import ParityFault

    try:
        error = parity_error(artefact)
    except (ParityFault, ValueError, RuntimeError) as fault:
        return Finding(check="LiteRT", ok=False, detail=f"{artefact.id}: {fault}")
    answers = "checksums agree" if error is None else f"answers as trained within {error:.0e}"
    return Finding(check="LiteRT", ok=True, detail=f"{artefact.id} loaded, {answers}")


def _port(port: int) -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as fault:
            mend = f"port {port}: {fault.strerror}; set web.port, or give --port"
            yield Finding(check="port", ok=False, detail=mend)
        else:
            yield Finding(check="port", ok=True, detail=f"{port} is free")


def _clock() -> Iterator[Finding]:
    from zoneinfo import ZoneInfo

    now = time.time()
    # No file of this installation can be younger than the present.
    newest = Path(__file__).stat().st_mtime
    ZoneInfo("America/Los_Angeles")
    ok = now >= newest - 1
    detail = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    yield Finding(
        check="clock",
        ok=ok,
        detail=detail if ok else f"{detail} lies before geems was installed; set the clock",
    )


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 1e6
    writable = os.access(Path.cwd(), os.W_OK)
    detail = f"{free:,.0f} MB free in {Path.cwd()}" + ("" if writable else ", NOT WRITABLE")
    yield Finding(check="disk", ok=writable and free >= LEAST_DISK_MB, detail=detail)


def examine(port: int) -> list[Finding]:
    """Run every check; one that raises is a finding, not an end."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "versions": _versions,
        "interpreter": interpreter,
        "package names": _names,
        "Ipopt": _solver,
        "OpenDSS": _load_flow,
        "LiteRT": _forecaster,
        "port": lambda: _port(port),
        "clock": _clock,
        "disk": _disk,
    }
    findings = []
    for name, check in checks.items():
        try:
            findings += list(check())
        except Exception as fault:  # noqa: BLE001 - whatever is broken here is the finding
            detail = f"{type(fault).__name__}: {fault}"
            findings.append(Finding(check=name, ok=False, detail=detail))
    return findings


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to find free.",
)
@json_option
def doctor(port: int, *, as_json: bool) -> None:
    """Check versions, solver, OpenDSS, LiteRT, port, clock, disk and package names."""
    findings = examine(port)
    ok = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": ok, "checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            mark = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red")
            click.echo(f"{mark}  {finding.check:14}{finding.detail}")
    if not ok:
        raise click.exceptions.Exit(Exit.FAULT)
