"""PI controllers by the technical and the symmetrical optimum, and what each promises.

Both are Kessler's; in English: Umland and Safiuddin, "Magnitude and symmetric optimum
criterion for the design of linear control systems", IEEE Trans. Ind. Appl. 26(3), 1990,
doi:10.1109/28.55967.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PiGains:
    """A controller Kp·(1 + 1/(s·Ti))."""

    kp: float
    """Proportional gain, in the plant's units."""
    ti_s: float
    """Integral (reset) time [s]."""

    @property
    def ki(self) -> float:
        """Integral gain Kp/Ti [1/s]."""
        return self.kp / self.ti_s


def technical_optimum(l_h: float, r_ohm: float, t_sigma_s: float) -> PiGains:
    """For one large time constant L/R and one small one: Kp = L/(2·Tσ), Ti = L/R.

    The controller's zero cancels L/R; what is left has damping 1/√2.

    Args:
        l_h: inductance of the plant 1/(R + s·L) [H].
        r_ohm: its resistance [Ω].
        t_sigma_s: sum of the small time constants, of modulator and sampling [s].
    """
    return PiGains(kp=l_h / (2.0 * t_sigma_s), ti_s=l_h / r_ohm)


def symmetrical_optimum(c: float, t_sigma_s: float, a: float = 2.0) -> PiGains:
    """For an integrator and one small time constant: Kp = C/(a·Tσ), Ti = a²·Tσ.

    The phase is at its highest where the gain crosses 1, at 1/(a·Tσ).

    Args:
        c: capacity of the plant 1/(s·C): a capacitance [F], or 1/V for a phase-locked loop.
        t_sigma_s: small time constant [s].
        a: spacing, above 1; 2 is Kessler's choice. More damps more and is slower.
    """
    return PiGains(kp=c / (a * t_sigma_s), ti_s=a * a * t_sigma_s)


def symmetrical_phase_margin_deg(a: float) -> float:
    """Phase margin of the symmetrical optimum: arctan a − arctan 1/a [°]."""
    return math.degrees(math.atan(a) - math.atan(1.0 / a))


def technical_step_response(t_s: Floats, t_sigma_s: float) -> Floats:
    """Closed loop of the technical optimum after a unit step of its reference at t = 0.

    1/(1 + 2·Tσ·s + 2·Tσ²·s²): it first reaches its reference after 4.7 Tσ, and overshoots by
    e^−π = 4.3 %.

    Args:
        t_s: times, shape (time,) [s].
        t_sigma_s: small time constant [s].

    Returns:
        Shape (time,) [1].
    """
    x = np.maximum(t_s, 0.0) / (2.0 * t_sigma_s)
    response: Floats = 1.0 - np.exp(-x) * (np.cos(x) + np.sin(x))
    return response


def symmetrical_closed_loop(t_sigma_s: float, a: float) -> tuple[list[float], list[float]]:
    """Closed loop of the symmetrical optimum: (1 + a²·Tσ·s)/(1 + a²·Tσ·s + a³·Tσ²·s² + a³·Tσ³·s³).

    Returns:
        Numerator and denominator, highest power of s first.
    """
    t = t_sigma_s
    return [a**2 * t, 1.0], [a**3 * t**3, a**3 * t**2, a**2 * t, 1.0]
