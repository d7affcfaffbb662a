"""Setpoints of a `PvCase` solved again from outside: plain OpenDSS text, a process of its own.

It shares no code with `feeders`. DERs are written as negative loads into a copy of the text;
the peer's setpoints are judged by the same load flow as ours.

As a script it reads one JSON document on standard input and answers one JSON line per point.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # as a script it knows nothing of GEEMS
    from ems.domain import Setpoint
    from tests.bench.cases import PvCase
    from tests.bench.frozen import Frozen

SQRT3 = 3.0**0.5
SETTLED_PU = 1e-7
"""Change of a voltage below which a load flow rests [pu]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Power put in at one connection."""

    bus: str
    """With its phases."""
    phases: int
    kv: float
    """Rated voltage: of one phase to neutral; of several √3 times that [kV]."""
    p_kw: float
    q_kvar: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the load flow shows; de-energised nodes are left out."""

    v_max_pu: float
    v_max_node: str
    v_min_pu: float
    above: int
    """Nodes above the upper limit, a millionth of a volt per volt allowed."""
    below: int
    head_kw: float

    @property
    def violations(self) -> int:
        return self.above + self.below


def sources(case: "PvCase", setpoints: "Mapping[str, Setpoint]") -> list[Source]:
    """Our setpoints as sources."""
    found = []
    for plant in case.site.pvs:
        kv = case.frozen.kv[plant.bus.partition(".")[0].lower()]
        at = setpoints[plant.name]
        found.append(
            Source(
                bus=plant.bus,
                phases=plant.phases,
                kv=kv * SQRT3 if plant.phases > 1 else kv,
                p_kw=at.p_kw,
                q_kvar=at.q_kvar,
            )
        )
    return found


def seen_outside(
    frozen: "Frozen", limits: tuple[float, float], points: Sequence[Sequence[Source]]
) -> list[Seen]:
    """Solve every point in another process.

    Args:
        frozen: the feeder.
        limits: lowest and highest voltage [pu].
        points: sources of each point; all points have the same connections.
    """
    asked = {
        "file": str(frozen.file),
        "limits": limits,
        "points": [[asdict(s) for s in point] for point in points],
    }
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(asked), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Seen(**json.loads(line)) for line in done.stdout.splitlines()]


def _solve(file: str, limits: tuple[float, float], point: list[dict[str, object]]) -> Seen:
    import opendssdirect as dss

    dss.Text.Command(f'Redirect "{file}"')
    for i, at in enumerate(point):
        dss.Text.Command(
            f"New Load.outside_{i} bus1={at['bus']} phases={at['phases']} conn=wye "
            f"kV={at['kv']!r} model=1 kW={-float(str(at['p_kw']))!r} "
            f"kvar={-float(str(at['q_kvar']))!r} vminpu=0.5 vmaxpu=1.5"
        )
    for option in ("ControlMode=OFF", "Tolerance=1e-10", "MaxIterations=100"):
        dss.Text.Command(f"Set {option}")
    before = _live(dss)
    live = _live(dss)
    # The engine's own sign of convergence never comes where a node hangs on nothing: its
    # voltage is round-off. So: another hundred iterations move no live node.
    assert max(abs(live[node] - before[node]) for node in live) < SETTLED_PU
    top = max(live, key=lambda n: live[n])
    return Seen(
        v_max_pu=live[top],
        v_max_node=top.upper(),
        v_min_pu=min(live.values()),
        above=sum(v > limits[1] * (1 + 1e-6) for v in live.values()),
        below=sum(v < limits[0] * (1 - 1e-6) for v in live.values()),
        head_kw=-dss.Circuit.TotalPower()[0],
    )


def _live(dss: Any) -> dict[str, float]:
    """Voltage of every energised node, solved once more [pu]."""
    dss.Text.Command("Solve")
    volts = zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusMagPu(), strict=True)
    return {node: v for node, v in volts if v > 0.1}


if __name__ == "__main__":
    document = json.loads(sys.stdin.read())
    for one in document["points"]:
        print(json.dumps(asdict(_solve(document["file"], document["limits"], one))))
