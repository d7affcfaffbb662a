"""The feeder that is solved, in the engine, OpenDSS.

A `Feeder` owns a context of the engine and a lock: two threads in one context crash the
process. The engine solves; whether its answer is one is judged here, by the currents that its
voltages drive through the wires and those that loads and DERs draw at them.
"""

import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from feeders.astray import LineErrors, lead_astray
from feeders.bulk import Complexes
from feeders.catalogue import entry_of, private_copy, shipped
from feeders.compiling import EngineError, compile_file, freeze_controls, new_context
from feeders.consumers import FeederLoad, enabled_loads, read_loads
from feeders.consumption import Consumption
from feeders.curves import CurveSet, slopes_of
from feeders.errors import FeederFault
from feeders.jacobian import factorise
from feeders.linear import Linear, injections_of
from feeders.placing import PHASES, check_file, place, switch_off_own_ders
from feeders.reports import pass_over
from feeders.responding import solve_responding
from feeders.small import SmallLinear, currents_of, voltages_moved
from feeders.solving import STATES_KEPT, Solver
from feeders.states import State
from feeders.untrusted import admit, reaches_outside
from feeders.values import DerPlacement, Injections, LoadFlow

__all__ = ["Feeder", "FeederLoad"]

LINEAR_KEPT = 4
"""Linearisations that are kept: two cases of an interval may be one operating point, and the
factors of a large feeder are large."""
LEAST_PU = 0.1
"""A node below this without load has no voltage of its own [pu]."""


