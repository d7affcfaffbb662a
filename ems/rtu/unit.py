"""One IED as Modbus clients see it: pure state between GOOSE values and registers.

Registers show what the device tells. A setpoint that was just written is shown as written until
the device confirms it, for `ECHO_S` at most; from then on again what the device holds. Reversion
timers run in the device: they are forwarded, and each write carries a time stamp of its own, so
that writing the same setpoint again arms them anew, and repeating a frame does not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import zip_longest

from ems.errors import BadInput
from ems.outstation import Accepts, RegisterMap, Written
from ems.protocols.goose import Data, Kind, UtcTime
from ems.protocols.scl import (
    ALL_TOLD,
    CONTROLS,
    METERED,
    Control,
    Form,
    GooseBlock,
    Mapped,
    SclFile,
    control_blocks,
    flat,
)
from ems.protocols.scl.carried import (
    NOTHING,
    Key,
    Place,
    Sample,
    filled,
    places,
    sample,
    show,
    shown,
)
from ems.protocols.sunspec import Rounding, counts
from ems.rtu.image import CONTROLS_AC, blocks_of, is_load, standing_points

ECHO_S = 1.0
"""How long a setpoint is shown as written while the device has not confirmed it [s]: some
hundred times what a GOOSE round trip takes."""
TICK = timedelta(microseconds=1)
"""An order is later than the one before, also where the clock stands or goes back a little."""
STEP = timedelta(seconds=3)
"""From where on a clock counts as set back: less, and orders are later than the one before by
`TICK` until it has caught up, well within what devices let a clock be ahead."""
MOST_PCT = 100.0
"""Of the rating: a limit above it is none."""
LARGEST_COUNT = 0xFFFF_FFFE
"""Of an unsigned point of 32 bits; the next one means "not implemented"."""
ORDERED = tuple(p for c in CONTROLS for p in c.points)
REMAINING = tuple(c.remaining for c in CONTROLS if c.remaining is not None)


@dataclass(slots=True)
class _Order:
    """What was last written to one control."""

    values: dict[Key, float]
    t: UtcTime
    made_s: float
    """When, on the clock that never steps [s]."""
    until: float | None
    """Until when it is shown as written [s]; None: the device's own answer counts."""
    confirmed: bool = False
    """The device has said that it holds it."""


