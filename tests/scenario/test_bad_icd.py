"""ICD files with slips in them, and the faults they are told, each with its line."""

import re

import pytest

from ems.errors import BadInput
from ems.protocols.scl import read_icd, write_icd
from tests.icd import THIRD_PARTY, pv_file

GOOD = write_icd(pv_file()).decode()


def line_of(text: str, part: str, nth: int = 1) -> int:
    """The line of the nth occurrence."""
    at = [m.start() for m in re.finditer(re.escape(part), text)][nth - 1]
    return text.count("\n", 0, at) + 1


def faults(text: str | bytes) -> list[str]:
    with pytest.raises(BadInput) as told:
        read_icd(text if isinstance(text, bytes) else text.encode(), "pv.icd")
    return [str(fault) for fault in told.value.faults]


def changed(old: str, new: str, times: int = 1) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, times)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('doName="TotW" fc="MX" lnInst="1" daName="mag.f"',
         'doName="TotX" fc="MX" lnInst="1" daName="mag.f"', "no data object 'TotX' there"),
        ('doName="TotW" fc="MX" lnInst="1" daName="mag.f"',
         'doName="TotW" fc="ST" lnInst="1" daName="mag.f"', "no such attribute"),
        ('ldInst="ECP" lnClass="MMXU"', 'ldInst="NOWHERE" lnClass="MMXU"', "'pv' has no NOWHERE/"),
        ('datSet="Measurements"', 'datSet="Others"', "data set 'Others', which is not in LN0"),
        ('cbName="gcbMeasurements"', 'cbName="gcbOther"', "has no address; add a GSE"),
        ('<P type="MAC-Address">01-0C-CD-01-00-01', '<P type="MAC-Address">01-0C-CD-01-00-00',
         "is already that of control block 'gcbMeasurements' of pvLD0; give each its own"),
        ('<P type="APPID">1001', '<P type="APPID">1000', "APPID 1000 is already that of"),
        ('<P type="APPID">1001', '<P type="APPID">5001', "APPID 5001 is not one of GOOSE"),
        ('<P type="APPID">1001', '<P type="APPID">1OO1', "APPID '1OO1' is not in 0 to BFFF"),
        ('<P type="MAC-Address">01-', '<P type="MAC-Address">00-', "is no multicast address"),
        ('<P type="VLAN-PRIORITY">4', '<P type="VLAN-PRIORITY">8', "VLAN-PRIORITY '8' is not in 0"),
        ('<MinTime unit="s" multiplier="m">4', '<MinTime unit="s" multiplier="m">4000',
         "MinTime 4000 ms is longer than MaxTime 1000 ms"),
        ('<MaxTime unit="s" multiplier="m">1000', '<MaxTime unit="s" multiplier="m">never',
         "MaxTime 'never' is no time"),
        ('lnType="MMXU"', 'lnType="NONE"', "no LNodeType 'NONE' in DataTypeTemplates"),
        ('<LN lnClass="MMXU" inst="1" lnType="MMXU"', '<LN lnClass="MMXN" inst="1" lnType="MMXU"',
         "is a MMXN, its type 'MMXU' is for MMXU"),
        ('type="MV_TotW"', 'type="MV_None"', "no DOType 'MV_None' in DataTypeTemplates"),
        ('appID="pv_Measurements"', 'appID=""', "has no appID"),
        ('confRev="1"', 'confRev="new"', "confRev 'new' is no whole number"),
        ('confRev="1"', f'confRev="{"1" * 5000}"', "is no whole number of 32 bits"),
        ("<Val>1000000</Val>", "<Val>1e30</Val>", "WMaxRtg '1e30' is no rating"),
        ("<Val>1000000</Val>", "<Val>1_0</Val>", "WMaxRtg '1_0' is no rating"),
        ("<Val>1000000</Val>", "<Val>1e-6</Val>", "WMaxRtg '1e-6' is no rating"),
        ("<Val>300000</Val>", "<Val>-300000.0</Val>", "Rtg '-300000.0' is no rating"),
        ("<Val>480</Val>", "<Val>1e99</Val>", "VRef '1e99' is no rating"),
        ('<LDevice inst="GEN"', '<LDevice inst="ECP"', "LDevice 'ECP' stands twice"),
        ('<IED name="pvRTU"', '<IED name="pv"', "IED 'pv' stands twice"),
        ('<IED name="pv" ', '<IED name="p v" ', "name 'p v' of IED is no name that can be used"),
        ("<Val>status-only</Val>", "<Val>sometimes</Val>", "'sometimes' is no value of 'ctlModel'"),
        ('<DOI name="NamPlt"', '<DOI name="NamPlate"', "DOI 'NamPlate' is not in the type of"),
        ('<Header id="pv"', '<Head id="pv"', "no Header; add one"),
        ('bType="FLOAT32"', 'bType="Octet6"', "is of type Octet6, which is not sent"),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_its_line(old: str, new: str, said: str) -> None:
    told = faults(changed(old, new))
    assert any(said in fault for fault in told), told
    assert all(re.match(r"pv\.icd: line \d+: ", fault) for fault in told), told


