"""An IEEE 1547 inverter behind a client of IEEE 2030.5, second by second."""

from collections.abc import Mapping, Sequence

from ems.domain import Bes, Pv
from ems.enddevice.application import NOTHING, ControlInForce, Measured, Value
from ems.plant.devices import Orders
from ems.plant.ieee2030_5 import told
from ems.plant.ieee2030_5.mapping import Asked, asked, refusal, supported
from ems.plant.ieee2030_5.ramp import Ramp
from ems.plant.inverter import STEP_S, BesInverter, PvInverter, State
from ems.plant.nameplate import V_NOM
from ems.plant.terminal import NOMINAL, Terminal
from ems.protocols.ieee2030_5 import sep, values

STEP_H = STEP_S / 3600.0
V, HZ, W, VAR = 29, 33, 38, 63
"""Units of measurement (UomType)."""
POWER = 37
"""KindType."""


class SimulatedDer:
    """One inverter; satisfies `DerApplication`."""

    def __init__(self, der: Pv | Bes, *, soc_pct: float = 50.0) -> None:
        """In service, nothing asked for.

        Args:
            der: gives the nameplate.
            soc_pct: state of charge of a battery [%].
        """
        self.der = der
        self.inverter = BesInverter(der, soc_pct) if isinstance(der, Bes) else PvInverter(der)
        self.at = NOMINAL
        """What it feels of the grid."""
        self.available_kw = 0.0
        """What the sun offers a PV plant [kW]."""
        self.control: ControlInForce = NOTHING
        self.asked = Asked()
        """What the control in force comes to."""
        self._cap = Ramp()
        self._setpoint = Ramp()

    # --- what it is told -------------------------------------------------------------

    @property
    def supports(self) -> frozenset[str]:
        """Modes it follows."""
        return supported(self.der)

    def refuses(self, control: Mapping[str, Value]) -> int | None:
        """Whether a control cannot be followed: 252 for its modes, 253 for its values."""
        return refusal(self.der, control)

    def apply(self, control: ControlInForce) -> None:
        """Follow what is asked for, from the next second on."""
        before, now = self.asked, asked(self.der, control)
        self.control, self.asked = control, now
        if now.settings != self.inverter.settings:
            self.inverter.settings = now.settings
        if now.cap_kw != before.cap_kw:
            self._go(self._cap, now.cap_kw, "opModMaxLimW")
        if now.p_kw != before.p_kw:
            self._go(self._setpoint, now.p_kw, "opModFixedW", "opModTargetW")

    def _go(self, ramp: Ramp, target_kw: float | None, *modes: str) -> None:
        """Take an order on its way: within rampTms, else as fast as setGradW, else at once."""
        within_s = next((o.ramp_s for m in modes if (o := self.control.ordered.get(m))), None)
        if within_s and target_kw is not None:
            ramp.arrive(within_s, target_kw, self.inverter.p_kw)
            return
        gradient = None if self.control.default is None else self.control.default.setGradW
        ramp.go(values.share(gradient) * self.der.rated_kw if gradient else None, target_kw)

    # --- what it does ----------------------------------------------------------------

    def step(self, available_kw: float, at: Terminal) -> None:
        """Live through one second.

        Args:
            available_kw: what the sun offers; means nothing to a battery [kW].
            at: the grid at its terminals.
        """
        self.available_kw = min(available_kw, self.der.rated_kw)
        self.at = self.inverter.at = at
        self.inverter.step(STEP_H, self._orders(at), available_kw)
        if self.inverter.state is not State.TRIPPED:
            self.inverter.reset_alarms()  # an alarm is over when it delivers again

    def _orders(self, at: Terminal) -> Orders:
        now, p_kw = self.asked, self.inverter.p_kw
        rated = self.der.rated_kw
        storage = isinstance(self.der, Bes)
        # A setpoint that is let go is one of nothing for a battery, and no cap for PV.
        setpoint = self._setpoint.second(p_kw, let_go_kw=0.0 if storage else rated)
        caps = [self._cap.second(p_kw, let_go_kw=rated)]
        if now.frequency_watt is not None:
            caps.append(now.frequency_watt.at(at.hz) * rated)
        if not storage:
            caps.append(setpoint)
        cap_kw = min((cap for cap in caps if cap is not None), default=None)
        pf, pf_charging = now.pf, now.pf_charging
        if now.watt_pf is not None:
            pf = pf_charging = now.watt_pf.at(p_kw / rated)
        return Orders(
            cap_kw=cap_kw if storage or cap_kw is None else max(cap_kw, 0.0),
            p_kw=setpoint,
            q_kvar=now.q_kvar,
            pf=pf,
            pf_charging=pf_charging,
        )

    # --- what it tells ---------------------------------------------------------------

    @property
    def soc_pct(self) -> float | None:
        """State of charge; None: no battery [%]."""
        return self.inverter.soc_pct if isinstance(self.inverter, BesInverter) else None

    def capability(self) -> sep.DERCapability:
        """Its nameplate."""
        return told.capability(self.der)

    def settings(self, now: int) -> sep.DERSettings:
        """What it is set to."""
        return told.settings(self.der, self.inverter.settings, self.control.default, now)

    def status(self, now: int) -> sep.DERStatus:
        """What it does."""
        return told.status(
            self.inverter,
            now,
            available_kw=self.available_kw if isinstance(self.der, Pv) else None,
            soc_pct=self.soc_pct,
            disconnected=self.control.value("opModConnect") is False,
        )

    def availability(self, now: int) -> sep.DERAvailability:
        """What it could still give."""
        return told.availability(
            self.der, self.inverter, now, available_kw=self.available_kw, soc_pct=self.soc_pct
        )

    def information(self, lfdi: str) -> sep.DeviceInformation | None:
        """Who made it."""
        return told.information(self.der, lfdi)

    def power_status(self, now: int) -> sep.PowerStatus | None:
        """It is fed by the grid."""
        return told.power_status(self.soc_pct, now)

    def readings(self) -> Sequence[Measured]:
        """Power, voltage and frequency at its terminals."""
        return (
            Measured(name="active power", value=self.inverter.p_kw * 1000, uom=W, kind=POWER),
            Measured(name="reactive power", value=self.inverter.q_kvar * 1000, uom=VAR, kind=POWER),
            Measured(name="voltage", value=self.at.v_pu * V_NOM, uom=V, power_of_ten=-2),
            Measured(name="frequency", value=self.at.hz, uom=HZ, power_of_ten=-3),
        )