class Feeder:
    """A compiled feeder with DERs placed on it. Use `Feeder.open`.

    Names are shown in upper case for buses (`B13`, node `B13.1`) and lower case for
    elements (`line.b3_b5`): the engine does not tell cases apart.
    """

    def __init__(self, source: str, context: Any, placements: Sequence[DerPlacement]) -> None:
        self.source = source
        self.passed_over: tuple[str, ...] = ()
        """Lines of the file that only report and were not executed, `FILE:LINE: command`."""
        self.placements = tuple(placements)
        self._dss = context
        self._lock = threading.RLock()
        self._closed = False
        check_file(context, source)
        freeze_controls(context)
        own = enabled_loads(context)
        self.loads = read_loads(context, own)
        """Loads of the feeder file, with their nominal powers."""
        self._consumption = Consumption(self.loads)
        self._ders = tuple(p.name for p in self.placements)
        placed = place(context, self.placements, source)
        self._solver = Solver(context, own + placed, len(placed))
        frame = self._solver.frame
        self.nodes, self.elements = frame.nodes, frame.elements
        """All nodes, `BUS.phase`; lines and transformers."""
        self.file_head_v_pu = self._solver.file_head_v_pu
        """Source voltage of the feeder file [pu]."""
        self._linear_at: deque[tuple[State, Linear | SmallLinear]] = deque(maxlen=LINEAR_KEPT)
        self._flow_at: deque[tuple[State, LoadFlow]] = deque(maxlen=STATES_KEPT)
        self._watched = self._with_a_voltage_of_their_own()

    @classmethod
    def open(
        cls,
        source: str,
        placements: Sequence[DerPlacement] = (),
        *,
        own_ders: Literal["refuse", "off"] = "refuse",
        line_errors: LineErrors | None = None,
    ) -> "Feeder":
        """Compile a feeder and place DERs on it.

        Args:
            source: name of a shipped feeder, or path of an OpenDSS file.
            placements: where the DERs stand; `bus` may carry phases (`B4.2`).
            own_ders: generators, storage and PV of the file itself: refused, since GEEMS would
                not know what they do; or switched off once the file is compiled.
            line_errors: how far the lines are from what the file says; None: they are as it says.

        Raises:
            FeederFault: no such feeder, it does not compile or does what a feeder file may
                not, it has no loads or DERs of its own, or buses or phases are missing (all
                of them are named).
        """
        entry = entry_of(source)
        if source in shipped():
            return cls._compiled(source, entry, entry, placements, own_ders, line_errors)
        with private_copy(entry) as copy:
            passed_over = pass_over(copy, entry, reaches_outside)
            admit(copy, entry, own_ders=own_ders == "off")
            feeder = cls._compiled(source, entry, copy, placements, own_ders, line_errors)
            feeder.passed_over = passed_over
            return feeder

    @classmethod
    def _compiled(
        cls,
        source: str,
        entry: Path,
        file: Path,
        placements: Sequence[DerPlacement],
        own_ders: Literal["refuse", "off"],
        line_errors: LineErrors | None,
    ) -> "Feeder":
        """Feeder of `file`, which stands for `entry`."""
        context = new_context()
        try:
            if not compile_file(context, file):
                raise FeederFault(f"{entry}: defines no circuit (`New Circuit.NAME …`)")
            if own_ders == "off":
                switch_off_own_ders(context)
            if line_errors is not None:
                lead_astray(context, line_errors)
            return cls(source, context, placements)
        except EngineError as error:
            raise FeederFault(_plain(error, str(entry.parent), str(file.parent))) from error

    @property
    def name(self) -> str:
        """Name of the circuit."""
        return str(self._dss.Circuit.Name())

    @property
    def buses(self) -> tuple[str, ...]:
        """All buses, upper case."""
        return tuple(dict.fromkeys(n.rpartition(".")[0] for n in self.nodes))

    @property
    def floating(self) -> tuple[str, ...]:
        """Nodes that nothing ties to ground, as behind a delta winding without load.

        What the engine says of their voltages to ground is rounding, about 1e-5 pu; their
        voltages to each other are sound.
        """
        with self._lock:
            return self._solver.stands.floating()

    def close(self) -> None:
        """Drop the compiled circuit; linearisations made of it stay good."""
        with self._lock:
            self._closed = True
            self._dss.Text.Command("ClearAll")

    # --- solving ---------------------------------------------------------------------

    @property
    def regulated(self) -> bool:
        """Whether taps or capacitors move by themselves."""
        return bool(self._solver.controls.moving)

    def load_flow(self, at: Injections, *, controls: bool = False) -> LoadFlow:
        """Solve the feeder at one operating point.

        Args:
            at: powers, and where taps and capacitors stand.
            controls: let regulators and capacitor controls act from there until they rest; the
                answer's `regulation` says where.

        Returns:
            A `LoadFlow` with `converged=False`, and why in `note`, where the engine does not
            converge, the power in its solution is not the power asked for, or the controls do
            not come to rest. The answer depends on the arguments alone.

        Raises:
            FeederFault: `at.regulation` names what does not move on this feeder, `at.curves`
                what is no DER of it; or it is closed.
        """
        with self._lock:
            return self._flow(self._state(at, settle=controls), at)

    def load_flows(self, points: Sequence[Injections]) -> list[LoadFlow]:
        """As `load_flow` of each, taps and capacitors frozen; quicker, of a small feeder.

        Raises:
            FeederFault: as `load_flow`.
        """
        with self._lock:
            alike = len({(at.head_v_pu, id(at.regulation)) for at in points}) == 1
            if not alike or any(at.curves for at in points):
                return [self._flow(self._state(at, settle=False), at) for at in points]
            self._check_open()
            head = points[0].head_v_pu
            states = self._solver.solve_all(
                np.array([self._powers_va(at) for at in points]),
                self.file_head_v_pu if head is None else head,
                points[0].regulation,
            )
            return [self._flow(state, at) for state, at in zip(states, points, strict=True)]

    def linearise(self, at: Injections) -> Linear | SmallLinear:
        """Differentiate the feeder at one operating point, taps and capacitors frozen.

        Where the load flow does not converge the slopes are of no use: see `flow.converged`.

        Raises:
            FeederFault: as `load_flow`.
        """
        with self._lock:
            state = self._state(at, settle=False)
            for known, linear in self._linear_at:
                if known is state:
                    return linear
            linear = self._linear(state, self._flow(state, at))
            if state.answer is None:
                self._linear_at.append((state, linear))
            return linear

    def _linear(self, state: State, flow: LoadFlow) -> Linear | SmallLinear:
        """The slopes at a state, by full matrices where the feeder is small."""
        solver, stand = self._solver, state.stand
        b, gain = solver.branches, state.answer.gain if state.answer else None
        pairs = slopes_of(solver.law, state.voltage, state.draw, solver.loads, state.answer)
        if stand.places is not None:
            currents = currents_of(stand.places, b, state.draw, gain, solver.loads)
            return SmallLinear(
                flow=flow,
                ders=self._ders,
                frame=solver.frame,
                network=stand.network,
                voltage=state.voltage[1:],
                dv=voltages_moved(stand.places, stand.pattern, stand.wires, pairs, currents),
            )
        return Linear(
            flow=flow,
            ders=self._ders,
            frame=solver.frame,
            network=stand.network,
            factor=factorise(stand.pattern, stand.wires, *pairs),
            voltage=state.voltage[1:],
            injected=injections_of(b, state.draw, stand.pattern, solver.loads, solver.ders, gain),
        )

    def _state(self, at: Injections, *, settle: bool) -> State:
        self._check_open()
        head = self.file_head_v_pu if at.head_v_pu is None else at.head_v_pu
        powers = self._powers_va(at)
        if not at.curves:
            return self._solver.solve(powers, head, at.regulation, settle=settle)
        curves = CurveSet(at.curves, self._ders)
        return solve_responding(self._solver, powers, head, at.regulation, curves, settle=settle)

    def _check_open(self) -> None:
        """Raise where the engine would read memory that is no longer its own."""
        if self._closed:
            raise FeederFault(f"feeder {self.source} is closed; open it again")

    def _with_a_voltage_of_their_own(self) -> NDArray[np.bool_]:
        """Nodes that limits speak of, shape (node,); all others show 0 pu.

        Not: neutrals, what nothing ties to ground, and what is behind an open switch.
        """
        phase = np.array([int(name.rpartition(".")[2]) <= max(PHASES) for name in self.nodes])
        floating = np.isin(self.nodes, self._solver.stands.floating())
        idle = np.zeros(len(self.loads) + len(self._ders), dtype=complex)
        voltage = self._solver.solve(idle, self.file_head_v_pu, None, settle=False).voltage[1:]
        frame = self._solver.frame
        alive = np.abs(voltage[frame.place]) > LEAST_PU * frame.base_v
        return np.asarray(phase & ~floating & alive)

    def _flow(self, state: State, at: Injections) -> LoadFlow:
        for known, flow in self._flow_at:
            if known is state:
                return flow
        frame = self._solver.frame
        flow = LoadFlow(
            converged=state.converged,
            residual_kw=state.residual_kw,
            nodes=frame.nodes,
            v_pu=np.where(self._watched, state.v_pu, 0.0),
            elements=frame.elements,
            loading_pct=state.loading_pct,
            head_kw=state.head_kw,
            head_kvar=state.head_kvar,
            losses_kw=state.losses_kw,
            regulation=state.regulation,
            note=state.note,
            by_curves=self._by_curves(state, at),
        )
        if state.answer is None:
            self._flow_at.append((state, flow))
        return flow

    def _by_curves(self, state: State, at: Injections) -> dict[str, tuple[float, float]]:
        answer = state.answer
        if answer is None:
            return {}
        powers = zip(self._ders, answer.p_kw.tolist(), answer.q_kvar.tolist(), strict=True)
        return {name: (p, q) for name, p, q in powers if name in at.curves}

    def _powers_va(self, at: Injections) -> Complexes:
        """Consumption of each load, then of each DER [VA]."""
        n = len(self.loads)
        found = np.empty(n + len(self._ders), dtype=complex)
        found[:n] = self._consumption.va(at.load_kw, at.load_kvar)
        p_kw, q_kvar, real, imag = at.p_kw, at.q_kvar, found.real, found.imag
        real[n:] = [-1e3 * p_kw.get(name, 0.0) for name in self._ders]
        imag[n:] = [-1e3 * q_kvar.get(name, 0.0) for name in self._ders]
        return found


def _plain(error: Exception, folder: str, private: str) -> str:
    text = " ".join(str(error).replace(private, folder).split())
    return f"feeder does not compile: {text}"
