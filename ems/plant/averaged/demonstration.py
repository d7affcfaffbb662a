"""The steps that show what an averaged inverter does, as figures and as a picture."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ems.plant.averaged.parameters import InverterParameters
from ems.plant.averaged.simulation import (
    Exporting,
    Grid,
    Ordered,
    References,
    Response,
    constant,
    simulate,
    step,
)
from ems.plant.averaged.step_figures import StepFigures, step_figures
from ems.plant.averaged.tuning import (
    symmetrical_closed_loop,
    symmetrical_phase_margin_deg,
    technical_step_response,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
P_STEP_S, Q_STEP_S, END_S = 0.02, 0.08, 0.14
"""When the source's power steps, when reactive power does, and when it is over [s]."""
P_FROM, P_TO, Q_TO = 0.2, 0.8, 0.4
"""Heights of the steps [pu of the rating]."""
SMALL = 0.05
"""Height of the step that judges the current loop: so small that nothing is limited [pu]."""
SMALL_LINK = 5e-4
"""Height of the step that judges the DC-link loop [pu of its voltage]."""
_INK, _ASKED = "#0b6e4f", "#c8553d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What the steps showed."""

    parameters: InverterParameters
    response: Response
    """The large steps: source and reactive power."""
    figures: Mapping[str, StepFigures]
    """`i_d` and `v_dc` after small steps of their own references; `p` and `q` after the large."""
    promised: Mapping[str, StepFigures]
    """What the tuning rules promise of `i_d` and `v_dc`, in closed form."""
    v_dc_lowest_v: float
    v_dc_highest_v: float

    def document(self) -> dict[str, Any]:
        """As JSON."""
        p = self.parameters
        return {
            "parameters": {
                **asdict(p),
                "l_mh": 1e3 * p.l_h,
                "r_mohm": 1e3 * p.r_ohm,
                "c_mf": 1e3 * p.c_f,
                "current_loop": asdict(p.current_gains),
                "dc_link_loop": asdict(p.link_gains),
                "phase_locked_loop": asdict(p.pll_gains),
            },
            "figures": {name: asdict(found) for name, found in self.figures.items()},
            "promised": {name: asdict(found) for name, found in self.promised.items()},
            "phase_margin_deg": symmetrical_phase_margin_deg(p.a),
            "v_dc_lowest_v": self.v_dc_lowest_v,
            "v_dc_highest_v": self.v_dc_highest_v,
        }


def demonstrate(parameters: InverterParameters) -> Demonstration:
    """Step everything that can be stepped.

    Raises:
        Unstable: the inverter does not survive it.
    """
    s_kva = parameters.rated_kva
    large = simulate(
        parameters,
        References(
            active=Exporting(source_kw=step(P_FROM * s_kva, P_TO * s_kva, P_STEP_S)),
            q_kvar=step(0.0, Q_TO * s_kva, Q_STEP_S),
        ),
        Grid(),
        END_S,
    )
    before_q = large.t_s < Q_STEP_S - parameters.t_sigma_s
    return Demonstration(
        parameters=parameters,
        response=large,
        figures={
            "i_d": _current_loop(parameters),
            "v_dc": _link_loop(parameters),
            "p": step_figures(large.t_s[before_q], large.p_kw[before_q], P_STEP_S),
            "q": step_figures(large.t_s, large.q_kvar, Q_STEP_S, after=Q_TO * s_kva),
        },
        promised={"i_d": _promised_current(parameters), "v_dc": _promised_link(parameters)},
        v_dc_lowest_v=float(large.v_dc_v.min()),
        v_dc_highest_v=float(large.v_dc_v.max()),
    )


def _current_loop(p: InverterParameters) -> StepFigures:
    at_s = 10.0 * p.t_sigma_s
    ordered = Ordered(p_kw=step(0.0, SMALL * p.rated_kva, at_s))
    found = simulate(p, References(active=ordered), Grid(), 6.0 * at_s)
    return step_figures(found.t_s, found.i_d_a, at_s, after=float(found.i_d_ref_a[-1]))


def _link_loop(p: InverterParameters) -> StepFigures:
    at_s = 10.0 * p.t_sigma_s
    wanted = step(p.v_dc_v, (1.0 + SMALL_LINK) * p.v_dc_v, at_s)
    exporting = Exporting(source_kw=constant(0.0), v_dc_v=wanted)
    lasts = at_s + 40.0 * p.a**2 * p.t_current_s
    found = simulate(p, References(active=exporting), Grid(), lasts)
    return step_figures(found.t_s, found.v_dc_v, at_s, after=(1.0 + SMALL_LINK) * p.v_dc_v)


def _promised_current(p: InverterParameters) -> StepFigures:
    t: Floats = np.linspace(0.0, 50.0 * p.t_sigma_s, 5001)
    return step_figures(t, technical_step_response(t, p.t_sigma_s), 0.0, after=1.0)


def _promised_link(p: InverterParameters) -> StepFigures:
    from scipy import signal  # noqa: PLC0415 - 0.5 s to import, wanted here only

    t: Floats = np.linspace(0.0, 40.0 * p.a**2 * p.t_current_s, 20_001)
    _, shown = signal.step(symmetrical_closed_loop(p.t_current_s, p.a), T=t)
    return step_figures(t, np.asarray(shown, dtype=np.float64), 0.0, after=1.0)


def draw(shown: Demonstration, path: Path) -> None:
    """Write a picture (PNG) of the large steps: P, Q, i_d, i_q and the DC link.

    Raises:
        OSError: the file cannot be written.
    """
    # 0.5 s to import and wanted by this alone; no window is ever opened.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    r = shown.response
    figure = Figure(figsize=(9.0, 8.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(4, 1, sharex=True)
    _panel(axes[0], r, "P [kW], Q [kvar]", {"P": r.p_kw, "Q": r.q_kvar})
    _panel(axes[1], r, "i_d [A]", {"i_d": r.i_d_a, "asked": r.i_d_ref_a})
    _panel(axes[2], r, "i_q [A]", {"i_q": r.i_q_a, "asked": r.i_q_ref_a})
    _panel(axes[3], r, "v_dc [V]", {"v_dc": r.v_dc_v})
    axes[3].set_xlabel("time [ms]")
    p = shown.parameters
    figure.suptitle(
        f"{p.rated_kva:g} kVA, averaged: source {P_FROM:g} to {P_TO:g} pu at "
        f"{1e3 * P_STEP_S:g} ms, Q 0 to {Q_TO:g} pu at {1e3 * Q_STEP_S:g} ms"
    )
    figure.savefig(path, dpi=120, format="png")


def _panel(axes: "Axes", response: Response, label: str, series: Mapping[str, Floats]) -> None:
    for (name, values), colour, style in zip(
        series.items(), (_INK, _ASKED), ("-", "--"), strict=False
    ):
        axes.plot(1e3 * response.t_s, values, color=colour, linestyle=style, label=name)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
