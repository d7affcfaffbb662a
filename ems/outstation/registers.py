"""The register map of one device, and which writes it accepts.

A write is checked whole before any of it is applied: a read-only, unimplemented or
half-covered point is an illegal address, a value outside its range an illegal value.
Exception codes: MODBUS Application Protocol V1.1b3, clause 7.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

from ems.protocols.sunspec import (
    BASE_ADDRESSES,
    END_OF_CHAIN,
    MARKER,
    MAX_READ,
    MAX_WRITE,
    ModelBlock,
    from_registers,
)

ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
DEVICE_FAILURE = 4
"""Answered to a request that is well formed, and that the state of the device forbids."""
BUSY = 6
Accepts = Callable[[int], bool]
"""Whether a point takes this raw value."""
Written = frozenset[tuple[int, str]]
"""Points of one write: model and name."""


class RegisterMap:
    """Models in a chain from 40000 on. Safe for one writer and many readers in threads."""

    def __init__(
        self,
        blocks: Sequence[ModelBlock],
        accepts: Mapping[tuple[int, str], Accepts],
        on_write: Callable[[Written], None],
    ) -> None:
        """Lay the models out.

        Args:
            blocks: in chain order; may go on being changed under `lock`.
            accepts: which points (model, name) may be written, and with what.
            on_write: told the points written (model, name), under `lock`.
        """
        self.lock = threading.RLock()
        self._blocks = tuple(blocks)
        self._accepts = dict(accepts)
        self._on_write = on_write
        self.start = BASE_ADDRESSES[0]
        self.deaf = False
        """Acknowledge writes and apply nothing."""
        self.busy = 0
        """How many of the next requests are turned away as busy."""
        self.sealed = False
        """Refuse every write: somebody at the device has taken control."""

    @property
    def size(self) -> int:
        """Registers in all, marker and end included."""
        return len(MARKER) + sum(len(b.registers) for b in self._blocks) + 2

    def read(self, address: int, count: int) -> list[int] | int:
        """Registers, or the code of a Modbus exception."""
        with self.lock:
            if self._turned_away():
                return BUSY
            first = address - self.start
            if first < 0 or not 1 <= count <= MAX_READ or first + count > self.size:
                return ILLEGAL_ADDRESS
            return self._image(first, first + count)

    def write(self, address: int, values: Sequence[int]) -> int | None:
        """Apply a write, or answer the code of a Modbus exception and apply nothing."""
        with self.lock:
            if self._turned_away():
                return BUSY
            found = self._block_at(address, len(values))
            if found is None or len(values) > MAX_WRITE:
                return ILLEGAL_ADDRESS
            block, offset = found
            fault = self._fault(block, offset, values)
            if fault is None and self.sealed:
                fault = DEVICE_FAILURE
            if fault is not None or self.deaf:
                return fault
            block.registers[offset : offset + len(values)] = list(values)
            points = block.points_in(offset, len(values))
            self._on_write(frozenset((block.model.id, p.name) for p in points))
            return None

    def _image(self, first: int, end: int) -> list[int]:
        """Registers by their place in the chain; of long chains only the models asked for."""
        image: list[int] = []
        start = 0
        parts = (MARKER, *(block.registers for block in self._blocks), (END_OF_CHAIN, 0))
        for part in parts:
            if start >= end:
                break
            image += part[max(0, first - start) : max(0, end - start)]
            start += len(part)
        return image

    def _turned_away(self) -> bool:
        """Whether this request is one of those that meet a busy device."""
        if self.busy <= 0:
            return False
        self.busy -= 1
        return True

    def _block_at(self, address: int, count: int) -> tuple[ModelBlock, int] | None:
        """The model that holds the whole range, and the offset in it."""
        start = self.start + len(MARKER)
        for block in self._blocks:
            if start <= address and address + count <= start + len(block.registers):
                return block, address - start
            start += len(block.registers)
        return None

    def _fault(self, block: ModelBlock, offset: int, values: Sequence[int]) -> int | None:
        for point in block.points_in(offset, len(values)):
            whole = point.offset >= offset and point.end <= offset + len(values)
            accepts = self._accepts.get((block.model.id, point.name))
            if not whole or accepts is None:
                return ILLEGAL_ADDRESS
            raw = from_registers(point, values[point.offset - offset : point.end - offset])
            if raw is None or not accepts(raw):
                return ILLEGAL_VALUE
        return None
