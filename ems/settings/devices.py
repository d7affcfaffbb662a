"""The `device` table of a site file: where a device answers, and how one talks to it."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from ems import domain
from ems.domain.address import (
    ANSWER_MARGIN_S,
    CONTROL_REGISTERS,
    CONTROLLER_HEARTBEAT,
    MODBUS_PORT,
    MODBUS_TLS_PORT,
    PlainRegister,
    RegisterType,
    SerialLine,
    TlsFiles,
)
from ems.settings.hosts import host

Host = Annotated[str, AfterValidator(host)]
Location = tuple[str, ...]
LAST_REGISTER = 0xFFFF
LONGEST_CALL_S = 60
"""Most that a phase of a Modbus call may take [s]."""
LONGEST_WAIT_S = 300
"""Most that a client may take to ask what there is for it: a third of an interval [s]."""
OF_2030_5 = ("enddevice", "disconnect_at_zero")
OF_BOTH = ("protocol", "timeout_s", *OF_2030_5)
BARE = ("enable", CONTROLLER_HEARTBEAT)
"""Quantities that are written as the count they are."""
CLOSE = 1 + 1e-9
"""Binary fractions of a decimal scale times a count, far below any count [1]."""
ZERO = ("cap_kw", "p_set_kw", "q_set_kvar")
"""Quantities that are ordered to be 0, too."""
OF_RATING = (
    *("p_kw", "q_kvar", "available_kw", "cap_kw", "p_set_kw", "q_set_kvar"),
    "reversion_kw",
)
"""Quantities that a percentage of a rating can stand for; the rating itself is none of them."""


class Table(BaseModel):
    """A table of the site file: unknown keys, text for numbers, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class RegisterTable(Table):
    """One quantity of a device without SunSpec: the value is scale · raw + offset."""

    address: int = Field(ge=0, le=LAST_REGISTER)
    """First register, counted from 0: 40001 in many manuals is 0."""
    type: RegisterType = "int16"
    """What the registers hold."""
    scale: float = 1.0
    """Value of one count, in the unit of the quantity's name."""
    offset: float = 0.0
    """Value where the register holds 0, likewise."""
    word_order: Literal["high_first", "low_first"] = "high_first"
    """Which half of a quantity of 32 bits the first register holds."""
    function: Literal["holding", "input"] = "holding"
    """Kind of register: function 3 or 4 reads it."""
    unit: Literal["named", "pct_of_rating"] = "named"
    """The unit of the quantity's name, or a percentage of rated_kw, of reactive power
    of q_max_kvar."""
    nan: int | None = None
    """Raw value that says that there is none."""

    def misread(self, name: str) -> Iterator[tuple[str, str]]:
        """Keys that make something of a quantity that it cannot be, each with what to do."""
        if self.unit != "named" and name not in OF_RATING:
            yield "unit", f"{name} is no share of a rating; delete it"
        usual = {"scale": 1.0, "offset": 0.0, "nan": None}
        for key, value in usual.items():
            told = (key, getattr(self, key)) == ("scale", 0)  # of every quantity, elsewhere
            if name in BARE and getattr(self, key) != value and not told:
                yield key, f"{name} takes no {key}, its count is written as it is; delete it"
        if name in ZERO and self.scale != 0 and not self._holds_zero():
            problem = f"no count of {self.type} is 0 with scale {self.scale:g} and this offset"
            yield "offset", f"0 cannot be expressed: {problem}"

    def _holds_zero(self) -> bool:
        """Whether some count stands for 0."""
        if self.type == "float32":
            return True
        count = -Decimal(repr(self.offset)) / Decimal(repr(self.scale))
        low, high = self._counts()
        return count == int(count) != self.nan and low <= count <= high

    def ends(self) -> tuple[float, float]:
        """The least and the greatest value that it holds, in its own unit."""
        if self.type == "float32":
            return -math.inf, math.inf
        low, high = (count * self.scale + self.offset for count in self._counts())
        return min(low, high), max(low, high)

    def _counts(self) -> tuple[int, int]:
        bits = int(self.type[-2:])
        if self.type.startswith("uint"):
            return 0, (1 << bits) - 1
        return -(1 << bits - 1), (1 << bits - 1) - 1

    def to_register(self) -> PlainRegister:
        """The same in the vocabulary of the stages."""
        return PlainRegister(
            address=self.address,
            type=self.type,
            scale=self.scale,
            offset=self.offset,
            low_word_first=self.word_order == "low_first",
            input=self.function == "input",
            of_rating=self.unit == "pct_of_rating",
            nan=self.nan,
        )


