"""`geems icd` and `geems rtu`: devices on IEC 61850, and the RTU that speaks for them."""

import logging
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ems.cli.ending import until_told_to_stop
from ems.cli.outcome import json_option, print_json, site_argument
from ems.errors import BadInput, Fault

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.protocols.scl import SclFile
    from ems.settings import Settings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@site_argument
@click.option("--der", metavar="NAME", help="Only this device; `load` for the loads.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder of the files; default: the working directory.",
)
@json_option
def icd(site: str, der: str | None, out: Path, *, as_json: bool) -> None:
    """Write the ICD files of a site: one per DER, and one for its loads.

    Each describes the device after IEC 61850-7-420, its GOOSE data sets and addresses, and the
    RTU that sends it setpoints. An existing file is never overwritten.
    """
    from ems.cli.site_check import checked_settings
    from ems.protocols.scl import write_icd

    files = _models(checked_settings(Path(site)))
    if der is not None and der not in files:
        raise BadInput.at(f"--der {der}", f"no such device; there are {', '.join(files)}")
    written = []
    for name, file in files.items():
        if der in (None, name):
            path = out / f"{file.ieds[0].name}.icd"
            _store(path, write_icd(file))
            written.append({"device": name, "file": str(path)})
    if as_json:
        print_json({"files": written})
    else:
        for each in written:
            click.echo(f"{each['device']}: {each['file']}")


def _models(settings: "Settings") -> "dict[str, SclFile]":
    from ems.protocols.scl import SingleLoad, site_models
    from feeders import Feeder

    installed = settings.to_site()
    feeder = Feeder.open(settings.feeder_source(), installed.placements)
    try:
        loads = [SingleLoad(name=ld.name, rated_kw=ld.kw) for ld in feeder.loads]
    finally:
        feeder.close()
    return site_models(installed.ders, loads)


def _store(path: Path, octets: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(octets)
    except FileExistsError:
        raise BadInput.at(
            str(path), "is there already and is left as it is; remove it, or give another --out"
        ) from None
    except OSError as fault:
        raise BadInput.at(str(path), f"cannot be written: {fault.strerror}") from None


@click.command()
@click.argument("icds", metavar="ICD...", nargs=-1, required=True, type=_FILE)
@click.option("--interface", required=True, help="Network interface with the GOOSE of the devices.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address the Modbus servers listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=502,
    show_default=True,
    help="Modbus port of the first device, the others follow; 0 takes any that are free.",
)
@click.option("--schema", type=_FILE, help="XML schema of SCL to validate the files with.")
@json_option
def rtu(
    icds: tuple[Path, ...],
    interface: str,
    host: str,
    port: int,
    schema: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show IEC 61850 devices as SunSpec Modbus: GOOSE in, registers out, setpoints back.

    Runs until it is interrupted. A device that falls silent reads as not available and takes no
    write. Needs the right to raw Ethernet (CAP_NET_RAW).
    """
    from ems.rtu import Rtu

    files = _read(icds, schema, interface)
    # Not before: while it reads, nothing would look at the event, and nothing is open yet.
    stop = until_told_to_stop()
    logging.getLogger("ems").setLevel(logging.INFO)
    with Rtu(files, interface, host=host, port=port) as serving:
        at = {name: f"{a.host}:{a.port}" for name, a in serving.addresses.items()}
        if as_json:
            print_json({"interface": interface, "devices": at})
        for name, address in at.items():
            click.echo(f"{name}: {address}", err=True)
        if not host.startswith("127."):
            click.echo("Modbus asks nobody who he is: keep this network closed", err=True)
        click.echo("serving; interrupt to end", err=True)
        serving.run(stop)


def _read(icds: tuple[Path, ...], schema: Path | None, interface: str) -> "list[SclFile]":
    """All files; the faults of all of them, and of the interface's name, at once."""
    from ems.protocols.scl import read_icd

    files: list[SclFile] = []
    faults: list[Fault] = []
    try:
        socket.if_nametoindex(interface)
    except OSError:
        there = ", ".join(name for _, name in socket.if_nameindex())
        problem = f"no such network interface; there are {there}"
        faults.append(Fault(place=f"--interface {interface}", problem=problem))
    for path in icds:
        try:
            files.append(read_icd(_octets(path), str(path), schema))
        except BadInput as fault:
            faults += fault.faults
    if faults:
        raise BadInput(faults)
    return files


def _octets(path: Path) -> bytes:
    """What a file holds, if it is one that ends, and small enough to be looked at."""
    from ems.protocols.scl.read import LARGEST_FILE

    place = str(path)
    try:
        # Opening a pipe would wait for somebody to write into it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise BadInput.at(place, "is no regular file; give the ICD file itself")
            if about.st_size > LARGEST_FILE:
                problem = f"{about.st_size} octets, more than {LARGEST_FILE}; no SCL file"
                raise BadInput.at(place, problem)
            return file.read(LARGEST_FILE + 1)  # it may grow while it is read
    except OSError as fault:
        raise BadInput.at(place, f"cannot be read: {fault.strerror}") from None
