"""The `[ieee2030_5]` table: a server of IEEE 2030.5, its devices, programs and curves."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from ems.settings.base import Table
from ems.settings.devices import Host
from ems.settings.hosts import is_loopback
from ems.settings.ieee2030_5.controls import CURVE_MODES, CurveTable, GroupTable, Lfdi, ProgramTable
from ems.settings.ieee2030_5.devices import EndDeviceTable
from ems.settings.tables import Zone

Place = tuple[str | int, ...]
Found = tuple[Place, str]
"""Where in the table, and what is wrong."""


def _header(name: str) -> str:
    if not re.fullmatch("[A-Za-z][A-Za-z0-9-]*", name):
        raise ValueError(f'"{name}" is no header; write letters, digits and -, as "X-Client-Cert"')
    return name


class Ieee20305Table(Table):
    """`[ieee2030_5]`: DERs that speak IEEE 2030.5 are served here; off by default."""

    host: Host = "127.0.0.1"
    """Address to serve on. Beyond loopback every client has to show a certificate."""
    port: int = Field(default=8443, ge=0, le=65535)
    """TCP port of HTTPS; 0 takes any free one."""
    cert_file: str | None = Field(default=None, min_length=1)
    """PEM file of the server's certificate and those that lead to the root."""
    key_file: str | None = Field(default=None, min_length=1)
    """PEM file of its private key."""
    ca_file: str | None = Field(default=None, min_length=1)
    """PEM file of the authorities that may sign clients' certificates."""
    cipher: Literal["strict", "compat"] = "strict"
    """`strict`: ECDHE-ECDSA-AES128-CCM8 only, as the standard has it; `compat`: GCM, too."""
    http_port: int | None = Field(default=None, ge=0, le=65535)
    """Plain HTTP that tells nothing but where HTTPS is (dcap); default: none."""
    trusted_proxy_header: Annotated[str, AfterValidator(_header)] | None = None
    """Header in which a proxy that ends TLS hands on the client's certificate; default: none."""
    registration: Literal["closed", "open"] = "closed"
    """`open`: a device with a certificate of ours may register itself (in band)."""
    registrations_per_minute: int = Field(default=6000, ge=1, le=10**6)
    """How many registrations in band are taken in a minute; more are answered with 503."""
    registrations_each_per_minute: int = Field(default=120, ge=1, le=10**6)
    """How many of them of one certificate, an aggregator's, too; more are answered with 429."""
    mode: Literal["enddevices_create_on_start", "register_access_only"] = (
        "enddevices_create_on_start"
    )
    """`register_access_only`: the devices of this file may connect, and register themselves."""
    lfdi_mode: Literal["certificate", "file"] = "certificate"
    """LFDI of a cert_file: by the certificate's fingerprint, or by the octets of the file."""
    poll_rate_s: int = Field(default=30, ge=1, le=86_400)
    """How often clients are asked to poll [s]."""
    post_rate_s: int = Field(default=60, ge=1, le=86_400)
    """How often clients are asked to post readings [s]."""
    pen: int = Field(default=0, ge=0, le=2**32 - 1)
    """Private enterprise number of whoever makes the mRIDs, their last 8 digits."""
    timezone: Zone = "UTC"
    """Zone of the Time resource."""
    max_body_bytes: int = Field(default=65_536, ge=1024, le=2**24)
    """Longest body that is read [B]."""
    keep_days: int = Field(default=90, ge=1, le=36_500)
    """For how long readings, responses and log events are kept [d]."""
    administrators: list[Lfdi] = Field(default=[])
    """LFDIs of certificates that may administer."""
    admin_token_file: str | None = Field(default=None, min_length=1)
    """File whose first line is a bearer token that may administer; default: none."""
    notification_hosts: list[Host] | None = None
    """Hosts to which notifications go; default: all but loopback (on loopback: also that) and
    link-local ones."""
    notification_check: bool = True
    """Listeners must show the certificate of the subscriber or its aggregator."""
    dns_sd: bool = False
    """Announce the server on the local network (_smartenergy._tcp); needs geems[dnssd]."""
    device: list[EndDeviceTable] = Field(default=[])
    """Devices."""
    program: list[ProgramTable] = Field(default=[])
    """Programs, each a group of devices by itself."""
    group: list[GroupTable] = Field(default=[])
    """Groups of several programs."""
    curve: list[CurveTable] = Field(default=[])
    """Curves."""

    @model_validator(mode="wrap")
    @classmethod
    def _together(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """What is wrong in single keys and between them, at once."""
        details: list[InitErrorDetails] = []
        table: Self | None = None
        bad: set[Place] = set()
        try:
            table = handler(data)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                bad.add(found["loc"])
                details.append(_again(found))
        if isinstance(data, Mapping):
            for place, problem in conflicts(_Read(data, bad)):
                kind = PydanticCustomError("value_error", "{error}", {"error": problem})
                details.append(InitErrorDetails(type=kind, loc=place, input=None))
        if details or table is None:
            raise ValidationError.from_exception_data("ieee2030_5", details)
        return table


def _again(found: Any) -> InitErrorDetails:
    """A finding of pydantic's as it was: its own kinds keep their context."""
    context = found.get("ctx", {})
    if found["type"] == "list_type" and len(found["loc"]) == 1:
        name = f"ieee2030_5.{found['loc'][0]}"
        problem = f"write [[{name}]], one table for each, not [{name}]"
        kind = PydanticCustomError("value_error", "{error}", {"error": problem})
        return InitErrorDetails(type=kind, loc=found["loc"], input=found["input"])
    if found["type"] == "value_error":
        kind = PydanticCustomError("value_error", "{error}", {"error": str(context["error"])})
        return InitErrorDetails(type=kind, loc=found["loc"], input=found["input"])
    return InitErrorDetails(type=found["type"], loc=found["loc"], input=found["input"], ctx=context)


class _Read:
    """The table as read, where single keys are sound."""

    def __init__(self, values: Mapping[str, Any], bad: set[Place]) -> None:
        self._values, self._bad = values, bad

    def get(self, *place: str | int) -> Any:
        """The value at a place; None where it is missing, or anything above or in it is wrong."""
        if any(place[: len(at)] == at or at[: len(place)] == place for at in self._bad):
            return None
        return self._at(place)

    def raw(self, *place: str | int) -> Mapping[str, Any]:
        """The table at a place, sound or not; empty where there is none."""
        found = self._at(place)
        return found if isinstance(found, Mapping) else {}

    def all(self, *place: str | int) -> Iterator[Place]:
        """Places of the tables of a list."""
        found = self._at(place)
        if isinstance(found, list):
            yield from ((*place, i) for i in range(len(found)))

    def _at(self, place: Place) -> Any:
        found: Any = self._values
        for key in place:
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError):
                return None
        return found


