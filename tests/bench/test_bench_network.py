"""Load flow, linearisation and slopes: how long each takes, and how far the slopes are off."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from feeders import DerPlacement, Feeder, Injections, InverterCurves
from feeders.jacobian import factorise
from tests.bench.table import median_ms, tell
from tests.slopes import errors, nominal_kw, published, settled, spread_ders

RUNS = 15
VOLT_VAR = ((0.90, 0.44), (1.10, -0.44))
HELD = ((0.8, 0.9), (1.2, 0.3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One feeder to measure."""

    name: str
    source: str
    ders: int
    compared: int
    """DERs whose slopes are compared with differences."""
    limit: float
    """Largest error of a slope, relative to its column's largest entry."""


CASES = (
    Case(name="13 nodes", source="ieee13", ders=10, compared=10, limit=1e-5),
    Case(name="123 nodes", source="ieee123", ders=100, compared=10, limit=1e-5),
    Case(
        name="9500 nodes",
        source=published("ieee9500_dss", "Master-unbal-initial-config.dss"),
        ders=1000,
        compared=4,
        limit=5e-5,
    ),
)


def opened(case: Case) -> tuple[Feeder, list[DerPlacement], list[float]]:
    empty = Feeder.open(case.source, own_ders="off")
    places, kw = spread_ders(empty, case.ders)
    while len(places) < case.ders:  # more DERs than phases with loads: some share one
        i = len(places) % len(kw)
        more = DerPlacement(name=f"more_{len(places)}", bus=places[i].bus, phases=1)
        places, kw = [*places, more], [*kw, kw[i]]
    return Feeder.open(case.source, places, own_ders="off"), places, kw


def timed(run: Callable[[int], object]) -> float:
    spent = []
    for i in range(RUNS + 2):
        began = time.perf_counter()
        run(i)
        if i >= 2:  # the first ones fill caches
            spent.append(time.perf_counter() - began)
    return median_ms(spent)


@pytest.mark.timeout(900)
def test_bench_network() -> None:
    rows = []
    for case in CASES:
        feeder, places, kw = opened(case)
        names = [p.name for p in places]
        at = Injections(
            p_kw=dict(zip(names, kw, strict=True)), q_kvar={}, load_kw=0.5 * nominal_kw(feeder)
        )
        at = settled(feeder, at)
        steps = {n: 0.01 * k for n, k in [*zip(names, kw, strict=True)][: case.compared]}
        plain = errors(feeder, at, steps, without=feeder.floating)
        with_curves = Injections(
            p_kw=at.p_kw,
            q_kvar=at.q_kvar,
            load_kw=at.load_kw,
            regulation=at.regulation,
            curves={
                n: InverterCurves(
                    rated_kva=k, rated_kw=k, volt_var=VOLT_VAR, volt_watt=HELD if i % 3 == 0 else ()
                )
                for i, (n, k) in enumerate(zip(names, kw, strict=True))
            },
        )
        closed = errors(feeder, with_curves, steps, without=feeder.floating)
        assert plain.voltage <= case.limit
        assert closed.voltage <= case.limit
        rows.append(
            {"case": case.name, "ders": len(names)}
            | _times(feeder, at, with_curves)
            | {
                "error_v": f"{plain.voltage:.1e}",
                "error_loading": f"{plain.loading:.1e}",
                "error_v_curves": f"{closed.voltage:.1e}",
                "error_loading_curves": f"{closed.loading:.1e}",
            }
        )
        feeder.close()
    tell("network", rows)


def _times(feeder: Feeder, at: Injections, with_curves: Injections) -> dict[str, float]:
    """Medians [ms]."""
    loads_kw = [nominal_kw(feeder) * (0.5 + 1e-4 * i) for i in range(RUNS + 2)]

    def here(i: int, base: Injections = at) -> Injections:
        return Injections(
            p_kw=base.p_kw,
            q_kvar=base.q_kvar,
            load_kw=loads_kw[i],
            regulation=base.regulation,
            curves=base.curves,
        )

    slope = feeder.linearise(at)
    state = feeder._state(at, settle=False)
    stand, solver = state.stand, feeder._solver
    straight, mirrored = np.zeros((2, solver.branches.pairs[0].size), dtype=complex)
    straight[: state.draw.straight.size] = state.draw.straight
    mirrored[: state.draw.mirrored.size] = state.draw.mirrored
    ders = len(feeder.placements)
    twenty = np.linspace(0, len(feeder.nodes) - 1, 20).astype(int).tolist()

    def new_stand(_: int) -> object:
        solver.stands.forget()
        solver.stands._kept.clear()
        return solver.stands.bring(state.regulation)

    return {
        "load_flow_ms": timed(lambda i: feeder.load_flow(here(i))),
        "with_controls_ms": timed(lambda i: feeder.load_flow(here(i), controls=True)),
        "with_curves_ms": timed(lambda i: feeder.load_flow(here(i, with_curves))),
        "wires_ms": timed(new_stand),
        "jacobian_lu_ms": timed(
            lambda _: factorise(stand.pattern, stand.wires, straight, mirrored)
        ),
        "linearise_ms": timed(lambda _: feeder.linearise(at)),
        "change_ms": timed(lambda _: slope.change(np.ones(ders), np.ones(ders))),
        "adjoint_20_ms": timed(lambda _: slope.voltage_rows(twenty)),
    }
