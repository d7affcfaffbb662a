"""The load flow with inverters that answer to their own voltage.

The engine solves with constant powers; between its solves the powers are moved, by Newton's
method on the whole feeder, to where the curves want them at the voltages they make.
"""

from dataclasses import replace

import numpy as np

from feeders.bulk import Complexes
from feeders.curves import Answer, CurveSet, slopes_of, terminal_v_pu
from feeders.jacobian import factorise
from feeders.linear import injections_of
from feeders.solving import Solver
from feeders.states import State
from feeders.values import Floats, Regulation

STEPS = 40
"""Solves before the curves have no common answer; without kinks in between it takes four."""
AGREED = 1e-8
"""Difference between the power set and the power the curves want, per rating."""
ACCEPTED = 1e-6
"""The same, with which a solution is still one."""
FARTHEST_PU = 0.1
"""Longest step of a voltage."""
SHARES = tuple(0.5**k for k in range(7))
"""Of a step, until it brings the gap nearer; else the last is taken, for the next to try anew."""
TURNS = 8
"""Times that regulators and curves may answer each other."""
UNSETTLED = "inverter curves and voltages do not come to agree; flatten the steepest curve"
HUNTING = "regulators and inverter curves keep answering each other; widen a band"


def solve_responding(
    solver: Solver,
    power_va: Complexes,
    head_v_pu: float,
    asked: Regulation | None,
    curves: CurveSet,
    *,
    settle: bool,
) -> State:
    """As `Solver.solve`, with the DERs' curves at work; `power_va` is what they are asked for."""
    regulation = solver.controls.complete(asked)
    for _ in range(TURNS if settle else 1):
        state = _agree(solver, power_va, head_v_pu, regulation, curves)
        if not (settle and solver.controls.moving and state.converged):
            return state
        moved = solver.solve(state.asked_va, head_v_pu, regulation, settle=True)
        if not moved.converged:
            return replace(state, converged=False, note=moved.note)
        if moved.regulation == regulation:
            return state
        regulation = moved.regulation
    return replace(state, converged=False, note=HUNTING)


def _agree(
    solver: Solver,
    asked_va: Complexes,
    head_v_pu: float,
    regulation: Regulation,
    curves: CurveSet,
) -> State:
    """Newton's method at one stand of the taps, from the voltages without load."""
    loads = solver.loads
    asked_kw, asked_kvar = -asked_va[loads:].real / 1e3, -asked_va[loads:].imag / 1e3

    def at(v_pu: Floats) -> tuple[Answer, State, Floats]:
        """What the curves say at some voltages, what that makes, and how far it is from them."""
        answer = curves.answer(v_pu, asked_kw, asked_kvar)
        state = solver.solve(_with(asked_va, answer, loads), head_v_pu, regulation, settle=False)
        return answer, state, _terminals(solver, state.voltage) - v_pu

    v_pu = _terminals(solver, solver.flat)
    answer, state, gap_pu = at(v_pu)
    for _ in range(STEPS):
        then = curves.answer(v_pu + gap_pu, asked_kw, asked_kvar)
        missing_kw = max(_largest(then.p_kw - answer.p_kw), _largest(then.q_kvar - answer.q_kvar))
        if not state.converged or missing_kw <= AGREED * curves.scale_kw:
            break
        step = _newton(solver, state, answer, gap_pu)
        step *= min(1.0, FARTHEST_PU / max(_largest(step), FARTHEST_PU))
        for share in SHARES:
            nearer = at(v_pu + share * step)
            if nearer[1].converged and _norm(nearer[2], curves) < _norm(gap_pu, curves):
                break  # else: beyond a kink the curves say something else
        v_pu, (answer, state, gap_pu) = v_pu + share * step, nearer
    agreed = missing_kw <= ACCEPTED * curves.scale_kw
    return replace(
        state,
        answer=answer,
        residual_kw=max(state.residual_kw, missing_kw),
        converged=state.converged and agreed,
        note=state.note or ("" if agreed else UNSETTLED),
    )


def _newton(solver: Solver, state: State, answer: Answer, gap_pu: Floats) -> Floats:
    """Where the voltages and what the curves make of them meet, all curves being straight.

    With Z what powers do to voltages and k the curves' slopes, (1 − Z·k)·step = gap; what is
    solved is the feeder with the curves at work, given the power k·gap.
    """
    law, stand, loads, ders = solver.law, state.stand, solver.loads, solver.ders
    pairs = slopes_of(law, state.voltage, state.draw, loads, answer)
    factor = factorise(stand.pattern, stand.wires, *pairs)
    injected = injections_of(law.branches, state.draw, stand.pattern, loads, ders)
    powers = np.concatenate((answer.dp_dv * gap_pu, answer.dq_dv * gap_pu))
    found, re = factor.forward(np.asarray(powers @ injected)), stand.pattern.re
    dv = np.zeros(re.size + 1, dtype=complex)
    dv[1:].real, dv[1:].imag = found[re], found[re + 1]
    here = solver.law.voltage(state.voltage)
    return gap_pu + _terminal_change(solver, here, dv)


def _terminal_change(solver: Solver, across: Complexes, dv: Complexes) -> Floats:
    """Change of the DERs' voltages to first order [pu]."""
    b = solver.branches
    own = np.flatnonzero(b.owner >= solver.loads)
    change = (np.conj(across[own]) * (dv[b.start[own]] - dv[b.end[own]])).real
    each = change / np.abs(across[own]) / b.rated_v[own] * b.share[own]
    return np.bincount(b.owner[own] - solver.loads, each, minlength=solver.ders).astype(float)


def _largest(values: Floats) -> float:
    return float(np.abs(values).max(initial=0.0))


def _norm(gap_pu: Floats, curves: CurveSet) -> float:
    """Size of the gaps of the DERs that have curves."""
    return float(np.linalg.norm(gap_pu[curves.which]))


def _terminals(solver: Solver, voltage: Complexes) -> Floats:
    return terminal_v_pu(solver.law, voltage, solver.loads, solver.ders)


def _with(asked_va: Complexes, answer: Answer, loads: int) -> Complexes:
    """Powers of the loads as asked, of the DERs as answered [VA]."""
    powers = asked_va.copy()
    powers[loads:].real, powers[loads:].imag = -1e3 * answer.p_kw, -1e3 * answer.q_kvar
    return powers
