"""What an ICD file says of a device, and what is read out of one that others wrote."""

from pathlib import Path

import pytest
from lxml import etree

from ems.domain import Bes, Der, Dg, Pv
from ems.errors import BadInput
from ems.protocols.goose import Kind
from ems.protocols.scl import (
    METERED,
    RTU_SUFFIX,
    IedModel,
    SclFile,
    control_blocks,
    controls_of,
    der_model,
    read_icd,
    site_models,
    told_by,
    write_icd,
)
from ems.protocols.scl.carried import places
from ems.protocols.scl.common import EXTENSION
from ems.protocols.scl.write import NAMESPACE
from tests.icd import BES, DG, FOLDER, LOADS, PV, load_file, pv_file, third_party

DERS: tuple[Der, ...] = (PV, BES, DG)
UNITS = {
    Pv: {"DGEN1", "DPVC1", "DPVA1", "DINV1"},
    Bes: {"DGEN1", "DSTO1", "DBAT1", "DINV1"},
    Dg: {"DGEN1", "DCIP1"},
}


def nodes(ied: IedModel, inst: str) -> set[str]:
    return {n.name for d in ied.devices if d.inst == inst for n in d.nodes}


@pytest.mark.parametrize("der", DERS, ids=lambda d: d.name)
def test_a_der_is_one_ied_with_the_four_logical_devices(der: Der) -> None:
    ied = der_model(der, 0).ieds[0]
    assert [d.inst for d in ied.devices] == ["LD0", "PMC", "ECP", "GEN"]
    assert all(d.nodes[0].ln_class == "LLN0" for d in ied.devices)
    assert nodes(ied, "LD0") == {"LLN0", "LPHD1"}
    assert nodes(ied, "ECP") == {"LLN0", "DECP1", "MMXU1"}
    assert nodes(ied, "PMC") >= {"LLN0", "DPMC1", "DVAR1", "DCTE1"}
    assert nodes(ied, "GEN") == {"LLN0"} | UNITS[type(der)]


@pytest.mark.parametrize("der", DERS, ids=lambda d: d.name)
def test_every_point_the_ems_needs_is_sent_with_quality_and_time(der: Der) -> None:
    own, held, rtu = control_blocks(der_model(der, 0))
    controls = controls_of(der)
    ordered = [p for c in controls for p in c.points]
    remaining = [c.remaining for c in controls if c.remaining is not None]
    told, kept, sent = (
        places(own, told_by(der)),
        places(held, [*ordered, *remaining]),
        places(rtu, ordered),
    )
    assert told.keys() == {p.key for p in told_by(der)}
    assert kept.keys() == {p.key for p in (*ordered, *remaining)}
    assert sent.keys() == {p.key for p in ordered}
    assert all(
        p.q is not None and p.t is not None
        for p in (*told.values(), *kept.values(), *sent.values())
    )


def test_the_loads_are_one_dpmc_that_names_the_dlod_and_decp_of_each() -> None:
    ied = load_file().ieds[0]
    (manager,) = (n for d in ied.devices for n in d.nodes if n.ln_class == "DPMC")
    references = {o.attributes[0].value for o in manager.objects if o.cdc == "ORG"}
    assert references == {"GEN/DLOD1", "GEN/DLOD2", "ECP/DECP1", "ECP/DECP2"}
    assert nodes(ied, "GEN") == {"LLN0", "DLOD1", "DLOD2"}
    (block,) = control_blocks(load_file())
    assert places(block, METERED).keys() == {p.key for p in METERED}


def test_what_public_sources_do_not_show_bears_a_name_space_of_its_own() -> None:
    for der in DERS:
        for mapped in (*told_by(der), *(p for c in controls_of(der) for p in c.points)):
            made = (
                mapped.make(control=False)
                if mapped.form.value == "operating"
                else mapped.make(control=True)
            )
            marks = [a.value for a in made.attributes if a.name == "dataNs"]
            assert marks == ([EXTENSION] if mapped.own else [])


