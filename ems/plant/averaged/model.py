"""The averaged inverter as a system of differential equations.

Circuit and link, in the controller's dq frame (d along the grid's voltage, q a quarter turn
ahead, peak values):

    L·di_d/dt = u_d − v_d − R·i_d + ω·L·i_q                 (11)
    L·di_q/dt = u_q − v_q − R·i_q − ω·L·i_d                 (12)
    C·v_dc·dv_dc/dt = P_source − 3/2·(u_d·i_d + u_q·i_q)    (13)

Numbers are those of the published model's equations; the form is the textbook's.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from ems.plant.averaged.parameters import PHASES_FACTOR, InverterParameters

LEAST_V_PU = 0.05
"""Voltage below which orders are not divided by it any more: current has its limit anyway [pu]."""


class State(NamedTuple):
    """Everything that has a memory, and three energies that are only counted."""

    i_d_a: float
    i_q_a: float
    u_d_v: float
    """Voltage of the bridge, behind the lag Tσ [V]."""
    u_q_v: float
    x_d_v: float
    """Integrator of the current loop [V]."""
    x_q_v: float
    v_dc_v: float
    x_dc_a: float
    """Integrator of the DC-link loop [A]."""
    angle_rad: float
    """Of the grid ahead of the controller's frame [rad]."""
    x_pll_rad_per_s: float
    """Integrator of the phase-locked loop: what it knows of the frequency's deviation."""
    v_q_pu: float
    """What the phase-locked loop's filter shows of v_q [pu]."""
    source_j: float
    """Energy the source gave since the start [J]."""
    grid_j: float
    lost_j: float


class Inputs(NamedTuple):
    """What drives the inverter; held over a step."""

    v_v: float
    """Peak of the grid's phase voltage [V]."""
    hz: float
    jump_rad: float
    """Angle by which the grid's phase has jumped since the start [rad]."""
    q_var: float
    power_w: float
    """Exporting: what the source offers the link; otherwise the active power ordered [W]."""
    v_dc_v: float
    """Link voltage wanted, where the inverter keeps it [V]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the controllers make of a state."""

    omega: float
    """Speed of the controller's frame [rad/s]."""
    v_d_v: float
    v_q_v: float
    i_d_a: float
    """Current reference behind the limit [A]."""
    i_q_a: float
    held_back: bool
    """Whether the limit on current changed it."""
    u_d_v: float
    """Bridge voltage asked for, behind the limit [V]."""
    u_q_v: float
    saturated: bool
    """Whether the limit on voltage changed it."""


