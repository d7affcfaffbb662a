"""A device as clients see it: behaviour behind registers."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from ems.domain import Bes, Der, Dg, Pv
from ems.outstation import Accepts, RegisterMap, Written
from ems.plant.controls import Controls
from ems.plant.devices import Behaviour, BesBehaviour, Orders, behaviour_of
from ems.plant.functions import AutonomousFunctions
from ems.plant.genset import GensetBehaviour
from ems.plant.inverter import BesInverter, PvInverter
from ems.plant.misbehaviour import Misbehaviour
from ems.plant.nameplate import (
    V_NOM,
    capacity,
    common,
    extended_status,
    measurement,
    power_scale_factor,
    remote_control,
    storage,
)
from ems.plant.operation import NO_ALARM, genset_operation, inverter_operation
from ems.plant.terminal import NOMINAL, NOMINAL_HZ, Terminal

Inverter = Literal["ieee1547", "ideal"]
"""How devices behave: inverters as IEEE 1547-2018 says and generators as sets do, second by second;
or all of them exactly as ordered."""
HEARTBEAT_WRAPS = 1 << 31


class FieldDevice:
    """One simulated DER: its behaviour, its registers, its reversion timers."""

    def __init__(
        self,
        der: Der,
        start: datetime,
        soc_pct: float,
        *,
        tells_available: bool = False,
        inverter: Inverter = "ideal",
    ) -> None:
        """In the state after power-up.

        Args:
            der: what it is.
            start: the present.
            soc_pct: state of charge of a battery [%].
            tells_available: whether a PV plant has model 122 and tells what the sun offers.
            inverter: how it behaves.
        """
        self.der = der
        self._now = self._started = start
        self._how: Misbehaviour | None = None
        self._stuck_at = Orders()
        self._available_w = 0.0
        self._inverter: PvInverter | BesInverter | None = None
        self._genset: GensetBehaviour | None = None
        self._functions: AutonomousFunctions | None = None
        if inverter == "ieee1547":
            self._make_real(der, soc_pct)
        self.behaviour: Behaviour = self._inverter or self._genset or behaviour_of(der, soc_pct)
        self._lay_out(tells_available=tells_available)

    def _make_real(self, der: Der, soc_pct: float) -> None:
        match der:
            case Pv():
                self._inverter = PvInverter(der)
            case Bes():
                self._inverter = BesInverter(der, soc_pct)
            case Dg():
                self._genset = GensetBehaviour(der)
                return
        self._functions = AutonomousFunctions(der)

    def _lay_out(self, *, tells_available: bool) -> None:
        der, functions = self.der, self._functions
        is_inverter = functions is not None
        self._measured = measurement(der)
        self._controls = Controls(der, inverter=is_inverter)
        self._storage = storage(der) if isinstance(der, Bes) else None
        tells = tells_available and isinstance(der, Pv)
        self._status = extended_status(der) if tells and isinstance(der, Pv) else None
        self._ctl = remote_control(inverter=is_inverter)
        accepts: dict[tuple[int, str], Accepts] = self._controls.accepts()
        accepts[715, "ControllerHb"] = lambda _: True
        blocks = [
            common(type(der).__name__.upper(), der.name),
            self._measured,
            capacity(der, inverter=is_inverter),
        ]
        if functions is None:
            blocks.append(self._controls.block)
        else:
            blocks += [functions.enter_service, self._controls.block, *functions.blocks]
            accepts |= functions.accepts()
            accepts[715, "AlarmReset"] = (0, 1).__contains__
        blocks += [b for b in (self._storage, self._status, self._ctl) if b is not None]
        self.registers = RegisterMap(blocks, accepts, on_write=self._written)

    @property
    def soc_pct(self) -> float | None:
        """State of charge of a battery, None of anything else [%]."""
        if isinstance(self.behaviour, BesBehaviour | BesInverter):
            return self.behaviour.soc_pct
        return None

    @property
    def orders(self) -> Orders:
        """What its control registers order at present."""
        return self._controls.orders

    @property
    def autonomous(self) -> bool:
        """Whether volt-var, watt-var or volt-watt moves it beside its orders."""
        if self._inverter is None:
            return False
        on = self._inverter.settings
        return on.volt_var.enabled or on.watt_var.enabled or on.volt_watt.enabled

    def step(self, now: datetime, available_kw: float, at: Terminal = NOMINAL) -> None:
        """Live until `now`: revert where a timer has run out, then behave.

        Args:
            now: end of the step.
            available_kw: power the sun offers; means nothing to other devices [kW].
            at: the grid at its terminals over the step; ideal devices do not feel it.
        """
        with self.registers.lock:
            self._controls.expire(now)
            if self._functions is not None and self._functions.expire(now):
                self._set_up()
            hours = (now - self._now).total_seconds() / 3600
            self._now = now
            self._available_w = min(available_kw, self.der.rated_kw) * 1000
            for real in (self._inverter, self._genset):
                if real is not None:
                    real.at = at
            orders = self._stuck_at if self._how is Misbehaviour.STUCK else self.orders
            self.behaviour.step(hours, orders, available_kw)

    def misbehave(self, how: Misbehaviour | None, *, requests: int = 1) -> None:
        """Go wrong; None mends it.

        Args:
            how: in which way. What concerns its server (slow, reboot) its server must do.
            requests: how many a busy device turns away.
        """
        with self.registers.lock:
            self._stuck_at = self.orders
            self._how = how
            self.registers.deaf = how is Misbehaviour.DEAF
            self.registers.busy = requests if how is Misbehaviour.BUSY else 0
            self.registers.sealed = how is Misbehaviour.LOCAL
            self._ctl.set_raw("LocRemCtl", int(how is Misbehaviour.LOCAL))
            wrong = how is Misbehaviour.WRONG_SCALE
            self._measured.set_raw("W_SF", power_scale_factor(self.der) + wrong)

    def restart(self) -> None:
        """Power-up: controls off, timers disarmed; curves and limits are kept.

        An IEEE 1547 inverter is out of service and enters it again by its settings.
        """
        with self.registers.lock:
            self._controls.power_up()
            self._started = self._now
            if self._inverter is not None:
                self._inverter.restart()

    # --- registers -------------------------------------------------------------------

    def show(self, v_pu: float, hz: float = NOMINAL_HZ, phases_pu: tuple[float, ...] = ()) -> None:
        """Put the present state into the registers.

        Args:
            v_pu: voltage at the device's bus, mean of its phases [pu].
            hz: frequency there [Hz].
            phases_pu: of a three-phase device, each phase's voltage where it is known [pu].
        """
        with self.registers.lock:
            self._controls.show(self._now)
            if self._functions is not None and self._inverter is not None:
                self._functions.show(self._now, self._inverter.service_delay_s)
            if self._how is Misbehaviour.FROZEN:
                return
            self._show_measured(v_pu, hz, phases_pu)
            self._show_operation()
            beat = int((self._now - self._started).total_seconds()) % HEARTBEAT_WRAPS
            self._ctl.set_raw("DERHb", beat)

    def _show_measured(self, v_pu: float, hz: float, phases_pu: tuple[float, ...]) -> None:
        p_w, q_var = self.behaviour.p_kw * 1000, self.behaviour.q_kvar * 1000
        v_ln = V_NOM / math.sqrt(3)
        shown: dict[str, float] = {
            "W": p_w,
            "Var": q_var,
            "VA": math.hypot(p_w, q_var),
            "LLV": v_pu * V_NOM,
            "LNV": v_pu * v_ln,
            "Hz": hz,
        }
        if self._inverter is not None and len(phases_pu) == 3:
            shown |= {f"VL{i}": v * v_ln for i, v in enumerate(phases_pu, start=1)}
        blind = self._how is Misbehaviour.BLIND
        sf = power_scale_factor(self.der)
        self._measured.set_raw("W_SF", sf)
        for name, value in shown.items():
            self._measured.set_value(name, None if blind else value)
        if self._how is Misbehaviour.WRONG_SCALE:
            self._measured.set_raw("W_SF", sf + 1)
        if self._storage is not None and isinstance(self.der, Bes) and self.soc_pct is not None:
            self._storage.set_value("SoC", None if blind else self.soc_pct)
            self._storage.set_value("WHAvail", self.soc_pct / 100 * self.der.capacity_kwh * 1000)
        if self._status is not None:
            self._status.set_value("WAval", None if blind else self._available_w)

    def _show_operation(self) -> None:
        shown: Mapping[str, int] = {}
        if self._genset is not None:
            shown = genset_operation(self._genset.state)
        if self._inverter is not None:
            sunny = isinstance(self.der, Pv)
            shown = inverter_operation(
                self._inverter.state,
                self._inverter.causes,
                idle=sunny and self._available_w <= 0.0,
                held_back=sunny and self._available_w > self._inverter.p_kw * 1000 + 1,
            )
        for name, raw in shown.items():
            self._measured.set_raw(name, raw)

    def _written(self, points: Written) -> None:
        """Start timers, adopt curves; one reactive mode at a time, the last one written."""
        names = frozenset(name for model_id, name in points if model_id == 704)
        self._controls.written(names, self._now)
        if self._functions is None or self._inverter is None:
            return
        self._functions.written(points, self._now)
        if self._controls.reactive_on(names):
            self._functions.disable_reactive(but=None)
        for model_id in (705, 712):
            if (model_id, "Ena") in points and self._functions.is_on(model_id):
                self._controls.disable_reactive()
                self._functions.disable_reactive(but=model_id)
        if (715, "AlarmReset") in points:
            self._inverter.reset_alarms()
            self._measured.set_raw("Alrm", NO_ALARM)
        self._set_up()

    def _set_up(self) -> None:
        """Let the inverter follow what the registers say."""
        if self._inverter is not None and self._functions is not None:
            settings = self._functions.settings()
            if settings != self._inverter.settings:
                self._inverter.settings = settings
