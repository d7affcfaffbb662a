"""The linearisation against differences of load flows, and the laws of loads against the engine.

That a load flow counts as converged already says that GEEMS's own sum of currents, with its own
law for every load, agrees with the engine's voltages.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from feeders import DerPlacement, Feeder, Injections
from tests.own_text import open_own
from tests.slopes import errors, nominal_kw, published, settled, spread_ders

HEAD = """Clear
New Circuit.f bus1=N1 basekV=12.47 pu=1.0 phases=3 MVAsc3=200 MVAsc1=180
New Line.l1 bus1=N1 bus2=N2 length=2 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 c1=10 c0=5 normamps=400
New Line.l2 bus1=N2 bus2=N3 length=2 units=km r1=0.5 x1=0.4 r0=0.8 x0=1.2 c1=10 c0=5 normamps=300
New Line.l3 bus1=N3.2 bus2=N4.2 phases=1 length=1 units=km r1=0.5 x1=0.4 normamps=200
New Line.l4 bus1=N3.1.3 bus2=N5.1.3 phases=2 length=1 units=km r1=0.5 x1=0.4 r0=0.8 x0=1.2
~ normamps=200
New Transformer.t bus=N3 phases=3 windings=2 buses=(N3, N6) conns=(delta wye) kVs=(12.47 0.48)
~ kVAs=(500 500) XHL=4 %loadloss=1.2
New Transformer.house phases=1 windings=3 buses=(N4.2 S.1.0 S.0.2) kVs=(7.2 0.12 0.12)
~ kVAs=(50 50 50) XHL=2 XHT=2 XLT=1.3 %Rs=(0.6 1.2 1.2)
New Line.drop bus1=S.1.2 bus2=H.1.2 phases=2 length=0.03 units=km r1=0.4 x1=0.1 r0=0.9 x0=0.4
~ c1=0 c0=0 normamps=200
"""
FOOT = "Set VoltageBases=[12.47, 0.48, 0.208]\nCalcVoltageBases\nSolve\n"
PLACES = (
    DerPlacement(name="three", bus="N3"),
    DerPlacement(name="delta", bus="N2", delta=True),
    DerPlacement(name="two", bus="N5", phases=2),
    DerPlacement(name="one", bus="N3.3", phases=1),
    DerPlacement(name="across", bus="N2.1.2", phases=1),
    DerPlacement(name="low", bus="N6"),
    DerPlacement(name="house", bus="H.1.2", phases=1),
    DerPlacement(name="leg", bus="H.2", phases=1),
    DerPlacement(name="legs", bus="S.1.2", phases=2),
)
POWERS_KW = dict(zip((p.name for p in PLACES), (300, 200, 90, -50, 40, 60, 7, 2, -5), strict=True))
STEPS = dict(zip((p.name for p in PLACES), (1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1), strict=True))

Build = Callable[..., Feeder]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def feeder(
        loads: str, places: tuple[DerPlacement, ...] = PLACES, *, more: str = "", foot: str = FOOT
    ) -> Feeder:
        path = tmp_path / "f.dss"
        path.write_text(HEAD + loads + more + foot)
        return open_own(path, places)

    return feeder


def at(feeder: Feeder, head_v_pu: float = 1.0, sun: float = 1.0) -> Injections:
    return Injections(
        p_kw={k: sun * v for k, v in POWERS_KW.items()},
        q_kvar={k: -0.3 * v for k, v in POWERS_KW.items()},
        load_kw=nominal_kw(feeder),
        head_v_pu=head_v_pu,
    )


def every_connection(model: str) -> str:
    return (
        f"New Load.a bus1=N2 phases=3 conn=wye kV=12.47 kW=300 kvar=90 {model}\n"
        f"New Load.b bus1=N3 phases=3 conn=delta kV=12.47 kW=250 kvar=120 {model}\n"
        f"New Load.c bus1=N3.1 phases=1 conn=wye kV=7.2 kW=60 kvar=20 {model}\n"
        f"New Load.d bus1=N5.1.3 phases=1 conn=delta kV=12.47 kW=50 kvar=10 {model}\n"
        f"New Load.e bus1=N5.1.3 phases=2 conn=wye kV=12.47 kW=70 kvar=30 {model}\n"
        f"New Load.f bus1=N2.1.2.3 phases=2 conn=delta kV=12.47 kW=70 kvar=30 {model}\n"
        f"New Load.g bus1=N6 phases=3 conn=wye kV=0.48 kW=80 kvar=30 {model}\n"
        f"New Load.h bus1=H.1.2 phases=1 conn=wye kV=0.24 kW=6 kvar=1 {model}\n"
        f"New Load.i bus1=H.1 phases=1 conn=wye kV=0.12 kW=2 kvar=0.5 {model}\n"
    )


MODELS = {
    "constant power": "model=1",
    "constant impedance": "model=2",
    "motor": "model=3",
    "voltage reduction": "model=4 CVRwatts=0.8 CVRvars=3",
    "voltage reduction, as by default": "model=4",
    "constant current": "model=5",
    "fixed var": "model=6",
    "fixed reactance": "model=7",
    "mixture": "model=8 ZIPV=(0.3 0.3 0.4 0.5 0.2 0.3 0.5)",
    "mixture that drops out": "model=8 ZIPV=(0.3 0.3 0.4 0.5 0.2 0.3 0.97)",
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("head_v_pu", [0.62, 0.8, 1.0, 1.15])
def test_every_load_model_is_known_below_within_and_above_its_band(
    build: Build, model: str, head_v_pu: float
) -> None:
    feeder = build(every_connection(f"{model} vminpu=0.9 vmaxpu=1.1 vlowpu=0.7"))
    found = errors(feeder, at(feeder, head_v_pu, sun=head_v_pu**2), STEPS)
    assert found.voltage < 1e-5
    assert found.loading < 1e-5


def test_loads_of_all_models_side_by_side(build: Build) -> None:
    models = list(MODELS.values())
    lines = every_connection("@").splitlines()
    mixed = "\n".join(line.replace("@", models[i % len(models)]) for i, line in enumerate(lines))
    feeder = build(mixed + "\n")
    found = errors(feeder, at(feeder), STEPS)
    assert found.voltage < 1e-6
    assert found.loading < 1e-5


def test_capacitors_reactors_and_regulators_off_nominal(build: Build) -> None:
    feeder = build(
        every_connection("model=1"),
        more="New Capacitor.c bus1=N3 phases=3 kvar=300 kV=12.47\n"
        "New Capacitor.d bus1=N5.1 phases=1 kvar=50 kV=7.2\n"
        "New Reactor.r bus1=N2 phases=3 kvar=40 kV=12.47\n"
        "Transformer.t.Taps=(1.0 1.0375)\n",
    )
    found = errors(feeder, at(feeder), STEPS)
    assert found.voltage < 1e-6
    assert found.loading < 1e-5


def test_nodes_without_voltage_have_no_slope_and_hurt_nobody(build: Build) -> None:
    more = (
        "New Line.dead1 bus1=N3 bus2=N7 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2\n"
        "New Line.dead2 bus1=N7 bus2=N8 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2\n"
        "New Load.dark bus1=N8 phases=3 kV=12.47 kW=100 kvar=10\n"
        "Open Line.dead1 term=1\n"
    )
    places = (*PLACES, DerPlacement(name="dark", bus="N7"))
    feeder = build(every_connection("model=1"), places, more=more)
    point = at(feeder)
    slope = feeder.linearise(point)
    assert slope.flow.converged
    dark = [i for i, n in enumerate(feeder.nodes) if n.startswith(("N7.", "N8."))]
    assert np.all(slope.flow.v_pu[dark] < 1e-3)
    p, q = slope.voltage_rows(range(len(feeder.nodes)))
    assert np.all(np.isfinite(p))
    assert not p[dark].any()
    assert not q[dark].any()
    assert not p[:, -1].any(), "nothing moves with a DER that stands in the dark"
    assert errors(feeder, point, STEPS).voltage < 1e-6


def test_a_line_that_is_switched_off_whole_leaves_its_bus_in_the_dark(build: Build) -> None:
    more = (
        "New Line.gone bus1=N3 bus2=N7 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2\n"
        "New Line.on bus1=N7 bus2=N8 length=1 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2\n"
        "Solve\nDisable Line.gone\n"
    )
    feeder = build(every_connection("model=5"), more=more)
    slope = feeder.linearise(at(feeder))
    assert slope.flow.converged
    assert np.all(np.isfinite(slope.change(np.ones(len(PLACES)), np.ones(len(PLACES)))[0]))
    loading, _ = slope.loading_rows([feeder.elements.index("line.gone")])
    assert not loading.any()


def test_a_der_that_cannot_hold_its_power_is_no_solution(build: Build) -> None:
    feeder = build(every_connection("model=2"))
    flow = feeder.load_flow(at(feeder, head_v_pu=0.4))
    assert not flow.converged
    assert "outside the 0.5 to 1.5 pu in which it holds its power" in flow.note


def test_no_ders_no_columns(build: Build) -> None:
    feeder = build(every_connection("model=1"), ())
    slope = feeder.linearise(Injections(p_kw={}, q_kvar={}, load_kw=500.0))
    assert slope.voltage_rows([0, 1])[0].shape == (2, 0)
    assert slope.voltage_rows([])[1].shape == (0, 0)
    assert not slope.change(np.empty(0), np.empty(0))[0].any()


@pytest.mark.parametrize(
    ("source", "count", "step", "limit"),
    [
        ("segment13", 3, 10.0, 1e-5),
        ("ieee13", 8, 1.0, 1e-5),
        ("ieee123", 85, 0.3, 1e-5),
        (published("34Bus", "ieee34Mod1.dss"), 20, 1.0, 1e-5),
        # Its switches are so short that their current is a difference of nearly equal numbers.
        (published("ieee123_dss", "IEEE123Master.dss"), 85, 1.0, 1e-4),
    ],
    ids=["segment13", "ieee13", "ieee123", "published ieee34", "published ieee123"],
)
def test_slopes_on_test_feeders_are_right_to_1e_5_of_their_columns(
    source: str, count: int, step: float, limit: float
) -> None:
    """Regulators off nominal, capacitors, delta loads, as their authors wrote them."""
    places, kw = spread_ders(Feeder.open(source), count)
    feeder = Feeder.open(source, places)
    names = [p.name for p in places]
    point = settled(
        feeder,
        Injections(
            p_kw=dict(zip(names, kw, strict=True)),
            q_kvar={n: -0.1 * k for n, k in zip(names, kw, strict=True)},
            load_kw=0.6 * nominal_kw(feeder),
        ),
    )
    found = errors(feeder, point, dict.fromkeys(names[:10], step), without=feeder.floating)
    assert found.voltage < 1e-5
    assert found.loading < limit


def test_slopes_on_the_9500_node_feeder() -> None:
    """Secondaries, single-phase everything, nodes that nothing ties to ground."""
    source = published("ieee9500_dss", "Master-unbal-initial-config.dss")
    places, kw = spread_ders(Feeder.open(source, own_ders="off"), 200)
    feeder = Feeder.open(source, places, own_ders="off")
    names = [p.name for p in places]
    point = Injections(
        p_kw=dict(zip(names, kw, strict=True)), q_kvar={}, load_kw=0.5 * nominal_kw(feeder)
    )
    assert 20 < len(feeder.floating) < 80
    found = errors(feeder, point, dict.fromkeys(names[:2], 0.1), without=feeder.floating)
    assert found.voltage < 5e-5
    assert found.loading < 1e-4  # a drop that carries little turns its current in 0.1 kW