class Model:
    """Derivatives of one inverter."""

    def __init__(self, parameters: InverterParameters, *, exporting: bool) -> None:
        """Compute once what the parameters come to.

        Args:
            parameters: of the inverter.
            exporting: the DC-link loop sets the active current, so that what the source gives
                is exported; otherwise active power is ordered, and the source holds the link.
        """
        self.parameters = p = parameters
        self.exporting = exporting
        self.l, self.r, self.c = p.l_h, p.r_ohm, p.c_f
        self.v_nom, self.omega_nom = p.v_peak_v, 2.0 * math.pi * p.f_hz
        self.i_max = p.i_max_pu * p.i_peak_a
        self.current, self.link, self.pll = p.current_gains, p.link_gains, p.pll_gains
        self.own_frame = p.frame == "pll"

    def at_rest(self, given: Inputs) -> State:
        """The steady state under inputs that stay as they are."""
        v = max(given.v_v, LEAST_V_PU * self.v_nom)
        i_q = -given.q_var / (PHASES_FACTOR * v)
        i_d = given.power_w / (PHASES_FACTOR * v)
        if self.exporting and given.v_v > 0.0:
            # P_source = 3/2·(v·i_d + R·(i_d² + i_q²)), the root near R = 0.
            loss = given.power_w / PHASES_FACTOR - self.r * i_q * i_q
            i_d = 2.0 * loss / (v + math.sqrt(max(0.0, v * v + 4.0 * self.r * loss)))
        i_d, i_q, _ = self._limited(i_d, i_q)
        omega = 2.0 * math.pi * given.hz
        return State(
            i_d_a=i_d,
            i_q_a=i_q,
            u_d_v=given.v_v + self.r * i_d - omega * self.l * i_q,
            u_q_v=self.r * i_q + omega * self.l * i_d,
            x_d_v=self.r * i_d,
            x_q_v=self.r * i_q,
            v_dc_v=given.v_dc_v,
            x_dc_a=PHASES_FACTOR * v * i_d / given.v_dc_v,
            angle_rad=-given.jump_rad,
            x_pll_rad_per_s=omega - self.omega_nom,
            v_q_pu=0.0,
            source_j=0.0,
            grid_j=0.0,
            lost_j=0.0,
        )

    def orders(self, at: State, given: Inputs) -> Orders:
        """Phase-locked loop, outer loops, limits, current loops."""
        omega = 2.0 * math.pi * given.hz
        v_d, v_q = given.v_v, 0.0
        if self.own_frame:
            omega = self.omega_nom + self.pll.kp * at.v_q_pu + at.x_pll_rad_per_s
            angle = at.angle_rad + given.jump_rad
            v_d, v_q = given.v_v * math.cos(angle), given.v_v * math.sin(angle)
        per_amp = PHASES_FACTOR * max(v_d, LEAST_V_PU * self.v_nom)
        if self.exporting:
            dc_a = self.link.kp * (at.v_dc_v - given.v_dc_v) + at.x_dc_a
            wanted_d = dc_a * at.v_dc_v / per_amp
        else:
            wanted_d = given.power_w / per_amp
        i_d, i_q, held_back = self._limited(wanted_d, -given.q_var / per_amp)
        kp = self.current.kp
        u_d = v_d + kp * (i_d - at.i_d_a) + at.x_d_v - omega * self.l * at.i_q_a
        u_q = v_q + kp * (i_q - at.i_q_a) + at.x_q_v + omega * self.l * at.i_d_a
        most = at.v_dc_v / math.sqrt(3.0)  # linear range of space-vector modulation
        size = math.hypot(u_d, u_q)
        saturated = size > most
        if saturated:
            u_d, u_q = u_d * most / size, u_q * most / size
        return Orders(
            omega=omega, v_d_v=v_d, v_q_v=v_q, i_d_a=i_d, i_q_a=i_q, held_back=held_back,
            u_d_v=u_d, u_q_v=u_q, saturated=saturated,
        )  # fmt: skip

    def derivatives(self, at: State, given: Inputs) -> State:
        """Rates of change of a state, each per second."""
        to = self.orders(at, given)
        i_d, i_q, u_d, u_q = at.i_d_a, at.i_q_a, at.u_d_v, at.u_q_v
        lag = self.parameters.t_sigma_s
        bridge_w = PHASES_FACTOR * (u_d * i_d + u_q * i_q)
        source_w = self.source_w(at, given) if self.exporting else bridge_w
        error_dc = at.v_dc_v - given.v_dc_v
        # Anti-windup: an integrator stands still while its own output is cut off, unless it
        # would lead out of the limit.
        outer_runs = self.exporting and (not to.held_back or error_dc * at.i_d_a < 0.0)
        inner_ki = 0.0 if to.saturated else self.current.ki
        return State(
            i_d_a=(u_d - to.v_d_v - self.r * i_d) / self.l + to.omega * i_q,
            i_q_a=(u_q - to.v_q_v - self.r * i_q) / self.l - to.omega * i_d,
            u_d_v=(to.u_d_v - u_d) / lag,
            u_q_v=(to.u_q_v - u_q) / lag,
            x_d_v=inner_ki * (to.i_d_a - i_d),
            x_q_v=inner_ki * (to.i_q_a - i_q),
            v_dc_v=(source_w - bridge_w) / (self.c * at.v_dc_v),
            x_dc_a=self.link.ki * error_dc if outer_runs else 0.0,
            angle_rad=2.0 * math.pi * given.hz - to.omega,
            x_pll_rad_per_s=self.pll.ki * at.v_q_pu,
            v_q_pu=(to.v_q_v / self.v_nom - at.v_q_pu) / self.parameters.t_pll_s,
            source_j=source_w,
            grid_j=PHASES_FACTOR * (to.v_d_v * i_d + to.v_q_v * i_q),
            lost_j=PHASES_FACTOR * self.r * (i_d * i_d + i_q * i_q),
        )

    def source_w(self, at: State, given: Inputs) -> float:
        """What the source gives the link: less above its full voltage, then nothing [W]."""
        p = self.parameters
        over = (at.v_dc_v / p.v_dc_v - p.v_dc_full_pu) / (p.v_dc_none_pu - p.v_dc_full_pu)
        # A source that takes power (a battery being charged) has no such limit.
        share = 1.0 if given.power_w < 0.0 else min(1.0, max(0.0, 1.0 - over))
        return given.power_w * share

    def stored_j(self, at: State) -> float:
        """Energy in link and filter [J]."""
        filter_j = PHASES_FACTOR * self.l * (at.i_d_a**2 + at.i_q_a**2)
        return 0.5 * (self.c * at.v_dc_v**2 + filter_j)

    def _limited(self, i_d: float, i_q: float) -> tuple[float, float, bool]:
        """Currents within the largest one, the one with priority kept as far as it goes."""
        if i_d * i_d + i_q * i_q <= self.i_max * self.i_max:
            return i_d, i_q, False
        if self.parameters.priority == "active":
            i_d = max(-self.i_max, min(self.i_max, i_d))
            rest = math.sqrt(max(0.0, self.i_max**2 - i_d**2))
            return i_d, max(-rest, min(rest, i_q)), True
        i_q = max(-self.i_max, min(self.i_max, i_q))
        rest = math.sqrt(max(0.0, self.i_max**2 - i_q**2))
        return max(-rest, min(rest, i_d)), i_q, True
