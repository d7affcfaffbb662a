"""The current that loads and DERs draw, as a function of the voltage across them.

Each phase of a load is a branch between two nodes. Its power is P·f(u) + jQ·g(u) with u the
voltage in units of the load's own rating; f and g follow the load models of the engine
(OpenDSS manual, "Load": models 1 to 8): constant power, impedance and current, their mixtures,
exponents for voltage reduction, and an impedance outside `vminpu`…`vmaxpu`.
A DER is a load of negative power, constant between 0.5 and 1.5 pu.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feeders.bulk import Complexes
from feeders.values import Floats

TINY_PU = 1e-9
"""Voltage that stands for none at all, so that nothing is divided by zero."""

KNOWN_MODELS = (1, 2, 3, 4, 5, 6, 7, 8)
MOTOR, CVR, FIXED_Q, FIXED_X = 3, 4, 6, 7
DROP_OUT = 500.0
"""Steepness with which model 8 drops out below its cut-off voltage [1/pu]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branches:
    """All phases of all loads and DERs; every array has the shape (branch,)."""

    owner: NDArray[np.intp]
    """Which load, then which DER, a branch belongs to."""
    start: NDArray[np.intp]
    """Node it leaves from, 0 = ground."""
    end: NDArray[np.intp]
    """Node it returns to, 0 = ground."""
    share: Floats
    """Part of the owner's power in this branch: 1 / phases."""
    rated_v: Floats
    """Voltage of u = 1 [V]."""
    low: Floats
    """Below it an impedance [pu]."""
    least: Floats
    """From here on as the model says; between `low` and here a passage [pu]."""
    most: Floats
    """Above it an impedance [pu]."""
    model: NDArray[np.int32]
    z: NDArray[np.float64]
    """Part of constant impedance, of P and of Q: shape (2, branch)."""
    i: NDArray[np.float64]
    """Part of constant current."""
    p: NDArray[np.float64]
    """Part of constant power."""
    exponent: NDArray[np.float64]
    """Exponents of model 4."""
    cut_off: Floats
    """Voltage at which model 8 drops out, 0 where it never does [pu]."""
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]]
    """Whose current may depend on whose voltage: each branch with itself, in their order; then
    those of one DER with each other, whose curves look at all its phases. Shape (pair,) each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What the branches draw at one voltage."""

    current: Complexes
    """From `start` through the branch to `end` [A]."""
    power: Complexes
    """What is asked for itself, where all voltages let all branches have it [VA]."""
    unit: NDArray[np.float64]
    """f and g, shape (2, branch): the power drawn per power asked for."""
    across: Complexes
    """Voltage across the branch [V]."""
    magnitude: Floats
    """Its modulus [V]."""
    admittance: Complexes
    """y of current = y(|V|)·V [S]."""
    bend: Complexes | float
    """d(conj power)/d|V| / |V|; 0 where no power moves with the voltage [S]."""

    @property
    def straight(self) -> Complexes:
        """∂current/∂V [S]."""
        return self.admittance + self._half

    @property
    def mirrored(self) -> Complexes:
        """∂current/∂conj(V) [S]."""
        turn = self.across / self.magnitude
        return self._half * turn * turn

    @property
    def _half(self) -> Complexes:
        return np.asarray(0.5 * (self.bend - 2.0 * self.admittance))