class Unit:
    """Registers of one IED. Its methods may be called from several threads."""

    def __init__(
        self,
        file: SclFile,
        clock: Callable[[], tuple[float, datetime]],
        publish: Callable[[tuple[Data, ...]], None],
    ) -> None:
        """Lay out the registers; all but the ratings read as not available.

        Args:
            file: the ICD.
            clock: the present: on a clock that never steps [s], and of the day.
            publish: told the data set of setpoints, under the registers' lock, whenever a client
                has written.

        Raises:
            BadInput: the file does not say enough to make SunSpec models of it.
        """
        self.name = file.ieds[0].name
        self.measurements, self.setpoints = chosen_blocks(file)
        self.heard: set[str] = set()
        """References of the control blocks of the device that are heard."""
        self._clock, self._publish = clock, publish
        load = is_load(file.ieds[0])
        wanted = METERED if load else (*ALL_TOLD, *ORDERED, *REMAINING)
        told = {b.block.gocb_ref: _told_in(b, wanted) for b in self.measurements}
        # What two control blocks tell, the first one tells.
        self._told = {k: p for at in reversed(told.values()) for k, p in at.items()}
        self._by_block = {r: _keys_at(at, self._told) for r, at in told.items()}
        self._sent = {} if self.setpoints is None else places(self.setpoints, ORDERED)
        self._controls = tuple(c for c in CONTROLS if c.keys <= self._sent.keys())
        self._tells = {_first(c): c.keys & self._told.keys() for c in self._controls}
        self._orders: dict[Key, _Order] = {}
        self._withdrawn = False
        """Whether an order was ever taken back."""
        self._nested = {b.block.gocb_ref for b in self.measurements if _nests(b)}
        """Control blocks whose data sets hold structures."""
        self._taken: dict[str, Sequence[Data]] = {}
        """What each control block said last, structures dissolved."""
        self._found: dict[Key, Sample] = {}
        self._stale = set(self._told)
        """Points whose registers may show something else than what the device says."""
        self._orderable = frozenset(k for c in self._controls for k in c.keys)
        self._shown_alive: bool | None = None
        self._there: dict[Key, bool] = {}
        self._blocks = blocks_of(file.ieds[0], [*self._told, *self._sent])
        self.registers = RegisterMap(
            tuple(self._blocks.values()), self._accepted(), on_write=self._written
        )
        self.registers.sealed = True

    @property
    def alive(self) -> bool:
        """Whether all of the device is heard."""
        return len(self.heard) == len(self._by_block)

    # --- from the device -----------------------------------------------------------------

    def take(self, gocb_ref: str, values: Sequence[Data]) -> None:
        """Show what one control block of the device says."""
        simple = flat(values) if gocb_ref in self._nested else values
        with self.registers.lock:
            was_alive = self.alive
            self._find(gocb_ref, simple)
            self.heard.add(gocb_ref)
            self.registers.sealed = not self.alive
            self._confirm()
            self._show()
            if self._withdrawn and self.alive and not was_alive:
                # Once more: what was lost may have been this RTU's own end of the wire.
                self._order()

    def _find(self, gocb_ref: str, values: Sequence[Data]) -> None:
        """Understand what is new: values that did not change are the same objects as before."""
        keys_at = self._by_block[gocb_ref]
        before = self._taken.get(gocb_ref, ())
        self._taken[gocb_ref] = values
        new = [i for i, (v, was) in enumerate(zip_longest(values, before)) if v is not was]
        for key in {key for i in new for key in keys_at.get(i, ())}:
            found = sample(self._told[key], values)
            if found.value != self._found.get(key, NOTHING).value:
                self._stale.add(key)
            self._found[key] = found

    def forget(self, gocb_ref: str) -> None:
        """A control block is not heard: nothing it said holds any more, and no write is taken."""
        with self.registers.lock:
            self._taken.pop(gocb_ref, None)
            gone = {key for keys in self._by_block[gocb_ref].values() for key in keys}
            for key in gone:
                self._found.pop(key, None)
            self._stale |= gone
            self.heard.discard(gocb_ref)
            self.registers.sealed = True
            self._withdraw()
            self._show()

    def _confirm(self) -> None:
        """Take note of which orders the device says it holds."""
        for control in self._controls:
            order = self._orders.get(_first(control))
            if order is not None and not order.confirmed:
                order.confirmed = any(
                    self._found.get(k, NOTHING).t == order.t for k in control.keys
                )

    def _withdraw(self) -> None:
        """Take back what a lost device never confirmed: once heard again it must not obey it."""
        unsure = [key for key, order in self._orders.items() if not order.confirmed]
        for order in self._orders.values():
            order.until = None
        for key in unsure:
            del self._orders[key]
        if unsure:
            self._withdrawn = True
            self._order()

    def settle(self) -> float | None:
        """Show the device's own setpoints where it has not confirmed those written in time.

        Returns:
            When to call again [s]; None while nothing waits.
        """
        with self.registers.lock:
            if any(order.until is not None for order in self._orders.values()):
                self._show()
            return min(
                (o.until for o in self._orders.values() if o.until is not None), default=None
            )

    def _show(self) -> None:
        """Bring the registers up to what is known; those that did not change are not touched."""
        waiting = self._waiting() if self._orders else frozenset[Key]()
        changed = self._stale
        for key in changed - waiting:
            show(self._blocks, self._told[key].mapped, self._found.get(key, NOTHING).value)
        self._stale = changed & waiting
        if self.alive is self._shown_alive and changed.isdisjoint(self._orderable):
            return
        self._shown_alive = self.alive
        for control in self._controls:
            there = self._available(control)
            if self._there.get(_first(control)) is not there:
                self._there[_first(control)] = there
                self._show_untold(control, there=there)

    def _waiting(self) -> frozenset[Key]:
        """Points that are still shown as written."""
        now, _ = self._clock()
        return frozenset(k for c in self._controls if self._waits(c, now) for k in _written_of(c))

    def _waits(self, control: Control, now: float) -> bool:
        """Whether a control is still shown as written."""
        order = self._orders.get(_first(control))
        if order is None or order.until is None:
            return False
        if order.confirmed or now >= order.until:
            order.until = None
        return order.until is not None

    def _show_untold(self, control: Control, *, there: bool) -> None:
        """Points that the device does not tell: as last written, and those not forwarded.

        What nobody has written nobody knows, so it reads as not implemented; but for the points
        by which clients see that there is a control to be written: they read as off, or as 0.
        """
        order = self._orders.get(_first(control))
        for mapped in control.points:
            if mapped.key not in self._told:
                tells_control = mapped.form in (Form.MODE, Form.COUNT) and mapped.key == _first(
                    control
                )
                unwritten = 0.0 if tells_control else None
                written = unwritten if order is None else order.values.get(mapped.key)
                show(self._blocks, mapped, written if there else None)
        for point, value in standing_points(control).items():
            self._blocks[CONTROLS_AC].set_raw(point, value if there else None)

    def _available(self, control: Control) -> bool:
        """Whether the device has a control: it tells it, or it tells none of its points."""
        told = self._tells[_first(control)]
        return self.alive and all(self._found.get(k, NOTHING).value is not None for k in told)

    # --- from a client -------------------------------------------------------------------

    def _accepted(self) -> dict[Key, Accepts]:
        """Points that clients may write, and what they take."""
        accepted: dict[Key, Accepts] = {}
        for control in self._controls:
            for mapped in control.points:
                accepted[mapped.key] = self._within(control, *self._bounds(mapped))
            for point, value in standing_points(control).items():
                accepted[CONTROLS_AC, point] = self._within(control, value, value)
        return accepted

    def _within(self, control: Control, low: int, high: int) -> Accepts:
        return lambda raw: low <= raw <= high and (not self.alive or self._available(control))

    def _bounds(self, mapped: Mapped) -> tuple[int, int]:
        """Least and largest count; setpoints stay within the ratings."""
        if mapped.form is Form.COUNT:
            return 0, LARGEST_COUNT
        if mapped.form is not Form.NUMBER:
            return 0, 1
        ratings, sf = self._blocks[702], self._blocks[mapped.model].scale_factor(mapped.point) or 0
        if _is_limit(mapped):
            least, most = 0.0, MOST_PCT
        elif mapped.point.startswith("VarSet"):
            least, most = ratings.value("VarMaxAbsRtg") or 0.0, ratings.value("VarMaxInjRtg") or 0.0
        else:
            least, most = ratings.value("WChaRteMaxRtg") or 0.0, ratings.value("WMaxRtg") or 0.0
        return -counts(least, sf, Rounding.FLOOR), counts(most, sf, Rounding.FLOOR)

    def _written(self, points: Written) -> None:
        """Forward what a client wrote."""
        now, day = self._clock()
        for control in self._controls:
            if not control.keys & points:
                continue
            shown_now = {p.key: shown(self._blocks, p) for p in control.points}
            values = {key: value for key, value in shown_now.items() if value is not None}
            if control.block is not None and control.remaining is not None:
                seconds = values.get((CONTROLS_AC, control.block.timer))
                show(self._blocks, control.remaining, seconds)
            self._stale |= _written_of(control) & self._told.keys()
            confirms = bool(self._tells[_first(control)])
            t = UtcTime.of(_later(self._orders.get(_first(control)), now, day))
            until = now + ECHO_S if confirms else None
            self._orders[_first(control)] = _Order(values, t, now, until)
        self._order()

    def _order(self) -> None:
        """Send all orders that stand."""
        if self.setpoints is not None:
            self._publish(self._data_set(self.setpoints))

    def _data_set(self, block: GooseBlock) -> tuple[Data, ...]:
        """All setpoints that stand, each with the time of its last write."""
        samples = {
            key: Sample(value=value, t=order.t)
            for order in self._orders.values()
            for key, value in order.values.items()
        }
        return filled(block, self._sent, samples)


