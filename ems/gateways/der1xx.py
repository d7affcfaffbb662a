"""Devices before IEEE 1547-2018: inverter models 101 to 103 and what stands around them.

They take a cap and reactive power in percent, and storage two rates; nothing of it has a value to
fall back to. Where a timer runs out the control is lifted, so a timer is armed only where that
is what the site was proved with: see `_timer_s`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from ems.domain import Bes, Command, Der, DerReading, Dg, LoadReading, Readback
from ems.errors import DeviceError, RefusedWrite
from ems.gateways.face import Order, Orders, check_kind, check_rating
from ems.gateways.image import Chain, Image, Span, spans
from ems.gateways.meter import Meter
from ems.gateways.quantities import first, kilo, needed, told
from ems.protocols.sunspec import ModelBlock, model
from ems.protocols.sunspec.control1xx import (
    LONGEST_TIMER_S,
    PointsWrite,
    cap,
    held_cap,
    held_reactive,
    held_storage,
    reactive,
    storage,
)

INVERTERS = (103, 102, 101)
"""Three phases, split phase, single phase."""
NAMEPLATE, SETTINGS, STATUS, CONTROLS, STORAGE, BATTERY = 120, 121, 122, 123, 124, 802
LOCAL_CONTROL = 1
"""802.LocRemCtl."""
CONNECTED = 1
"""122.ECPConn and 123.Conn."""
STATUS_UPTO = model(STATUS).points["WAval_SF"].end
_UPTO = {STATUS: STATUS_UPTO}


class Der1xx:
    """Measurements of 103, ratings of 120 and 121, controls of 123, storage of 124 and 802."""

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
        self._inverter = next(m for m in INVERTERS if m in chain)

    @property
    def controls(self) -> str:
        """See `Face`."""
        return f"models {CONTROLS} and {STORAGE}"

    def to_read_load(self) -> Sequence[Span]:
        """An inverter may carry a meter too."""
        return Meter(self._name, self._chain).to_read_load()

    def load(self, image: Image, now: datetime) -> LoadReading:
        """What that meter shows."""
        return Meter(self._name, self._chain).load(image, now)

    # --- reading -------------------------------------------------------------------

    def _wanted(self, *models: int) -> dict[int, int]:
        return {m: _UPTO.get(m, model(m).length) for m in models if m in self._chain}

    def _read(self, der: Der) -> dict[int, int]:
        if NAMEPLATE not in self._chain and SETTINGS not in self._chain:
            raise DeviceError(
                f"{self._name}: lacks SunSpec model {NAMEPLATE} and {SETTINGS} "
                f"(it has {self._chain.models}), so its rating is not known"
            )
        models = (self._inverter, NAMEPLATE, SETTINGS, STATUS, CONTROLS)
        return self._wanted(*models, *((STORAGE, BATTERY) if isinstance(der, Bes) else ()))

    def to_read(self, der: Der) -> Sequence[Span]:
        """See `Face`."""
        return spans(self._chain, self._read(der), merged=self._merged)

    def reading(self, der: Der, image: Image, now: datetime) -> DerReading:
        """See `Face`."""
        blocks = self._blocks(self._read(der), image)
        measured, battery = blocks[self._inverter], blocks.get(BATTERY)
        w_max = self._w_max(blocks)
        soc_pct = self._soc_pct(blocks)
        if isinstance(der, Bes) and soc_pct is None:
            raise DeviceError(
                f"{self._name}: its state of charge reads as not available (NaN), in model "
                f"{BATTERY} (SoC) as in {STORAGE} (ChaState)"
            )
        return DerReading(
            der=der.name,
            time=now,
            p_kw=needed(measured, "W", self._name) / 1000,
            q_kvar=needed(measured, "VAr", self._name) / 1000,
            v_pu=self._v_pu(blocks),
            hz=told(measured, "Hz", self._name),
            soc_pct=soc_pct,
            cap_kw=held_cap(blocks[CONTROLS], w_max) if CONTROLS in blocks and w_max else None,
            available_kw=kilo(self._optional(blocks, STATUS, "WAval")),
            rated_kw=kilo(w_max),
            connected=_connected(blocks),
            heartbeat=None if battery is None else battery.raw("Hb"),
            local=_local(blocks),
        )

    def _optional(self, blocks: Mapping[int, ModelBlock], model_id: int, name: str) -> float | None:
        return told(blocks[model_id], name, self._name) if model_id in blocks else None

    def _soc_pct(self, blocks: Mapping[int, ModelBlock]) -> float | None:
        """Of the battery itself, else of the inverter's own account."""
        of_battery = self._optional(blocks, BATTERY, "SoC")
        return self._optional(blocks, STORAGE, "ChaState") if of_battery is None else of_battery

    def _w_max(self, blocks: Mapping[int, ModelBlock]) -> float | None:
        """The setting where there is one, the rating else [W]."""
        for model_id, name in ((SETTINGS, "WMax"), (NAMEPLATE, "WRtg")):
            found = first(blocks[model_id], self._name, name) if model_id in blocks else None
            if found is not None:
                return found
        return None

    def _v_pu(self, blocks: Mapping[int, ModelBlock]) -> float | None:
        """Voltage over the reference one [pu].

        VRef does not say whether it is meant line to line or line to neutral: √3 apart, only one
        of the two comes near.
        """
        reference = first(blocks[SETTINGS], self._name, "VRef") if SETTINGS in blocks else None
        if reference is None:
            return None
        measured = blocks[self._inverter]
        means = []
        for names in (("PPVphAB", "PPVphBC", "PPVphCA"), ("PhVphA", "PhVphB", "PhVphC")):
            volts = [v for n in names if (v := told(measured, n, self._name)) is not None]
            means += [sum(volts) / len(volts) / reference] if volts else []
        return min(means, key=lambda v_pu: abs(v_pu - 1), default=None)

    # --- writing -------------------------------------------------------------------

    def _command(self, der: Der) -> dict[int, int]:
        models = (NAMEPLATE, SETTINGS, CONTROLS)
        return self._wanted(*models, *((STORAGE, BATTERY) if isinstance(der, Bes) else ()))

    def to_command(self, der: Der) -> Sequence[Span]:
        """See `Face`."""
        needs = STORAGE if isinstance(der, Bes) else CONTROLS
        if needs not in self._chain:
            raise RefusedWrite(
                f"{self._name}: lacks SunSpec model {needs} (it has {self._chain.models}), so it "
                "cannot be commanded; nothing was written"
            )
        return spans(self._chain, self._command(der), merged=self._merged)

    def orders(self, der: Der, image: Image, command: Command) -> Orders:
        """See `Face`."""
        check_kind(der, command)
        blocks = self._blocks(self._command(der), image)
        if _local(blocks):
            raise RefusedWrite(
                f"{self._name}: under local control (802.LocRemCtl), nothing was written; release "
                "it at the device"
            )
        w_max = self._w_max(blocks)
        if w_max is None:
            raise RefusedWrite(
                f"{self._name}: 121.WMax and 120.WRtg read as not available (NaN), "
                "nothing was written"
            )
        self._check_rating(der, blocks)
        try:
            active = (
                self._stored(blocks, command)
                if isinstance(der, Bes)
                else (self._capped(der, blocks[CONTROLS], command, w_max),)
            )
            writes = (*active, *self._reactive(blocks, command, w_max))
        except ValueError as fault:
            raise RefusedWrite(f"{self._name}: {fault}; nothing was written") from fault
        return Orders(
            writes=tuple(
                Order(
                    start=self._chain.place(w.model_id).start + w.points[0].offset,
                    registers=w.registers,
                    points=w.points,
                )
                for w in writes
            ),
            meaning=self.meaning(der, image),
        )

    def _check_rating(self, der: Der, blocks: Mapping[int, ModelBlock]) -> None:
        for model_id, name in ((NAMEPLATE, "WRtg"), (SETTINGS, "WMax")):
            rated = first(blocks[model_id], self._name, name) if model_id in blocks else None
            if rated is not None:
                check_rating(der, rated, self._name, f"{model_id}.{name}")
                return

    def _capped(self, der: Der, block: ModelBlock, command: Command, w_max: float) -> PointsWrite:
        """A cap; a generator's setpoint is the cap that keeps it from giving more."""
        cap_kw = command.cap_kw
        if isinstance(der, Dg) and command.p_kw is not None:
            cap_kw = command.p_kw
        if cap_kw is not None and not 0.0 <= cap_kw < float("inf"):
            raise ValueError(f"model {CONTROLS} knows no cap of {cap_kw:g} kW")
        return cap(block, cap_kw, w_max, _timer_s(der, command))

    def _stored(
        self, blocks: Mapping[int, ModelBlock], command: Command
    ) -> tuple[PointsWrite, ...]:
        assert command.p_kw is not None  # noqa: S101 - `check_kind` saw to it
        timer_s = min(command.reversion_s, LONGEST_TIMER_S)
        discharge_w, charge_w = self._rates(blocks)
        return storage(blocks[STORAGE], command.p_kw, discharge_w, charge_w, timer_s)

    def _rates(self, blocks: Mapping[int, ModelBlock]) -> tuple[float, float]:
        """What the percentages of discharging and charging relate to [W]."""
        charge = first(blocks[STORAGE], self._name, "WChaMax")
        rated = blocks.get(NAMEPLATE)
        if charge is None and rated is not None:
            charge = first(rated, self._name, "MaxChaRte")
        discharge = None if rated is None else first(rated, self._name, "MaxDisChaRte")
        if charge is None:
            raise ValueError("124.WChaMax reads as not available (NaN)")
        return (charge if discharge is None else discharge), charge

    def _reactive(
        self, blocks: Mapping[int, ModelBlock], command: Command, w_max: float
    ) -> tuple[PointsWrite, ...]:
        if CONTROLS not in blocks:
            if command.q_kvar == 0.0:
                return ()
            raise ValueError(f"the device lacks model {CONTROLS} and takes no reactive power")
        # Reactive power falls back to none by itself, which is what the site was proved with.
        timer_s = min(command.reversion_s, LONGEST_TIMER_S)
        limit = self._var_max(blocks, command.q_kvar)
        write = reactive(blocks[CONTROLS], command.q_kvar, w_max, limit, timer_s)
        return () if write is None else (write,)

    def _var_max(self, blocks: Mapping[int, ModelBlock], q_kvar: float) -> float | None:
        """VArMax of the quadrant, injecting (1) or absorbing (4) while generating [var]."""
        quadrant = "Q4" if q_kvar < 0 else "Q1"
        for model_id, name in ((SETTINGS, "VArMax"), (NAMEPLATE, "VArRtg")):
            found = self._optional(blocks, model_id, name + quadrant)
            if found:
                return abs(found)
        return None

    def to_confirm(self, der: Der) -> Sequence[Span]:
        """See `Face`."""
        return self.to_command(der)

    def meaning(self, der: Der, image: Image) -> tuple[int | None, ...]:
        """See `Face`."""
        blocks = self._blocks(self._command(der), image)
        return tuple(
            blocks[model_id].raw(name)
            for model_id, names in _MEANING.items()
            if model_id in blocks
            for name in names
        )

    def held(self, der: Der, image: Image) -> Readback:
        """See `Face`."""
        blocks = self._blocks(self._command(der), image)
        w_max = self._w_max(blocks) or 0.0
        cap_kw = p_kw = q_kvar = None
        if CONTROLS in blocks:
            cap_kw = held_cap(blocks[CONTROLS], w_max)
            raw = blocks[CONTROLS].raw("VArMaxPct")
            limit = self._var_max(blocks, 0.0 if raw is None else raw)
            q_kvar = held_reactive(blocks[CONTROLS], w_max, limit)
        if isinstance(der, Bes):
            p_kw, cap_kw = held_storage(blocks[STORAGE], *self._rates(blocks)), None
        elif isinstance(der, Dg):
            p_kw, cap_kw = cap_kw, None
        # Where no timer runs the device keeps what it was ordered.
        model_id, timer = _TIMERS[isinstance(der, Bes)]
        timed = model_id in blocks and bool(blocks[model_id].raw(timer))
        return Readback(p_kw=p_kw, q_kvar=q_kvar or 0.0, cap_kw=cap_kw, reverts=timed)

    def _blocks(self, wanted: Mapping[int, int], image: Image) -> dict[int, ModelBlock]:
        return {m: image.block(self._chain.place(m), upto) for m, upto in wanted.items()}


