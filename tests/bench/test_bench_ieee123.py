"""The 123-bus PV case: what is kept and how safely, and how long beside `distopf`.

Timed on both sides is one interval, both sides warm, feeder import and first solve apart:

- ours: from state (snapshot, forecast) to setpoints that a three-phase load flow has verified:
  free dispatch, its load flow, every linearisation, every dispatch with rows, every load flow.
- the peer's: from its case, with this interval's PV and load in it, to its solver's answer
  (`run_opf(..., wrapper="matrix", raw_result=True)`: no tables of results). It builds its
  matrices from the case on every call; these and its solver are also told apart. It has no
  load flow to verify with, and none is charged to it.

Every run has its own PV and load, a few thousandths apart, so that nobody answers from memory.
"""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import Dispatch, Injections, Secured, Verified
from tests.bench.cases import (
    PRICE_USD_PER_KWH,
    PvCase,
    ieee123_pv,
    scaled,
    without_q,
)
from tests.bench.frozen import ieee123_text
from tests.bench.outside import Source, seen_outside, sources
from tests.bench.peer import Control, Peer
from tests.bench.table import median_ms, tell

LIMITS = (0.95, 1.05)
CASES = ((3140.0, 0.40), (4710.0, 0.40), (6280.0, 0.40), (9420.0, 0.25))
RUNS = 20
PARTS = 5
"""Runs in which the parts of the peer's time are told apart."""
STEP = 1e-3
"""Change of sun and load from run to run."""
Spent = dict[tuple[str, str], list[tuple[float, float]]]
"""Wall and processor time of each call, by control and what was called [s]."""
ASKED = {("P", "auto"): 25.0, ("PQ", "auto"): 20.0, ("P", "ipopt"): 10.0, ("PQ", "ipopt"): 10.0}
"""How many times as fast as the peer."""


def free_dispatch(case: PvCase) -> Dispatch:
    """Without rows."""
    return dispatch(case.site, case.snapshot, case.forecast, PRICE_USD_PER_KWH)


def decide(case: PvCase) -> Secured:
    """From state to verified setpoints."""
    resolve = partial(dispatch, case.site, case.snapshot, case.forecast, PRICE_USD_PER_KWH)
    free = resolve((), {})
    return constrain(case.site, case.snapshot, case.forecast, free, case.network, resolve)


def test_bench_ieee123_pv_kept(tmp_path: Path) -> None:
    rows = []
    for total_kw, load_factor in CASES:
        with_q = ieee123_pv(tmp_path, total_kw, load_factor)
        for name, case in (("P", without_q(with_q)), ("PQ", with_q)):
            decide(case)  # builds the model
            started = time.perf_counter()
            secured = decide(case)
            spent_s = time.perf_counter() - started
            at = secured.dispatch.setpoints
            seen = seen_outside(case.frozen, LIMITS, [sources(case, at)])[0]
            rows.append(
                {
                    "pv_kw": total_kw, "load": load_factor, "control": name,
                    "outcome": type(secured).__name__,
                    "kept_kw": sum(x.p_kw for x in at.values()),
                    "q_kvar": sum(abs(x.q_kvar) for x in at.values()),
                    "above": seen.above, "below": seen.below,
                    "highest": f"{seen.v_max_pu:.6f} at {seen.v_max_node}",
                    "linearisations": secured.linearisations, "ms": 1e3 * spent_s,
                }
            )  # fmt: skip
            assert isinstance(secured, Verified)
            assert seen.violations == 0
    tell("ieee123_pv", rows)