class RegistersTable(Table):
    """Where the quantities of a device without SunSpec lie; DER power is an injection."""

    p_kw: RegisterTable
    """Active power [kW]."""
    q_kvar: RegisterTable | None = None
    """Reactive power [kvar]."""
    v_pu: RegisterTable | None = None
    """Voltage [pu]."""
    hz: RegisterTable | None = None
    """Frequency [Hz]."""
    soc_pct: RegisterTable | None = None
    """State of charge [%]."""
    available_kw: RegisterTable | None = None
    """PV: power it could make, were it not capped [kW]."""
    rated_kw: RegisterTable | None = None
    """Rating; compared with the site's before anything is written [kW]."""
    connected: RegisterTable | None = None
    """0: disconnected from the grid."""
    local: RegisterTable | None = None
    """Not 0: somebody works on it, and nothing is written."""
    heartbeat: RegisterTable | None = None
    """A counter that the living device moves."""
    cap_kw: RegisterTable | None = None
    """PV: cap on active power; `rated_kw` lifts it [kW]."""
    p_set_kw: RegisterTable | None = None
    """Active power setpoint [kW]."""
    q_set_kvar: RegisterTable | None = None
    """Reactive power setpoint [kvar]."""
    enable: RegisterTable | None = None
    """1 is written last, with every command: the device follows."""
    reversion_s: RegisterTable | None = None
    """Time without a write after which the device falls back [s]."""
    reversion_kw: RegisterTable | None = None
    """What it falls back to [kW]."""
    controller_heartbeat: RegisterTable | None = None
    """A counter that GEEMS moves with every command."""

    @property
    def named(self) -> dict[str, RegisterTable]:
        """Those that the file names."""
        found = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: register for name, register in found if register is not None}

    @model_validator(mode="after")
    def _together(self) -> Self:
        _raise(self, "registers", self._faults())
        return self

    def _faults(self) -> Iterator[tuple[Location, str]]:
        taken: dict[int, str] = {}
        for name, register in self.named.items():
            size = register.to_register().size
            if register.scale == 0:
                yield (name, "scale"), "must not be 0"
            yield from (((name, key), problem) for key, problem in register.misread(name))
            if register.address + size - 1 > LAST_REGISTER:
                yield (name, "address"), f"{register.type} does not fit behind {LAST_REGISTER}"
            if name not in CONTROL_REGISTERS:
                continue
            if register.function == "input":
                yield (name, "function"), "input registers cannot be written; write a holding one"
            for address in range(register.address, register.address + size):
                if address in taken:
                    yield (
                        (name, "address"),
                        f"register {address} is written as {taken[address]} too",
                    )
                    break
                taken[address] = name
        if self.cap_kw is not None and self.p_set_kw is not None:
            yield ("p_set_kw",), "a PV plant has cap_kw, any other device p_set_kw, none has both"
        if self.reversion_kw is not None and self.reversion_s is None:
            yield ("reversion_kw",), "means nothing without reversion_s"


