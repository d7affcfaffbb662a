"""How a DER is connected: what it injects is what was asked for, where it was asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from feeders import DerPlacement, Feeder, FeederFault, Injections
from tests.own_text import open_own

FILE = """Clear
New Circuit.f bus1=N1 basekV=12.47 pu=1.0 phases=3 MVAsc3=200 MVAsc1=180
New Line.l1 bus1=N1 bus2=N2 length=3 units=km r1=0.3 x1=0.4 r0=0.6 x0=1.2 normamps=400
New Transformer.house phases=1 windings=3 buses=(N2.2 S.1.0 S.0.2) kVs=(7.2 0.12 0.12)
~ kVAs=(50 50 50) XHL=2 XHT=2 XLT=1.3 %Rs=(0.6 1.2 1.2)
New Transformer.four phases=1 windings=2 buses=(N2.1 F.7.0) kVs=(7.2 0.24) kVAs=(50 50) XHL=2
New Load.a bus1=N2 phases=3 kV=12.47 kW=300 kvar=90 model=1
New Load.h bus1=S.1.2 phases=1 kV=0.24 kW=4 kvar=1 model=1
Set VoltageBases=[12.47, 0.416, 0.208]
CalcVoltageBases
"""

Open = Callable[..., Feeder]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def feeder(*placements: DerPlacement) -> Feeder:
        path = tmp_path / "f.dss"
        path.write_text(FILE)
        return open_own(path, placements)

    return feeder


@pytest.mark.parametrize(
    ("bus", "phases", "delta", "moves"),
    [
        ("N2", 3, False, {"N2.1", "N2.2", "N2.3"}),
        ("N2", 3, True, {"N2.1", "N2.2", "N2.3"}),
        ("N2.3.1", 2, False, {"N2.1", "N2.3"}),
        ("N2.3", 1, False, {"N2.3"}),
        ("N2.1.3", 1, False, {"N2.1", "N2.3"}),
        ("N2.1.3", 1, True, {"N2.1", "N2.3"}),
        ("S.1.2", 1, False, {"S.1", "S.2"}),
        ("S.1.2", 2, False, {"S.1", "S.2"}),
        ("S", 2, False, {"S.1", "S.2"}),
        ("S.2", 1, False, {"S.2"}),
        ("F.7", 1, False, {"F.7"}),
        ("F", 1, False, {"F.7"}),
    ],
)
def test_a_der_injects_what_is_asked_on_its_own_nodes(
    opened: Open, bus: str, phases: int, delta: bool, moves: set[str]
) -> None:
    feeder = opened(DerPlacement(name="pv", bus=bus, phases=phases, delta=delta))
    idle, busy = (
        feeder.load_flow(Injections(p_kw={"pv": kw}, q_kvar={}, load_kw=304.0)) for kw in (0, 6)
    )
    assert idle.converged
    assert busy.converged
    gain_kw = (idle.head_kw - idle.losses_kw) - (busy.head_kw - busy.losses_kw)
    assert gain_kw == pytest.approx(6.0, abs=1e-6)
    own = [n for n in feeder.nodes if n.startswith(bus.partition(".")[0] + ".")]
    rise = {n: busy.v_pu[feeder.nodes.index(n)] - idle.v_pu[feeder.nodes.index(n)] for n in own}
    assert set(sorted(own, key=lambda n: -abs(rise[n]))[: len(moves)]) == moves


def test_legs_of_a_house_share_what_stands_between_them(opened: Open) -> None:
    feeder = opened(DerPlacement(name="pv", bus="S.1.2", phases=1))
    slope = feeder.linearise(Injections(p_kw={"pv": 3.0}, q_kvar={}, load_kw=304.0))
    p, _ = slope.voltage_rows([feeder.nodes.index("S.1"), feeder.nodes.index("S.2")])
    assert p[0, 0] == pytest.approx(p[1, 0], rel=0.05)
    assert p[0, 0] > 0.0


@pytest.mark.parametrize(
    ("bus", "phases", "said"),
    [
        ("N2", 1, "name the phase"),
        ("N2.1.2", 2, "a delta has phases = 3, or phases = 1 and two nodes"),
        ("N2.1", 1, "a delta has phases = 3, or phases = 1 and two nodes"),
    ],
)
def test_a_delta_that_is_none_is_told(opened: Open, bus: str, phases: int, said: str) -> None:
    if bus == "N2":
        placement = DerPlacement(name="pv", bus=bus, phases=phases)
    else:
        placement = DerPlacement(name="pv", bus=bus, phases=phases, delta=True)
    with pytest.raises(FeederFault, match=said):
        opened(placement)


def test_constant_power_holds_at_low_and_high_voltage(opened: Open) -> None:
    feeder = opened(DerPlacement(name="pv", bus="N2"))
    for head in (0.6, 1.0, 1.3):
        at = Injections(p_kw={"pv": 50.0}, q_kvar={"pv": 10.0}, load_kw=0.0, head_v_pu=head)
        flow = feeder.load_flow(at)
        assert flow.converged
        assert np.isclose(flow.head_kw - flow.losses_kw, -50.0, atol=1e-6)
