"""Models of every shape survive their files, and no file does harm."""

import string
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ems.domain import Bes, Der, Dg, Pv
from ems.errors import BadInput
from ems.protocols.goose import Quality, Validity
from ems.protocols.scl import (
    DataAttribute,
    DataObject,
    DataSet,
    Fcda,
    GooseAddress,
    GooseControl,
    IedModel,
    LogicalDevice,
    LogicalNode,
    SclFile,
    SingleLoad,
    control_blocks,
    controls_of,
    der_model,
    flat,
    load_model,
    read_icd,
    told_by,
    write_icd,
)
from ems.protocols.scl.carried import Sample, filled, places, sample
from ems.protocols.scl.points import Form
from tests.icd import PV, THIRD_PARTY

names = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=12).map(
    lambda s: f"N{s}"
)
texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=20)
powers = st.floats(1, 1e5)
ders = st.one_of(
    st.builds(
        Pv, name=names, bus=st.just("B"), rated_kw=powers, q_max_kvar=powers,
        phases=st.sampled_from([1, 2, 3]),
    ),
    st.builds(Bes, name=names, bus=st.just("B"), rated_kw=powers, capacity_kwh=powers),
    st.builds(Dg, name=names, bus=st.just("B"), rated_kw=powers, cost_usd_per_kwh=st.just(0.1)),
)  # fmt: skip
leaf = st.builds(
    DataAttribute,
    name=names,
    b_type=st.sampled_from(["FLOAT32", "BOOLEAN", "INT32", "Timestamp", "VisString255"]),
    value=st.none() | texts,
)


def unique(strategy: "st.SearchStrategy[Any]", most: int) -> "st.SearchStrategy[tuple[Any, ...]]":
    return st.lists(strategy, min_size=1, max_size=most, unique_by=lambda x: x.name).map(tuple)


structures = st.builds(DataAttribute, name=names, b_type=st.just("Struct"), parts=unique(leaf, 3))


@st.composite
def constrained(draw: st.DrawFn) -> DataAttribute:
    made = draw(leaf | structures)
    return DataAttribute(
        name=made.name, b_type=made.b_type, fc=draw(st.sampled_from(["MX", "ST", "CF"])),
        parts=made.parts, value=made.value,
    )  # fmt: skip


objects = st.builds(DataObject, name=names, cdc=st.just("MV"), attributes=unique(constrained(), 4))


@st.composite
def files(draw: st.DrawFn) -> SclFile:
    """One IED with some nodes, and a data set of everything in them that can be sent."""
    nodes = tuple(
        LogicalNode(ln_class="MMXU", inst=str(k), objects=draw(unique(objects, 3)))
        for k in range(1, draw(st.integers(2, 4)))
    )
    entries = tuple(
        Fcda(ld="LD", ln_class=n.ln_class, ln_inst=n.inst, do=o.name, da=a.name, fc=a.fc)
        for n in nodes
        for o in n.objects
        for a in o.attributes
    )
    control = GooseControl(
        name=draw(names), data_set="Set", go_id=draw(names),
        conf_rev=draw(st.integers(0, 2**32 - 1)),
        address=GooseAddress(
            mac=f"01-0C-CD-01-00-{draw(st.integers(0, 255)):02X}",
            appid=draw(st.integers(0, 0x3FFF)),
            vlan_id=draw(st.integers(0, 0xFFE)), vlan_priority=draw(st.integers(0, 7)),
            min_time_ms=draw(st.integers(1, 1000)), max_time_ms=draw(st.integers(1000, 60_000)),
        ),
    )  # fmt: skip
    device = LogicalDevice(
        inst="LD",
        nodes=(LogicalNode(ln_class="LLN0"), *nodes),
        data_sets=(DataSet(name="Set", entries=entries),),
        gooses=(control,),
    )
    ied = IedModel(name=draw(names), desc=draw(texts), devices=(device,))
    return SclFile(id=draw(texts), sub_network=draw(texts), ieds=(ied,))


@given(file=files())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_model_is_read_back_equal_and_sends_what_it_did(file: SclFile) -> None:
    again = read_icd(write_icd(file))
    assert again == file
    assert control_blocks(again) == control_blocks(file)


@given(der=ders, index=st.integers(0, 169))
@settings(max_examples=30)
def test_the_file_of_any_der_is_read_back_equal(der: Der, index: int) -> None:
    file = der_model(der, index)
    assert read_icd(write_icd(file)) == file


@given(loads=st.lists(st.builds(SingleLoad, name=texts, rated_kw=powers), max_size=20))
@settings(max_examples=20)
def test_the_file_of_any_loads_is_read_back_equal(loads: list[SingleLoad]) -> None:
    file = load_model("load", loads, 0)
    assert read_icd(write_icd(file)) == file


@given(data=st.data())
@settings(max_examples=300)
def test_a_damaged_file_is_refused_or_read_and_nothing_else(data: st.DataObject) -> None:
    octets = bytearray(THIRD_PARTY.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(octets) - 1))
        match data.draw(st.sampled_from(["change", "cut", "repeat"])):
            case "change":
                octets[at] = data.draw(st.integers(0, 255))
            case "cut":
                del octets[at : at + data.draw(st.integers(1, 200))]
            case _:
                octets[at:at] = octets[at : at + data.draw(st.integers(1, 200))]
        octets = octets or bytearray(b"<")
    with suppress(BadInput):
        control_blocks(read_icd(bytes(octets)))


@given(data=st.data(), der=ders)
@settings(max_examples=60)
def test_what_a_device_tells_is_what_is_heard(data: st.DataObject, der: Der) -> None:
    own, held, rtu = control_blocks(der_model(der, 0))
    ordered = [p for c in controls_of(der) for p in c.points]
    for block, points in ((own, told_by(der)), (held, ordered), (rtu, ordered)):
        at = places(block, points)
        samples = {}
        for key, place in at.items():
            number = (
                st.floats(-1e7, 1e7, width=32)
                if place.mapped.form is Form.NUMBER
                else (
                    st.sampled_from([1.0, 3.0, 6.0])
                    if place.mapped.form is Form.OPERATING
                    else st.integers(0, 1).map(float)
                )
            )
            samples[key] = Sample(value=data.draw(st.none() | number))
        values = filled(block, at, samples)
        assert not block.block.mismatches(values)
        heard = {key: sample(place, flat(values)).value for key, place in at.items()}
        assert heard == {key: s.value for key, s in samples.items()}


@pytest.mark.parametrize(
    "quality",
    [
        Quality(validity=Validity.INVALID),
        Quality(validity=Validity.QUESTIONABLE),
        Quality(test=True),
        Quality(operator_blocked=True),
    ],
)
def test_a_value_that_is_not_good_is_not_there(quality: Quality) -> None:
    own = control_blocks(der_model(PV, 0))[0]
    at = places(own, told_by(PV))
    values = list(filled(own, at, {key: Sample(value=1.0) for key in at}))
    place = at[701, "W"]
    assert sample(place, values).value == 1.0
    assert place.q is not None
    values[place.q] = quality.bits
    assert sample(place, values).value is None