def conflicts(read: _Read) -> Iterator[Found]:
    """What several keys are together and must not be."""
    yield from _listening(read)
    yield from _twice(read)
    yield from _assignments(read)
    yield from _curves(read)
    yield from _listed_curves(read)
    yield from _events(read)


def _listening(read: _Read) -> Iterator[Found]:
    proxied = "trusted_proxy_header" in read.raw()
    written = {key.lower().replace("_", "") for key in read.raw()}
    for key in ("cert_file", "key_file", "ca_file"):
        # One that is written otherwise has been told of, with this one as its mend.
        if not proxied and key.replace("_", "") not in written:
            yield (key,), f"missing: {Ieee20305Table.model_fields[key].description}"
    if proxied and ("cert_file" in read.raw()) != ("key_file" in read.raw()):
        lacks, has = (
            ("key_file", "cert_file") if "cert_file" in read.raw() else ("cert_file", "key_file")
        )
        yield (lacks,), f"missing: {has} is of no use alone; give both or neither"
    host = read.get("host") or "127.0.0.1"
    if proxied and not is_loopback(host):
        yield (
            ("trusted_proxy_header",),
            f"whoever reaches {host} could claim to be any device; serve the proxy on loopback",
        )
    port = read.get("http_port")
    if port and port == read.get("port"):
        yield ("http_port",), f"{port} is the port of HTTPS; give another"
    for at in read.all("device"):
        if not {"lfdi", "cert_file"} & read.raw(*at).keys():
            yield (*at, "lfdi"), "missing: give the device's lfdi, or its cert_file"