_MEANING = {
    NAMEPLATE: ("WRtg", "WRtg_SF", "VArRtgQ1", "VArRtgQ4", "VArRtg_SF", "MaxDisChaRte"),
    SETTINGS: ("WMax", "WMax_SF", "VArMaxQ1", "VArMaxQ4", "VArMax_SF"),
    CONTROLS: ("WMaxLimPct_SF", "VArPct_SF"),
    STORAGE: ("WChaMax", "WChaMax_SF", "InOutWRte_SF"),
}
"""Scale factors of the controls, and the ratings that percentages relate to."""


_TIMERS = {False: (CONTROLS, "WMaxLimPct_RvrtTms"), True: (STORAGE, "InOutWRte_RvrtTms")}
"""Where the timer of the active-power order stands, and of a battery's."""


def _timer_s(der: Der, command: Command) -> int:
    """Armed only where a device may go uncapped by itself: its site was proved at that [s].

    Otherwise it holds its last cap, which a load flow verified, rather than going beyond what it
    is to fall back to.
    """
    if command.reversion_kw < der.rated_kw:
        return 0
    return min(command.reversion_s, LONGEST_TIMER_S)


def _connected(blocks: Mapping[int, ModelBlock]) -> bool | None:
    for model_id, name in ((STATUS, "ECPConn"), (CONTROLS, "Conn")):
        state = blocks[model_id].raw(name) if model_id in blocks else None
        if state is not None:
            return bool(state & CONNECTED)
    return None


def _local(blocks: Mapping[int, ModelBlock]) -> bool:
    return BATTERY in blocks and blocks[BATTERY].raw("LocRemCtl") == LOCAL_CONTROL