def test_bench_ieee123_pv_beside_distopf(tmp_path: Path) -> None:
    base = ieee123_pv(tmp_path / "ours", 4710.0, 0.4)
    controls = tuple(s for s in ieee123_text() if s.lower().startswith("new regcontrol"))
    peer = Peer(base, controls, tmp_path / "peer")
    ours = {
        (name, solver): replace(case, site=replace(case.site, solver=solver))
        for name, case in _by_control(base)
        for solver in _SOLVERS
    }
    spent: Spent = {}

    def timed(what: tuple[str, str], call: Callable[[], Any]) -> Any:
        cpu, started = time.process_time(), time.perf_counter()
        answer = call()
        wall = time.perf_counter() - started
        spent.setdefault(what, []).append((wall, time.process_time() - cpu))
        return answer

    gc.disable()  # neither side pays for the other's rubbish
    try:
        for run in range(RUNS + 1):
            sun, load = 1.0 - STEP * run, 1.0 + STEP * run
            peer.state(sun, load)
            for control in _CONTROLS:
                timed((control, "peer"), partial(peer.solve, control))
                for solver in _SOLVERS:
                    case = scaled(ours[control, solver], sun, load)
                    secured = timed((control, solver), partial(decide, case))
                    assert isinstance(secured, Verified)
                if run <= PARTS:
                    parts = partial(peer.model, control)
                    model = timed((control, "peer, its matrices alone"), parts)
                    timed((control, "peer, its solver alone"), partial(peer.solver_only, model))
                    timed((control, "peer, its LP alone"), partial(peer.lp_only, model))
            flat = Injections(p_kw={}, q_kvar={}, load_kw=load * base.frozen.load_kw)
            timed(("-", "one flat load flow"), partial(base.network.load_flow, flat))
            if run == 0:
                spent.clear()  # builds models, fills caches
            gc.collect()
    finally:
        gc.enable()
    tell("ieee123_beside_distopf", _compared(spent))
    tell("ieee123_beside_distopf_kept", _kept(base, peer))


_CONTROLS: tuple[Control, ...] = ("P", "PQ")
_SOLVERS: tuple[Literal["auto", "ipopt"], ...] = ("auto", "ipopt")


def _by_control(case: PvCase) -> tuple[tuple[Control, PvCase], ...]:
    return ("P", without_q(case)), ("PQ", case)


def _compared(spent: Spent) -> list[dict[str, object]]:
    wall_ms = {what: median_ms([wall for wall, _ in values]) for what, values in spent.items()}
    cpu_ms = {what: median_ms([cpu for _, cpu in values]) for what, values in spent.items()}
    flat = "-", "one flat load flow"
    return [
        {
            "control": control,
            "what": f"geems, {what}" if what in _SOLVERS else what.replace("peer", "distopf"),
            "median_ms": wall_ms[control, what],
            "cpu_ms": cpu_ms[control, what],
            "load_flows": wall_ms[control, what] / wall_ms[flat],
            "peer_takes": _ratio(wall_ms, control, what),
            "peer_takes_cpu": _ratio(cpu_ms, control, what),
            "asked": ASKED.get((control, what), "-"),
        }
        for control, what in sorted(spent)
    ]


def _ratio(median: Mapping[tuple[str, str], float], control: str, what: str) -> float | str:
    """How many times as long the peer's `run_opf` takes."""
    peer = median.get((control, "peer"))
    return "-" if peer is None else peer / median[control, what]


def _kept(base: PvCase, peer: Peer) -> list[dict[str, object]]:
    """What each side keeps of the sun, and what its setpoints break."""
    points: list[tuple[str, str, list[Source]]] = []
    peer.state(1.0, 1.0)
    for control, case in _by_control(base):
        for solver in _SOLVERS:
            ours = decide(replace(case, site=replace(case.site, solver=solver)))
            points.append((control, f"geems, {solver}", sources(case, ours.dispatch.setpoints)))
        model = peer.model(control)
        for what, answer in (
            ("distopf, quadratic", peer.solve(control)), ("distopf, LP", peer.lp_only(model)),
        ):  # fmt: skip
            points.append((control, what, peer.sources(base, model, answer)))
    judged = [seen_outside(base.frozen, LIMITS, [point])[0] for _, _, point in points]
    return [
        {
            "control": control, "what": what, "kept_kw": sum(s.p_kw for s in point),
            "q_kvar": sum(abs(s.q_kvar) for s in point),
            "above": seen.above, "below": seen.below, "highest_pu": f"{seen.v_max_pu:.6f}",
        }
        for (control, what, point), seen in zip(points, judged, strict=True)
    ]  # fmt: skip
