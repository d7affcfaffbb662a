"""A device as clients see it: behaviour behind registers."""

import math
from datetime import datetime
from enum import StrEnum

from ems.domain import Bes, Der, Pv
from ems.plant.devices import BesBehaviour, Orders, ReversionTimer, behaviour_of
from ems.plant.registers import Accepts, RegisterMap
from ems.protocols.sunspec import (
    CAP,
    REACTIVE,
    SETPOINT,
    ControlBlock,
    ModelBlock,
    held,
    model,
    smallest_scale_factor,
)

V_NOM = 480.0
"""Nominal voltage of the devices' terminals, line to line [V]; a transformer's ratio away
from the feeder, so that any feeder voltage fits the registers."""
INT16_MAX, UINT16_MAX = 32767, 65534
_ON_OFF: Accepts = (0, 1).__contains__


class Misbehaviour(StrEnum):
    """Ways a device can go wrong without falling silent."""

    SLOW = "slow"
    """Takes longer to answer than anyone waits."""
    DEAF = "deaf"
    """Acknowledges writes and applies nothing."""
    BLIND = "blind"
    """Its measurements read as not available (NaN)."""


class FieldDevice:
    """One simulated DER: its behaviour, its registers, its reversion timers."""

    def __init__(
        self, der: Der, start: datetime, soc_pct: float, *, tells_available: bool = False
    ) -> None:
        """In the state after power-up.

        Args:
            der: what it is.
            start: the present.
            soc_pct: state of charge of a battery [%].
            tells_available: whether a PV plant has model 122 and tells what the sun offers.
        """
        self.der = der
        self.behaviour = behaviour_of(der, soc_pct)
        self.blind = False
        self._now = start
        self._started = start
        self._w_max_w = der.rated_kw * 1000
        self._active = CAP if isinstance(der, Pv) else SETPOINT
        self._timers = {self._active.enable: ReversionTimer(), REACTIVE.enable: ReversionTimer()}
        self._measured = _measurement_block(der)
        self._controls = _control_block(der, self._active)
        self._storage = _storage_block(der) if isinstance(der, Bes) else None
        self._ctl = _heartbeat_block()
        tells = tells_available and isinstance(der, Pv)
        self._status = _status_block(der) if tells else None
        self._available_w = 0.0
        blocks = [_common_block(der), self._measured, _capacity_block(der), self._controls]
        blocks += [b for b in (self._storage, self._status, self._ctl) if b is not None]
        accepts = _accepted(der, self._active)
        self.registers = RegisterMap(blocks, accepts, on_write=self._written)

    @property
    def soc_pct(self) -> float | None:
        """State of charge of a battery, None of anything else [%]."""
        return self.behaviour.soc_pct if isinstance(self.behaviour, BesBehaviour) else None

    @property
    def orders(self) -> Orders:
        """What its control registers order at present."""
        orders = held(self._controls, self._w_max_w)
        return Orders(cap_kw=orders.cap_kw, p_kw=orders.p_kw, q_kvar=orders.q_kvar)

    def step(self, now: datetime, available_kw: float) -> None:
        """Live until `now`: revert where a timer has run out, then behave."""
        with self.registers.lock:
            for block in (self._active, REACTIVE):
                if self._timers[block.enable].expire(now):
                    self._revert(block)
            hours = (now - self._now).total_seconds() / 3600
            self._now = now
            self._available_w = min(available_kw, self.der.rated_kw) * 1000
            self.behaviour.step(hours, self.orders, available_kw)

    def show(self, v_pu: float) -> None:
        """Put the present state into the registers.

        Args:
            v_pu: voltage at the device's bus, mean of its phases [pu].
        """
        p_w, q_var = self.behaviour.p_kw * 1000, self.behaviour.q_kvar * 1000
        with self.registers.lock:
            shown: dict[str, float | None] = {
                "W": p_w,
                "Var": q_var,
                "VA": math.hypot(p_w, q_var),
                "LLV": v_pu * V_NOM,
                "LNV": v_pu * V_NOM / math.sqrt(3),
                "Hz": 60.0,
            }
            for name, value in shown.items():
                self._measured.set_value(name, None if self.blind else value)
            for block in (self._active, REACTIVE):
                remaining = self._timers[block.enable].remaining_s(self._now)
                self._controls.set_raw(block.remaining, remaining)
            if self._storage is not None and self.soc_pct is not None:
                self._storage.set_value("SoC", None if self.blind else self.soc_pct)
                energy_wh = self.soc_pct / 100 * _energy_wh(self.der)
                self._storage.set_value("WHAvail", energy_wh)
            if self._status is not None:
                self._status.set_value("WAval", None if self.blind else self._available_w)
            beat = int((self._now - self._started).total_seconds()) % (1 << 31)
            self._ctl.set_raw("DERHb", beat)

    def _written(self, names: frozenset[str]) -> None:
        """Arm the timers of the controls that were written."""
        for block in (self._active, REACTIVE):
            if names & {p.name for p in block.points}:
                seconds = self._controls.raw(block.timer) or 0
                self._timers[block.enable].arm(self._now, seconds)
                self._controls.set_raw(block.remaining, seconds)

    def _revert(self, block: ControlBlock) -> None:
        """Nobody refreshed the control in time: its reversion values take over."""
        self._controls.set_raw(block.value, self._controls.raw(block.reversion))
        self._controls.set_raw(block.enable, self._controls.raw(block.enable_reversion))


