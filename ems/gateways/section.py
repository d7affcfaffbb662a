"""A section of the site file for a device that was found.

What the device cannot know stands there as a comment, to be filled in.
"""

import math
import re
from collections.abc import Iterator, Sequence

from ems.domain import DeviceAddress
from ems.gateways.found import Found, Ratings

NAME = 31
"""Longest name in a site file."""


def sections(found: Sequence[Found]) -> str:
    """The devices as TOML, with names that differ."""
    taken: set[str] = set()
    return "\n".join(_section(device, taken) for device in found)


def _section(device: Found, taken: set[str]) -> str:
    return "\n".join(_lines(device, taken)) + "\n"


def _lines(device: Found, taken: set[str]) -> Iterator[str]:
    who = device.nameplate.who
    number = f", serial number {device.nameplate.serial}" if device.nameplate.serial else ""
    yield f"# {who or 'a device that does not say what it is'}{number}; SunSpec models"
    yield f"# {', '.join(map(str, device.models))} from {device.base} on"
    if device.also_units:
        yield f"# it answers as units {', '.join(map(str, device.also_units))} too"
    if device.kind == "other":
        yield f"# no DER and no meter: {device.address}"
        return
    if device.kind == "load":
        yield "[load]"
        yield "# max_kw = # fill in: largest load of the segment [kW]"
        yield "# min_kw = # fill in: lowest load of the segment [kW]"
        yield f"device = {table(device.address)}"
        return
    if device.only_read:
        yield f"# {device.only_read}; a DER of a site file is commanded,"
        yield "# so its section stays a comment"
    mark = "# " if device.only_read else ""
    for line in _der(device, taken):
        yield mark + line


def _der(device: Found, taken: set[str]) -> Iterator[str]:
    yield f"[[{device.kind}]]"
    yield f'name = "{_name(device, taken)}"'
    yield '# bus = "" # fill in: bus of the feeder it stands at'
    yield from _ratings(device)
    yield f"device = {table(device.address)}"


def _ratings(device: Found) -> Iterator[str]:
    ratings = device.ratings
    if ratings.rated_kw is None:
        yield "# rated_kw = # fill in: the device does not say"
    else:
        yield f"rated_kw = {_number(ratings.rated_kw)}"
    if device.phases != 3:
        yield f"phases = {device.phases}"
    if ratings.q_max_kvar:
        yield f"q_max_kvar = {_number(ratings.q_max_kvar)}"
    if device.kind != "dg":
        yield _apparent(ratings)
    if device.kind == "bes":
        if ratings.capacity_kwh is None:
            yield "# capacity_kwh = # fill in: the device does not say"
        else:
            yield f"capacity_kwh = {_number(ratings.capacity_kwh)}"
    if device.kind == "dg":
        yield "# cost_usd_per_kwh = # fill in: fuel and wear"
    if device.kind == "pv":
        if not (device.newest or device.only_read) and ratings.rated_kw is not None:
            yield "# Model 123 lifts a cap by itself, and knows no other to fall back to:"
            yield f"reversion_kw = {_number(ratings.rated_kw)}"
        yield "# tilt_deg, azimuth_deg: learnt from history where they are not given"


def _apparent(ratings: Ratings) -> str:
    """Apparent power: as the device says it, or what to fill in instead."""
    if ratings.s_max_kva is None:
        return "# s_max_kva = # fill in where P and Q together are limited: the device does not say"
    key = f"s_max_kva = {_number(ratings.s_max_kva)}"
    p_kw, q_kvar = ratings.rated_kw or 0.0, ratings.q_max_kvar or 0.0
    if ratings.s_max_kva < p_kw:
        return f"# {key} # fill in: the device says this, which is less than its rated_kw"
    # A thousandth: less is what rounding to the registers of the ratings leaves.
    if ratings.rated_kw is not None and ratings.s_max_kva >= 0.999 * math.hypot(p_kw, q_kvar):
        ratings_given = "rated_kw and q_max_kvar do" if q_kvar else "rated_kw does"
        return f"# {key} # limits nothing that {ratings_given} not"
    return key


def table(address: DeviceAddress) -> str:
    """The `device` table of an address, inline."""
    keys: dict[str, str | int] = {}
    if address.serial is not None:
        line = address.serial
        keys |= {"transport": "rtu", "path": line.path, "baud": line.baud, "parity": line.parity}
    else:
        if address.tls is not None:
            files = address.tls
            keys |= {"transport": "tls", "ca_file": str(files.ca_file.absolute())}
            keys["cert_file"] = str(files.cert_file.absolute())
            keys["key_file"] = str(files.key_file.absolute())
            keys |= {"server_name": files.server_name} if files.server_name else {}
        keys |= {"host": address.host, "port": address.port}
    keys["unit"] = address.unit
    if address.base is not None:
        keys["base"] = address.base
    shown = (f"{k} = {v if isinstance(v, int) else _text(v)}" for k, v in keys.items())
    return f"{{ {', '.join(shown)} }}"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _name(device: Found, taken: set[str]) -> str:
    """A name that the site file takes: kind and serial number, else kind and a count."""
    tail = re.sub(r"[^A-Za-z0-9_-]+", "-", device.nameplate.serial).strip("-")
    stem = f"{device.kind}-{tail}" if tail else device.kind
    name, n = stem[:NAME], 1
    while name.lower() in taken:
        n += 1
        name = f"{stem[: NAME - len(str(n)) - 1]}-{n}"
    taken.add(name.lower())
    return name


def _number(value: float) -> str:
    return f"{value:.10g}"
