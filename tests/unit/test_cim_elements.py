"""How single CIM objects become OpenDSS text, where an OpenDSS export would not have them."""

import re
from pathlib import Path

import pytest

from feeders import FeederFault
from feeders.cim import CimFeeder, read_cim
from tests.cim_files import cim_object, model, nominal_flow, small_model, written
from tests.own_text import open_own

BASE = {"ConductingEquipment__BaseVoltage": "#v", "Equipment__EquipmentContainer": "#feeder"}


def read(folder: Path, **objects: str) -> CimFeeder:
    return read_cim(written(folder, model({**small_model(), **objects})))


def text_of(cim: CimFeeder, name: str) -> str:
    return next(e.text for e in cim.elements if e.name == name)


def head_kw(cim: CimFeeder, folder: Path) -> float:
    feeder = open_own(cim.to_opendss(folder), cim.placements)
    flow = nominal_flow(feeder)
    feeder.close()
    assert flow.converged
    return flow.head_kw


def terminal(of: str, number: int, node: str) -> str:
    return cim_object(
        "Terminal",
        f"t_{of}_{number}",
        Terminal__ConductingEquipment=f"#{of}",
        Terminal__ConnectivityNode=f"#{node}",
        ACDCTerminal__sequenceNumber=str(number),
    )


def segment(**attributes: str) -> str:
    return cim_object("ACLineSegment", "line", "l", **BASE, Conductor__length="500", **attributes)


def phase(kind: str, of: str, letter: str, number: int, **attributes: str) -> str:
    """A per-phase object of a line, load or switch."""
    letter_of = {"SwitchPhase": "phaseSide1"}.get(kind, "phase")
    link = {"SwitchPhase": "Switch"}.get(kind, kind.removesuffix("Phase"))
    numbered = {"ACLineSegmentPhase__sequenceNumber": str(number)} if "Line" in kind else {}
    return cim_object(
        kind,
        f"{of}_{letter}",
        **{f"{kind}__{link}": f"#{of}", f"{kind}__{letter_of}": f"=SinglePhaseKind.{letter}"},
        **numbered,
        **attributes,
    )


def impedance(size: int, own: complex, mutual: complex) -> dict[str, str]:
    made = {
        "z": cim_object(
            "PerLengthPhaseImpedance",
            "z",
            "z",
            PerLengthPhaseImpedance__conductorCount=str(size),
        )
    }
    for row in range(1, size + 1):
        for column in range(1, row + 1):
            z = own if row == column else mutual
            made[f"z{row}{column}"] = cim_object(
                "PhaseImpedanceData",
                f"z{row}{column}",
                PhaseImpedanceData__PhaseImpedance="#z",
                PhaseImpedanceData__row=str(row),
                PhaseImpedanceData__column=str(column),
                PhaseImpedanceData__r=str(z.real),
                PhaseImpedanceData__x=str(z.imag),
            )
    return made


def test_an_impedance_per_length_is_that_of_the_whole_line(tmp_path: Path) -> None:
    whole = read(tmp_path, line=segment(ACLineSegment__r="0.15", ACLineSegment__x="0.3"))
    per_metre = read(
        tmp_path,
        line=segment(ACLineSegment__PerLengthImpedance="#zs"),
        zs=cim_object(
            "PerLengthSequenceImpedance",
            "zs",
            "zs",
            PerLengthSequenceImpedance__r="0.0003",
            PerLengthSequenceImpedance__x="0.0006",
        ),
    )
    losses = [head_kw(c, tmp_path / n) - 90.0 for c, n in ((whole, "a"), (per_metre, "b"))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] > 0.01


def test_a_neutral_conductor_is_reduced_into_the_phases(tmp_path: Path) -> None:
    own, mutual = complex(3e-4, 6e-4), complex(1e-4, 2e-4)
    phases = {f"p{x}": phase("ACLineSegmentPhase", "line", x, i) for i, x in enumerate("ABCN")}
    cim = read(
        tmp_path,
        line=segment(ACLineSegment__PerLengthImpedance="#z"),
        **impedance(4, own, mutual),
        **phases,
    )
    code = next(d for d in cim.definitions if "LineCode" in d)
    reduced = own - mutual**2 / own
    assert "phases=3" in text_of(cim, "line.l")
    assert float(re.findall(r"rmatrix=\[(\S+)", code)[0]) == pytest.approx(reduced.real)
    assert float(re.findall(r"xmatrix=\[(\S+)", code)[0]) == pytest.approx(reduced.imag)


def test_phases_follow_their_sequence_numbers(tmp_path: Path) -> None:
    cim = read(
        tmp_path,
        line=segment(ACLineSegment__PerLengthImpedance="#z"),
        **impedance(2, complex(3e-4, 6e-4), 0j),
        pc=phase("ACLineSegmentPhase", "line", "C", 1),
        pa=phase("ACLineSegmentPhase", "line", "A", 2),
    )
    assert "bus1=head.3.1 bus2=b.3.1" in text_of(cim, "line.l")


def test_a_line_of_more_phases_than_its_impedance_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(FeederFault, match="is of 2 conductors and used by a line of 3"):
        read(
            tmp_path,
            line=segment(ACLineSegment__PerLengthImpedance="#z"),
            **impedance(2, complex(3e-4, 6e-4), 0j),
        )


