"""One operating point, solved by the engine and judged outside it."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feeders.bulk import Complexes, Elements, Vectors
from feeders.compiling import EngineError
from feeders.consumers import read_branches
from feeders.controls import Controls
from feeders.laws import Draw, Law
from feeders.network import Network, read_frame
from feeders.recent import Recent
from feeders.stands import Key, Stand, Stands, key_of, unload
from feeders.states import State
from feeders.together import Judge
from feeders.values import Floats, Regulation

BALANCE_TOLERANCE = 1e-6
"""Mismatch of power, relative to the power that flows, above which a solution is refused:
the engine can report convergence with another power than was asked for."""
CLOSED = 1e-10
"""Mismatch likewise that needs no more iterations; about 1e-10 pu of voltage."""
ROUNDING = 64 * float(np.finfo(float).eps)
"""Mismatch that is rounding, relative to the sum of the moduli that cancel at a node."""
ABSURD = 100.0
"""Times the highest voltage without load that no iteration comes back from; also no number."""
DIVERGED = "the load flow does not converge, or not to the powers asked for"
ROUNDS = 7
"""Times the engine is let iterate (`compiling.ITERATIONS` each) before it has not converged."""
STATES_KEPT = 12
"""Solutions that are kept: those of one interval's cases, which are judged, then linearised."""

Point = tuple[bytes, float, Key]
"""Powers, head voltage, and where taps and capacitors stand."""


