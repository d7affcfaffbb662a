"""The `device.registers` table: where the quantities of a device without SunSpec lie."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ems.domain.address import (
    CONTROL_REGISTERS,
    CONTROLLER_HEARTBEAT,
    PlainRegister,
    RegisterType,
)
from ems.settings.base import Location, Table, raise_faults

LAST_REGISTER = 0xFFFF
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
        raise_faults(self, "registers", self._faults())
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
