"""A CIM file is untrusted input: what is refused, what is told, what cannot get through."""

from pathlib import Path

import pytest

from feeders import Feeder, FeederFault
from feeders.cim import CimFeeder, read_cim
from feeders.statements import statements
from tests.cim_files import HEAD, TAIL, cim_object, model, nominal_flow, small_model, written

BOMB = (
    '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY a{i} "{"&a" + (str(i - 1) if i else "") + ";"}{"&a;" * 9}">' for i in range(9)
    )
    + "]>"
)
OUTSIDE = '<!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
REMOTE = '<!DOCTYPE b SYSTEM "http://localhost:9/b.dtd">'
TEXT = model(small_model())
NASTY = (
    "house\nShell=ls",
    "house\" '; ! // kW=1",
    "house bus1=head kW=99999",
    "house.1.2.3",
    "../../etc/passwd",
    "/* house */",
    "@var ~ {x} (y) [z]",
    "-force",
    "π hãuse ☃",
    " ",
    "redirect x.dss",
    "a" * 5000,
)


def read(folder: Path, text: str | bytes, mrid: str | None = None) -> CimFeeder:
    return read_cim(written(folder, text), mrid)


def fault(folder: Path, text: str | bytes, mrid: str | None = None) -> str:
    with pytest.raises(FeederFault) as raised:
        read(folder, text, mrid)
    return str(raised.value)


def changed(**objects: str | None) -> str:
    """The small model with objects replaced, or left out."""
    made = {k: v for k, v in {**small_model(), **objects}.items() if v is not None}
    return model(made)


# --- XML --------------------------------------------------------------------------------


@pytest.mark.parametrize("declaration", [BOMB, OUTSIDE, REMOTE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_and_entities_are_refused(
    tmp_path: Path, declaration: str, encoding: str
) -> None:
    head, rest = TEXT.split("\n", 1)
    text = f"{head.replace('utf-8', encoding)}\n{declaration}\n{rest}"
    assert "declares a document type or an entity" in fault(tmp_path, text.encode(encoding))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("New Circuit.x", "is not XML"),
        (HEAD + "<cim:Feeder></cim:Breaker>" + TAIL, "is not XML"),
        (TEXT[: len(TEXT) // 2], "is not XML"),
        ("<html><body/></html>", "the root is html, not rdf:RDF"),
        (HEAD + TAIL, "holds no CIM objects"),
        (HEAD + "<cim:A><cim:B>" * 20 + "</cim:B></cim:A>" * 20 + TAIL, "nested more than"),
        (HEAD + '<cim:Feeder rdf:about="a" rdf:ID="b"/>' + TAIL, "is not RDF/XML"),
        (b"\x00\x01\x02", "is not XML"),
        ('<?xml version="1.0" encoding="utf-7"?>' + TEXT[TEXT.index("\n") :], "model.xml"),
    ],
)
def test_a_file_that_is_no_cim_is_refused(tmp_path: Path, text: str | bytes, told: str) -> None:
    assert told in fault(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeederFault, match=r"nowhere\.xml: cannot be read"):
        read_cim(tmp_path / "nowhere.xml")


# --- the model --------------------------------------------------------------------------


def test_the_small_model_is_read(tmp_path: Path) -> None:
    cim = read(tmp_path, TEXT)
    assert [x.name for x in cim.loads] == ["house"]
    assert [d.name for d in cim.devices] == ["roof"]


def test_an_unknown_feeder_is_told_with_those_there_are(tmp_path: Path) -> None:
    told = fault(tmp_path, TEXT, "_other")
    assert "no feeder with mRID '_other'" in told
    assert "feeder (f)" in told


def test_of_several_feeders_one_must_be_named(tmp_path: Path) -> None:
    text = changed(second=cim_object("Feeder", "F2", "north"))
    told = fault(tmp_path, text)
    assert "holds several feeders" in told
    assert "F2 (north)" in told
    # Equipment of the first, by its mRID in another spelling.
    assert [x.name for x in read(tmp_path, text, "_FEEDER").loads] == ["house"]


def test_another_feeders_equipment_stays_out(tmp_path: Path) -> None:
    text = changed(
        second=cim_object("Feeder", "F2", "north"),
        theirs=cim_object("EnergyConsumer", "x", "x", Equipment__EquipmentContainer="#F2"),
    )
    assert [x.name for x in read(tmp_path, text, "feeder").loads] == ["house"]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = changed(
        node=None,  # four terminals point to it
        line=small_model()["line"].replace("0.2<", "a lot<"),
        source=small_model()["source"].replace("4160<", "-1<"),
    )
    told = fault(tmp_path, text)
    assert told.startswith(str(tmp_path / "model.xml"))
    assert "Terminal.ConnectivityNode refers to" in told
    assert "which is not in the file" in told
    assert "ACLineSegment.x is a lot, not a finite number" in told
    assert "EnergySource.nominalVoltage is -1; give a value above 0" in told


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        ({"source": None, "t_source": None}, "has no EnergySource"),
        ({"load": None, "t_load": None}, "has no EnergyConsumer"),
        ({"feeder": None}, "holds no Feeder"),
        ({"t_line2": None}, "has 1 of 2 terminals"),
        ({"v": None}, "ConductingEquipment.BaseVoltage refers to"),
        ({"load": small_model(p="0")["load"]}, "of 0 W together"),
        ({"load": small_model(p="nan")["load"]}, "EnergyConsumer.p is nan, not a finite number"),
        ({"load": small_model(p="1e999")["load"]}, "not a finite number"),
    ],
)
def test_what_is_missing_or_no_number_is_told(
    tmp_path: Path, objects: dict[str, str | None], told: str
) -> None:
    assert told in fault(tmp_path, changed(**objects))


