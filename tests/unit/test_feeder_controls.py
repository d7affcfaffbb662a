"""Regulators and switched capacitors: frozen where they are told to stand, or let act."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from feeders import DerPlacement, Feeder, FeederFault, Injections, LoadFlow, Regulation
from tests.own_text import open_own
from tests.slopes import errors, nominal_kw, spread_ders

REGULATED = """Clear
New Circuit.f bus1=N1 basekV=12.47 pu=1.0 phases=3 MVAsc3=100 MVAsc1=100
New Transformer.reg phases=3 windings=2 buses=(N1 N2) kVs=(12.47 12.47) kVAs=(9000 9000) XHL=0.5
New RegControl.reg transformer=reg winding=2 vreg=122 band=2 ptratio=60 ctprim=400
New Line.l bus1=N2 bus2=N3 length=6 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=400
New Load.a bus1=N3 phases=3 kV=12.47 kW=3000 kvar=900 model=1 vminpu=0.5 vmaxpu=1.5
New Capacitor.c bus1=N3 phases=3 kV=12.47 kvar=600
New CapControl.c element=line.l terminal=1 capacitor=c type=kvar ptratio=1 ctratio=1
~ ONsetting=500 OFFsetting=-300
"""
FOOT = "Set VoltageBases=[12.47]\nCalcVoltageBases\n"
PV = DerPlacement(name="pv", bus="N3")

Build = Callable[..., Feeder]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def feeder(more: str = "", foot: str = FOOT) -> Feeder:
        path = tmp_path / "f.dss"
        path.write_text(REGULATED + more + foot)
        return open_own(path, [PV])

    return feeder


def point(
    kw: float = 0.0, load_kw: float = 3000.0, regulation: Regulation | None = None
) -> Injections:
    return Injections(p_kw={"pv": kw}, q_kvar={}, load_kw=load_kw, regulation=regulation)


def test_a_feeder_says_whether_anything_moves_by_itself(build: Build) -> None:
    assert build().regulated
    plain = Feeder.open("segment13")
    assert not plain.regulated
    flow = plain.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=5_000.0), controls=True)
    assert flow.regulation == Regulation()


def test_taps_and_capacitors_stand_as_the_file_leaves_them(build: Build) -> None:
    left = build(foot=FOOT + "Transformer.reg.Taps=(1 1.05)\nCapacitor.c.States=(0)\n")
    flow = left.load_flow(point())
    assert flow.regulation == Regulation(
        taps={"transformer.reg": (1.0, 1.05)}, capacitors={"capacitor.c": (0,)}
    )
    assert flow.regulation != build().load_flow(point()).regulation


def test_controls_act_until_the_voltage_is_in_their_band(build: Build) -> None:
    feeder = build()
    frozen, acted = (feeder.load_flow(point(), controls=on) for on in (False, True))
    assert frozen.regulation.taps == {"transformer.reg": (1.0, 1.0)}
    assert acted.converged
    assert acted.regulation.taps["transformer.reg"][1] > 1.0
    held_v = 120.0 * acted.v_pu[acted.nodes.index("N2.1")]
    assert 121.0 - 0.1 <= held_v <= 123.0 + 0.1


def test_a_capacitor_opens_when_reactive_power_flows_back(build: Build) -> None:
    feeder = build()
    heavy = feeder.load_flow(point(), controls=True)
    light = feeder.load_flow(point(load_kw=200.0), controls=True)
    again = feeder.load_flow(point(regulation=light.regulation), controls=True)
    assert [f.regulation.capacitors["capacitor.c"] for f in (heavy, light, again)] == [
        (1,),
        (0,),
        (1,),
    ]


def test_a_frozen_load_flow_at_the_rest_is_the_very_same_answer(build: Build) -> None:
    feeder = build()
    acted = feeder.load_flow(point(kw=900.0), controls=True)
    frozen = feeder.load_flow(point(kw=900.0, regulation=acted.regulation))
    np.testing.assert_array_equal(frozen.v_pu, acted.v_pu)
    rested = feeder.load_flow(point(kw=900.0, regulation=acted.regulation), controls=True)
    assert rested.regulation == acted.regulation


def same(a: LoadFlow, b: LoadFlow) -> bool:
    return (
        np.array_equal(a.v_pu, b.v_pu)
        and np.array_equal(a.loading_pct, b.loading_pct)
        and (a.converged, a.regulation, a.note, a.head_kw, a.losses_kw)
        == (b.converged, b.regulation, b.note, b.head_kw, b.losses_kw)
    )


def test_an_answer_depends_on_its_question_alone_to_the_last_bit(build: Build) -> None:
    """Whatever was solved before, also when it diverged or was no number."""
    low = Regulation(taps={"transformer.reg": (1.0, 0.9)}, capacitors={"capacitor.c": (0,)})
    asked = [
        (point(), False),
        (point(kw=2500.0, load_kw=400.0), True),
        (point(load_kw=90_000.0), True),
        (point(kw=float("nan")), False),
        (point(kw=100.0, regulation=low), False),
        (replace(point(regulation=low), head_v_pu=1.04), True),
    ]
    alone = [build().load_flow(at, controls=on) for at, on in asked]
    assert [f.converged for f in alone] == [True, True, False, False, True, True]
    feeder = build()
    for order in list(permutations(range(len(asked))))[::90]:
        for i in order:
            assert same(feeder.load_flow(asked[i][0], controls=asked[i][1]), alone[i]), order


def test_what_does_not_converge_says_why(build: Build) -> None:
    feeder = build()
    assert "does not converge" in feeder.load_flow(point(load_kw=90_000.0)).note
    assert "no number" in feeder.load_flow(point(kw=float("inf"))).note
    assert feeder.load_flow(point()).note == ""


def test_controls_that_work_against_each_other_are_not_called_converged(build: Build) -> None:
    # Open, the line carries 900 kvar; closed, 300: neither is left in peace.
    hunting = build("CapControl.c.ONsetting=600\nCapControl.c.OFFsetting=500\n")
    flow = hunting.load_flow(point(), controls=True)
    assert not flow.converged
    assert "do not come to rest in 100 rounds; widen the band" in flow.note
    assert hunting.load_flow(point()).converged


def test_a_regulation_that_is_not_this_feeders_is_told(build: Build) -> None:
    wrong = Regulation(
        taps={"transformer.x": (1.0, 1.0), "transformer.reg": (1.0,)},
        capacitors={"capacitor.d": (1,)},
    )
    with pytest.raises(FeederFault) as fault:
        build().load_flow(point(regulation=wrong))
    assert "names transformer.x, which no control of this feeder moves" in str(fault.value)
    assert "gives transformer.reg 1 values; it has 2" in str(fault.value)
    assert "names capacitor.d" in str(fault.value)


def test_what_a_regulation_leaves_out_stands_as_in_the_file(build: Build) -> None:
    part = Regulation(taps={"transformer.reg": (1.0, 1.025)})
    flow = build().load_flow(point(regulation=part))
    assert flow.regulation == Regulation(
        taps={"transformer.reg": (1.0, 1.025)}, capacitors={"capacitor.c": (1,)}
    )


def test_slopes_hold_with_taps_off_nominal_and_the_capacitor_open(build: Build) -> None:
    feeder = build()
    for steps in ((0,), (1,)):
        at = point(
            kw=500.0,
            regulation=Regulation(
                taps={"transformer.reg": (1.0, 1.06875)}, capacitors={"capacitor.c": steps}
            ),
        )
        found = errors(feeder, at, {"pv": 10.0})
        assert found.voltage < 1e-6
        assert found.loading < 1e-5


def test_protection_does_not_act(build: Build) -> None:
    feeder = build("New Fuse.f monitoredobj=line.l monitoredterm=1 ratedcurrent=1\n")
    flow = feeder.load_flow(point(), controls=True)
    assert flow.converged
    assert flow.v_pu.min() > 0.9


def test_ieee123_comes_to_rest_from_any_start() -> None:
    places, kw = spread_ders(Feeder.open("ieee123"), 85)
    feeder = Feeder.open("ieee123", places)
    names = [p.name for p in places]
    at = Injections(
        p_kw=dict(zip(names, kw, strict=True)), q_kvar={}, load_kw=0.4 * nominal_kw(feeder)
    )
    first = feeder.load_flow(at, controls=True)
    assert first.converged
    low = replace(first.regulation, taps=dict.fromkeys(first.regulation.taps, (1.0, 0.9)))
    for start in (None, first.regulation, low):
        flow = feeder.load_flow(replace(at, regulation=start), controls=True)
        assert flow.converged
        again = feeder.load_flow(replace(at, regulation=flow.regulation), controls=True)
        assert again.regulation == flow.regulation
