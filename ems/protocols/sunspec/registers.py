"""Registers of one model instance, read and written by point."""

from collections.abc import Sequence

from ems.protocols.sunspec.definitions import HEADER, Model, Point
from ems.protocols.sunspec.scaling import Rounding, counts, scaled


def to_registers(point: Point, raw: int | None) -> list[int]:
    """Registers that hold `raw`, most significant first; None: not implemented.

    Raises:
        ValueError: `raw` does not fit, or is the value that means "not implemented".
    """
    bits = 16 * point.size
    if raw is None:
        word = point.absent
    else:
        low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if point.signed else (0, 1 << bits)
        word = raw % (1 << bits)
        if not low <= raw < high or (word == point.absent and raw != 0):
            raise ValueError(f"{point.name}: {raw} does not fit {point.type}")
    return [(word >> (16 * i)) & 0xFFFF for i in reversed(range(point.size))]


def from_registers(point: Point, registers: Sequence[int]) -> int | None:
    """The integer the registers hold, None where the point is not implemented."""
    word = 0
    for register in registers:
        word = word << 16 | register
    if word == point.absent:
        return None
    bits = 16 * point.size
    return word - (1 << bits) if point.signed and word >> (bits - 1) else word


class ModelBlock:
    """The registers of one model instance, from its identifier on.

    May be shorter than the definition (an older device, or a read that stopped early):
    points behind its end count as not implemented.
    """

    def __init__(self, model: Model, registers: Sequence[int] | None = None) -> None:
        self.model = model
        if registers is None:
            self.registers = [r for p in model.points.values() for r in to_registers(p, None)]
            self.set_raw("ID", model.id)
            self.set_raw("L", model.length - HEADER)
            for counter, count in model.counters.items():
                self.set_raw(counter, count)
        else:
            self.registers = list(registers)

    def raw(self, name: str) -> int | None:
        """The integer in the register; None where not implemented."""
        point = self.model.points[name]
        if point.end > len(self.registers):
            return None
        if point.size == 1:  # nearly all of them, a hundred thousand times a poll of a fleet
            word = self.registers[point.offset]
            if word == point.absent:
                return None
            return word - 0x10000 if point.signed and word & 0x8000 else word
        return from_registers(point, self.registers[point.offset : point.end])

    def scale_factor(self, name: str) -> int | None:
        """Scale factor of a point: 0 where it has none, None where not implemented."""
        sf = self.model.points[name].sf
        if sf is None:
            return 0
        return sf if isinstance(sf, int) else self.raw(sf)

    def value(self, name: str) -> float | None:
        """The quantity in the point's unit; None where not implemented."""
        raw, sf = self.raw(name), self.scale_factor(name)
        return None if raw is None or sf is None else float(scaled(raw, sf))

    def set_raw(self, name: str, raw: int | None) -> None:
        """Put an integer into the register; None: not implemented."""
        point = self.model.points[name]
        self.registers[point.offset : point.end] = to_registers(point, raw)

    def set_value(self, name: str, value: float | None) -> None:
        """Put a quantity, rounded to nearest and held at the ends of the register's range.

        NaN and None read as "not implemented".

        Raises:
            ValueError: the point's scale factor is not implemented.
        """
        if value is None or value != value:  # noqa: PLR0124 - the test for NaN, free of numpy
            self.set_raw(name, None)
            return
        sf = self.scale_factor(name)
        if sf is None:
            raise ValueError(f"{name}: its scale factor is not implemented")
        bits = 16 * self.model.points[name].size
        signed = self.model.points[name].signed
        largest = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 2
        raw = counts(value, sf, Rounding.NEAREST)
        self.set_raw(name, max(-largest if signed else 0, min(largest, raw)))

    def set_text(self, name: str, text: str) -> None:
        """Put a string, cut and padded to the point's size."""
        point = self.model.points[name]
        data = text.encode("ascii", "replace")[: 2 * point.size].ljust(2 * point.size, b"\0")
        self.registers[point.offset : point.end] = [
            int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)
        ]

    def text(self, name: str) -> str:
        """A string, without what it is padded with."""
        point = self.model.points[name]
        data = b"".join(r.to_bytes(2, "big") for r in self.registers[point.offset : point.end])
        text = data.partition(b"\0")[0].decode("utf-8", "replace").strip()
        return "".join(c if c.isprintable() else "?" for c in text)

    def points_in(self, offset: int, count: int) -> tuple[Point, ...]:
        """Points that a range of registers touches, wholly or in part."""
        return tuple(
            p for p in self.model.points.values() if p.offset < offset + count and p.end > offset
        )