class Solver:
    """Solves a compiled feeder whose loads, then `ders` DERs, are those in `places`."""

    def __init__(self, context: Any, places: list[int], ders: int) -> None:
        self._dss = context
        self.loads, self.ders = len(places) - ders, ders
        self.controls = Controls(context)
        self.elements = Elements(context, "Load", places)
        self.controls.find_rest()
        unload(self.elements)
        self._engine_solves()
        self.frame = read_frame(context)
        self._vectors = Vectors(context)
        self.branches = read_branches(context, places, ders)
        self.law = Law(self.branches)
        self._judge = Judge(self.law, self.frame)
        self._head_v_pu = self.file_head_v_pu = _head_v_pu(context)
        self.flat = self._vectors.voltages()
        """Voltages without load, from which every solve begins."""
        self._highest_v = float(np.abs(self.flat).max())
        self.stands = Stands(
            context,
            self.controls,
            self.elements,
            self.frame,
            self.branches,
            np.abs(self.flat[1:]),
            ders,
        )
        self._own = np.flatnonzero(self.branches.owner >= self.loads)
        self._starts, self._ends = (_parts(at) for at in (self.branches.start, self.branches.end))
        self._known: Recent[Point, State] = Recent(STATES_KEPT)
        self._settled: Recent[Point, tuple[Regulation, str]] = Recent(STATES_KEPT)
        self._driving: tuple[float, Key, Complexes] | None = None

    def solve(
        self, power_va: Complexes, head_v_pu: float, asked: Regulation | None, *, settle: bool
    ) -> State:
        """Solve with loads and DERs at these powers.

        Args:
            power_va: consumption of each load and DER, shape (load + der,) [VA].
            head_v_pu: voltage behind the source impedance [pu].
            asked: taps and capacitors; None as the feeder file leaves them.
            settle: let the controls act from there until they rest.

        Raises:
            FeederFault: `asked` names what does not move.
        """
        regulation, note = self.controls.complete(asked), ""
        powers = power_va.tobytes()
        point: Point = powers, head_v_pu, key_of(regulation)
        state = None if settle else self._known.get(point)
        if state is not None:
            return state
        if not (np.isfinite(power_va).all() and math.isfinite(head_v_pu)):
            return self._no_state(power_va, regulation, "a power or the head voltage is no number")
        if settle and self.controls.moving:
            acted = self._settled.get(point)
            if acted is None:
                self._set(power_va, head_v_pu, regulation)
                acted = self.controls.settle()
                self.stands.forget()
                self._settled.keep(point, acted)
            regulation, note = acted
            point = powers, head_v_pu, key_of(regulation)
        state = self._known.get(point)
        if state is None:
            stand = self._set(power_va, head_v_pu, regulation)
            state = self._iterate(power_va, head_v_pu, regulation, stand)
            self._known.keep(point, state)
        return _noted(state, note)

    def solve_all(
        self, powers_va: Complexes, head_v_pu: float, asked: Regulation | None
    ) -> list[State]:
        """As `solve` for each row of powers, shape (point, load + der), taps and capacitors frozen.

        Of a small feeder what the engine answered is judged for all of them at once.
        """
        found: dict[bytes, State] = {}
        if self.law.constant and math.isfinite(head_v_pu) and np.isfinite(powers_va).all():
            regulation = self.controls.complete(asked)
            key = key_of(regulation)
            fresh = {power.tobytes(): power for power in powers_va}
            for power in list(fresh):
                known = self._known.get((power, head_v_pu, key))
                if known is not None:
                    found[power] = known
                    del fresh[power]
            stand = self.stands.bring(regulation) if len(fresh) > 1 else None
            if stand is not None and stand.network.dense is not None:
                for power, state in self._together(fresh, head_v_pu, regulation, stand):
                    found[power] = state
                    self._known.keep((power, head_v_pu, key), state)
        return [
            found.get(power.tobytes()) or self.solve(power, head_v_pu, asked, settle=False)
            for power in powers_va
        ]

    def _together(
        self, powers_va: dict[bytes, Complexes], head_v_pu: float, regulation: Regulation,
        stand: Stand,
    ) -> Iterator[tuple[bytes, State]]:  # fmt: skip
        """States of those points that the engine solves at the first go; of others nothing."""
        key = key_of(regulation)
        if not self._drives(head_v_pu, key):
            # The sources' currents follow the voltage at the head: it is set before they are read.
            self._set(next(iter(powers_va.values())), head_v_pu, regulation)
        sources = self._source_currents(head_v_pu, key)
        answers = []
        for power, power_va in powers_va.items():
            self._set(power_va, head_v_pu, regulation)
            self._vectors.start_flat()
            if self._engine_solves():
                answers.append((power, power_va, self._vectors.voltages(), *self._totals()))
        if not answers:
            return
        share, owner = self.branches.share, self.branches.owner
        voltage = np.array([answer[2] for answer in answers])
        asked: Complexes = np.array([answer[1] for answer in answers])
        asked = asked.take(owner, axis=1) * share
        found = self._judge.judged(stand.network, sources, voltage, asked, ABSURD * self._highest_v)
        for (power, power_va, at, head_kw, head_kvar, losses_kw), one in zip(
            answers, found, strict=True
        ):
            if one is None:
                continue
            scale_va = max(1e3, one.asked_va)
            gap_kw = abs(head_kw - one.drawn_kw - losses_kw)
            residual = max(one.mismatch_va / 1e3, gap_kw)
            if not residual <= BALANCE_TOLERANCE * scale_va / 1e3:
                continue
            yield (
                power,
                State(
                    converged=True,
                    residual_kw=residual,
                    voltage=at,
                    asked_va=power_va,
                    draw=one.draw,
                    stand=stand,
                    regulation=regulation,
                    note="",
                    head_kw=head_kw,
                    head_kvar=head_kvar,
                    losses_kw=losses_kw,
                    v_pu=one.v_pu,
                    loading_pct=one.loading_pct,
                ),
            )

    def _totals(self) -> tuple[float, float, float]:
        """Power at the head and losses of the engine's solution [kW], [kvar], [kW]."""
        head_kw, head_kvar = self._dss.Circuit.TotalPower()
        return -float(head_kw), -float(head_kvar), float(self._dss.Circuit.Losses()[0] / 1e3)

    def _set(self, power_va: Complexes, head_v_pu: float, regulation: Regulation) -> Stand:
        """Bring the engine to a point; the wires there."""
        stand = self.stands.bring(regulation)
        self.elements.write("kw", power_va.real / 1e3)  # kW first: it moves the kvar too
        self.elements.write("kvar", power_va.imag / 1e3)
        if head_v_pu != self._head_v_pu:
            self._dss.Vsources.First()
            self._dss.Vsources.PU(head_v_pu)
            self._head_v_pu = head_v_pu
        return stand

    def _iterate(
        self, power_va: Complexes, head_v_pu: float, regulation: Regulation, stand: Stand
    ) -> State:
        asked = power_va[self.branches.owner] * self.branches.share
        scale_va = max(1e3, float(np.add.reduce(np.abs(asked))))
        sources = self._source_currents(head_v_pu, key_of(regulation))
        self._vectors.start_flat()
        for _ in range(ROUNDS):
            done = self._engine_solves()
            voltage = self._vectors.voltages()
            size = np.abs(voltage)
            if not np.maximum.reduce(size) < ABSURD * self._highest_v:
                return self._no_state(power_va, regulation, DIVERGED)
            draw = self.law.draw(voltage, asked)
            missing = stand.network.driven(voltage[1:]) + self._drawn(draw.current) - sources[1:]
            mismatch_va = np.abs(missing) * size[1:]
            # Nodes that nothing ties to ground may never rest in the engine's eyes; what is
            # asked there is whether all currents add up.
            if done or self._adds_up(mismatch_va, size[1:], scale_va, stand.network):
                break
        head_kw, head_kvar, losses_kw = self._totals()
        gap_kw = abs(head_kw - float(np.add.reduce(draw.power.real)) / 1e3 - losses_kw)
        worst_va = float(np.maximum.reduce(mismatch_va, initial=0.0))
        residual = max(worst_va / 1e3, gap_kw)
        limit_kw = BALANCE_TOLERANCE * scale_va / 1e3
        note = "" if residual <= limit_kw else DIVERGED  # no number is not below it
        note = note or self._beyond(draw, asked, limit_kw)
        return State(
            converged=not note,
            residual_kw=residual,
            voltage=voltage,
            asked_va=power_va,
            draw=draw,
            stand=stand,
            regulation=regulation,
            note=note,
            head_kw=head_kw,
            head_kvar=head_kvar,
            losses_kw=losses_kw,
            v_pu=self._v_pu(size),
            loading_pct=stand.network.loading_pct(self.frame, voltage[1:]),
        )

    def _beyond(self, draw: Draw, asked: Complexes, limit_kw: float) -> str:
        """What is wrong where a DER's voltage keeps it from its power; empty when nothing is."""
        own = self._own
        if draw.power is asked:
            return ""
        missed_va = np.abs(draw.power[own] - asked[own])
        if not own.size or missed_va.max() <= 1e3 * limit_kw:
            return ""
        worst = own[int(np.argmax(missed_va))]
        at_pu = draw.magnitude[worst] / self.branches.rated_v[worst]
        return (
            f"a DER at {self._node(worst)} is at {at_pu:.2f} pu, outside the "
            f"{self.branches.least[worst]:g} to {self.branches.most[worst]:g} pu in which it "
            "holds its power"
        )

    def _node(self, branch: int) -> str:
        """Name of the node that a branch leaves from."""
        return self.frame.nodes[int(np.argmax(self.frame.place == self.branches.start[branch] - 1))]

    def _engine_solves(self) -> bool:
        try:
            self._dss.Solution.Solve()
        except EngineError:
            return False
        return bool(self._dss.Solution.Converged())

    def _source_currents(self, head_v_pu: float, key: Key) -> Complexes:
        """Current of the sources into each node, ground in front, as they are set [A]."""
        if self._driving is None or not self._drives(head_v_pu, key):
            self._driving = head_v_pu, key, self._vectors.source_currents()
        return self._driving[2]

    def _drives(self, head_v_pu: float, key: Key) -> bool:
        """Whether the sources' currents there were read last."""
        return self._driving is not None and self._driving[:2] == (head_v_pu, key)

    def _adds_up(
        self, mismatch_va: Floats, size_v: Floats, scale_va: float, network: Network
    ) -> bool:
        """Whether what is missing at each node is nothing but rounding."""
        rounding_va = ROUNDING * network.moduli_a * size_v
        return bool((mismatch_va <= CLOSED * scale_va + rounding_va).all())

    def _drawn(self, current: Complexes) -> Complexes:
        """Sum of branch currents at each node, ground left out [A]."""
        parts, n = current.view(float), 2 * self.frame.place.size + 2
        total = np.bincount(self._starts, parts, n) - np.bincount(self._ends, parts, n)
        return total.view(complex)[1:]

    def _no_state(self, power_va: Complexes, regulation: Regulation, note: str) -> State:
        """The answer where there is none: nothing of the power asked for is in it."""
        none = np.zeros(self.branches.owner.size, dtype=complex)
        missing = np.abs(power_va[np.isfinite(power_va)]).sum()
        stand = self.stands.bring(regulation)
        return State(
            converged=False,
            residual_kw=float(missing) / 1e3,
            voltage=self.flat,
            asked_va=power_va,
            draw=self.law.draw(self.flat, none),
            stand=stand,
            regulation=regulation,
            note=note,
            head_kw=0.0,
            head_kvar=0.0,
            losses_kw=0.0,
            v_pu=self._v_pu(np.abs(self.flat)),
            loading_pct=stand.network.loading_pct(self.frame, self.flat[1:]),
        )

    def _v_pu(self, size_v: Floats) -> Floats:
        """Of the shown nodes, from moduli with ground in front, shape (node,) [pu]."""
        return np.asarray(size_v[1:][self.frame.place] / self.frame.base_v)


def _parts(nodes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where the real and the imaginary part of each node's number stand, one after the other."""
    return np.stack((2 * nodes, 2 * nodes + 1), axis=-1).ravel()


def _noted(state: State, note: str) -> State:
    """A state that is no solution for one more reason."""
    return replace(state, converged=False, note=note) if note else state


def _head_v_pu(context: Any) -> float:
    context.Vsources.First()
    return float(context.Vsources.PU())