def _first(control: Control) -> Key:
    """What a control is known by."""
    return control.points[0].key


def _later(before: _Order | None, now: float, day: datetime) -> datetime:
    """The time of an order: later than that of the one before, as long as no clock was set back.

    Where it was, only its new time is one that devices with the same clock can take.
    """
    if before is None:
        return day
    set_back = before.t.when + timedelta(seconds=now - before.made_s) - day
    return day if set_back >= STEP else max(day, before.t.when + TICK)


def _told_in(block: GooseBlock, wanted: Sequence[Mapped]) -> dict[Key, Place]:
    """Where a device tells each point; limits in percent have an end that no register shows."""
    return {
        key: replace(place, mapped=replace(place.mapped, most=MOST_PCT))
        if _is_limit(place.mapped)
        else place
        for key, place in places(block, wanted).items()
    }


def _is_limit(mapped: Mapped) -> bool:
    return mapped.form is Form.NUMBER and mapped.point.startswith("WMaxLimPct")


def _nests(block: GooseBlock) -> bool:
    return any(not isinstance(entry.shape, Kind) for entry in block.block.entries)


def _written_of(control: Control) -> frozenset[Key]:
    """What a write to a control changes: its points, and the rest of its timer."""
    remaining = control.remaining
    return control.keys if remaining is None else control.keys | {remaining.key}


def _keys_at(at: Mapping[Key, Place], told: Mapping[Key, Place]) -> dict[int, list[Key]]:
    """The points that a control block tells, by the index of each value that is about them."""
    found: dict[int, list[Key]] = {}
    for key, place in at.items():
        for index in (place.value, place.q, place.t):
            if index is not None and told[key] is place:
                found.setdefault(index, []).append(key)
    return found


def chosen_blocks(file: SclFile) -> tuple[tuple[GooseBlock, ...], GooseBlock | None]:
    """The device's own control blocks that tell something, most first, and that of its RTU.

    Raises:
        BadInput: the device publishes nothing that SunSpec models could show.
    """
    device, told = file.ieds[0].name, (*ALL_TOLD, *METERED)
    blocks = control_blocks(file)
    own = [b for b in blocks if b.ied == device and places(b, (*told, *ORDERED, *REMAINING))]
    own.sort(key=lambda b: len(places(b, told)), reverse=True)
    if not own or not places(own[0], told):
        raise BadInput.at(
            device,
            "publishes no measurement by GOOSE; the file needs a GSEControl whose data set holds "
            "MMXU.TotW",
        )
    setpoints = [b for b in blocks if b.ied != device and places(b, ORDERED)]
    return tuple(own), max(setpoints, key=lambda b: len(places(b, ORDERED)), default=None)
