"""The feeder that is solved, in the engine, OpenDSS.

A `Feeder` owns a context of the engine and a lock: two threads in one context crash the
process. Controls are off, so taps and capacitors stay as the file leaves them.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feeders.catalogue import entry_of, private_copy, shipped
from feeders.compiling import EngineError, compile_file, freeze_controls, new_context
from feeders.errors import FeederFault
from feeders.placing import check_file, connections
from feeders.untrusted import admit
from feeders.values import DerPlacement, Floats, Injections, LoadFlow, Sensitivity

BALANCE_TOLERANCE = 1e-6
"""Mismatch of power, relative to the power that flows, above which a solution is refused:
the engine can report convergence with another power than was asked for."""
STEP_KW = 10.0
"""Step of the central differences [kW, kvar]: 1e-4 pu or so on a distribution feeder, large
against the solver's tolerance and small against the curvature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederLoad:
    """One load of the feeder file."""

    name: str
    bus: str
    kw: float
    """Nominal consumption [kW]."""
    kvar: float
    """Nominal reactive consumption [kvar]."""


class Feeder:
    """A compiled feeder with DERs placed on it. Use `Feeder.open`.

    Names are shown in upper case for buses (`B13`, node `B13.1`) and lower case for
    elements (`line.b3_b5`): the engine does not tell cases apart.
    """

    def __init__(self, source: str, context: Any, placements: Sequence[DerPlacement]) -> None:
        self.source = source
        self.placements = tuple(placements)
        self._dss = context
        self._lock = threading.RLock()
        check_file(context, source)
        self._place(self.placements)
        freeze_controls(context)
        self.loads = tuple(self._read_loads())
        """Loads of the feeder file, with their nominal powers."""
        context.Solution.Solve()
        self.nodes = tuple(name.upper() for name in context.Circuit.AllNodeNames())
        """All nodes, `BUS.phase`."""
        names = [name.lower() for name in context.PDElements.AllNames()]
        self._rated = [i for i, n in enumerate(names) if n.startswith(("line.", "transformer."))]
        self.elements = tuple(names[i] for i in self._rated)
        """Lines and transformers."""
        self.file_head_v_pu = float(self._head_v_pu())
        """Source voltage of the feeder file [pu]."""

    @classmethod
    def open(cls, source: str, placements: Sequence[DerPlacement] = ()) -> "Feeder":
        """Compile a feeder and place DERs on it.

        Args:
            source: name of a shipped feeder, or path of an OpenDSS file.
            placements: where the DERs stand; `bus` may carry phases (`B4.2`).

        Raises:
            FeederFault: no such feeder, it does not compile or does what a feeder file may
                not, it has no loads or DERs of its own, or buses or phases are missing (all
                of them are named).
        """
        entry = entry_of(source)
        if source in shipped():
            return cls._compiled(source, entry, entry, placements)
        with private_copy(entry) as copy:
            admit(copy, entry)
            return cls._compiled(source, entry, copy, placements)

    @classmethod
    def _compiled(
        cls, source: str, entry: Path, file: Path, placements: Sequence[DerPlacement]
    ) -> "Feeder":
        """Feeder of `file`, which stands for `entry`."""
        context = new_context()
        try:
            if not compile_file(context, file):
                raise FeederFault(f"{entry}: defines no circuit (`New Circuit.NAME …`)")
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

    def close(self) -> None:
        """Drop the compiled circuit."""
        with self._lock:
            self._dss.Text.Command("ClearAll")

    # --- solving ---------------------------------------------------------------------

    def load_flow(self, at: Injections) -> LoadFlow:
        """Solve the feeder at one operating point.

        Returns a `LoadFlow` with `converged=False` where the engine does not converge or the
        power in its solution is not the power asked for; never raises for an operating point.
        """
        with self._lock:
            load_kw, load_kvar = self._loads_of(at)
            self._set(at, load_kw, load_kvar)
            converged = self._solve()
            head_kw, head_kvar = (-x for x in self._dss.Circuit.TotalPower())
            losses_kw = self._dss.Circuit.Losses()[0] / 1e3
            residual = self._residual_kw(at, load_kw, head_kw, losses_kw)
            scale = max(1.0, sum(load_kw) + sum(abs(p) for p in at.p_kw.values()))
            v_pu, loading = self._state()
        finite = bool(np.all(np.isfinite(v_pu)) and np.isfinite(residual))
        return LoadFlow(
            converged=converged and finite and residual <= BALANCE_TOLERANCE * scale,
            residual_kw=float(residual),
            nodes=self.nodes,
            v_pu=v_pu,
            elements=self.elements,
            loading_pct=loading,
            head_kw=float(head_kw),
            head_kvar=float(head_kvar),
            losses_kw=float(losses_kw),
        )

    def sensitivities(self, at: Injections) -> Sensitivity:
        """Linearise the feeder at one operating point by central differences, taps frozen.

        Columns follow the placements. Error about 1e-7 of a column's largest entry, from
        the curvature over `STEP_KW` and the tolerance of the solve.
        """
        names = tuple(p.name for p in self.placements)
        with self._lock:
            self._set(at, *self._loads_of(at))
            columns = [
                (self._difference(at, name, STEP_KW, 0.0), self._difference(at, name, 0.0, STEP_KW))
                for name in names
            ]
        shape_v, shape_l = (len(self.nodes), 0), (len(self.elements), 0)
        stack = [np.empty(shape_v), np.empty(shape_v), np.empty(shape_l), np.empty(shape_l)]
        if columns:
            stack = [
                np.column_stack([c[power][what] for c in columns])
                for what in (0, 1)
                for power in (0, 1)
            ]
        return Sensitivity(
            ders=names, dv_dp=stack[0], dv_dq=stack[1], dl_dp=stack[2], dl_dq=stack[3]
        )

    def _difference(
        self, at: Injections, name: str, step_kw: float, step_kvar: float
    ) -> tuple[Floats, Floats]:
        p, q = at.p_kw.get(name, 0.0), at.q_kvar.get(name, 0.0)
        sides = []
        for sign in (1.0, -1.0):
            self._set_der(name, p + sign * step_kw, q + sign * step_kvar)
            self._solve()
            sides.append(self._state())
        self._set_der(name, p, q)
        (v1, l1), (v0, l0) = sides
        return (v1 - v0) / (2 * STEP_KW), (l1 - l0) / (2 * STEP_KW)

    # --- the engine, below this line -------------------------------------------------

    def _place(self, placements: Sequence[DerPlacement]) -> None:
        for p, bus in zip(placements, connections(self._dss, placements, self.source), strict=True):
            self._dss.Circuit.SetActiveBus(bus.partition(".")[0])
            line_to_neutral = self._dss.Bus.kVBase()
            kv = line_to_neutral if p.phases == 1 else line_to_neutral * np.sqrt(3)
            # Constant power between 0.5 and 1.5 pu, as an inverter or a governed set holds it.
            self._dss.Text.Command(
                f"New Generator.{_element(p.name)} bus1={bus} phases={p.phases} conn=wye "
                f"kV={kv:.9g} kW=0 kvar=0 model=1 vminpu=0.5 vmaxpu=1.5"
            )

    def _read_loads(self) -> Iterator[FeederLoad]:
        loads = self._dss.Loads
        self._constant_power = []
        for i in range(1, loads.Count() + 1):
            loads.Idx(i)
            bus = self._dss.CktElement.BusNames()[0].partition(".")[0].upper()
            self._constant_power.append(int(loads.Model()) == 1)
            yield FeederLoad(
                name=loads.Name(), bus=bus, kw=float(loads.kW()), kvar=float(loads.kvar())
            )

    def _head_v_pu(self) -> float:
        self._dss.Vsources.First()
        return float(self._dss.Vsources.PU())

    def _loads_of(self, at: Injections) -> tuple[list[float], list[float]]:
        """Power of each load: as given by name, or the total shared by nominal kW."""
        nominal_kw = sum(x.kw for x in self.loads) or 1.0
        nominal_kvar = sum(x.kvar for x in self.loads)
        if isinstance(at.load_kw, Mapping):
            kw = [float(at.load_kw.get(x.name, 0.0)) for x in self.loads]
        else:
            kw = [x.kw * at.load_kw / nominal_kw for x in self.loads]
        if at.load_kvar is None:
            kvar = [
                k * (x.kvar / x.kw if x.kw else 0.0) for k, x in zip(kw, self.loads, strict=True)
            ]
        elif isinstance(at.load_kvar, Mapping):
            kvar = [float(at.load_kvar.get(x.name, 0.0)) for x in self.loads]
        elif nominal_kvar:
            kvar = [x.kvar * at.load_kvar / nominal_kvar for x in self.loads]
        else:
            kvar = [x.kw * at.load_kvar / nominal_kw for x in self.loads]
        return kw, kvar

    def _set(self, at: Injections, load_kw: Sequence[float], load_kvar: Sequence[float]) -> None:
        loads = self._dss.Loads
        for i, (kw, kvar) in enumerate(zip(load_kw, load_kvar, strict=True), start=1):
            loads.Idx(i)
            loads.kW(kw)  # kW first: the engine keeps the power factor when it is set
            loads.kvar(kvar)
        for p in self.placements:
            self._set_der(p.name, at.p_kw.get(p.name, 0.0), at.q_kvar.get(p.name, 0.0))
        self._dss.Vsources.First()
        head = self.file_head_v_pu if at.head_v_pu is None else at.head_v_pu
        self._dss.Vsources.PU(head)

    def _set_der(self, name: str, p_kw: float, q_kvar: float) -> None:
        generators = self._dss.Generators
        generators.Name(_element(name))
        generators.kW(p_kw)
        generators.kvar(q_kvar)

    def _solve(self) -> bool:
        try:
            self._dss.Solution.Solve()
        except EngineError:
            return False
        return bool(self._dss.Solution.Converged())

    def _state(self) -> tuple[Floats, Floats]:
        v = np.array(self._dss.Circuit.AllBusMagPu(), dtype=float)
        loading = np.array(self._dss.PDElements.AllPctNorm(), dtype=float)[self._rated]
        return v, loading

    def _residual_kw(
        self, at: Injections, load_kw: Sequence[float], head_kw: float, losses_kw: float
    ) -> float:
        """Largest of: DER power missed, constant-power load missed, and the total balance."""
        worst = ders_kw = consumed_kw = 0.0
        for p in self.placements:
            self._dss.Generators.Name(_element(p.name))
            actual = -sum(self._dss.CktElement.Powers()[::2])
            worst = max(worst, abs(actual - at.p_kw.get(p.name, 0.0)))
            ders_kw += actual
        for i, asked in enumerate(load_kw, start=1):
            self._dss.Loads.Idx(i)
            actual = sum(self._dss.CktElement.Powers()[::2])
            consumed_kw += actual
            if self._constant_power[i - 1]:
                worst = max(worst, abs(actual - asked))
        return max(worst, abs(head_kw + ders_kw - consumed_kw - losses_kw))


def _plain(error: Exception, folder: str, private: str) -> str:
    text = " ".join(str(error).replace(private, folder).split())
    return f"feeder does not compile: {text}"


def _element(name: str) -> str:
    """Name of the generator that stands for a DER; apart from any of the file's own."""
    return f"geems_{name}"