class Law:
    """Evaluates the branches; sorts out once which of them need what."""

    def __init__(self, branches: Branches) -> None:
        b = self.branches = branches
        self._impedance = bool(np.any(b.z))
        self._current = bool(np.any(b.i))
        # Passages from `low` to `least`: slope of the current over the voltage. Where the one
        # is not below the other there is no passage, and its slope is never asked for.
        width = np.where(b.least > b.low, b.least - b.low, 1.0)
        inverse = 1.0 / np.where(b.least > 0.0, b.least, 1.0)
        self._slope_p = (inverse - b.low) / width
        self._slope_i = (1.0 - b.low) / width
        self._most_p = 1.0 / np.square(np.where(b.most > 0.0, b.most, 1.0))
        self._most_i = 1.0 / np.where(b.most > 0.0, b.most, 1.0)
        self._least_p = np.square(inverse)
        self._odd = np.flatnonzero(np.isin(b.model, (MOTOR, CVR, FIXED_Q, FIXED_X)))
        self._cut = np.flatnonzero(b.cut_off > 0.0)
        self._floor = np.maximum(b.low, b.least)
        self._tiny_v = TINY_PU * b.rated_v
        more = self._impedance or self._current or self._odd.size or self._cut.size
        self.constant = not more and bool(np.all(b.p == 1.0))
        """Whether all branches draw constant power between floor and `most`."""

    def voltage(self, v: Complexes) -> Complexes:
        """Voltage across each branch [V]; `v` has ground in front."""
        return self._across(v)[0]

    def _across(self, v: Complexes) -> tuple[Complexes, Floats]:
        """Voltage across each branch, and its modulus [V]."""
        across = v[self.branches.start] - v[self.branches.end]
        magnitude = np.abs(across)
        small = magnitude < self._tiny_v
        if small.any():
            across = np.where(small, self._tiny_v, across)
            magnitude = np.abs(across)
        return across, magnitude

    def follows(self, magnitude: Floats) -> NDArray[np.bool_]:
        """Points at which every branch has a voltage that its model is made for, shape (point,).

        Args:
            magnitude: voltage across each branch, shape (point, branch) [V].
        """
        u = magnitude / self.branches.rated_v
        sound = (u > self._floor) & (u <= self.branches.most) & (magnitude >= self._tiny_v)
        return np.asarray(sound.all(axis=1))

    def draw(self, v: Complexes, power_va: Complexes) -> Draw:
        """Currents and slopes.

        Args:
            v: node voltages, ground in front, shape (node + 1,) [V].
            power_va: power asked for in each branch, shape (branch,) [VA].
        """
        b = self.branches
        across, magnitude = self._across(v)
        u = magnitude / b.rated_v
        inside = bool(((u > self._floor) & (u <= b.most)).all())
        bend: Complexes | float = 0.0
        if inside and self.constant:
            unit, s, power = b.p, power_va.conj(), power_va
        else:
            unit, (df, dg) = self._factors(u, inside=inside)
            s = power_va.real * unit[0] - 1j * (power_va.imag * unit[1])
            bend = (power_va.real * df - 1j * (power_va.imag * dg)) / b.rated_v / magnitude
            power = s.conj()
        # y is the admittance seen: current = y(|V|)·V.
        y = s / np.square(magnitude)
        return Draw(
            current=y * across, power=power, unit=unit,
            across=across, magnitude=magnitude, admittance=y, bend=bend,
        )  # fmt: skip

    # --- f(u), g(u) and their slopes --------------------------------------------------

    def _factors(self, u: Floats, *, inside: bool) -> tuple[Floats, Floats]:
        """Factors of P and Q, and their slopes; each of shape (2, branch).

        `inside`: no voltage is so low or high that a branch does not follow its model.
        """
        b = self.branches
        value = b.p.copy()
        slope = np.zeros_like(b.p)
        if self._current:
            value += b.i * u
            slope += b.i
        if self._impedance:
            value += b.z * np.square(u)
            slope += b.z * (2.0 * u)
        if self._odd.size:
            self._motors(u, value, slope)
        if inside:
            if self._cut.size:
                self._drop_out(u, value, slope)
            return value, slope
        low, high = u <= b.low, u > b.most
        passage = (u <= b.least) & ~low
        for where, bend in ((passage, self._bend_passage), (high, self._bend_high)):
            k = np.flatnonzero(where)
            if k.size:
                value[:, k], slope[:, k] = bend(u[k], k)
        if self._cut.size:
            self._drop_out(u, value, slope)
        k = np.flatnonzero(low)
        if k.size:
            value[:, k], slope[:, k] = np.square(u[k]), 2.0 * u[k]
        return value, slope

    def _motors(self, u: Floats, value: Floats, slope: Floats) -> None:
        """Models 3, 4, 6 and 7 between `least` and `most`."""
        k = self._odd
        e, at = self.branches.exponent[:, k], u[k]
        value[:, k] = at**e
        slope[:, k] = e * at ** (e - 1.0)

    def _bend_passage(self, u: Floats, k: NDArray[np.intp]) -> tuple[Floats, Floats]:
        b = self.branches
        span = u - b.low[k]
        as_p = u * (b.low[k] + self._slope_p[k] * span)
        as_i = u * (b.low[k] + self._slope_i[k] * span)
        d_p = b.low[k] + self._slope_p[k] * (span + u)
        d_i = b.low[k] + self._slope_i[k] * (span + u)
        z, i, p = b.z[:, k], b.i[:, k], self._as_power(k)
        value = z * u**2 + i * as_i + p * as_p
        slope = z * (2.0 * u) + i * d_i + p * d_p
        return self._fixed(u, k, value, slope, self._least_p[k])

    def _bend_high(self, u: Floats, k: NDArray[np.intp]) -> tuple[Floats, Floats]:
        b = self.branches
        whole = b.z[:, k] + b.i[:, k] * self._most_i[k] + self._as_power(k) * self._most_p[k]
        return self._fixed(u, k, whole * u**2, whole * (2.0 * u), self._most_p[k])

    def _as_power(self, k: NDArray[np.intp]) -> Floats:
        """Part that follows the rule of constant power outside the band: models 3, 4 wholly."""
        odd = np.isin(self.branches.model[k], (MOTOR, CVR, FIXED_Q, FIXED_X))
        return np.where(odd, 1.0, self.branches.p[:, k])

    def _fixed(
        self, u: Floats, k: NDArray[np.intp], value: Floats, slope: Floats, p_factor: Floats
    ) -> tuple[Floats, Floats]:
        """Models 6 and 7 outside the band: P an impedance at once, Q the rated one."""
        fixed = np.isin(self.branches.model[k], (FIXED_Q, FIXED_X))
        if fixed.any():
            factor = np.stack((p_factor, np.ones_like(p_factor)))
            value = np.where(fixed, factor * u**2, value)
            slope = np.where(fixed, factor * (2.0 * u), slope)
        return value, slope

    def _drop_out(self, u: Floats, value: Floats, slope: Floats) -> None:
        k = self._cut
        # (1 + tanh(x)) / 2, with x kept where the exponential is finite.
        x = np.clip(DROP_OUT * (u[k] - self.branches.cut_off[k]), -300.0, 300.0)
        on = 0.5 * (1.0 + np.tanh(x))
        d_on = 0.5 * DROP_OUT / np.square(np.cosh(x))
        slope[:, k] = slope[:, k] * on + value[:, k] * d_on
        value[:, k] = value[:, k] * on
