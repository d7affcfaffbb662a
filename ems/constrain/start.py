"""Where to make the feeder linear first: near the limits, not where nobody minded them.

The dispatch without rows may lie so far beyond a limit that slopes taken there tell little of the
limit's neighbourhood, and re-linearisation comes back step by step. A few load flows of one case
find a point that just meets the limits, by what an optimum takes first: reactive power, which is
nearly free, and then one share of all PV caps. It only has to be near; nothing of it is sent.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from ems.constrain.cases import Case, severity
from ems.constrain.interval import Interval, Trial
from ems.constrain.rungs import cap_of, with_caps
from ems.domain import Der, Dg, LoadFlow, RowKind, Setpoint

FAR = 0.01
"""Excess over a limit, as a fraction of it, from which a start is looked for [1]: below it two
linearisations are enough from anywhere."""

Setpoints = Mapping[str, Setpoint]
Path = Callable[[float], Setpoints]
"""Setpoints from inside the limits (0) to far beyond one (1)."""


def start(at: Interval, first: Trial) -> Trial:
    """A trial near the limits; the first one itself where it is near, or nothing leads to them."""
    if first.safe or not first.flow.converged or severity(first.broken[0]) < FAR:
        return first
    worst = first.broken[0]
    case = next((case for case in first.cases if case.name == worst.case), None)
    if case is None or worst.kind is RowKind.V_MIN or not math.isfinite(worst.value):
        return first
    share, path = _meeting(at, first, case, worst.kind)
    if share is None:
        return first
    found = at.trial(at.priced(first.decided, path(share)))
    still = severity(found.broken[0]) if found.broken else 0.0
    return found if found.flow.converged and still < severity(worst) else first


def _meeting(at: Interval, first: Trial, case: Case, kind: RowKind) -> tuple[float | None, Path]:
    """The path back from a dispatch, and where on it the case meets its limits."""
    far, beyond = _excess(at, case, first.flows[case.name]), first.decided.setpoints
    if kind is RowKind.V_MAX:
        absorbing = _absorbing(at, beyond)
        left = _excess(at, case, at.flow(case, absorbing))
        if left < 0.0:
            by_q = partial(_between, absorbing, beyond)
            return _share(at, case, far, by_q), by_q
        far, beyond = left, absorbing
    by_caps = partial(with_caps, at.site, at.forecast, beyond)
    return _share(at, case, far, by_caps), by_caps


def _share(at: Interval, case: Case, far: float, path: Path) -> float | None:
    """Where on a path a case meets its limits, to second order; None: nowhere."""
    none = _excess(at, case, at.flow(case, path(0.0)))
    if not (none < 0.0 < far < math.inf):
        return None
    guess = none / (none - far)
    there = _excess(at, case, at.flow(case, path(guess)))
    if not math.isfinite(there):
        return None
    # The parabola through the three, and the one of its zeros that lies between the ends.
    bend = ((there - none) / guess - (far - none)) / (guess - 1.0)
    zeros = np.roots([bend, far - none - bend, none])
    between = [z.real for z in zeros.tolist() if z.imag == 0.0 and 0.0 < z.real < 1.0]
    return float(between[0]) if len(between) == 1 else guess


def _excess(at: Interval, case: Case, flow: LoadFlow) -> float:
    """How far a load flow is beyond its upper limits, as a fraction of them; below 0 inside."""
    if not flow.converged:
        return math.inf
    limits = case.limits(at.site)
    over = float(flow.v_pu.max()) / limits.v_max_pu - 1.0
    if limits.loading_max_pct is None:
        return over
    return max(over, float(flow.loading_pct.max(initial=0.0)) / limits.loading_max_pct - 1.0)


def _absorbing(at: Interval, setpoints: Setpoints) -> Setpoints:
    """The same with all the reactive power absorbed that there is at these powers."""
    return {
        der.name: replace(setpoints[der.name], q_kvar=-_most_kvar(at, der, setpoints))
        for der in at.site.ders
    }


def _most_kvar(at: Interval, der: Der, setpoints: Setpoints) -> float:
    p_kw = setpoints[der.name].p_kw
    if isinstance(der, Dg):
        return der.q_max_kvar * min(1.0, max(p_kw, 0.0) / der.full_q_kw)
    if der.s_max_kva is None:
        return der.q_max_kvar
    if der.name in at.forecast.pv:
        p_kw = cap_of(setpoints, der.name, at.forecast)
    return min(der.q_max_kvar, math.sqrt(max(der.s_max_kva**2 - p_kw**2, 0.0)))


def _between(one: Setpoints, other: Setpoints, share: float) -> Setpoints:
    """Reactive power a share of the way from one to the other, all else as in the other."""
    return {
        name: replace(at, q_kvar=one[name].q_kvar + share * (at.q_kvar - one[name].q_kvar))
        for name, at in other.items()
    }
