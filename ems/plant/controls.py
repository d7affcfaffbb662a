"""The AC controls of a device, model 704: registers, orders and reversion timers."""

from dataclasses import dataclass
from datetime import datetime

from ems.domain import Bes, Der, Dg, Pv
from ems.outstation import Accepts
from ems.plant.devices import Orders, PowerFactor
from ems.plant.timers import ReversionTimer
from ems.protocols.sunspec import CAP, REACTIVE, SETPOINT, ControlBlock, ModelBlock, held, model

VARS, REACTIVE_PRIORITY = 4, 1
PF_SF = -3
LEAST_PF = 100
"""Least power factor that is taken, in counts of a thousandth: 0.1."""
FULL_PCT = 100 * 100
"""100 % with a scale factor of −2."""
_ON_OFF: Accepts = (0, 1).__contains__


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One control, with what takes over when nobody refreshes it."""

    enable: str
    enable_reversion: str
    seconds: str
    remaining: str
    pairs: tuple[tuple[str, str], ...]
    """Values in force, each with its reversion value."""
    points: frozenset[str]
    """Writing any of these starts the timer anew."""


def _control(block: ControlBlock, *percent: tuple[str, str]) -> Control:
    return Control(
        enable=block.enable,
        enable_reversion=block.enable_reversion,
        seconds=block.timer,
        remaining=block.remaining,
        pairs=((block.value, block.reversion), *percent),
        points=frozenset(p.name for p in block.points),
    )


def _power_factor(group: str) -> Control:
    pairs = tuple((f"{group}.{p}", f"{group}Rvrt.{p}") for p in ("PF", "Ext"))
    names = [f"{group}Ena", f"{group}EnaRvrt", f"{group}RvrtTms", *(n for p in pairs for n in p)]
    return Control(
        enable=names[0],
        enable_reversion=names[1],
        seconds=names[2],
        remaining=f"{group}RvrtRem",
        pairs=pairs,
        points=frozenset(names),
    )


LIMIT = _control(CAP)
ACTIVE = _control(SETPOINT, ("WSetPct", "WSetPctRvrt"))
VAR = _control(REACTIVE, ("VarSetPct", "VarSetPctRvrt"))
PF = _power_factor("PFWInj")
PF_CHARGING = _power_factor("PFWAbs")
OVER_EXCITED = 0


class Controls:
    """Model 704 of one device."""

    def __init__(self, der: Der, *, inverter: bool) -> None:
        """In the state after power-up.

        Args:
            der: what it is.
            inverter: whether it has the controls of an IEEE 1547 inverter.
        """
        self._der = der
        self._inverter = inverter
        self._w_max_w = der.rated_kw * 1000
        self.block = ModelBlock(model(704))
        self._controls = _controls_of(der, inverter=inverter)
        self._timers = {c.enable: ReversionTimer() for c in self._controls}
        self._shown_s = dict.fromkeys(self._timers, 0)
        self.orders = Orders()
        """What the registers order at present."""
        self.power_up()

    def power_up(self) -> None:
        """Controls off; a generator holds its reversion power."""
        block = self.block
        for name, sf in (
            ("WMaxLimPct_SF", -2), ("WSetPct_SF", -2), ("VarSetPct_SF", -2), ("WSet_SF", 0),
            ("VarSet_SF", 0),
        ):  # fmt: skip
            block.set_raw(name, sf)
        for control in self._controls:
            for name in (*control.points, control.remaining):
                block.set_raw(name, 0)
            self._timers[control.enable].due = None
            self._shown_s[control.enable] = 0
        block.set_raw("VarSetMod", VARS)
        if LIMIT in self._controls:
            block.set_value("WMaxLimPct", 100.0)
            block.set_value("WMaxLimPctRvrt", 100.0)
        if ACTIVE in self._controls:
            reversion_w = self._der.reversion_kw * 1000 if isinstance(self._der, Dg) else 0.0
            block.set_raw("WSetEna", 1)
            block.set_raw("WSetMod", 1)
            block.set_value("WSet", reversion_w)
            block.set_value("WSetRvrt", reversion_w)
            block.set_raw("WSetEnaRvrt", 1)
        if self._inverter:
            block.set_raw("VarSetPri", REACTIVE_PRIORITY)
            block.set_raw("PF_SF", PF_SF)
            for control in (PF, PF_CHARGING):
                if control in self._controls:
                    for name in control.pairs[0]:
                        block.set_value(name, 1.0)
        self._heed()

    def _heed(self) -> None:
        now = held(self.block, self._w_max_w)
        self.orders = Orders(
            cap_kw=now.cap_kw,
            p_kw=now.p_kw,
            q_kvar=now.q_kvar,
            pf=self._factor("PFWInj"),
            pf_charging=self._factor("PFWAbs"),
        )

    def accepts(self) -> dict[tuple[int, str], Accepts]:
        """Writable points and their ranges; every other point is read-only."""
        ranges = self._ranges()
        accepted: dict[tuple[int, str], Accepts] = {}
        for control in self._controls:
            for name in control.points:
                if name == control.seconds:
                    accepted[704, name] = _anything
                else:
                    accepted[704, name] = _between(*ranges[name]) if name in ranges else _ON_OFF
        return accepted

    def written(self, names: frozenset[str], now: datetime) -> None:
        """Arm the timers of the controls that were written; one reactive mode at a time."""
        for control in self._controls:
            if names & control.points:
                seconds = self.block.raw(control.seconds) or 0
                self._timers[control.enable].arm(now, seconds)
                self._show(control, seconds)
        if self._inverter:
            if self._turned_on(PF, names) or self._turned_on(PF_CHARGING, names):
                self.block.set_raw(VAR.enable, 0)
            elif self._turned_on(VAR, names):
                self._disable(PF, PF_CHARGING)
        self._heed()

    def reactive_on(self, names: frozenset[str]) -> bool:
        """Whether a write has turned a reactive control on."""
        return any(self._turned_on(c, names) for c in (VAR, PF, PF_CHARGING))

    def disable_reactive(self) -> None:
        """Turn all reactive controls off: another function has taken their place."""
        self._disable(VAR, PF, PF_CHARGING)

    def expire(self, now: datetime) -> None:
        """Let reversion values take over where nobody refreshed a control in time."""
        for control in self._controls:
            if self._timers[control.enable].expire(now):
                for value, reversion in control.pairs:
                    self.block.set_raw(value, self.block.raw(reversion))
                self.block.set_raw(control.enable, self.block.raw(control.enable_reversion))
                self._heed()

    def show(self, now: datetime) -> None:
        """Put the times that remain into the registers."""
        for control in self._controls:
            remaining_s = self._timers[control.enable].remaining_s(now)
            if remaining_s != self._shown_s[control.enable]:
                self._show(control, remaining_s)

    def _show(self, control: Control, remaining_s: int) -> None:
        self.block.set_raw(control.remaining, remaining_s)
        self._shown_s[control.enable] = remaining_s

    def _turned_on(self, control: Control, names: frozenset[str]) -> bool:
        return control.enable in names and self.block.raw(control.enable) == 1

    def _disable(self, *controls: Control) -> None:
        for control in controls:
            if control in self._controls:
                self.block.set_raw(control.enable, 0)
        self._heed()

    def _factor(self, group: str) -> PowerFactor | None:
        if self.block.raw(f"{group}Ena") != 1:
            return None
        return PowerFactor(
            pf=self.block.value(f"{group}.PF") or 1.0,
            over_excited=self.block.raw(f"{group}.Ext") == OVER_EXCITED,
        )

    def _ranges(self) -> dict[str, tuple[float, float]]:
        lowest_w = -self._w_max_w if isinstance(self._der, Bes) else 0.0
        q_var = self._der.q_max_kvar * 1000
        factors = {
            f"{group}.PF": (LEAST_PF, 10**-PF_SF)
            for group in ("PFWInj", "PFWInjRvrt", "PFWAbs", "PFWAbsRvrt")
        }
        return factors | {
            "WMaxLimPct": (0, FULL_PCT),
            "WMaxLimPctRvrt": (0, FULL_PCT),
            "WSetMod": (1, 1),
            "WSet": (lowest_w, self._w_max_w),
            "WSetRvrt": (lowest_w, self._w_max_w),
            "WSetPct": (-FULL_PCT, FULL_PCT),
            "WSetPctRvrt": (-FULL_PCT, FULL_PCT),
            "VarSetMod": (VARS, VARS),
            "VarSetPri": (REACTIVE_PRIORITY, REACTIVE_PRIORITY) if self._inverter else (0, 2),
            "VarSet": (-q_var, q_var),
            "VarSetRvrt": (-q_var, q_var),
            "VarSetPct": (-FULL_PCT, FULL_PCT),
            "VarSetPctRvrt": (-FULL_PCT, FULL_PCT),
        }


def _controls_of(der: Der, *, inverter: bool) -> tuple[Control, ...]:
    active = LIMIT if isinstance(der, Pv) else ACTIVE
    if not inverter:
        return active, VAR
    if isinstance(der, Bes):
        return ACTIVE, LIMIT, VAR, PF, PF_CHARGING
    return active, VAR, PF


def _between(low: float, high: float) -> Accepts:
    return lambda raw: low <= raw <= high


def _anything(_raw: int) -> bool:
    return True
