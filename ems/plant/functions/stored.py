"""Stored curves of a SunSpec model: the first is in force and read-only, the others are written.

A curve is checked when it is adopted, not when its points are written: SunSpec models 705 to 712,
notes at their points. A curve that does not conform is not adopted, and `AdptCrvRslt` says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from ems.outstation import Accepts
from ems.plant.inverter import NotConform
from ems.plant.timers import ReversionTimer
from ems.protocols.sunspec import Model, ModelBlock, model

CURVES = 3
"""Curves of each model: one in force, two to write."""
IN_FORCE = 1
COMPLETED, FAILED = 1, 2
"""AdptCrvRslt."""
READ_WRITE, READ_ONLY = 0, 1
Part = TypeVar("Part")
_ON_OFF: Accepts = (0, 1).__contains__


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout(Generic[Part]):
    """How one model stores what part of the settings."""

    model_id: int
    group: str = "Crv"
    """Name of the group that repeats."""
    points: int | None = None
    """Points of a curve; None: it has none."""
    scale_factors: Mapping[str, int]
    write: Callable[[ModelBlock, str, Part], None]
    """Puts a part into the curve with this prefix."""
    read: Callable[[ModelBlock, str, Part], Part]
    """Reads a curve; the part in force gives what curves do not hold. Raises NotConform."""
    values: Mapping[str, Accepts]
    """What single points take, by the last part of their names; others take anything."""
    reverts: bool = True
    """Whether the model has a reversion timer."""

    @property
    def request(self) -> str:
        """Point that asks to adopt a curve."""
        return f"Adpt{self.group}Req"

    @property
    def result(self) -> str:
        """Point that tells how that went."""
        return f"Adpt{self.group}Rslt"

    @property
    def reversion(self) -> str:
        """Point that names the curve to fall back to."""
        return f"Rvrt{self.group}"

    def prefix(self, number: int) -> str:
        """What the names of a curve's points begin with."""
        return f"{self.group}[{number}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blank(Generic[Part]):
    """One model as it stands at first; thousands of devices begin with a copy of it."""

    definition: Model
    registers: tuple[int, ...]
    accepts: Mapping[tuple[int, str], Accepts]
    """Writable points: all but the curve in force and what the model says of itself."""
    default: Part
    """What is in force."""


def blank(layout: Layout[Part], default: Part, *, enabled: bool) -> Blank[Part]:
    """A model whose curves all hold the default."""
    counts = {layout.group: CURVES} | ({} if layout.points is None else {"Pt": layout.points})
    block = ModelBlock(model(layout.model_id, counts))
    for name, sf in layout.scale_factors.items():
        block.set_raw(name, sf)
    for number in range(1, CURVES + 1):
        prefix = layout.prefix(number)
        layout.write(block, prefix, default)
        block.set_raw(f"{prefix}.ReadOnly", READ_ONLY if number == IN_FORCE else READ_WRITE)
    block.set_raw("Ena", int(enabled))
    block.set_raw(layout.request, IN_FORCE)
    block.set_raw(layout.result, COMPLETED)
    if layout.reverts:
        block.set_raw("RvrtTms", 0)
        block.set_raw("RvrtRem", 0)
        block.set_raw(layout.reversion, IN_FORCE + 1)
    return Blank(
        definition=block.model,
        registers=tuple(block.registers),
        accepts=_accepted(layout, block),
        default=default,
    )


def _accepted(layout: Layout[Part], block: ModelBlock) -> dict[tuple[int, str], Accepts]:
    kept = layout.prefix(IN_FORCE) + "."
    number: Accepts = range(1, CURVES + 1).__contains__
    own = {"Ena": _ON_OFF, layout.request: number, layout.reversion: number}
    return {
        (layout.model_id, p.name): own.get(p.name)
        or layout.values.get(p.name.rsplit(".", 1)[-1], _anything)
        for p in block.model.points.values()
        if p.writable and not p.name.startswith(kept) and block.raw(p.name) is not None
    }


class StoredCurves(Generic[Part]):
    """One model of a device: its registers, and the part of the settings it stands for."""

    def __init__(self, layout: Layout[Part], blank: Blank[Part]) -> None:
        self._layout = layout
        self._timer = ReversionTimer()
        self._shown_s = 0
        self.part = blank.default
        """What the curve in force says."""
        self.block = ModelBlock(blank.definition, blank.registers)

    @property
    def enabled(self) -> bool:
        """Whether the function is on."""
        return self.block.raw("Ena") == 1

    def disable(self) -> None:
        """Turn the function off: another one has taken its place."""
        self.block.set_raw("Ena", 0)

    def written(self, names: frozenset[str], now: datetime) -> None:
        """Adopt where that was asked, and start the reversion timer."""
        if self._layout.request in names:
            asked = self.block.raw(self._layout.request) or 0
            self.block.set_raw(self._layout.result, COMPLETED if self._adopt(asked) else FAILED)
        if self._layout.reverts and names & {"Ena", "RvrtTms", self._layout.request}:
            self._timer.arm(now, self.block.raw("RvrtTms") or 0)
            self.show(now)

    def expire(self, now: datetime) -> bool:
        """Adopt the reversion curve where nobody has refreshed the timer; whether that was."""
        if not self._timer.expire(now):
            return False
        self._adopt(self.block.raw(self._layout.reversion) or IN_FORCE)
        return True

    def show(self, now: datetime) -> None:
        """Put the time that remains into the registers."""
        remaining_s = self._timer.remaining_s(now)
        if self._layout.reverts and remaining_s != self._shown_s:
            self.block.set_raw("RvrtRem", remaining_s)
            self._shown_s = remaining_s

    def _adopt(self, number: int) -> bool:
        layout, block = self._layout, self.block
        try:
            part = layout.read(block, layout.prefix(number), self.part)
        except NotConform:
            return False
        self.part = part
        source, target = layout.prefix(number), layout.prefix(IN_FORCE)
        for name in block.model.points:
            if name.startswith(source + ".") and not name.endswith(".ReadOnly"):
                block.set_raw(target + name[len(source) :], block.raw(name))
        return True


def _anything(_raw: int) -> bool:
    """Conformance is checked at adoption."""
    return True


def number(block: ModelBlock, name: str) -> float:
    """The quantity in a register.

    Raises:
        NotConform: it is not there.
    """
    value = block.value(name)
    if value is None:
        raise NotConform(f"{name} is not implemented")
    return value
