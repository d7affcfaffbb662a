"""The `device` table of a site file: where a device answers, and how one talks to it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ems import domain
from ems.domain.address import (
    ANSWER_MARGIN_S,
    CONTROL_REGISTERS,
    MODBUS_PORT,
    MODBUS_TLS_PORT,
    SerialLine,
    TlsFiles,
)
from ems.settings.base import Location, Table, raise_faults
from ems.settings.hosts import host
from ems.settings.registers import LAST_REGISTER, RegistersTable

Host = Annotated[str, AfterValidator(host)]
LONGEST_CALL_S = 60
"""Most that a phase of a Modbus call may take [s]."""
LONGEST_WAIT_S = 300
"""Most that a client may take to ask what there is for it: a third of an interval [s]."""
OF_2030_5 = ("enddevice", "disconnect_at_zero")
OF_BOTH = ("protocol", "timeout_s", *OF_2030_5)


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
        raise_faults(self, "device", self._faults())
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
