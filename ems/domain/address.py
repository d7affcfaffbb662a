"""Where a device answers, and how one talks to it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MODBUS_PORT = 502
MODBUS_TLS_PORT = 802
"""mbap/TLS, MODBUS/TCP Security Protocol Specification v21, clause 4."""
ANSWER_MARGIN_S = 15.0
"""How long after it asked a client may take to answer a control: a dozen requests on a slow
link [s]."""
RegisterType = Literal["int16", "uint16", "int32", "uint32", "float32"]
CONTROLLER_HEARTBEAT = "controller_heartbeat"
CONTROL_REGISTERS = (
    *("reversion_kw", "reversion_s", "cap_kw", "p_set_kw", "q_set_kvar", "enable"),
    CONTROLLER_HEARTBEAT,
)
"""Quantities of a register map that are written; all others are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """What proves to each other who client and device are (PEM files)."""

    ca_file: Path
    """Certificates of the authorities that may have signed the device's."""
    cert_file: Path
    """Our certificate."""
    key_file: Path
    """Its private key."""
    server_name: str | None = None
    """Name in the device's certificate; None: the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialLine:
    """A serial line that speaks Modbus RTU."""

    path: str
    """Device file, for example /dev/ttyUSB0."""
    baud: int = 9600
    """Bits per second."""
    parity: Literal["none", "even", "odd"] = "even"
    """MODBUS over Serial Line V1.02, 2.5.1: even where nothing else is said."""

    @property
    def stop_bits(self) -> int:
        """One, or two where no parity bit fills the place; ibid."""
        return 2 if self.parity == "none" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRegister:
    """One quantity of a device without SunSpec: the value is `scale · raw + offset`."""

    address: int
    """First register, counted from 0."""
    type: RegisterType = "int16"
    scale: float = 1.0
    """Value of one count, in the unit of the quantity's name."""
    offset: float = 0.0
    """Value where the register holds 0, likewise."""
    low_word_first: bool = False
    """Of two registers the first one holds the lower half."""
    input: bool = False
    """An input register, function 4; else a holding register, function 3."""
    of_rating: bool = False
    """A percentage of the site's `rated_kw`, for reactive power of `q_max_kvar`."""
    nan: int | None = None
    """Raw value that says that there is none."""

    @property
    def size(self) -> int:
        """Registers it takes."""
        return 2 if self.type in ("int32", "uint32", "float32") else 1


def lacking(kind: str, names: Collection[str], *, reactive: bool) -> tuple[str, ...]:
    """Quantities that a register map must name and does not.

    Args:
        kind: of the device, `pv`, `bes`, `dg` or `load`.
        names: what the map names.
        reactive: whether it is to give reactive power.
    """
    needs = {
        "pv": ("p_kw", "q_kvar", "cap_kw"),
        "bes": ("p_kw", "q_kvar", "p_set_kw", "soc_pct"),
        "dg": ("p_kw", "q_kvar", "p_set_kw"),
        "load": ("p_kw",),
    }
    wanted = (*needs[kind], *(("q_set_kvar",) if reactive else ()))
    return tuple(name for name in wanted if name not in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAddress:
    """Where a device answers Modbus, over TCP, TLS or a serial line."""

    host: str = ""
    """Host name or address; empty for a serial line."""
    port: int = MODBUS_PORT
    unit: int = 1
    """Modbus unit identifier."""
    timeout_s: float = 3.0
    """Time budget of each phase of a call: reading; writing; reading back [s]."""
    base: int | None = None
    """Where the chain of SunSpec models begins; None: at 40000, 0 or 50000."""
    tls: TlsFiles | None = None
    """Set: over TLS."""
    serial: SerialLine | None = None
    """Set: over this line, as RTU."""
    registers: Mapping[str, PlainRegister] | None = None
    """Set: no SunSpec device, and this is where its quantities lie, by name."""

    @property
    def line(self) -> tuple[str, int]:
        """What units that share one connection have in common."""
        return (self.serial.path, 0) if self.serial is not None else (self.host.lower(), self.port)

    def __str__(self) -> str:
        """As messages name it: `10.0.0.21:502`, with a unit that is not 1."""
        where = f"{self.host}:{self.port}" if self.serial is None else self.serial.path
        return where if self.unit == 1 and self.serial is None else f"{where} unit {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDeviceAddress:
    """Which IEEE 2030.5 client of our server a device is."""

    enddevice: str
    """Name of the end device."""
    answer_s: float
    """How long its first answer to a control may take: it asks at its poll rate [s]."""
    disconnect_at_zero: bool = False
    """Whether 0 kW and 0 kvar are ordered as a disconnect."""
