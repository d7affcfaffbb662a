"""Devices of IEEE 1547-2018: SunSpec models 701 to 715."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from ems.domain import Bes, Command, Der, DerReading, LoadReading, Pv, Readback
from ems.errors import DeviceError, RefusedWrite
from ems.gateways.face import Order, Orders, check_kind, check_rating
from ems.gateways.image import Chain, Image, Span, spans
from ems.gateways.meter import Meter
from ems.gateways.quantities import first, kilo, needed, told
from ems.protocols.sunspec import (
    CAP,
    REACTIVE,
    SETPOINT,
    ControlBlock,
    ModelBlock,
    encode,
    held,
    model,
    to_registers,
)

MEASURED, CAPACITY, CONTROLS, STORAGE, CONTROL, STATUS = 701, 702, 704, 713, 715, 122
LOCAL_CONTROL = 1
"""LocRemCtl: somebody works on the device."""
CONNECTED = 1
"""ConnSt."""
HEARTBEAT_WRAPS = 0xFFFF_FFFF
"""ControllerHb counts below this; it is the value that says that there is none."""


def _upto(model_id: int, last: str) -> int:
    return model(model_id).points[last].end


# Everything behind these points is of no use here.
MEASURED_UPTO = _upto(MEASURED, "Var_SF")
CONTROLS_UPTO = _upto(CONTROLS, "VarSetPct_SF")
STATUS_UPTO = _upto(STATUS, "WAval_SF")
BEAT_UPTO = _upto(CONTROL, "DERHb")
OWN_BEAT_UPTO = _upto(CONTROL, "ControllerHb")
FACTORS = ("WMaxLimPct_SF", "WSet_SF", "VarSet_SF")


class Der7xx:
    """Measurements of 701, ratings of 702, controls of 704, storage of 713, heartbeat of 715."""

    controls = f"model {CONTROLS}"

    def __init__(self, place: str, chain: Chain, *, merged: bool = True) -> None:
        """Find the models.

        Args:
            place: how messages name the device.
            chain: what it has.
            merged: whether one read may span several models.
        """
        self._name = place
        self._chain = chain
        self._merged = merged
        self._last_beat: int | None = None
        self._spans: dict[tuple[tuple[int, int], ...], tuple[Span, ...]] = {}

    def to_read_load(self) -> Sequence[Span]:
        """A DER may carry a meter too."""
        return Meter(self._name, self._chain).to_read_load()

    def load(self, image: Image, now: datetime) -> LoadReading:
        """What that meter shows."""
        return Meter(self._name, self._chain).load(image, now)

    # --- reading -------------------------------------------------------------------

    def _wanted(self, der: Der) -> dict[int, int]:
        self._demand(der, MEASURED, CAPACITY, CONTROLS)
        wanted = {
            MEASURED: MEASURED_UPTO,
            CAPACITY: model(CAPACITY).length,
            CONTROLS: CONTROLS_UPTO,
        }
        if isinstance(der, Bes):
            self._demand(der, STORAGE)
            wanted[STORAGE] = model(STORAGE).length
        if isinstance(der, Pv) and STATUS in self._chain:
            wanted[STATUS] = STATUS_UPTO
        if CONTROL in self._chain:
            wanted[CONTROL] = BEAT_UPTO
        return wanted

    def to_read(self, der: Der) -> Sequence[Span]:
        """See `Face`."""
        return self._reads(self._wanted(der))

    def reading(self, der: Der, image: Image, now: datetime) -> DerReading:
        """See `Face`."""
        measured, capacity, controls, *rest = self._blocks(self._wanted(der), image)
        others = {block.model.id: block for block in rest}
        w_max = first(capacity, self._name, "WMax", "WMaxRtg")
        ordered = None if w_max is None else held(controls, w_max)
        state, beat = measured.raw("ConnSt"), others.get(CONTROL)
        return DerReading(
            der=der.name,
            time=now,
            p_kw=needed(measured, "W", self._name) / 1000,
            q_kvar=needed(measured, "Var", self._name) / 1000,
            v_pu=self._v_pu(measured, capacity),
            hz=told(measured, "Hz", self._name),
            soc_pct=self._optional(others, STORAGE, "SoC"),
            cap_kw=ordered.cap_kw if ordered else None,
            p_set_kw=(ordered.p_kw or 0.0) if ordered else None,
            q_set_kvar=(ordered.q_kvar or 0.0) if ordered else None,
            available_kw=kilo(self._optional(others, STATUS, "WAval")),
            rated_kw=kilo(w_max),
            connected=None if state is None else state == CONNECTED,
            heartbeat=None if beat is None else beat.raw("DERHb"),
            local=beat is not None and beat.raw("LocRemCtl") == LOCAL_CONTROL,
        )

    def _optional(self, blocks: Mapping[int, ModelBlock], model_id: int, name: str) -> float | None:
        return told(blocks[model_id], name, self._name) if model_id in blocks else None

    def _v_pu(self, measured: ModelBlock, capacity: ModelBlock) -> float | None:
        """Voltage over the nominal one [pu].

        Model 702 gives the nominal voltage line to neutral for single phase, line to line else.
        """
        single = measured.raw("ACType") == model(MEASURED).points["ACType"].symbols["SINGLE_PHASE"]
        volts = told(measured, "LNV" if single else "LLV", self._name)
        nominal = first(capacity, self._name, "VNom", "VNomRtg")
        return volts / nominal if volts is not None and nominal is not None else None

    # --- writing -------------------------------------------------------------------

    def _command(self) -> dict[int, int]:
        wanted = {CAPACITY: model(CAPACITY).length, CONTROLS: CONTROLS_UPTO}
        # With the last heartbeat the three models would be one register too many for one read:
        # it is read once, and counted from there.
        upto = OWN_BEAT_UPTO if self._last_beat is None else BEAT_UPTO
        return wanted | ({CONTROL: upto} if CONTROL in self._chain else {})

    def to_command(self, der: Der) -> Sequence[Span]:
        """See `Face`."""
        self._demand(der, CAPACITY, CONTROLS)
        return self._reads(self._command())

    def orders(self, der: Der, image: Image, command: Command) -> Orders:
        """See `Face`."""
        check_kind(der, command)
        capacity, controls, *rest = self._blocks(self._command(), image)
        beat = rest[0] if rest else None
        if beat is not None and beat.raw("LocRemCtl") == LOCAL_CONTROL:
            raise RefusedWrite(
                f"{self._name}: under local control (715.LocRemCtl), nothing was written; "
                "release it at the device"
            )
        w_max = self._w_max(capacity)
        rated = first(capacity, self._name, "WMaxRtg", "WMax")
        check_rating(der, rated, self._name, "702.WMaxRtg")
        try:
            writes = encode(command, controls, w_max)
        except ValueError as fault:
            raise RefusedWrite(f"{self._name}: {fault}; nothing was written") from fault
        start = self._chain.place(CONTROLS).start
        return Orders(
            writes=tuple(
                Order(start=start + w.offset, registers=w.registers, points=w.block.points)
                for w in writes
            ),
            meaning=_meaning(capacity, controls),
            heartbeat=None if beat is None else self._beat(beat),
        )

    def _w_max(self, capacity: ModelBlock) -> float:
        w_max = first(capacity, self._name, "WMax", "WMaxRtg")
        if w_max is None:
            raise RefusedWrite(
                f"{self._name}: 702.WMax and WMaxRtg read as not available (NaN), "
                "nothing was written"
            )
        return w_max

    def _beat(self, beat: ModelBlock) -> Order | None:
        last = beat.raw("ControllerHb") if self._last_beat is None else self._last_beat
        if last is None:
            return None
        self._last_beat = (last + 1) % HEARTBEAT_WRAPS
        point = model(CONTROL).points["ControllerHb"]
        return Order(
            start=self._chain.place(CONTROL).start + point.offset,
            registers=tuple(to_registers(point, self._last_beat)),
            points=(point,),
        )

    def to_confirm(self, der: Der) -> Sequence[Span]:
        """See `Face`."""
        self._demand(der, CAPACITY, CONTROLS)
        return self._reads({CAPACITY: model(CAPACITY).length, CONTROLS: CONTROLS_UPTO})

    def meaning(self, der: Der, image: Image) -> tuple[int | None, ...]:  # noqa: ARG002 - as `Face`
        """See `Face`."""
        return _meaning(*self._confirmed(image))

    def held(self, der: Der, image: Image) -> Readback:
        """See `Face`."""
        capacity, controls = self._confirmed(image)
        for block in (CAP if isinstance(der, Pv) else SETPOINT, REACTIVE):
            self._check_timer(block, controls)
        return held(controls, self._w_max(capacity)).readback()

    def _check_timer(self, block: ControlBlock, controls: ModelBlock) -> None:
        """Refuse to believe a refresh that reads back equal and started no timer.

        Half of the time is far less than any refresh leaves. 0 says nothing: some devices show the
        remaining time a second late, and one whose time is up no longer holds what was written.
        """
        timer_s, left_s = controls.raw(block.timer), controls.raw(block.remaining)
        if timer_s and left_s and left_s < timer_s / 2:
            raise DeviceError(
                f"{self._name}: {block.timer} holds {timer_s} s, and right after the write "
                f"{left_s} s are left ({block.remaining}): the timer was not started anew"
            )

    def _confirmed(self, image: Image) -> tuple[ModelBlock, ModelBlock]:
        capacity = image.block(self._chain.place(CAPACITY), model(CAPACITY).length)
        return capacity, image.block(self._chain.place(CONTROLS), CONTROLS_UPTO)

    # --- the chain -------------------------------------------------------------------

    def _demand(self, der: Der, *models: int) -> None:
        missing = [m for m in models if m not in self._chain]
        if missing:
            raise DeviceError(
                f"{self._name}: lacks SunSpec model {', '.join(map(str, missing))} "
                f"(it has {self._chain.models}), as a {type(der).__name__.upper()} of the 700 "
                "series has"
            )

    def _reads(self, wanted: Mapping[int, int]) -> tuple[Span, ...]:
        key = tuple(wanted.items())
        if key not in self._spans:
            self._spans[key] = spans(self._chain, wanted, merged=self._merged)
        return self._spans[key]

    def _blocks(self, wanted: Mapping[int, int], image: Image) -> list[ModelBlock]:
        return [image.block(self._chain.place(m), upto) for m, upto in wanted.items()]


def _meaning(capacity: ModelBlock, controls: ModelBlock) -> tuple[int | None, ...]:
    """Scale factors of the controls, and the rating that percentages relate to."""
    return (
        *(controls.raw(name) for name in FACTORS),
        *(capacity.raw(name) for name in ("WMax", "WMaxRtg", "W_SF")),
    )