def test_device_and_rtu_name_each_other_and_share_no_address() -> None:
    files = site_models(DERS, LOADS)
    controls = [c for f in files.values() for i in f.ieds for d in i.devices for c in d.gooses]
    assert len({c.address.mac for c in controls}) == len(controls) == 10
    assert len({c.address.appid for c in controls}) == 10
    device, rtu = files["pv"].ieds
    assert device.devices[0].gooses[0].subscribers == (rtu.name,) == ("pv" + RTU_SUFFIX,)
    assert rtu.devices[0].gooses[0].subscribers == (device.name,)


def test_names_become_ied_names_and_a_clash_is_told() -> None:
    odd = Pv(name="7 roof-pv", bus="B1", rated_kw=10)
    assert der_model(odd, 0).ieds[0].name == "D7_roof_pv"
    with pytest.raises(BadInput, match="rename one of the two") as told:
        site_models([odd, Pv(name="7_roof_pv", bus="B1", rated_kw=10)], LOADS)
    assert len(told.value.faults) == 2


def test_a_site_with_more_devices_than_addresses_is_refused() -> None:
    with pytest.raises(BadInput, match="no GOOSE address is left"):
        der_model(PV, 170)


def test_a_file_is_well_formed_in_the_name_space_and_the_order_of_scl() -> None:
    root = etree.fromstring(write_icd(pv_file()))
    assert root.tag == f"{{{NAMESPACE}}}SCL"
    assert (root.get("version"), root.get("revision"), root.get("release")) == ("2007", "B", "4")
    assert [etree.QName(e).localname for e in root] == [
        "Header", "Communication", "IED", "IED", "DataTypeTemplates",
    ]  # fmt: skip
    gse = root.find("{*}Communication/{*}SubNetwork/{*}ConnectedAP/{*}GSE")
    assert gse is not None
    given = {p.get("type"): p.text for p in gse.iterfind("{*}Address/{*}P")}
    assert given == {
        "MAC-Address": "01-0C-CD-01-00-00", "APPID": "1000", "VLAN-ID": "000", "VLAN-PRIORITY": "4",
    }  # fmt: skip


@pytest.mark.parametrize(
    "file", [*(der_model(d, 5) for d in DERS), load_file()], ids=lambda f: f.id
)
def test_what_is_written_is_read_back_equal(file: SclFile) -> None:
    assert read_icd(write_icd(file)) == file


def test_a_file_of_another_tool_is_read() -> None:
    file = third_party()
    (block,) = control_blocks(file)
    assert block.block.gocb_ref == "INV7MEAS/LLN0$GO$Fast"
    assert block.block.dst_mac == bytes.fromhex("010ccd010077")
    assert (block.block.max_time_ms, block.block.conf_rev) == (2000, 12)
    vector = ((Kind.FLOAT32,), (Kind.FLOAT32,))
    phase = (vector, Kind.QUALITY, Kind.TIMESTAMP)
    assert [e.shape for e in block.block.entries] == [
        ((Kind.FLOAT32,), Kind.QUALITY, Kind.TIMESTAMP),
        (phase, phase),
        Kind.QUALITY,
        Kind.FLOAT32,
        (Kind.FLOAT32,),
        Kind.DBPOS,
    ]
    assert [f"{p.ln}.{p.do}.{p.da}" for p in block.points][:5] == [
        "InvMMXU3.Hz.mag.f", "InvMMXU3.Hz.q", "InvMMXU3.Hz.t",
        "InvMMXU3.PPV.phsAB.cVal.mag.f", "InvMMXU3.PPV.phsAB.cVal.ang.f",
    ]  # fmt: skip


def test_a_schema_of_the_user_is_kept() -> None:
    octets = write_icd(pv_file())
    assert read_icd(octets, schema=FOLDER / "small.xsd") == pv_file()
    broken = octets.replace(b'<Header id="pv" ', b"<Header ").replace(b' release="4"', b"")
    with pytest.raises(BadInput, match=r"line 3: .*'id' is required.* \(schema\)"):
        read_icd(broken, schema=FOLDER / "small.xsd")


def test_a_schema_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="check the path"):
        read_icd(write_icd(pv_file()), schema=tmp_path / "none.xsd")
    (tmp_path / "bad.xsd").write_text("<xs:schema", encoding="utf-8")
    with pytest.raises(BadInput, match="no usable XML schema"):
        read_icd(write_icd(pv_file()), schema=tmp_path / "bad.xsd")
