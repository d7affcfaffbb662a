"""One device between its registers and GOOSE: pure state, no link and no clock.

It stands beside the registers as the device's own controller would: what they show is published,
and setpoints are written to them. So a device behaves the same on Modbus and on GOOSE, reversion
timers and refusals included.
"""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ems.outstation import RegisterMap
from ems.protocols.goose import Data, UtcTime
from ems.protocols.scl import ALL_TOLD, CONTROLS, METERED, Control, GooseBlock, flat
from ems.protocols.scl.carried import Key, Place, Sample, filled, places, sample, show, shown
from ems.protocols.sunspec import END_OF_CHAIN, MARKER, MAX_READ, ModelBlock, model

log = logging.getLogger(__name__)
REMAINING = tuple(c.remaining for c in CONTROLS if c.remaining is not None)
ORDERED = tuple(p for c in CONTROLS for p in c.points)
CONTROLS_AC = 704
OLDEST_ORDER_S = 10.0
"""How old an order without a timer may be when it is taken [s]: far longer than any way to the
device, and no order of a wire that was broken in between."""
FASTEST_CLOCK_S = 5.0
"""How far an order may be ahead of the device's clock [s]. Clocks agree in IEC 61850; an order
from further ahead would shut out those that follow it."""
REMEMBERED = 1000
"""How many orders of each control are known again: at one a minute those of sixteen hours, against
ways through a network of seconds."""


class Local:
    """A device's registers, read and written from inside the device."""

    def __init__(self, registers: RegisterMap) -> None:
        self._registers = registers
        self._places: dict[int, int] = {}
        address = registers.start + len(MARKER)
        while (head := self._read(address, 2)) is not None and head[0] != END_OF_CHAIN:
            self._places.setdefault(head[0], address)
            address += 2 + head[1]

    def blocks(self, wanted: frozenset[int]) -> dict[int, ModelBlock]:
        """The models that are wanted and there, as they stand at one instant."""
        found = {}
        with self._registers.lock:
            for model_id in sorted(wanted & self._places.keys()):
                count = min(model(model_id).length, MAX_READ)
                registers = self._read(self._places[model_id], count)
                if registers is not None:
                    found[model_id] = ModelBlock(model(model_id), registers)
        return found

    def write(self, model_id: int, first: str, last: str, block: ModelBlock) -> bool:
        """Write a run of points; False where the device refuses."""
        start, end = model(model_id).points[first].offset, model(model_id).points[last].end
        at = self._places[model_id] + start
        return self._registers.write(at, block.registers[start:end]) is None

    def _read(self, address: int, count: int) -> list[int] | None:
        image = self._registers.read(address, count)
        return None if isinstance(image, int) else image


@dataclass(slots=True)
class _Followed:
    """A control, and when it was last set."""

    order: datetime
    """Of the setpoint last taken, as the clock stands now; only later ones are taken after it."""
    t: UtcTime
    """Of that setpoint, or of the device's own change since."""
    held: tuple[float | None, ...]
    """What the registers held when that was seen."""
    in_force: bool = True
    """It holds; False once the device has fallen back."""


@dataclass(slots=True)
class _Told:
    """What is published of one point, and since when."""

    value: float | None
    t: UtcTime


