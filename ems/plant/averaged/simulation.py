"""Simulating an averaged inverter: references and grid in, arrays over time out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ems.plant.averaged.model import Inputs, Model, State
from ems.plant.averaged.parameters import InverterParameters

Floats = NDArray[np.float64]
Signal = Callable[[float], float]
"""A value by the time since the start [s]."""
STEPS_PER_LAG = 6
"""Steps in one Tσ where none are asked for: with them halving a step moves nothing by 1e-4."""


class Unstable(ArithmeticError):
    """The simulation left what the model describes; the message says when and how."""


def constant(value: float) -> Signal:
    """A signal that stays as it is."""
    return lambda _: value


def step(before: float, after: float, at_s: float) -> Signal:
    """A signal that steps at `at_s`."""
    return lambda t: after if t >= at_s else before


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporting:
    """The DC-link loop exports what a source gives: a PV generator."""

    source_kw: Signal
    """Power offered to the link; negative: taken from it [kW]."""
    v_dc_v: Signal | None = None
    """Link voltage wanted; None: nominal [V]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """Active power is ordered, and the DC side holds the link: a battery."""

    p_kw: Signal
    """Active power at the terminals, injection positive [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What is asked of the inverter."""

    active: Exporting | Ordered
    q_kvar: Signal = field(default_factory=lambda: constant(0.0))
    """Reactive power at the terminals, injection positive [kvar]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A stiff grid at the inverter's terminals."""

    v_pu: Signal = field(default_factory=lambda: constant(1.0))
    hz: Signal | None = None
    """Frequency; None: nominal [Hz]."""
    jump_deg: Signal = field(default_factory=lambda: constant(0.0))
    """Jumps of the phase, summed since the start [°]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What happened. All arrays have shape (time,), of t_end/dt + 1 samples."""

    t_s: Floats
    p_kw: Floats
    """Active power at the terminals, injection positive [kW]."""
    q_kvar: Floats
    i_d_a: Floats
    """Active current, peak [A]."""
    i_q_a: Floats
    """Current a quarter turn ahead, peak; negative injects reactive power [A]."""
    i_d_ref_a: Floats
    """What the active current is to be, behind the limit [A]."""
    i_q_ref_a: Floats
    v_dc_v: Floats
    """Voltage of the DC link [V]."""
    v_pu: Floats
    """Voltage of the grid [pu]."""
    hz: Floats
    """Speed of the controller's frame: what the phase-locked loop shows [Hz]."""
    angle_deg: Floats
    """Of the grid ahead of the controller's frame [°]."""
    source_j: Floats
    """Energy the source gave since the start [J]."""
    grid_j: Floats
    """Energy given to the grid since the start [J]."""
    lost_j: Floats
    """Energy lost in the filter since the start [J]."""
    stored_j: Floats
    """Energy in link and filter [J]."""


def simulate(
    parameters: InverterParameters,
    references: References,
    grid: Grid,
    t_end_s: float,
    dt_s: float | None = None,
) -> Response:
    """Start in the steady state of the first inputs, and live until `t_end_s`.

    Runge-Kutta of fourth order with a fixed step; inputs are held over each step at their value
    in its middle, so that a step of an input at a multiple of `dt_s` is met exactly.

    Args:
        parameters: of the inverter.
        references: what is asked of it.
        grid: what it is connected to.
        t_end_s: how long [s].
        dt_s: length of a step; None: a sixth of Tσ [s].

    Raises:
        ValueError: the times are no positive numbers, or a step is longer than Tσ.
        Unstable: a state is no number any more, or the link fell below the peak of the grid's
            voltage, where the bridge's diodes conduct.
    """
    dt = parameters.t_sigma_s / STEPS_PER_LAG if dt_s is None else dt_s
    if not (0.0 < t_end_s < math.inf and 0.0 < dt <= parameters.t_sigma_s):
        raise ValueError(
            f"expected t_end_s above 0 and dt_s above 0, at most Tσ = {parameters.t_sigma_s:g} s; "
            f"got {t_end_s:g} and {dt:g}"
        )
    exporting = isinstance(references.active, Exporting)
    model = Model(parameters, exporting=exporting)
    inputs = _sampler(parameters, references, grid)
    count = max(1, round(t_end_s / dt))
    rows = np.empty((count + 1, _COLUMNS))
    at = model.at_rest(inputs(0.0))
    for k in range(count + 1):
        given = inputs((k + 0.5) * dt)
        rows[k] = _row(model, at, given, k * dt)
        _guard(rows[k], at, given)
        if k < count:
            at = _runge_kutta(model, at, given, dt)
    return Response(**{name: rows[:, i].copy() for i, name in enumerate(_NAMES)})


