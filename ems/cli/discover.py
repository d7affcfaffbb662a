"""`geems discover`: SunSpec devices on the network, as sections of a site file."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ems.cli.outcome import json_option, print_json

if TYPE_CHECKING:  # heavy imports live inside commands
    from ems.domain import DeviceAddress
    from ems.gateways.discover import Discovery
    from ems.gateways.found import Found

UNITS = range(1, 248)
"""Units that a request may be meant for; MODBUS over Serial Line V1.02, 2.2."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Units(click.ParamType[range]):
    """`A-B`, or one unit."""

    name = "A-B"

    def convert(
        self, value: str | range, param: click.Parameter | None, ctx: click.Context | None
    ) -> range:
        """Both ends are included."""
        if isinstance(value, range):
            return value
        parts = re.fullmatch(r"(\d+)(?:-(\d+))?", value)
        if parts is not None:
            first = int(parts[1])
            last = int(parts[2] or first)
            # 0 and 255 mean a device on TCP itself; MODBUS Messaging on TCP/IP V1.0b, 4.4.2.1.
            if 0 <= first <= last <= 255:
                return range(first, last + 1)
        return self.fail(f"{value} is no unit and no range; write 1, or 1-247", param, ctx)


@click.command()
@click.argument("host", required=False)
@click.option("--port", type=click.IntRange(1, 65535), help="TCP port; default 502, with TLS 802.")
@click.option("--unit", "units", type=_Units(), default="1-247", show_default=True, help="Units.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 60, min_open=True),
    default=0.3,
    show_default=True,
    help="How long each unit is waited for [s].",
)
@click.option(
    "--base", "bases", type=click.IntRange(0, 65535), multiple=True, help="Look here too."
)
@click.option("--scan", is_flag=True, help="Search all registers of units without a usual base.")
@click.option(
    "--tls", nargs=3, type=_FILE, metavar="CA CERT KEY", help="Mutual TLS with these PEM files."
)
@click.option("--server-name", metavar="NAME", help="Name in the device's certificate.")
@click.option("--serial", metavar="PATH", help="A serial line (RTU) in the place of a host.")
@click.option("--baud", type=click.IntRange(300), default=9600, show_default=True)
@click.option(
    "--parity", type=click.Choice(["none", "even", "odd"]), default="even", show_default=True
)
@json_option
def discover(host: str | None, *, as_json: bool, scan: bool, **options: Any) -> None:
    """Look for SunSpec devices at HOST and print a section for the site file.

    The section goes to standard output, what was found to standard error:
    `geems discover 10.0.0.21 >> site.toml`. Nothing is written to a device.
    """
    address = _address(host, options)
    _check_files(address)
    from ems.errors import Fault
    from ems.gateways.discover import look_around
    from ems.gateways.section import sections

    with _progress(len(options["units"])) as progress:
        discovery = look_around(
            address, options["units"], bases=options["bases"], everywhere=scan, progress=progress
        )
    if as_json:
        print_json(_document(discovery))
    else:
        for device in discovery.found:
            click.echo(_told(device), err=True)
        click.echo(sections(discovery.found), nl=False)
    for remark in discovery.remarks:
        click.echo(remark, err=True)
    if not discovery.found:
        units = options["units"]
        asked = f"units {units[0]} to {units[-1]}" if len(units) > 1 else f"unit {units[0]}"
        problem = f"no SunSpec device among {asked}"
        if not discovery.remarks:
            problem += f"; nobody answered within {options['timeout_s']:g} s"
        if not as_json:
            click.echo(str(Fault(place=str(address), problem=problem)), err=True)
        raise click.exceptions.Exit(1)


