"""What the EMS sees of a device, whatever its generation: readings, orders, what it holds.

A face does no input and output: it says which registers it needs, and makes values of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ems.domain import Command, Der, DerReading, LoadReading, Pv, Readback
from ems.errors import RefusedWrite
from ems.gateways.image import Image, Span
from ems.protocols.sunspec import Point, from_registers

RATING_TOLERANCE = 0.2
"""By how much a device's rating may differ from the site's: ratings at unity or at rated power
factor lie within it, a scale factor that is one off lies far outside [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One write of registers in a row."""

    start: int
    registers: tuple[int, ...]
    points: tuple[Point, ...]
    """What the registers mean; offsets count from the first point's."""

    def __str__(self) -> str:
        first, last = self.points[0].name, self.points[-1].name
        return first if first == last else f"{first}…{last}"

    def differing(self, image: Image) -> list[str]:
        """Points that the device holds otherwise, each in words."""
        there = image.at(self.start, len(self.registers))
        if there == list(self.registers):
            return []
        found: list[str] = []
        for point in self.points:
            at = point.offset - self.points[0].offset
            asked, held = self.registers[at : at + point.size], there[at : at + point.size]
            if list(asked) != held:
                shown = from_registers(point, asked), from_registers(point, held)
                found.append(f"{point.name}: asked {shown[0]}, held {shown[1]}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """All that makes a device follow a command."""

    writes: tuple[Order, ...]
    meaning: tuple[int | None, ...] = ()
    """What gives the registers their meaning, as it was read before: scale factors, ratings."""
    heartbeat: Order | None = None
    """The sign of life that goes with it."""


class Face(Protocol):
    """One generation of devices."""

    @property
    def controls(self) -> str:
        """Where its controls lie, for messages."""
        ...

    def to_read(self, der: Der) -> Sequence[Span]:
        """What `reading` needs."""
        ...

    def reading(self, der: Der, image: Image, now: datetime) -> DerReading:
        """What the device reports.

        Raises:
            DeviceError: P or Q is not measured, a scale factor is missing.
        """
        ...

    def to_read_load(self) -> Sequence[Span]:
        """What `load` needs."""
        ...

    def load(self, image: Image, now: datetime) -> LoadReading:
        """What a load meter reports."""
        ...

    def to_command(self, der: Der) -> Sequence[Span]:
        """What `orders` needs."""
        ...

    def orders(self, der: Der, image: Image, command: Command) -> Orders:
        """The writes that carry a command out.

        Raises:
            RefusedWrite: the device cannot do that, or must not be asked now.
        """
        ...

    def to_confirm(self, der: Der) -> Sequence[Span]:
        """What `meaning` and `held` need, and all registers that are written."""
        ...

    def meaning(self, der: Der, image: Image) -> tuple[int | None, ...]:
        """What gives the control registers their meaning."""
        ...

    def held(self, der: Der, image: Image) -> Readback:
        """What the control registers order."""
        ...


def check_kind(der: Der, command: Command) -> None:
    """A PV plant takes a cap, anything else a setpoint.

    Raises:
        RefusedWrite: the other way round.
    """
    if (command.p_kw is None) != isinstance(der, Pv):
        kind = "takes a cap, not a setpoint" if isinstance(der, Pv) else "takes a setpoint"
        raise RefusedWrite(f"{der.name} {kind}: nothing was written")


def check_rating(der: Der, rated_w: float | None, place: str, point: str) -> None:
    """The device is the one the site file means, and its numbers are what they seem.

    Raises:
        RefusedWrite: its rating is another; names both.
    """
    if rated_w is None:
        return
    rated_kw = rated_w / 1000
    if abs(rated_kw - der.rated_kw) > RATING_TOLERANCE * der.rated_kw:
        raise RefusedWrite(
            f"{place}: the device says it is rated {rated_kw:g} kW ({point}), the site file says "
            f"{der.rated_kw:g} kW, and nothing was written; mend rated_kw, the address, or the "
            "device's scale factor"
        )
