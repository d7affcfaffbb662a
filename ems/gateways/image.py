"""What was read of a device, and how little reading it takes.

Models lie behind one another, so what is wanted of several is often one read of 125 registers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ems.errors import DeviceError, Unreachable
from ems.gateways.modbus import ExceptionAnswer, ModbusLink
from ems.gateways.wire import READ_HOLDING
from ems.protocols.sunspec import END_OF_CHAIN, MARKER, MAX_READ, ModelBlock, model

MODELS_AT_MOST = 128
"""Longer chains are a device that answers nonsense."""
EMPTY_AT_MOST = 1
"""Models of length 0: one may be a gap that its maker left, more are registers that are all 0."""
HEADER = 2
"""Registers of a model's identifier and length."""
LAST_REGISTER = 0xFFFF


class Moved(DeviceError):
    """The chain is no longer where it was: another firmware, or another device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one model lies."""

    id: int
    start: int
    """Address of its identifier."""
    size: int
    """Registers in all, identifier and length included."""


class Chain:
    """The models of one device, in order."""

    def __init__(self, base: int, places: Sequence[Place]) -> None:
        self.base = base
        """Address of the marker."""
        self.places = tuple(places)
        # Of a repeated model the first counts.
        self._by_id = {p.id: p for p in reversed(self.places)}

    def __contains__(self, model_id: int) -> bool:
        return model_id in self._by_id

    def place(self, model_id: int) -> Place:
        """The model.

        Raises:
            KeyError: it has none.
        """
        return self._by_id[model_id]

    @property
    def models(self) -> str:
        """The identifiers, for messages."""
        return ", ".join(str(p.id) for p in self.places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Registers that one read fetches."""

    start: int
    count: int
    function: int = READ_HOLDING

    @property
    def end(self) -> int:
        """First register behind."""
        return self.start + self.count


class Image:
    """Registers as they were read."""

    def __init__(self, windows: Sequence[tuple[Span, list[int]]]) -> None:
        self._windows = windows

    def at(self, start: int, count: int, function: int = READ_HOLDING) -> list[int]:
        """Registers of one place.

        Raises:
            KeyError: they were not read.
        """
        for span, registers in self._windows:
            if span.function == function and span.start <= start < span.end:
                found = registers[start - span.start : start - span.start + count]
                if len(found) < count and span.end <= LAST_REGISTER:
                    found += self.at(span.end, count - len(found), function)
                return found
        raise KeyError(start)

    def block(self, place: Place, upto: int) -> ModelBlock:
        """The first registers of a model.

        Raises:
            Moved: another model lies there.
        """
        registers = self.at(place.start, min(upto, place.size))
        if registers[0] != place.id or registers[1] != place.size - HEADER:
            raise Moved(
                f"model {registers[0]} of {registers[1]} registers lies where model {place.id} was"
            )
        return ModelBlock(model(place.id), registers)


def spans(chain: Chain, wanted: Mapping[int, int], *, merged: bool) -> tuple[Span, ...]:
    """The reads that fetch the first registers of several models.

    Args:
        chain: where they lie.
        wanted: by model, up to which register behind its identifier.
        merged: whether one read may span several models; a few devices refuse that.
    """
    parts = sorted(
        (place.start, min(wanted[place.id], place.size), place.size)
        for place in map(chain.place, wanted)
    )
    found: list[Span] = []
    room = 0  # registers between the last span's end and the end of its model
    for start, count, size in parts:
        last = found[-1] if found else None
        if (
            merged
            and last is not None
            and start == last.end + room
            and last.count + room + count <= MAX_READ
        ):
            found[-1] = Span(start=last.start, count=last.count + room + count)
        else:
            found += [
                Span(start=start + at, count=min(MAX_READ, count - at))
                for at in range(0, count, MAX_READ)
            ]
        room = size - count
    return tuple(found)


async def fetch(link: ModbusLink, wanted: Sequence[Span]) -> Image:
    """Read all of it, one request after the other.

    Raises:
        DeviceError: as the link does.
    """
    return Image([(s, await link.read(s.start, s.count, s.function)) for s in wanted])


async def discover(link: ModbusLink, bases: Sequence[int]) -> Chain:
    """Find the marker, and follow the models behind it.

    Raises:
        DeviceError: no answer, no SunSpec device, or a chain that cannot be one: where its end
            is not where it says, nothing it says of its models can be trusted.
    """
    base = await _base(link, bases)
    address = base + len(MARKER)
    places: list[Place] = []
    while address + HEADER - 1 <= LAST_REGISTER:
        model_id, length = await link.read(address, HEADER)
        if model_id == END_OF_CHAIN:
            if not places:
                raise _nonsense(link, base, "holds no model")
            return Chain(base, places)
        places.append(Place(id=model_id, start=address, size=length + HEADER))
        if sum(p.size == HEADER for p in places) > EMPTY_AT_MOST:
            raise _nonsense(link, base, "holds models without registers")
        if len(places) > MODELS_AT_MOST:
            raise _nonsense(link, base, f"does not end after {MODELS_AT_MOST} models")
        address += length + HEADER
    raise _nonsense(link, base, f"does not end before register {LAST_REGISTER}")


def _nonsense(link: ModbusLink, base: int, problem: str) -> DeviceError:
    return DeviceError(
        f"{link.place}: answers nonsense: its chain of models at {base} {problem}; it is neither "
        "read nor commanded"
    )


async def _base(link: ModbusLink, bases: Sequence[int]) -> int:
    for base in bases:
        try:
            marker = await link.read(base, len(MARKER))
        except ExceptionAnswer as fault:
            if fault.nobody:
                raise Unreachable(str(fault)) from fault
            continue
        if tuple(marker) == MARKER:
            return base
    tried = ", ".join(str(b) for b in bases)
    raise DeviceError(
        f"{link.place}: not a SunSpec device, no `SunS` at {tried}; check host, port and unit"
    )