class Device(Table):
    """Where a device answers Modbus, or which end device of our server it is."""

    protocol: Literal["modbus", "ieee2030_5"] = "modbus"
    """Modbus registers that GEEMS reads and writes, or an IEEE 2030.5 client of the server of
    `[ieee2030_5]`."""
    enddevice: str | None = Field(default=None, min_length=1)
    """Name of the end device there; of `ieee2030_5`."""
    disconnect_at_zero: bool = False
    """Whether 0 kW and 0 kvar are ordered as a disconnect (opModConnect); of `ieee2030_5`."""
    transport: Literal["tcp", "tls", "rtu"] = "tcp"
    """Modbus TCP, Modbus TCP with TLS on both sides, or RTU on a serial line."""
    host: Host | None = None
    """Host name or address; of `tcp` and `tls`."""
    port: int = Field(default=MODBUS_PORT, ge=1, le=65535)
    """TCP port; with `tls` the default is 802."""
    unit: int = Field(default=1, ge=0, le=255)
    """Modbus unit identifier."""
    timeout_s: float = Field(default=3.0, gt=0, le=LONGEST_WAIT_S)
    """Time budget of each phase of a call: reading; writing; reading back. Of `ieee2030_5`: how
    long the first answer to a control may take; the default is the poll rate and 15 s [s]."""
    base: int | None = Field(default=None, ge=0, le=LAST_REGISTER)
    """Where the chain of SunSpec models begins; default: looked for at 40000, 0 and 50000."""
    ca_file: str | None = Field(default=None, min_length=1)
    """PEM file of the authorities that sign devices' certificates; of `tls`."""
    cert_file: str | None = Field(default=None, min_length=1)
    """PEM file of our certificate; of `tls`."""
    key_file: str | None = Field(default=None, min_length=1)
    """PEM file of its private key; of `tls`."""
    server_name: Host | None = None
    """Name in the device's certificate; of `tls`; default: the host."""
    path: str | None = Field(default=None, min_length=1)
    """Serial line, as "/dev/ttyUSB0"; of `rtu`."""
    baud: int = Field(default=9600, ge=300, le=4_000_000)
    """Bits per second; of `rtu`."""
    parity: Literal["none", "even", "odd"] = "even"
    """Parity; without any, two stop bits; of `rtu`."""
    registers: RegistersTable | None = None
    """Where its quantities lie, when it does not speak SunSpec."""

    def to_end_device(self, poll_s: float) -> domain.EndDeviceAddress:
        """The end device it is, in the vocabulary of the stages.

        Args:
            poll_s: how often clients ask our server [s].
        """
        told = "timeout_s" in self.model_fields_set
        return domain.EndDeviceAddress(
            enddevice=self.enddevice or "",
            answer_s=self.timeout_s if told else poll_s + ANSWER_MARGIN_S,
            disconnect_at_zero=self.disconnect_at_zero,
        )

    def to_address(self, folder: Path = Path()) -> domain.DeviceAddress:
        """The same in the vocabulary of the stages.

        Args:
            folder: what paths of files are relative to.
        """
        tls, serial = self.transport == "tls", self.transport == "rtu"
        usual = MODBUS_TLS_PORT if tls else MODBUS_PORT
        return domain.DeviceAddress(
            host=self.host or "",
            port=self.port if "port" in self.model_fields_set else usual,
            unit=self.unit,
            timeout_s=self.timeout_s,
            base=self.base,
            tls=self._tls(folder) if tls else None,
            serial=(
                SerialLine(path=self.path or "", baud=self.baud, parity=self.parity)
                if serial
                else None
            ),
            registers=(
                None
                if self.registers is None
                else {name: r.to_register() for name, r in self.registers.named.items()}
            ),
        )

    def _tls(self, folder: Path) -> TlsFiles:
        return TlsFiles(
            ca_file=folder / (self.ca_file or ""),
            cert_file=folder / (self.cert_file or ""),
            key_file=folder / (self.key_file or ""),
            server_name=self.server_name,
        )

    @property
    def holds_on(self) -> bool:
        """Whether it keeps its last command when GEEMS dies, for want of a timer."""
        return self.registers is not None and (
            self.registers.reversion_s is None
            and any(name in CONTROL_REGISTERS for name in self.registers.named)
        )

    @model_validator(mode="after")
    def _together(self) -> Self:
        _raise(self, "device", self._faults())
        return self

    def _faults(self) -> Iterator[tuple[Location, str]]:
        if self.protocol == "ieee2030_5":
            yield from self._end_device_faults()
        else:
            yield from self._modbus_faults()

    def _end_device_faults(self) -> Iterator[tuple[Location, str]]:
        if self.enddevice is None:
            yield ("enddevice",), 'missing: name an end device, for protocol = "ieee2030_5"'
        for key in sorted(self.model_fields_set.difference(OF_BOTH)):
            yield (key,), 'belongs to protocol = "modbus", not "ieee2030_5"'

    def _modbus_faults(self) -> Iterator[tuple[Location, str]]:
        for key in OF_2030_5:
            if key in self.model_fields_set:
                yield (key,), 'belongs to protocol = "ieee2030_5", not "modbus"'
        if self.timeout_s > LONGEST_CALL_S:
            yield ("timeout_s",), f"must be at most {LONGEST_CALL_S}, got {self.timeout_s:g}"
        needs: Mapping[str, tuple[str, ...]] = {
            "tcp": ("host",),
            "tls": ("host", "ca_file", "cert_file", "key_file"),
            "rtu": ("path",),
        }
        for key in needs[self.transport]:
            if getattr(self, key) is None:
                meaning = (type(self).model_fields[key].description or "").partition(";")[0]
                yield (key,), f'missing: {meaning.rstrip(".")}, for transport = "{self.transport}"'
        belongs = {
            "rtu": ("path", "baud", "parity"),
            "tls": ("ca_file", "cert_file", "key_file", "server_name"),
        }
        for transport, keys in belongs.items():
            for key in keys:
                if key in self.model_fields_set and self.transport != transport:
                    yield (key,), f'belongs to transport = "{transport}", not "{self.transport}"'
        if self.transport == "rtu":
            for key in ("host", "port"):
                if key in self.model_fields_set:
                    yield (key,), "a serial line has none; it has path"
        if self.registers is not None and self.base is not None:
            yield ("base",), "belongs to SunSpec devices, and this one has registers"


