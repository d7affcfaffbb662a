"""What an averaged inverter is made of, in physical units, scaled by its rating."""

import math
from dataclasses import dataclass
from typing import Literal

from ems.plant.averaged.tuning import PiGains, symmetrical_optimum, technical_optimum

PHASES_FACTOR = 1.5
"""Power in dq quantities that are phase peaks: P = 3/2·(v_d·i_d + v_q·i_q)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterParameters:
    """A three-phase inverter behind an L filter. The defaults make 100 kVA at 480 V, 60 Hz.

    Filter, link and losses are given per unit of the rating, so another `rated_kva` alone
    gives another size of the same make.
    """

    rated_kva: float = 100.0
    """Apparent power at nominal voltage [kVA]."""
    v_ll_v: float = 480.0
    """Nominal voltage, line to line, RMS [V]."""
    f_hz: float = 60.0
    """Nominal frequency [Hz]."""
    v_dc_v: float = 850.0
    """Nominal voltage of the DC link [V]; leaves 20 % above the peak of a 1.1 pu grid."""
    l_pu: float = 0.10
    """Filter reactance at nominal frequency [pu]."""
    r_pu: float = 0.005
    """Filter resistance with the bridge's losses [pu]."""
    link_ms: float = 8.0
    """Energy of the DC link at nominal voltage over the rating, ½·C·V²/S [ms]."""
    t_sigma_s: float = 150e-6
    """Tσ: modulator and computation as one lag; 1.5 samples at 10 kHz [s]."""
    t_pll_s: float = 2e-3
    """Lag of the voltage filter in the phase-locked loop [s]."""
    a: float = 2.0
    """Spacing of the symmetrical optimum, in the DC-link loop and in the phase-locked loop [1]."""
    i_max_pu: float = 1.2
    """Largest current the bridge gives [pu]."""
    priority: Literal["active", "reactive"] = "active"
    """Which current is kept when both together are too large."""
    v_dc_full_pu: float = 1.08
    """Link voltage from which the source on the DC side gives less [pu]..."""
    v_dc_none_pu: float = 1.15
    """...and at which it gives nothing: a PV generator near its open-circuit voltage [pu]."""
    frame: Literal["pll", "aligned"] = "pll"
    """Whose dq frame: the phase-locked loop's, or the grid's own (no loop, no error of angle)."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            ValueError: names every parameter that is out of its range.
        """
        positive = (
            *("rated_kva", "v_ll_v", "f_hz", "v_dc_v", "l_pu", "r_pu", "link_ms"),
            *("t_sigma_s", "t_pll_s", "i_max_pu"),
        )
        wrong = [
            f"{name} must be a number above 0, got {getattr(self, name)}"
            for name in positive
            if not 0.0 < getattr(self, name) < math.inf
        ]
        if not 1.0 < self.a < math.inf:
            wrong.append(f"a must be above 1, got {self.a}")
        if not 1.0 < self.v_dc_full_pu < self.v_dc_none_pu < math.inf:
            wrong.append("expected 1 < v_dc_full_pu < v_dc_none_pu")
        if not wrong and self.v_dc_v / math.sqrt(3.0) <= self.v_peak_v:
            least = math.sqrt(3.0) * self.v_peak_v
            wrong.append(
                f"v_dc_v = {self.v_dc_v:g} V cannot drive current into a {self.v_ll_v:g} V grid; "
                f"it must be above {least:.0f} V"
            )
        if wrong:
            raise ValueError("; ".join(wrong))

    @property
    def v_peak_v(self) -> float:
        """Nominal peak of the phase voltage: v_d when aligned [V]."""
        return self.v_ll_v * math.sqrt(2.0 / 3.0)

    @property
    def i_peak_a(self) -> float:
        """Peak phase current at rated apparent power [A]."""
        return 1000.0 * self.rated_kva / (PHASES_FACTOR * self.v_peak_v)

    @property
    def z_base_ohm(self) -> float:
        """Base impedance [Ω]."""
        return self.v_ll_v**2 / (1000.0 * self.rated_kva)

    @property
    def l_h(self) -> float:
        """Filter inductance [H]."""
        return self.l_pu * self.z_base_ohm / (2.0 * math.pi * self.f_hz)

    @property
    def r_ohm(self) -> float:
        """Filter resistance [Ω]."""
        return self.r_pu * self.z_base_ohm

    @property
    def c_f(self) -> float:
        """Capacitance of the DC link [F]."""
        return 2.0 * self.rated_kva * self.link_ms / self.v_dc_v**2  # kVA·ms = J

    @property
    def t_current_s(self) -> float:
        """The closed current loop as one lag, 2·Tσ: the small time constant of the link's [s]."""
        return 2.0 * self.t_sigma_s

    @property
    def current_gains(self) -> PiGains:
        """Of both current loops, V per A: technical optimum."""
        return technical_optimum(self.l_h, self.r_ohm, self.t_sigma_s)

    @property
    def link_gains(self) -> PiGains:
        """Of the DC-link loop, A of DC current per V: symmetrical optimum."""
        return symmetrical_optimum(self.c_f, self.t_current_s, self.a)

    @property
    def pll_gains(self) -> PiGains:
        """Of the phase-locked loop, rad/s per pu of v_q: symmetrical optimum on 1/s.

        Kaura and Blasko, "Operation of a phase locked loop system under distorted utility
        conditions", IEEE Trans. Ind. Appl. 33(1), 1997, doi:10.1109/28.567077.
        """
        return symmetrical_optimum(1.0, self.t_pll_s, self.a)
