"""A search for setpoints that keep every limit of a random feeder, and the judgement by it.

The search is of its own kind: from random points, steps of a linear program on differences taken
by plain load flows (`random_feeders_outside`), towards the lowest largest violation. It takes
seconds where GEEMS takes milliseconds; it judges what GEEMS calls impossible.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from ems.domain import Infeasible, Pv, Secured, Setpoint, Verified
from tests.random_feeders import RandomFeeder, decided, random_feeder
from tests.random_feeders_outside import Corner, Floats, Outside, Taps, corners_of, power_in
from tests.random_feeders_reach import Reach, out_of_reach, reaches

ROUNDING_PU = 1e-8
"""Beyond a limit by this is on it [pu, or of a rating]."""
KEPT_PU = 1e-4
"""A limit kept by this margin is kept beyond doubt [pu, or of a rating]."""
ENOUGH_PU = 2e-4
"""Margin at which a search need not go on."""
REST_PU = 1e-6
"""Gain of a step below which the steps get shorter."""
LEAST_RADIUS = 1e-3
"""Shortest step, as a share of the ratings [1]."""
NEAR_PU = 0.15
"""Limits that are less close to breaking than the worst by this are left out of a step."""
DIFFERENCE = 5e-3
"""Half of the way between two load flows that make a slope, as a share of the rating [1]."""
RANDOM_POINTS = 25


class Search:
    """Looks for setpoints that keep every limit in some corners."""

    def __init__(self, outside: Outside, corners: Sequence[Corner], rng_seed: int) -> None:
        self.outside, self.corners = outside, corners
        self.f = outside.f
        self._sizes = np.repeat([d.rated_kw for d in self.f.site.ders], 2)
        self.rng = np.random.default_rng(rng_seed)
        self.best: tuple[float, dict[str, Setpoint]] = (math.inf, {})

    def found(self, margin: float, starts: int = 5, steps: int = 20) -> bool:
        """Whether there are setpoints that keep all limits by more than the margin."""
        choices = [reaches(self.f, d) for d in self.f.site.ders]
        for modes in itertools.product(*choices):
            points = [self._random(modes) for _ in range(RANDOM_POINTS)] + [self._middle(modes)]
            points.sort(key=lambda x: self._worst(self._points(x)))
            for x in points[:starts]:
                if self._descend(x, modes, steps) < -margin:
                    return True
        return False

    def _descend(self, x: Floats, modes: Sequence[Reach], steps: int) -> float:
        """Lowest largest excess that steps from a point lead to."""
        radius = 0.5
        here = self._points(x)
        at = self._worst(here)
        for _ in range(steps):
            self._note(at, x)
            if at < -ENOUGH_PU or radius < LEAST_RADIUS:
                break
            new = self._step(x, here, modes, radius)
            seen = self._points(new)
            value = self._worst(seen)
            gain = at - value
            if gain > 0.0:
                x, here, at = new, seen, value
            radius = min(2.0 * radius, 1.0) if gain > REST_PU else radius / 4.0
        self._note(at, x)
        return at

    def _note(self, value: float, x: Floats) -> None:
        if value < self.best[0]:
            self.best = value, self._setpoints(x)

    def _points(self, x: Floats) -> list[tuple[Corner, Taps, Floats]]:
        asked = self._setpoints(x)
        return [
            (corner, taps, seen.excess(self.f.site.limits))
            for _, corner, taps, seen in self.outside.all_of(self.corners, asked)
        ]

    @staticmethod
    def _worst(points: Sequence[tuple[Corner, Taps, Floats]]) -> float:
        return max(float(e.max()) for _, _, e in points)

    def _step(
        self,
        x: Floats,
        here: Sequence[tuple[Corner, Taps, Floats]],
        modes: Sequence[Reach],
        radius: float,
    ) -> Floats:
        """Lowest largest excess of the feeder made linear by differences, within a radius."""
        worst = self._worst(here)
        rows, rhs = [], []
        for corner, taps, excess in here:
            near = np.flatnonzero(excess > worst - NEAR_PU)
            slopes = self._slopes(x, corner, taps, near)
            rows.append(np.column_stack([slopes, -np.ones(near.size)]))
            rhs.append(slopes @ x - excess[near])
        for i, mode in enumerate(modes):
            own = np.zeros((len(mode.b), x.size + 1))
            own[:, 2 * i : 2 * i + 2] = mode.a
            rows.append(own)
            rhs.append(mode.b)
        reach = self._sizes * radius
        done = linprog(
            np.concatenate([np.zeros(x.size), [1.0]]),
            A_ub=np.vstack(rows),
            b_ub=np.concatenate(rhs),
            bounds=[*zip(x - reach, x + reach, strict=True), (-NEAR_PU, None)],
        )
        return np.asarray(done.x, dtype=float)[:-1] if done.status == 0 else x

    def _slopes(self, x: Floats, corner: Corner, taps: Taps, near: NDArray[np.intp]) -> Floats:
        """Of some excesses with P and Q of each DER, shape (near, 2 · der)."""
        found = np.zeros((near.size, x.size))
        for k, size in enumerate(self._sizes):
            h = DIFFERENCE * size
            ends = []
            for way in (h, -h):
                y = x.copy()
                y[k] += way
                power = power_in(self.f, corner, self._setpoints(y))
                seen = self.outside.seen(corner, power, taps)
                ends.append(seen.excess(self.f.site.limits)[near])
            found[:, k] = (ends[0] - ends[1]) / (2.0 * h)
        return found

    def _setpoints(self, x: Floats) -> dict[str, Setpoint]:
        found = {}
        for d, (p, q) in zip(self.f.site.ders, x.reshape(-1, 2).tolist(), strict=True):
            cap = p if isinstance(d, Pv) else None
            found[d.name] = Setpoint(der=d.name, p_kw=p, q_kvar=q, cap_kw=cap)
        return found

    def _random(self, modes: Sequence[Reach]) -> Floats:
        """Within reach, often at its ends."""
        x = []
        for m in modes:
            lo, hi = m.tip
            share = self.rng.choice([0.0, 0.5, 1.0, self.rng.random()])
            p = lo + share * (hi - lo)
            q = self._widest_q(m, p) * self.rng.choice([-1.0, 0.0, 1.0])
            x += [p, q]
        return np.array(x)

    def _middle(self, modes: Sequence[Reach]) -> Floats:
        return np.array([v for m in modes for v in (min(max(0.0, m.tip[0]), m.tip[1]), 0.0)])

    @staticmethod
    def _widest_q(m: Reach, p: float) -> float:
        up = m.a[:, 1] > 1e-9
        room = (m.b[up] - m.a[up, 0] * p) / m.a[up, 1]
        return max(float(room.min()), 0.0)


# --- the judgement ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the outside says of a decision."""

    outcome: str
    """`verified, free`, `verified, moved`, `on the way`, `corner given up` or `infeasible`."""
    faults: tuple[str, ...]
    """What is wrong with it; empty when it is right."""