class LoadMeter:
    """The meter of the aggregate load, model 203, consumption positive."""

    def __init__(self, load_max_kw: float) -> None:
        self.blind = False
        self._meter = ModelBlock(model(203))
        # Twice the largest load: a meter must show what it was not built for, too.
        sf = smallest_scale_factor(2 * load_max_kw * 1000, INT16_MAX)
        for name in ("W_SF", "VAR_SF", "VA_SF"):
            self._meter.set_raw(name, sf)
        blocks = [_common("Load meter", "load"), self._meter]
        self.registers = RegisterMap(blocks, {}, on_write=lambda _: None)

    def show(self, p_kw: float, q_kvar: float) -> None:
        """Put the present consumption into the registers [kW], [kvar]."""
        p_w, q_var = (math.nan, math.nan) if self.blind else (p_kw * 1000, q_kvar * 1000)
        with self.registers.lock:
            self._meter.set_value("W", p_w)
            self._meter.set_value("VAR", q_var)
            self._meter.set_value("VA", math.hypot(p_w, q_var))


# --- the models, as a device of this rating has them ---------------------------------


def _common(kind: str, name: str) -> ModelBlock:
    block = ModelBlock(model(1))
    texts = {"Mn": "GEEMS", "Md": f"Simulated {kind}", "Vr": "1", "SN": name}
    for point, text in texts.items():
        block.set_text(point, text)
    return block


def _common_block(der: Der) -> ModelBlock:
    return _common(type(der).__name__.upper(), der.name)


def _measurement_block(der: Der) -> ModelBlock:
    block = ModelBlock(model(701))
    apparent_va = math.hypot(der.rated_kw, der.q_max_kvar) * 1000
    block.set_raw("W_SF", smallest_scale_factor(der.rated_kw * 1000, INT16_MAX))
    block.set_raw("Var_SF", smallest_scale_factor(der.q_max_kvar * 1000, INT16_MAX))
    block.set_raw("VA_SF", smallest_scale_factor(apparent_va, INT16_MAX))
    block.set_raw("V_SF", -2)
    block.set_raw("Hz_SF", -3)
    symbols = model(701).points["ACType"].symbols
    kind = {1: "SINGLE_PHASE", 2: "SPLIT_PHASE"}.get(der.phases, "THREE_PHASE")
    block.set_raw("ACType", symbols[kind])
    block.set_raw("St", 1)
    block.set_raw("ConnSt", 1)
    return block


def _capacity_block(der: Der) -> ModelBlock:
    block = ModelBlock(model(702))
    apparent_va = math.hypot(der.rated_kw, der.q_max_kvar) * 1000
    block.set_raw("W_SF", smallest_scale_factor(der.rated_kw * 1000, UINT16_MAX))
    block.set_raw("VA_SF", smallest_scale_factor(apparent_va, UINT16_MAX))
    block.set_raw("Var_SF", smallest_scale_factor(der.q_max_kvar * 1000, UINT16_MAX))
    block.set_raw("V_SF", -2)
    nominal = V_NOM / math.sqrt(3) if der.phases == 1 else V_NOM
    for rating, setting, value in (
        ("WMaxRtg", "WMax", der.rated_kw * 1000),
        ("VAMaxRtg", "VAMax", apparent_va),
        ("VarMaxInjRtg", "VarMaxInj", der.q_max_kvar * 1000),
        ("VarMaxAbsRtg", "VarMaxAbs", der.q_max_kvar * 1000),
        ("VNomRtg", "VNom", nominal),
    ):
        block.set_value(rating, value)
        block.set_value(setting, value)
    if isinstance(der, Bes):
        for name in ("WChaRteMaxRtg", "WDisChaRteMaxRtg", "WChaRteMax", "WDisChaRteMax"):
            block.set_value(name, der.rated_kw * 1000)
    return block


