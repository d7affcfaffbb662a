"""Over random small feeders: the engine's answer closes, its slopes are those of differences."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feeders import DerPlacement, Injections
from tests.own_text import open_own
from tests.slopes import errors

EXAMPLES = 25
"""Each opens a feeder and takes a few dozen load flows."""
MODELS = (
    "model=1",
    "model=2",
    "model=3",
    "model=4 CVRwatts=0.8 CVRvars=2.5",
    "model=5",
    "model=8 ZIPV=(0.2 0.3 0.5 0.4 0.4 0.2 0.6)",
)
PHASES = {"1": ("1",), "2": ("2",), "3": ("3",), "13": ("1", "3"), "123": ("1", "2", "3")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A feeder as OpenDSS text, its DERs and what they inject."""

    text: str
    placements: tuple[DerPlacement, ...]
    p_kw: dict[str, float]
    q_kvar: dict[str, float]
    load_kw: float


@st.composite
def feeders(draw: st.DrawFn) -> Drawn:
    """A radial feeder of two to seven buses whose laterals carry ever fewer phases."""
    head = draw(st.floats(0.97, 1.05))
    lines = [
        "Clear",
        f"New Circuit.f bus1=N0 basekV=12.47 pu={head:.4f} phases=3 MVAsc3=150 MVAsc1=120",
    ]
    phases = ["123"]
    for i in range(1, draw(st.integers(2, 7))):
        above = draw(st.integers(0, i - 1))
        of = draw(st.sampled_from([p for p in PHASES if set(p) <= set(phases[above])]))
        dots = "." + ".".join(of)
        lines.append(
            f"New Line.l{i} bus1=N{above}{dots} bus2=N{i}{dots} phases={len(of)} units=km "
            f"length={draw(st.floats(0.2, 3.0)):.3f} r1=0.35 x1=0.4 r0=0.7 x0=1.3 c1=9 c0=5 "
            "normamps=300"
        )
        phases.append(of)
    total = 0.0
    for i, of in enumerate(phases[1:], start=1):
        kw = draw(st.floats(10.0, 250.0))
        delta = len(of) != 1 and draw(st.booleans())
        count = 1 if delta and len(of) == 2 else len(of)
        kv = 7.2 if count == 1 and not delta else 12.47
        lines.append(
            f"New Load.d{i} bus1=N{i}.{'.'.join(of)} phases={count} kV={kv} kW={kw:.2f} "
            f"kvar={draw(st.floats(-0.2, 0.6)) * kw:.2f} conn={'delta' if delta else 'wye'} "
            f"{draw(st.sampled_from(MODELS))} vminpu=0.85 vmaxpu=1.15"
        )
        total += kw
        if draw(st.integers(0, 4)) == 0:
            lines.append(
                f"New Capacitor.c{i} bus1=N{i}.{'.'.join(of)} phases={len(of)} "
                f"kV={12.47 if len(of) > 1 else 7.2} kvar=100"
            )
    lines += ["Set VoltageBases=[12.47]", "CalcVoltageBases"]
    places = []
    for i in range(draw(st.integers(1, 3))):
        bus = draw(st.integers(1, len(phases) - 1))
        of = draw(st.sampled_from([p for p in PHASES if set(p) <= set(phases[bus])]))
        between = len(of) == 2 and draw(st.booleans())
        places.append(
            DerPlacement(
                name=f"der{i}",
                bus=f"N{bus}.{'.'.join(of)}",
                phases=1 if between else len(of),
                delta=between or (len(of) == 3 and draw(st.booleans())),
            )
        )
    power = st.floats(-200.0, 400.0).map(lambda x: round(x, 2))
    return Drawn(
        text="\n".join(lines) + "\n",
        placements=tuple(places),
        p_kw={p.name: draw(power) for p in places},
        q_kvar={p.name: 0.3 * draw(power) for p in places},
        load_kw=total * draw(st.floats(0.2, 1.2)),
    )


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=feeders())
def test_slopes_on_any_small_feeder_are_those_of_differences(drawn: Drawn) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.dss"
        path.write_text(drawn.text)
        feeder = open_own(path, drawn.placements)
    at = Injections(p_kw=drawn.p_kw, q_kvar=drawn.q_kvar, load_kw=drawn.load_kw)
    found = errors(feeder, at, dict.fromkeys(drawn.p_kw, 1.0), without=feeder.floating)
    feeder.close()
    assert found.voltage < 1e-5, drawn.text
    assert found.loading < 1e-4, drawn.text  # a light line's current turns within the step