@dataclass(slots=True)
class Device:
    """One device: pure state between its registers and GOOSE values."""

    registers: RegisterMap
    own: tuple[GooseBlock, ...]
    """What it publishes."""
    setpoints: GooseBlock | None
    started: UtcTime
    """Setpoints of before are somebody's memory, not orders."""
    _local: Local = field(init=False)
    _told: dict[Key, _Told] = field(init=False, default_factory=dict)
    _followed: dict[Key, _Followed] = field(init=False, default_factory=dict)
    _judged: dict[Key, deque[datetime]] = field(init=False, default_factory=dict)
    """Times that orders bore, latest first. What was taken or refused never is an order again,
    whatever the clock is set to: neither does it wait for its time nor does it come back."""
    _began: datetime = field(init=False)
    """When it started, as the clock stands now."""
    _places: tuple[dict[Key, Place], ...] = field(init=False)

    def __post_init__(self) -> None:
        self._local = Local(self.registers)
        self._began = self.started.when
        told = (*ALL_TOLD, *METERED, *ORDERED, *REMAINING)
        self._places = tuple(places(block, told) for block in self.own)

    def values(self, t: UtcTime) -> list[tuple[Data, ...]]:
        """What the device tells at `t`, one data set for each control block."""
        blocks = self._local.blocks(frozenset(m for at in self._places for m, _ in at))
        stamps = self._stamps(blocks, t)
        return [
            self._data_set(block, at, blocks, stamps, t)
            for block, at in zip(self.own, self._places, strict=True)
        ]

    def _data_set(
        self,
        block: GooseBlock,
        at: Mapping[Key, Place],
        blocks: Mapping[int, ModelBlock],
        stamps: Mapping[Key, UtcTime],
        t: UtcTime,
    ) -> tuple[Data, ...]:
        samples = {}
        for key, place in at.items():
            value = shown(blocks, place.mapped)
            told = self._told.get(key)
            if told is None or told.value != value:
                told = self._told[key] = _Told(value, t)
            samples[key] = Sample(value=value, t=stamps.get(key, told.t))
        return filled(block, at, samples)

    def _stamps(self, blocks: Mapping[int, ModelBlock], t: UtcTime) -> dict[Key, UtcTime]:
        """Points of controls that were ordered bear the order's time until they change again."""
        stamps: dict[Key, UtcTime] = {}
        for control in CONTROLS:
            followed = self._followed.get(_first(control))
            if followed is None:
                continue
            now = _held(blocks, control)
            if now != followed.held:
                followed.held, followed.t, followed.in_force = now, t, False
            stamps |= dict.fromkeys(control.keys, followed.t)
        return stamps

    def follow(self, values: Sequence[Data], now: datetime) -> None:
        """Take setpoints: those that were written anew since the last ones.

        Args:
            values: the data set of the RTU.
            now: the device's clock, which must agree with that of the RTU.
        """
        if self.setpoints is None:
            return
        at = places(self.setpoints, ORDERED)
        simple = flat(values)
        for control in CONTROLS:
            if not control.keys <= at.keys():
                continue
            found = {key: sample(at[key], simple) for key in control.keys}
            stamp = found[_first(control)].t
            wanted = {k: s.value for k, s in found.items() if s.value is not None}
            if stamp is None or len(wanted) < len(found) or self._was_judged(control, stamp.when):
                continue
            remaining = self._in_time(control, wanted, stamp.when, now)
            if remaining is not None:
                self._obey(control, remaining, stamp)

    def clock_set(self, by: timedelta) -> None:
        """The device's clock was set: what it knows of the past moves along.

        Else no order of an RTU whose clock was set back as well would be later than what was
        taken before. What it has judged already it knows by the time that it bore.
        """
        self._began += by
        for followed in self._followed.values():
            followed.order += by

    def _was_judged(self, control: Control, t: datetime) -> bool:
        """Whether an order is a repeated one; one that is not will be from now on."""
        judged = self._judged.setdefault(_first(control), deque(maxlen=REMEMBERED))
        if t in judged:
            return True
        judged.appendleft(t)
        return False

    def _in_time(
        self, control: Control, wanted: Mapping[Key, float], t: datetime, now: datetime
    ) -> Mapping[Key, float] | None:
        """An order with what is left of its timer, which runs from its own time; None: too late."""
        age_s = (now - t).total_seconds()
        timer = None if control.block is None else (CONTROLS_AC, control.block.timer)
        timer_s = 0.0 if timer is None else wanted[timer]
        why = self._untimely(control, t, age_s, timer_s or OLDEST_ORDER_S)
        if why is not None:
            self._refuse(control, why)
            return None
        if timer is None or not timer_s:
            return wanted
        # Whole seconds, as registers have them; what is on its way for less is as good as new.
        return {**wanted, timer: timer_s - max(0, int(age_s))}

    def _untimely(self, control: Control, t: datetime, age_s: float, oldest_s: float) -> str | None:
        """Why an order is none by its time, and the mend; None: it is one."""
        before = self._followed.get(_first(control))
        if age_s < -FASTEST_CLOCK_S:
            return f"it is of {-age_s:.0f} s from now, set the clocks"
        if before is not None and t <= before.order:
            return (
                f"it is of {_date(t)}, older than the order of {_date(before.order)}; was a clock "
                "set back? Set RTU and device to the same time"
            )
        if t <= self._began:
            return (
                f"it is of {_date(t)}, and the device started at {_date(self._began)}; write it "
                "again, and if that is refused set RTU and device to the same time"
            )
        return f"it is {age_s:.0f} s old, set the clocks" if age_s >= oldest_s else None

    def _refuse(self, control: Control, why: str) -> None:
        model_id, point = _first(control)
        log.warning("%s refuses a setpoint (%d.%s): %s", self.own[0].ied, model_id, point, why)

    def _obey(self, control: Control, wanted: Mapping[Key, float], t: UtcTime) -> None:
        """Write a setpoint to the registers, once: one that is refused does not wait."""
        models = frozenset(m for m, _ in control.keys)
        blocks = self._local.blocks(models)
        there = all(shown(blocks, p) is not None for p in control.points)
        fits = there and all(show(blocks, p, wanted[p.key]) for p in control.points)
        done = fits and self._write(control, blocks)
        if not done:
            self._refuse(control, "its registers do not take it")
        now = _held(self._local.blocks(models), control)
        # What was refused bears no stamp of an order, so whoever wrote it sees that.
        stamp = t if done else self.started
        self._followed[_first(control)] = _Followed(t.when, stamp, now, in_force=done)

    def revert(self) -> bool:
        """The RTU is not heard any more: whatever it ordered ends now, as by its timer.

        Returns:
            Whether nothing is left in force; else it must be tried again.
        """
        done = True
        for control in CONTROLS:
            followed = self._followed.get(_first(control))
            if followed is None or not followed.in_force or control.block is None:
                continue
            blocks = self._local.blocks(frozenset({CONTROLS_AC}))
            controls, block = blocks[CONTROLS_AC], control.block
            controls.set_raw(block.value, controls.raw(block.reversion))
            controls.set_raw(block.enable, controls.raw(block.enable_reversion))
            controls.set_raw(block.timer, 0)
            if self._write(control, blocks):
                followed.in_force = False
            else:
                done = False
        return done

    def _write(self, control: Control, blocks: Mapping[int, ModelBlock]) -> bool:
        if control.block is not None:
            first, last = control.block.enable, control.block.timer
            return self._local.write(CONTROLS_AC, first, last, blocks[CONTROLS_AC])
        return all(
            self._local.write(p.model, p.point, p.point, blocks[p.model]) for p in control.points
        )


def _first(control: Control) -> Key:
    """What a control is known by."""
    return control.points[0].key


def _date(t: datetime) -> str:
    return t.isoformat(" ", "milliseconds")


def _held(blocks: Mapping[int, ModelBlock], control: Control) -> tuple[float | None, ...]:
    return tuple(shown(blocks, p) for p in control.points)
