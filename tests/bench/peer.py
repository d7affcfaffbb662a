"""The peer: `distopf`, an optimal power flow on the linearised branch-flow equations.

Its single-period matrix model takes the same feeder text with the taps where they stand, the
same PV limits and the same voltage limits. It knows no load flow, so its answer is judged by
the same three-phase load flow as ours.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import distopf  # type: ignore[import-untyped]  # it brings no types

from tests.bench.cases import Q_SHARE, PvCase
from tests.bench.outside import SQRT3, Source

Control = Literal["P", "PQ"]
KW_PER_BASE = 1000.0
"""Its powers are per unit of 1 MVA."""


class Peer:
    """The case as the peer imports it; everything done here is its set-up."""

    def __init__(self, case: PvCase, controls: tuple[str, ...], folder: Path) -> None:
        """Args: the case; its regulator controls (the peer reads taps by them); a folder."""
        file = folder / "peer.dss"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = [case.frozen.file.read_text(encoding="utf-8"), *controls]
        for plant in case.site.pvs:
            kv = case.frozen.kv[plant.bus.partition(".")[0].lower()]
            text.append(
                f"New Generator.{plant.name} bus1={plant.bus} phases={plant.phases} "
                f"kV={kv * (SQRT3 if plant.phases > 1 else 1.0)!r} kW={plant.rated_kw!r} kvar=0 "
                # Not bound by its rating: |Q| has limits of its own here.
                f"kVA={2 * plant.rated_kw!r} model=1"
            )
        text += ["Set ControlMode=OFF", "Solve"]
        file.write_text("\n".join(text) + "\n", encoding="utf-8")
        self._case: Any = distopf.create_case(file)
        self._sun = self._case.gen_data[["p_a", "p_b", "p_c"]].to_numpy(dtype=float)
        self._load = self._case.bus_data[_LOADS].to_numpy(dtype=float)
        assert abs(KW_PER_BASE * self._sun.sum() - case.available_kw) < 1e-6 * case.available_kw

    def state(self, sun: float, load: float) -> None:
        """Scale available PV and load: the interval that is to be decided."""
        for i, phase in enumerate("abc"):
            self._case.gen_data[f"p_{phase}"] = self._sun[:, i] * sun
            self._case.gen_data[f"q_{phase}_max"] = Q_SHARE * self._sun[:, i]
            self._case.gen_data[f"q_{phase}_min"] = -Q_SHARE * self._sun[:, i]
        self._case.bus_data[_LOADS] = self._load * load

    def solve(self, control: Control) -> Any:
        """Its documented way: least curtailment, quadratic, by CVXPY and Clarabel."""
        return self._case.run_opf(
            "curtail_min", control_variable=control, wrapper="matrix", raw_result=True
        )

    def model(self, control: Control) -> Any:
        """Its matrices alone."""
        self._case.gen_data["control_variable"] = control
        return self._case.to_matrix_model(control)

    def solver_only(self, model: Any) -> Any:
        """CVXPY and Clarabel on matrices that stand already."""
        return distopf.cvxpy_solve(model, distopf.cp_obj_curtail)

    def lp_only(self, model: Any) -> Any:
        """Its fastest: the linear objective, by HiGHS, on matrices that stand already."""
        return distopf.lp_solve(model, distopf.gradient_curtail(model))

    def sources(self, case: PvCase, model: Any, answer: Any) -> list[Source]:
        """Its setpoints, phase by phase."""
        p, q = model.get_p_gens(answer.x), model.get_q_gens(answer.x)
        by_bus: Mapping[str, str] = {p.bus.partition(".")[0].lower(): p.name for p in case.site.pvs}
        found = []
        for (_, of_p), (_, of_q) in zip(p.iterrows(), q.iterrows(), strict=True):
            bus = str(of_p["name"]).lower()
            assert bus in by_bus
            for i, phase in enumerate("abc", start=1):
                kw, kvar = float(of_p[phase]), float(of_q[phase])
                if not math.isnan(kw):  # where the bus lacks the phase
                    found.append(
                        Source(
                            bus=f"{bus}.{i}",
                            phases=1,
                            kv=case.frozen.kv[bus],
                            p_kw=KW_PER_BASE * kw,
                            q_kvar=KW_PER_BASE * (0.0 if math.isnan(kvar) else kvar),
                        )
                    )
        return found


_LOADS = ["pl_a", "pl_b", "pl_c", "ql_a", "ql_b", "ql_c"]