def _control_block(der: Der, active: ControlBlock) -> ModelBlock:
    """Controls off, as after power-up; a generator holds its reversion power."""
    block = ModelBlock(model(704))
    for name in ("WMaxLimPct_SF", "WSetPct_SF", "VarSetPct_SF"):
        block.set_raw(name, -2)
    for name in ("WSet_SF", "VarSet_SF"):
        block.set_raw(name, 0)
    for control in (active, REACTIVE):
        for point in control.points:
            block.set_raw(point.name, 0)
        block.set_raw(control.remaining, 0)
    block.set_raw("VarSetMod", 4)
    if active is CAP:
        block.set_value("WMaxLimPct", 100.0)
        block.set_value("WMaxLimPctRvrt", 100.0)
    else:
        reversion_w = 0.0 if isinstance(der, Bes | Pv) else der.reversion_kw * 1000
        block.set_raw("WSetEna", 1)
        block.set_raw("WSetMod", 1)
        block.set_value("WSet", reversion_w)
        block.set_value("WSetRvrt", reversion_w)
        block.set_raw("WSetEnaRvrt", 1)
    return block


def _energy_wh(der: Der) -> float:
    return der.capacity_kwh * 1000 if isinstance(der, Bes) else 0.0


def _storage_block(der: Bes) -> ModelBlock:
    block = ModelBlock(model(713))
    block.set_raw("WH_SF", smallest_scale_factor(_energy_wh(der), UINT16_MAX))
    block.set_raw("Pct_SF", -2)
    block.set_value("WHRtg", _energy_wh(der))
    block.set_raw("Sta", 0)
    return block


def _status_block(der: Der) -> ModelBlock:
    block = ModelBlock(model(122))
    block.set_raw("WAval_SF", smallest_scale_factor(der.rated_kw * 1000, UINT16_MAX))
    return block


def _heartbeat_block() -> ModelBlock:
    block = ModelBlock(model(715))
    block.set_raw("LocRemCtl", 0)
    block.set_raw("ControllerHb", 0)
    return block


def _accepted(der: Der, active: ControlBlock) -> dict[tuple[int, str], Accepts]:
    """Writable points and their ranges; every other point is read-only."""
    lowest_w = -der.rated_kw * 1000 if isinstance(der, Bes) else 0.0
    q_var = der.q_max_kvar * 1000
    full_pct = 100 * 100  # WMaxLimPct_SF is −2
    ranges: dict[str, tuple[float, float]] = {
        "WMaxLimPct": (0, full_pct),
        "WMaxLimPctRvrt": (0, full_pct),
        "WSetMod": (1, 1),
        "WSet": (lowest_w, der.rated_kw * 1000),
        "WSetRvrt": (lowest_w, der.rated_kw * 1000),
        "WSetPct": (-full_pct, full_pct),
        "WSetPctRvrt": (-full_pct, full_pct),
        "VarSetMod": (4, 4),
        "VarSetPri": (0, 2),
        "VarSet": (-q_var, q_var),
        "VarSetRvrt": (-q_var, q_var),
        "VarSetPct": (-full_pct, full_pct),
        "VarSetPctRvrt": (-full_pct, full_pct),
    }
    accepted: dict[tuple[int, str], Accepts] = {(715, "ControllerHb"): lambda _: True}
    for block in (active, REACTIVE):
        for point in block.points:
            if point.type == "uint32":
                accepted[704, point.name] = lambda _: True
            elif point.name in ranges:
                accepted[704, point.name] = _between(*ranges[point.name])
            else:
                accepted[704, point.name] = _ON_OFF
    return accepted


def _between(low: float, high: float) -> Accepts:
    return lambda raw: low <= raw <= high