def test_a_matrix_of_a_billion_conductors_is_a_fault_and_not_a_crash(tmp_path: Path) -> None:
    text = changed(
        line=small_model()["line"].replace(
            "<cim:ACLineSegment.r>",
            '<cim:ACLineSegment.PerLengthImpedance rdf:resource="#z"/><cim:ACLineSegment.r>',
        ),
        z=cim_object(
            "PerLengthPhaseImpedance", "z", "z", PerLengthPhaseImpedance__conductorCount="1e9"
        ),
    )
    assert "of 1000000000 conductors" in fault(tmp_path, text)


def test_an_unknown_class_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    cim = read(tmp_path, changed(odd=cim_object("HydrogenPlant", "h2", "h2")))
    assert any("CIM class HydrogenPlant: 1 object not read" in w for w in cim.warnings)
    assert [x.name for x in cim.loads] == ["house"]


def test_another_version_of_cim_is_told(tmp_path: Path) -> None:
    text = TEXT.replace("TC57/CIM100#", "TC57/2013/CIM-schema-cim16#")
    assert any("not CIM100" in w for w in read(tmp_path, text).warnings)


def test_what_no_path_feeds_is_told(tmp_path: Path) -> None:
    line = small_model()["line"].replace("ACLineSegment", "Breaker")
    opened = line.replace("</cim:Breaker>", "<cim:Switch.open>true</cim:Switch.open></cim:Breaker>")
    cim = read(tmp_path, changed(line=opened))
    assert cim.not_fed == ("b",)
    assert any("1 buses are not fed" in w for w in cim.warnings)


# --- names ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NASTY)
def test_a_name_cannot_become_a_statement(tmp_path: Path, name: str) -> None:
    plain = read(tmp_path, TEXT)
    objects = small_model(load_name=name, bus_name=name, feeder_name=name)
    cim = read(tmp_path, model(objects))
    assert _shape(cim) == _shape(plain)
    assert all(c.isascii() and (c.isprintable() or c == "\n") for c in cim.text)


def test_a_feeder_of_such_names_opens_and_solves(tmp_path: Path) -> None:
    objects = small_model(bus_name=NASTY[0], feeder_name=NASTY[1], p="10000")
    for i, name in enumerate(NASTY):
        twin = small_model(load_name=name, p="10000")["load"]
        objects[f"load{i}"] = twin.replace('"load"', f'"load{i}"').replace(">load<", f">load{i}<")
        objects[f"t_load{i}"] = small_model()["t_load"].replace("load", f"load{i}")
    cim = read(tmp_path, model(objects))
    feeder = Feeder.open(str(cim.to_opendss(tmp_path / "built")), cim.placements)
    flow = nominal_flow(feeder)
    feeder.close()
    assert flow.converged
    assert flow.head_kw == pytest.approx(10.0 * (len(NASTY) + 1), rel=0.05)


def test_names_that_fall_together_stay_apart(tmp_path: Path) -> None:
    twin = small_model(load_name="House")["load"].replace('"load"', '"twin"')
    terminal = small_model()["t_load"].replace("load", "twin")
    cim = read(tmp_path, changed(twin=twin.replace(">load<", ">twin<"), t_twin=terminal))
    assert sorted(p for x in cim.loads for p in x.parts) == ["house", "house_2"]


def _shape(cim: CimFeeder) -> list[tuple[int, list[str]]]:
    """Words by line: how many, and what they name."""
    return [(s.line, [w.name for w in s.words]) for s in statements(cim.text)]