def test_the_line_told_is_the_line_of_the_slip() -> None:
    text = changed('datSet="Measurements"', 'datSet="Others"')
    (told,) = faults(text)
    assert told.startswith(f"pv.icd: line {line_of(text, 'datSet=')}: ")


def test_all_faults_are_told_at_once() -> None:
    text = changed('datSet="Measurements"', 'datSet="Others"')
    text = text.replace('<P type="APPID">1001', '<P type="APPID">1000')
    text = text.replace('lnType="MMXU"', 'lnType="NONE"')
    told = " ".join(faults(text))
    for part in ("data set 'Others'", "APPID 1000 is already", "no LNodeType 'NONE'"):
        assert part in told


def test_types_that_contain_themselves_or_name_billions_of_parts_are_refused() -> None:
    start = '<DOType id="MV_TotW" cdc="MV">'
    circle = changed(start, start + '<SDO name="x" type="MV_TotW"/>')
    assert any("contains itself" in fault for fault in faults(circle))
    layers = "".join(
        f'<DOType id="b{k}" cdc="MV">'
        + "".join(f'<SDO name="s{i}" type="b{k + 1}"/>' for i in range(10))
        + "</DOType>"
        for k in range(9)
    )
    end = '<DOType id="b9" cdc="MV"/>'
    bomb = changed(start, layers + end + start + '<SDO name="x" type="b0"/>')
    assert any("more than 5000" in fault for fault in faults(bomb))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is not well-formed XML"),
        (b"<SCL", "is not well-formed XML"),
        (b"<SCL/>", "expected SCL in the name space"),
        (GOOD[: len(GOOD) // 2].encode(), "is not well-formed XML"),
        (
            b'<!DOCTYPE SCL [<!ENTITY e SYSTEM "file:///etc/passwd">]><SCL>&e;</SCL>',
            "holds a document type",
        ),
        (
            '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE SCL><SCL/>'.encode("utf-16"),
            "holds a document type",
        ),
        (
            b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE SCL+AD4-<SCL/>',
            "is encoded in UTF-7; save it as UTF-8",
        ),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?><SCL/>', "save it as UTF-8"),
        (b" " * (33 * 1024 * 1024), "more than 33554432; no SCL file"),
    ],
    ids=["empty", "cut", "no name space", "half", "entity", "utf-16", "utf-7", "latin-1", "large"],
)
def test_what_is_no_scl_file_is_refused_before_anything_of_it_is_used(
    text: bytes, said: str
) -> None:
    (told,) = faults(text)
    assert said in told


def test_an_address_for_nobody_is_told() -> None:
    text = THIRD_PARTY.read_text(encoding="utf-8").replace('cbName="Fast"', 'cbName="Slow"')
    told = " ".join(faults(text))
    assert "GSE for control block 'Slow' of INV7MEAS, which is not there" in told
    assert "GSEControl 'Fast' has no address" in told


def test_a_file_without_an_ied_is_told() -> None:
    text = re.sub(r"<IED .*</IED>", "", GOOD, flags=re.DOTALL)
    assert any("describes no IED" in fault for fault in faults(text))


def test_a_data_set_that_no_frame_can_carry_is_refused_and_costs_nothing() -> None:
    entry = re.search(r"<FCDA [^>]*/>", GOOD)
    assert entry is not None
    (told,) = faults(changed(entry[0], entry[0] * 100_000))
    assert "data set 'Measurements': no frame has room for more than 750 values" in told