def decided_and_judged(seed: int, folder: Path) -> tuple[Judgement, float]:
    """The judgement on the feeder of a seed, and the wall time of its decision [s]."""
    f = random_feeder(seed)
    secured, spent_s = decided(f, folder)
    return judged(f, secured), spent_s


def judged(f: RandomFeeder, secured: Secured) -> Judgement:
    """Sent: it is in reach and breaks no limit in any corner. Refused: nothing else keeps all."""
    outside, corners = Outside(f), corners_of(f)
    outcome = outcome_of(secured)
    faults = []
    if outcome != "infeasible":
        kept = corners[:1] if outcome == "corner given up" else corners
        faults += _broken(outside, kept, secured.dispatch.setpoints)
    if outcome in {"infeasible", "corner given up"} and not isinstance(secured, Verified):
        faults += _found_instead(outside, corners, secured.reason)
    outside.close()
    return Judgement(outcome=outcome, faults=tuple(faults))


def _found_instead(outside: Outside, corners: Sequence[Corner], reason: str) -> list[str]:
    """Setpoints that keep all limits where GEEMS says that none do."""
    idle = {
        d.name: Setpoint(der=d.name, p_kw=0.0, q_kvar=0.0, cap_kw=0.0) for d in outside.f.site.ders
    }
    seen = [
        (float(s.excess(outside.f.site.limits).max()), c)
        for _, c, _, s in outside.all_of(corners, idle)
    ]
    # Most often one corner alone cannot be kept, and all the others need not be looked at.
    for asked in ([max(seen, key=lambda x: x[0])[1]], corners):
        search = Search(outside, asked, outside.f.seed)
        if not search.found(KEPT_PU):
            return []
    by, at = search.best
    return [f"refused ({reason}), but {at} keeps all by {-by:.2e}"]


def outcome_of(secured: Secured) -> str:
    """In the words of `Judgement`."""
    if isinstance(secured, Verified):
        return "verified, moved" if secured.linearisations else "verified, free"
    if isinstance(secured, Infeasible):
        return "infeasible"
    given_up = secured.reason.startswith("safe as expected")
    return "corner given up" if given_up else "on the way"


def _broken(
    outside: Outside, corners: Sequence[Corner], asked: Mapping[str, Setpoint]
) -> list[str]:
    """What is wrong with setpoints that were sent."""
    faults = [f"out of reach: {what}" for what in out_of_reach(outside.f, asked)]
    for name, _, _, seen in outside.all_of(corners, asked):
        by = float(seen.excess(outside.f.site.limits).max())
        if by > ROUNDING_PU:
            faults.append(f"breaks a limit by {by:.2e} in {name!r}")
    return faults