def out_of_reach(
    kind: str, registers: Mapping[str, Any], rated_kw: float, q_max_kvar: float
) -> Iterator[tuple[Location, str]]:
    """Registers of a map that cannot hold what its device is to measure or to be told.

    Args:
        kind: of the device, `pv`, `bes` or `dg`.
        registers: tables by name, each sound by itself.
        rated_kw: of the device [kW].
        q_max_kvar: likewise [kvar].
    """
    p_least = -rated_kw if kind == "bes" else 0.0
    needed = dict.fromkeys(("p_kw", "cap_kw", "p_set_kw"), (p_least, rated_kw))
    needed |= dict.fromkeys(("q_kvar", "q_set_kvar"), (-q_max_kvar, q_max_kvar))
    for name in (n for n in needed if n in registers):
        least, most = needed[name]
        register = RegisterTable.model_validate(registers[name])
        unit = "kvar" if name.endswith("kvar") else "kW"
        # What one unit of the register stands for: a percent of the rating, or itself.
        whole = most / 100 if register.unit == "pct_of_rating" else 1.0
        low, high = (end * whole for end in register.ends())
        step = abs(register.scale) * whole
        if least < low * CLOSE or most > high * CLOSE:
            beyond = most if most > high * CLOSE else least
            holds = (
                f"{register.type} with scale {register.scale:g} holds {low:g} to {high:g} {unit}"
            )
            yield (name,), f"{holds}, and the device reaches {beyond:g}; mend type or scale"
        elif register.type != "float32" and 0 < most < step:
            problem = f"one count is {step:g} {unit}, more than the {most:g} it may be; all is 0"
            yield (name, "scale"), f"{problem}; mend it"


def _raise(table: BaseModel, title: str, faults: Iterator[tuple[Location, str]]) -> None:
    """All faults at once, each at its key.

    Raises:
        ValidationError: there are any.
    """
    details = [
        InitErrorDetails(
            type=PydanticCustomError("value_error", "{error}", {"error": problem}),
            loc=location,
            input=_input(table, location),
        )
        for location, problem in faults
    ]
    if details:
        raise ValidationError.from_exception_data(title, details)


def _input(table: Any, location: Location) -> Any:
    for key in location:
        table = getattr(table, key, None)
    return table