def _twice(read: _Read) -> Iterator[Found]:
    for kind, key in (
        ("device", "name"), ("device", "lfdi"), ("program", "name"), ("program", "mrid"),
        ("group", "name"), ("group", "mrid"), ("curve", "name"), ("curve", "mrid"),
    ):  # fmt: skip
        seen: dict[str, Place] = {}
        for at in read.all(kind):
            value = read.get(*at, key)
            if not isinstance(value, str):
                continue
            same = value.lower()
            if same in seen:
                yield (*at, key), f'"{value}" is the {key} of {kind}[{seen[same][-1]}] too'
            seen.setdefault(same, at)
    programs = {read.get(*at, "name"): at for at in read.all("program")}
    for at in read.all("group"):
        name = read.get(*at, "name")
        if name is not None and name in programs:
            yield (*at, "name"), f'"{name}" is the name of program[{programs[name][-1]}] too'
    mrids: set[str] = set()
    for program in read.all("program"):
        for at in read.all(*program, "control"):
            mrid = read.get(*at, "mrid")
            if isinstance(mrid, str):
                if mrid.lower() in mrids:
                    yield (*at, "mrid"), f'"{mrid}" is the mrid of another control too'
                mrids.add(mrid.lower())


def _assignments(read: _Read) -> Iterator[Found]:
    devices = [read.get(*at, "name") for at in read.all("device")]
    programs = [read.get(*at, "name") for at in read.all("program")]
    groups = [read.get(*at, "name") for at in read.all("group")]
    for at in read.all("group"):
        for i, name in enumerate(read.get(*at, "programs") or ()):
            if name not in programs and None not in programs:
                yield (*at, "programs", i), _no("program", name, programs)
    for at in read.all("device"):
        manager = read.get(*at, "aggregator")
        if manager is not None and manager == read.get(*at, "name"):
            yield (*at, "aggregator"), "a device does not manage itself; leave it out"
        elif manager is not None and manager not in devices and None not in devices:
            yield (*at, "aggregator"), f'no [[ieee2030_5.device]] is called "{manager}"'
        for i, group in enumerate(read.get(*at, "groups") or ()):
            known = list(dict.fromkeys(programs + groups))
            if group not in known and None not in known:
                yield (*at, "groups", i), _no("program", group, known)


def _no(kind: str, name: str, known: Sequence[str]) -> str:
    return f'no [[ieee2030_5.{kind}]] is called "{name}"; there are: {", ".join(known) or "none"}'


def _curves(read: _Read) -> Iterator[Found]:
    types = {
        read.get(*at, "name"): read.get(*at, "type")
        for at in read.all("curve")
        if isinstance(read.get(*at, "name"), str)
    }
    unread = any(read.get(*at, "name") is None for at in read.all("curve"))
    bases = [(*at, "default") for at in read.all("program")]
    bases += [(*e, "base") for at in read.all("program") for e in read.all(*at, "control")]
    for base in bases:
        for mode in CURVE_MODES:
            name = read.get(*base, mode)
            if not isinstance(name, str):
                continue
            if name not in types:
                if not unread:
                    yield (*base, mode), _no("curve", name, list(types))
            elif types[name] not in (mode, None):
                yield (*base, mode), f'curve "{name}" is of type {types[name]}, not {mode}'
    for at in read.all("curve"):
        sides, points = read.get(*at, "excitation"), read.get(*at, "points")
        if sides is None:
            continue
        if read.get(*at, "type") not in ("watt_pf", None):
            yield (*at, "excitation"), "belongs to curves of type watt_pf"
        elif points is not None and len(sides) != len(points):
            yield (*at, "excitation"), f"has {len(sides)} sides for {len(points)} points"


def _listed_curves(read: _Read) -> Iterator[Found]:
    names = [read.get(*at, "name") for at in read.all("curve")]
    for program in read.all("program"):
        for i, name in enumerate(read.get(*program, "curves") or ()):
            if name not in names and None not in names:
                yield (*program, "curves", i), _no("curve", name, names)


def _events(read: _Read) -> Iterator[Found]:
    for program in read.all("program"):
        for at in read.all(*program, "control"):
            event = read.raw(*at)
            if ("start" in event) == ("start_in_s" in event):
                yield (*at, "start"), "give one of start and start_in_s"
            if event.get("base") == {}:
                yield (*at, "base"), "asks for nothing; name what the devices are to do"
