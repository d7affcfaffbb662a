"""A witness from outside: plain OpenDSS text, in a process of its own.

It shares no code with `feeders` or `ems.plant`: the feeder is read from its text, DERs are
written as negative loads, powers are edited into the text. So a sign or a unit that is wrong
in GEEMS cannot cancel itself here.

As a script it reads operating points as JSON lines on standard input and answers one JSON line
each with the highest and lowest voltage. It stays for the next points: to start it takes half a
second, to clear the engine, read the text and solve takes a hundredth of that.
"""

import atexit
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # as a script it knows nothing of GEEMS
    from ems.domain import CycleRecord, Site

FEEDERS = Path(__file__).parent.parent / "feeders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One operating point, in the words of a feeder engineer."""

    feeder: str
    """Path of the OpenDSS file."""
    load_kw: float
    load_kvar: float | None
    ders: tuple[tuple[str, str, float, float], ...]
    """Name, bus, kW and kvar injected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    v_max_pu: float
    v_max_node: str
    v_min_pu: float
    head_kw: float


class Witness:
    """The other process; started when it is first asked, and anew after it broke down."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def solve(self, points: Sequence[Point]) -> list[Testimony]:
        return [self._asked(point) for point in points]

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _asked(self, point: Point) -> Testimony:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        try:
            print(json.dumps(asdict(point)), file=to, flush=True)
            answer = back.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:  # its standard error, which is the test's, tells why
            self.close()
            raise AssertionError(f"the witness broke down on {point}")
        return Testimony(**json.loads(answer))


_WITNESS = Witness()
atexit.register(_WITNESS.close)


def solved_outside(points: Sequence[Point]) -> list[Testimony]:
    """Solve every point in another process."""
    return _WITNESS.solve(points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A cycle that ran in a test."""

    site: "Site"
    record: "CycleRecord"


def confirm(sendings: Sequence[Sending]) -> None:
    """Solve again what was sent: as expected, and with the sun at every cap.

    Only setpoints that went out as verified are held against the limits, and only on the
    shipped feeder; a test that sends none has nothing to confirm.
    """
    points, limits, claims, corrections = [], [], [], []
    for sending in sendings:
        record = sending.record
        sent = [n for n, o in record.outcomes.items() if type(o).__name__ == "Sent"]
        if len(sent) < len(record.outcomes) or type(record.secured).__name__ != "Verified":
            continue
        for sunny in (False, True):
            ders = []
            for der in sending.site.ders:
                at = record.secured.dispatch.setpoints[der.name]
                p_kw = at.p_kw
                sky = record.forecast.pv.get(der.name)
                if sky is not None and sunny:
                    p_kw = sky.upper_kw if at.cap_kw is None else min(at.cap_kw, sky.upper_kw)
                ders.append((der.name, der.bus, p_kw, at.q_kvar))
            points.append(
                Point(
                    feeder=str(FEEDERS / "segment13" / "segment13.dss"),
                    load_kw=record.forecast.load_kw,
                    load_kvar=record.forecast.load_kvar,
                    ders=tuple(ders),
                )
            )
            limits.append(sending.site.limits)
            claims.append(None if sunny else record.secured.load_flow)
            corrections.append(tuple(record.mismatch.values()))
    told = zip(limits, claims, corrections, solved_outside(points), strict=True)
    for limit, claim, corrected, seen in told:
        # Where voltages are measured, the proof is on the model as they correct it.
        up = max((-m.upper_pu for m in corrected), default=0.0)
        down = max((m.lower_pu for m in corrected), default=0.0)
        assert seen.v_max_pu <= limit.v_max_pu + max(0.0, up) + 1e-8, seen
        assert seen.v_min_pu >= limit.v_min_pu - max(0.0, down) - 1e-8, seen
        if claim is not None:
            most = max((max(abs(m.upper_pu), abs(m.lower_pu)) for m in corrected), default=0.0)
            assert abs(seen.v_max_pu - claim.highest()[1]) < 1e-6 + most, (seen, claim.highest())
            assert abs(seen.head_kw - claim.head_kw) < 0.05, (seen, claim.head_kw)


def _solve(point: dict[str, object]) -> dict[str, object]:
    import opendssdirect as dss

    dss.Text.Command("ClearAll")
    dss.Text.Command(f'Redirect "{point["feeder"]}"')
    names = dss.Loads.AllNames()
    nominal = {}
    for name in names:
        dss.Text.Command(f"? Load.{name}.kW")
        kw = float(dss.Text.Result())
        dss.Text.Command(f"? Load.{name}.kvar")
        nominal[name] = kw, float(dss.Text.Result())
    share = float(str(point["load_kw"])) / sum(kw for kw, _ in nominal.values())
    reactive = share
    if point["load_kvar"] is not None:
        reactive = float(str(point["load_kvar"])) / sum(kvar for _, kvar in nominal.values())
    for name, (kw, kvar) in nominal.items():
        dss.Text.Command(f"Edit Load.{name} kW={kw * share!r} kvar={kvar * reactive!r}")
    for name, bus, kw, kvar in point["ders"]:  # type: ignore[attr-defined]  # from JSON
        dss.Text.Command(
            f"New Load.witness_{name} bus1={bus} phases=3 conn=wye kV=12.47 model=1 "
            f"kW={-kw!r} kvar={-kvar!r} vminpu=0.5 vmaxpu=1.5"
        )
    dss.Text.Command("Set ControlMode=OFF")
    dss.Text.Command("Set Tolerance=1e-10")
    dss.Text.Command("Set MaxIterations=200")
    dss.Text.Command("Solve")
    assert dss.Solution.Converged()
    volts = dict(zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusMagPu(), strict=True))
    top = max(volts, key=lambda n: volts[n])
    return {
        "v_max_pu": volts[top],
        "v_max_node": top.upper(),
        "v_min_pu": min(volts.values()),
        "head_kw": -dss.Circuit.TotalPower()[0],
    }


if __name__ == "__main__":
    for text in sys.stdin:
        print(json.dumps(_solve(json.loads(text))), flush=True)  # noqa: T201 - its answer