def test_an_unbalanced_consumer_becomes_a_load_for_each_phase(tmp_path: Path) -> None:
    powers = {"A": "10000", "B": "20000", "C": "60000"}
    cim = read(
        tmp_path,
        **{
            f"p{x}": phase(
                "EnergyConsumerPhase",
                "load",
                x,
                1,
                EnergyConsumerPhase__p=p,
                EnergyConsumerPhase__q="0",
            )
            for x, p in powers.items()
        },
    )
    assert {n: p for n, (p, _) in cim.loads[0].parts.items()} == {
        "house_a": 10.0,
        "house_b": 20.0,
        "house_c": 60.0,
    }
    assert "bus1=b.3 conn=wye kV=2.40177712" in text_of(cim, "load.house_c")


def test_a_switch_open_in_one_phase_feeds_the_others(tmp_path: Path) -> None:
    switch = cim_object("Disconnector", "line", "sw", **BASE)
    closed = {"A": "true", "B": "false", "C": "true"}
    cim = read(
        tmp_path,
        line=switch,
        **{
            f"p{x}": phase("SwitchPhase", "line", x, 1, SwitchPhase__closed=c)
            for x, c in closed.items()
        },
    )
    assert text_of(cim, "line.sw").endswith("\nOpen Line.sw 1 2")
    assert cim.not_fed == ()
    feeder = open_own(cim.to_opendss(tmp_path / "built"))
    flow = nominal_flow(feeder)
    feeder.close()
    v_pu = dict(zip(flow.nodes, flow.v_pu, strict=True))
    assert v_pu["B.1"] > 0.95
    assert v_pu["B.2"] < 0.9


def test_a_neutral_that_is_not_grounded_gets_a_node_of_its_own(tmp_path: Path) -> None:
    load = cim_object(
        "EnergyConsumer",
        "load",
        "house",
        **BASE,
        EnergyConsumer__p="90000",
        EnergyConsumer__q="0",
        EnergyConsumer__grounded="false",
        EnergyConsumer__phaseConnection="=PhaseShuntConnectionKind.Y",
    )
    assert "bus1=b.1.2.3.4 conn=wye" in text_of(read(tmp_path, load=load), "load.house")


def transformer(r: str, step: str) -> dict[str, str]:
    made = {
        "line": cim_object("PowerTransformer", "xf", "xf", Equipment__EquipmentContainer="#feeder"),
        "t_line1": terminal("xf", 1, "head"),
        "t_line2": terminal("xf", 2, "node"),
    }
    for i in (1, 2):
        made[f"end{i}"] = cim_object(
            "PowerTransformerEnd",
            f"end{i}",
            PowerTransformerEnd__PowerTransformer="#xf",
            PowerTransformerEnd__ratedS="500000",
            PowerTransformerEnd__ratedU="4160",
            PowerTransformerEnd__r=r,
            PowerTransformerEnd__connectionKind="=WindingConnection.Y",
            TransformerEnd__endNumber=str(i),
            TransformerEnd__Terminal=f"#t_xf_{i}",
            TransformerEnd__BaseVoltage="#v",
        )
    made["mesh"] = cim_object(
        "TransformerMeshImpedance",
        "mesh",
        TransformerMeshImpedance__r="0.7",
        TransformerMeshImpedance__x="1.4",
        TransformerMeshImpedance__FromTransformerEnd="#end1",
        TransformerMeshImpedance__ToTransformerEnd="#end2",
    )
    made["tap"] = cim_object(
        "RatioTapChanger",
        "tap",
        RatioTapChanger__TransformerEnd="#end2",
        RatioTapChanger__stepVoltageIncrement="0.625",
        TapChanger__step=step,
    )
    return made


def test_a_mesh_resistance_stands_in_where_the_ends_have_none(tmp_path: Path) -> None:
    alone = read(tmp_path, **transformer("0", "0"))
    shared = read(tmp_path, **transformer("0.35", "0"))
    assert text_of(alone, "transformer.xf") == text_of(shared, "transformer.xf")
    ohms = 4160.0**2 / 500e3
    assert f"%R={0.35 / ohms * 100:.10g}" in text_of(alone, "transformer.xf")


def test_a_tap_step_becomes_turns(tmp_path: Path) -> None:
    cim = read(tmp_path, **transformer("0", "-4"))
    assert "MinTap=0.9 MaxTap=1.1 NumTaps=32 Tap=0.975" in text_of(cim, "transformer.xf")


@pytest.mark.parametrize("step", ["17", "1e300"])
def test_a_tap_step_beyond_the_changer_is_a_fault(tmp_path: Path, step: str) -> None:
    with pytest.raises(FeederFault, match="is not within lowStep -16 and highStep 16"):
        read(tmp_path, **transformer("0", step))


def test_a_transformer_without_impedance_is_a_fault(tmp_path: Path) -> None:
    objects = transformer("0", "0")
    del objects["mesh"]
    with pytest.raises(
        FeederFault, match="has no TransformerMeshImpedance between its ends 1 and 2"
    ):
        read(tmp_path, **objects)


def test_a_unit_may_refer_to_its_connection(tmp_path: Path) -> None:
    objects = small_model()
    pv = re.sub(r"\s*<cim:PowerElectronicsConnection.PowerElectronicsUnit[^>]*>", "", objects["pv"])
    unit = cim_object(
        "PhotovoltaicUnit",
        "unit",
        "roof",
        PowerElectronicsUnit__PowerElectronicsConnection="#pv",
        PowerElectronicsUnit__maxP="50000",
    )
    device = read(tmp_path, pv=pv, unit=unit).devices[0]
    assert device.kind == "pv"
    assert device.max_p_kw == pytest.approx(50.0)