def _sampler(
    parameters: InverterParameters, references: References, grid: Grid
) -> Callable[[float], Inputs]:
    """Everything that drives the inverter, by time, in the model's units."""
    hz = grid.hz or constant(parameters.f_hz)
    v_dc = constant(parameters.v_dc_v)
    match references.active:
        case Exporting(source_kw=power, v_dc_v=wanted):
            v_dc = wanted or v_dc
        case Ordered(p_kw=power):
            pass

    def at(t: float) -> Inputs:
        return Inputs(
            v_v=grid.v_pu(t) * parameters.v_peak_v,
            hz=hz(t),
            jump_rad=math.radians(grid.jump_deg(t)),
            q_var=1000.0 * references.q_kvar(t),
            power_w=1000.0 * power(t),
            v_dc_v=v_dc(t),
        )

    return at


def _runge_kutta(model: Model, at: State, given: Inputs, dt: float) -> State:
    f = model.derivatives
    half = 0.5 * dt
    k1 = f(at, given)
    k2 = f(State._make([x + half * k for x, k in zip(at, k1, strict=True)]), given)
    k3 = f(State._make([x + half * k for x, k in zip(at, k2, strict=True)]), given)
    k4 = f(State._make([x + dt * k for x, k in zip(at, k3, strict=True)]), given)
    sixth = dt / 6.0
    return State._make(
        [
            x + sixth * (a + 2.0 * (b + c) + d)
            for x, a, b, c, d in zip(at, k1, k2, k3, k4, strict=True)
        ]
    )


_NAMES = (
    *("t_s", "p_kw", "q_kvar", "i_d_a", "i_q_a", "i_d_ref_a", "i_q_ref_a", "v_dc_v", "v_pu"),
    *("hz", "angle_deg", "source_j", "grid_j", "lost_j", "stored_j"),
)
_COLUMNS = len(_NAMES)


def _row(model: Model, at: State, given: Inputs, t: float) -> tuple[float, ...]:
    """One sample, in the order of `_NAMES`."""
    to = model.orders(at, given)
    angle = math.atan2(to.v_q_v, to.v_d_v) if given.v_v > 0.0 else at.angle_rad + given.jump_rad
    return (
        t,
        1.5e-3 * (to.v_d_v * at.i_d_a + to.v_q_v * at.i_q_a),
        1.5e-3 * (to.v_q_v * at.i_d_a - to.v_d_v * at.i_q_a),
        at.i_d_a,
        at.i_q_a,
        to.i_d_a,
        to.i_q_a,
        at.v_dc_v,
        given.v_v / model.v_nom,
        to.omega / (2.0 * math.pi),
        math.degrees(angle),
        at.source_j,
        at.grid_j,
        at.lost_j,
        model.stored_j(at),
    )


def _guard(row: Floats, at: State, given: Inputs) -> None:
    if not all(map(math.isfinite, row)):
        raise Unstable(f"after {row[0]:.6g} s a state is no number any more")
    if at.v_dc_v < math.sqrt(3.0) * given.v_v:
        raise Unstable(
            f"after {row[0]:.6g} s the DC link stands at {at.v_dc_v:.0f} V, below the "
            f"{math.sqrt(3.0) * given.v_v:.0f} V peak of the grid: the bridge's diodes conduct, "
            "which an averaged model does not describe"
        )