def _address(host: str | None, options: dict[str, Any]) -> "DeviceAddress":
    """Where to look.

    Raises:
        UsageError: both a host and a serial line, or neither; TLS on a serial line.
    """
    serial, tls = options["serial"], options["tls"]
    if (host is None) == (serial is None):
        raise click.UsageError("give a HOST, or --serial PATH")
    if serial is not None and (tls is not None or options["port"] is not None):
        raise click.UsageError("a serial line has neither --port nor --tls")
    if options["server_name"] is not None and tls is None:
        raise click.UsageError("--server-name belongs to --tls")
    _check_host(host)
    from ems.domain import DeviceAddress
    from ems.domain.address import MODBUS_PORT, MODBUS_TLS_PORT, SerialLine, TlsFiles

    files = None
    if tls is not None:
        files = TlsFiles(
            ca_file=tls[0], cert_file=tls[1], key_file=tls[2], server_name=options["server_name"]
        )
    return DeviceAddress(
        host=host or "",
        port=options["port"] or (MODBUS_PORT if tls is None else MODBUS_TLS_PORT),
        timeout_s=options["timeout_s"],
        tls=files,
        serial=(
            None
            if serial is None
            else SerialLine(path=serial, baud=options["baud"], parity=options["parity"])
        ),
    )


def _check_host(text: str | None) -> None:
    """Refuse what no resolver can be asked for, before anything waits for it.

    Raises:
        UsageError: it is neither a name nor an address; a port behind it is named.
    """
    from ems.settings.hosts import host

    try:
        host(text or "localhost")
    except ValueError as fault:
        name, colon, port = (text or "").rpartition(":")
        if colon and port.isdecimal():
            raise click.UsageError(f"{text} names a port: write {name} --port {port}") from fault
        raise click.UsageError(str(fault)) from fault


def _check_files(address: "DeviceAddress") -> None:
    """Whether TLS can be spoken with the files that were named.

    Raises:
        BadInput: one cannot be read, is something else, or wants a password.
    """
    if address.tls is None:
        return
    from ems.cli.tls_files import file_faults
    from ems.errors import BadInput, Fault

    named = {"ca_file": "CA", "cert_file": "CERT", "key_file": "KEY"}
    faults = [Fault(place=f"--tls {named[k]}", problem=p) for k, p in file_faults(address.tls)]
    if faults:
        raise BadInput(faults)


@contextmanager
def _progress(units: int) -> "Iterator[Callable[[int], None]]":
    """A bar on standard error, while several units are asked."""
    if units == 1:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("unit {task.fields[unit]}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=units, unit="")
        done = -1

        def advance(unit: int) -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, unit=str(unit))

        yield advance


def _told(device: "Found") -> str:
    """One device in a few lines."""
    numbers = {
        "kW": device.ratings.rated_kw,
        "kvar": device.ratings.q_max_kvar,
        "kVA": device.ratings.s_max_kva,
        "kWh": device.ratings.capacity_kwh,
    }
    ratings = ", ".join(f"{v:g} {unit}" for unit, v in numbers.items() if v is not None)
    who = device.nameplate.who or "nameless"
    number = device.nameplate.serial or "-"
    lines = [
        f"unit {device.address.unit} at {device.base}: {device.kind}, {who}, number {number}",
        f"  {ratings or 'no ratings'}; models {', '.join(map(str, device.models))}",
    ]
    if device.only_read:
        lines.append(f"  {device.only_read}")
    for dc in device.dc_inputs:
        power = "no power told" if dc.p_kw is None else f"{dc.p_kw:g} kW"
        lines.append(f"  DC input {dc.name}: {power}")
    return "\n".join(lines)


def _document(discovery: "Discovery") -> dict[str, Any]:
    from ems.gateways.section import sections

    return {
        "ok": bool(discovery.found),
        "found": [
            {
                "unit": device.address.unit,
                "base": device.base,
                "kind": device.kind,
                "models": list(device.models),
                "manufacturer": device.nameplate.manufacturer,
                "model": device.nameplate.model,
                "version": device.nameplate.version,
                "serial": device.nameplate.serial,
                "rated_kw": device.ratings.rated_kw,
                "q_max_kvar": device.ratings.q_max_kvar,
                "s_max_kva": device.ratings.s_max_kva,
                "capacity_kwh": device.ratings.capacity_kwh,
                "phases": device.phases,
                "only_read": device.only_read,
                "dc_inputs": [
                    {"name": dc.name, "p_kw": dc.p_kw, "v": dc.v} for dc in device.dc_inputs
                ],
                "also_units": list(device.also_units),
            }
            for device in discovery.found
        ],
        "remarks": list(discovery.remarks),
        "toml": sections(discovery.found),
    }
