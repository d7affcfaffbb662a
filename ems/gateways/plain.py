"""Devices without SunSpec: quantities at registers that the site file names.

What such a device is written is rounded to the safe side, in one FC16 for registers in a row, and
read back. Where no register holds a reversion timer, the device keeps its last command when GEEMS
dies; the site file's author is told so.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from ems.domain import Bes, Command, Der, DerReading, LoadReading, Pv, Readback
from ems.domain.address import CONTROL_REGISTERS, CONTROLLER_HEARTBEAT, PlainRegister
from ems.errors import DeviceError, RefusedWrite
from ems.gateways.face import Order, Orders, check_kind, check_rating
from ems.gateways.image import Image, Span
from ems.gateways.wire import READ_HOLDING, READ_INPUT
from ems.protocols.sunspec import MAX_READ, MAX_WRITE, Point

TIMER_TOLERANCE = 0.1
"""By how much a reversion timer may differ from what was asked: several refreshes fit into the
time, so counts of a minute do no harm, and coarser ones are a mistake in the map [1]."""
_INTEGERS = {"int16": (16, True), "uint16": (16, False), "int32": (32, True), "uint32": (32, False)}


class Plain:
    """The face of a device whose registers are named one by one."""

    controls = "its registers"

    def __init__(self, place: str, registers: Mapping[str, PlainRegister]) -> None:
        self._name = place
        self._registers = registers
        self._beat = 0

    # --- reading -------------------------------------------------------------------

    def to_read(self, der: Der) -> Sequence[Span]:  # noqa: ARG002 - as `Face`
        """Everything but what is only written."""
        return self._spans(
            n for n in self._registers if n not in CONTROL_REGISTERS or n == "cap_kw"
        )

    def reading(self, der: Der, image: Image, now: datetime) -> DerReading:
        """See `Face`."""
        beat = self._told(image, "heartbeat", der)
        state = self._told(image, "connected", der)
        return DerReading(
            der=der.name,
            time=now,
            p_kw=self._needed(image, "p_kw", der),
            q_kvar=self._needed(image, "q_kvar", der),
            v_pu=self._told(image, "v_pu", der),
            hz=self._told(image, "hz", der),
            soc_pct=self._needed(image, "soc_pct", der) if isinstance(der, Bes) else None,
            cap_kw=self._cap_kw(image, der),
            available_kw=self._told(image, "available_kw", der),
            rated_kw=self._told(image, "rated_kw", der),
            connected=None if state is None else state != 0,
            heartbeat=None if beat is None else int(beat),
            local=bool(self._told(image, "local", der)),
        )

    def _cap_kw(self, image: Image, der: Der) -> float | None:
        cap_kw = self._told(image, "cap_kw", der)
        return None if cap_kw is None or cap_kw >= der.rated_kw else cap_kw

    def to_read_load(self) -> Sequence[Span]:
        """See `Face`."""
        return self._spans(n for n in ("p_kw", "q_kvar") if n in self._registers)

    def load(self, image: Image, now: datetime) -> LoadReading:
        """See `Face`."""
        p_kw = self._needed(image, "p_kw", None)
        return LoadReading(time=now, p_kw=p_kw, q_kvar=self._told(image, "q_kvar", None))

    def _needed(self, image: Image, name: str, der: Der | None) -> float:
        value = self._told(image, name, der)
        if value is None:
            raise DeviceError(f"{self._name}: register {name} reads as not available (NaN)")
        return value

    def _told(self, image: Image, name: str, der: Der | None) -> float | None:
        register = self._registers.get(name)
        if register is None:
            return None
        held = decoded(register, image.at(register.address, register.size, _function(register)))
        return None if held is None else float(_exact(held) * _whole(register, name, der))

    # --- writing -------------------------------------------------------------------

    def to_command(self, der: Der) -> Sequence[Span]:  # noqa: ARG002 - as `Face`
        """What says whether it may be commanded."""
        return self._spans(n for n in ("local", "rated_kw") if n in self._registers)

    def orders(self, der: Der, image: Image, command: Command) -> Orders:
        """See `Face`."""
        check_kind(der, command)
        if self._told(image, "local", der):
            raise RefusedWrite(
                f"{self._name}: under local control (register local), nothing was written; "
                "release it at the device"
            )
        rated_kw = self._told(image, "rated_kw", der)
        rated_w = None if rated_kw is None else rated_kw * 1000
        check_rating(der, rated_w, self._name, "register rated_kw")
        try:
            held = {n: self._encoded(n, v, der) for n, v in self._wanted(der, command).items()}
        except ValueError as fault:
            raise RefusedWrite(f"{self._name}: {fault}; nothing was written") from fault
        return Orders(writes=tuple(self._runs(held)), heartbeat=self._heartbeat())

    def _wanted(self, der: Der, command: Command) -> dict[str, float]:
        """Quantities to write, by name; raises ValueError where a register is missing for one."""
        wanted: dict[str, float] = {}
        if command.p_kw is None:
            wanted["cap_kw"] = der.rated_kw if command.cap_kw is None else command.cap_kw
        else:
            wanted["p_set_kw"] = command.p_kw
        if "q_set_kvar" in self._registers or command.q_kvar != 0.0:
            wanted["q_set_kvar"] = command.q_kvar
        maybe = {"enable": 1.0, "reversion_s": command.reversion_s}
        maybe["reversion_kw"] = command.reversion_kw
        wanted |= {n: float(v) for n, v in maybe.items() if n in self._registers}
        missing = [n for n in wanted if n not in self._registers]
        if missing:
            raise ValueError(f"the site file names no register for {', '.join(missing)}")
        return wanted

    def _encoded(self, name: str, value: float, der: Der) -> tuple[int, ...]:
        register = self._registers[name]
        if not math.isfinite(value):
            raise ValueError("a setpoint is not a finite number")
        try:
            share = _exact(value) / _whole(register, name, der) if value else Decimal(0)
            found = encoded(register, share, floor=name == "cap_kw")
            if name == "reversion_s":
                _check_timer(value, decoded(register, found))
        except (ArithmeticError, ValueError) as fault:
            raise ValueError(f"register {name} cannot hold {value:g}: {fault}") from fault
        return found

    def _runs(self, held: Mapping[str, tuple[int, ...]]) -> list[Order]:
        """One write for registers in a row; the one that enables goes last."""
        runs: list[list[str]] = []
        for name in sorted(held, key=lambda n: self._registers[n].address):
            last = self._registers[runs[-1][-1]] if runs else None
            size = sum(len(held[n]) for n in runs[-1]) if runs else 0
            in_a_row = (
                last is not None and last.address + last.size == self._registers[name].address
            )
            if in_a_row and size + len(held[name]) <= MAX_WRITE:
                runs[-1].append(name)
            else:
                runs.append([name])
        runs.sort(key=lambda run: "enable" in run)
        return [self._order({n: held[n] for n in run}) for run in runs]

    def _order(self, held: Mapping[str, tuple[int, ...]]) -> Order:
        return Order(
            start=self._registers[next(iter(held))].address,
            registers=tuple(r for registers in held.values() for r in registers),
            points=tuple(
                Point(
                    name=name,
                    offset=self._registers[name].address,
                    size=self._registers[name].size,
                    type=self._registers[name].type,
                    sf=None,
                    writable=True,
                    symbols={},
                )
                for name in held
            ),
        )

    def _heartbeat(self) -> Order | None:
        register = self._registers.get(CONTROLLER_HEARTBEAT)
        if register is None:
            return None
        # Any register holds as much, and a counter may wrap.
        self._beat = (self._beat + 1) % (1 << 15)
        held = encoded(register, Decimal(self._beat), floor=True)
        return self._order({CONTROLLER_HEARTBEAT: held})

    def to_confirm(self, der: Der) -> Sequence[Span]:  # noqa: ARG002 - as `Face`
        """All that may have been written."""
        return self._spans(
            n for n in CONTROL_REGISTERS if n in self._registers and n != CONTROLLER_HEARTBEAT
        )

    def meaning(self, der: Der, image: Image) -> tuple[int | None, ...]:  # noqa: ARG002 - as `Face`
        """The site file says what registers mean."""
        return ()

    def held(self, der: Der, image: Image) -> Readback:
        """See `Face`."""
        p_kw = None if isinstance(der, Pv) else self._told(image, "p_set_kw", der)
        cap_kw = self._cap_kw(image, der) if isinstance(der, Pv) else None
        q_kvar = self._told(image, "q_set_kvar", der)
        timer_s = self._told(image, "reversion_s", der)
        timed = timer_s is not None and timer_s > 0  # 0 is no timer, as with SunSpec's
        return Readback(p_kw=p_kw, q_kvar=q_kvar or 0.0, cap_kw=cap_kw, reverts=timed)

    def _spans(self, names: Iterator[str]) -> tuple[Span, ...]:
        """Reads of registers in a row; what lies between may not be there."""
        found: list[Span] = []
        places = {self._registers[n] for n in names}
        for register in sorted(places, key=lambda r: (r.input, r.address, r.size)):
            last, function = found[-1] if found else None, _function(register)
            end = register.address + register.size
            if (
                last is not None
                and last.function == function
                and register.address <= last.end
                and end - last.start <= MAX_READ
            ):
                count = max(last.end, end) - last.start
                found[-1] = Span(start=last.start, count=count, function=function)
            else:
                found.append(Span(start=register.address, count=register.size, function=function))
        return tuple(found)


def _check_timer(asked_s: float, held_s: float | None) -> None:
    """Whether what the register would hold still is the timer that was asked.

    Raises:
        ValueError: it never runs, or runs out at quite another time.
    """
    if not held_s:
        raise ValueError("it would hold no timer")
    if abs(held_s - asked_s) > TIMER_TOLERANCE * asked_s:
        raise ValueError(f"the nearest it holds is {held_s:g}")


def decoded(register: PlainRegister, registers: Sequence[int]) -> float | None:
    """The quantity that registers hold; None where they hold none."""
    words = list(registers)[:: -1 if register.low_word_first else 1]
    octets = b"".join(word.to_bytes(2, "big") for word in words)
    if register.type == "float32":
        (raw,) = struct.unpack(">f", octets)
        if not math.isfinite(raw) or (register.nan is not None and raw == register.nan):
            return None
        return float(raw) * register.scale + register.offset
    signed = _INTEGERS[register.type][1]
    count = int.from_bytes(octets, "big", signed=signed)
    if count == register.nan:
        return None
    return float(count * _exact(register.scale) + _exact(register.offset))


def encoded(register: PlainRegister, value: Decimal, *, floor: bool) -> tuple[int, ...]:
    """Registers that hold a quantity, rounded to the safe side.

    Args:
        register: where.
        value: the quantity.
        floor: never above it, as a limit; else never further from zero than it.

    Raises:
        ValueError: it does not fit the register, no count lies on its safe side, or it is the
            value that says that there is none.
    """
    if register.type == "float32":
        octets = _float32(float((value - _exact(register.offset)) / _exact(register.scale)))
    else:
        count = _count(register, value, floor=floor)
        bits, signed = _INTEGERS[register.type]
        low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
        if not low <= count < high or count == register.nan:
            raise ValueError(f"{register.type} holds no {count}")
        octets = (count % (1 << bits)).to_bytes(bits // 8, "big")
    words = [int.from_bytes(octets[i : i + 2], "big") for i in range(0, len(octets), 2)]
    return tuple(words[:: -1 if register.low_word_first else 1])


def _count(register: PlainRegister, asked: Decimal, *, floor: bool) -> int:
    scale, offset = _exact(register.scale), _exact(register.offset)
    exact = (asked - offset) / scale
    nearest = {int(exact.to_integral_value(rounding=r)) for r in (ROUND_FLOOR, ROUND_CEILING)}
    found = {count * scale + offset: count for count in nearest}
    if floor:
        return found[max(v for v in found if v <= asked)]
    # With an offset the counts on both sides may be further from zero, or on its other side.
    safe = [v for v in found if abs(v) <= abs(asked) and v * asked >= 0]
    if not safe:
        around = " and ".join(f"{float(v):g}" for v in sorted(found))
        raise ValueError(f"its nearest counts are {around}, and none lies between that and 0")
    return found[max(safe, key=abs)]


def _float32(value: float) -> bytes:
    """The nearest number of single precision that is not further from zero."""
    octets = struct.pack(">f", value)
    (held,) = struct.unpack(">f", octets)
    if abs(held) > abs(value):
        octets = (int.from_bytes(octets, "big") - 1).to_bytes(4, "big")
    return octets


def _exact(number: float) -> Decimal:
    return Decimal(repr(float(number)))


def _whole(register: PlainRegister, name: str, der: Der | None) -> Decimal:
    """What one unit of the register stands for: a percent of a rating, or itself."""
    if not register.of_rating or der is None:
        return Decimal(1)
    return _exact(der.q_max_kvar if name.endswith("kvar") else der.rated_kw) / 100


def _function(register: PlainRegister) -> int:
    return READ_INPUT if register.input else READ_HOLDING
