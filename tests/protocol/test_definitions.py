"""Register maps against pysunspec2's own device objects: every point at the same offset."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sunspec2 import device as reference

from ems.protocols.sunspec import ModelBlock, counts_of, model

CASES: list[tuple[int, dict[str, int]]] = [
    *((number, {}) for number in (1, 101, 102, 103, 120, 121, 122, 123, 124, 203, 802)),
    *((number, {}) for number in (701, 702, 703, 704, 713, 715)),
    (160, {"module": 1}),
    (160, {"module": 3}),
    *((number, {"Crv": 3, "Pt": 4}) for number in (705, 706, 707, 708, 709, 710, 712)),
    (705, {"Crv": 1, "Pt": 1}),
    (711, {"Ctl": 3}),
    (714, {"Prt": 2}),
    (803, {"string": 5}),
]


def groups(definition: Mapping[str, Any], counts: Mapping[str, int]) -> Any:
    """Nested empty data that makes the reference build as many groups as wanted."""
    data: dict[str, Any] = {}
    for point in definition.get("points", ()):
        for inner in definition.get("groups", ()):
            if inner.get("count") == point["name"]:
                data[point["name"]] = counts[inner["name"]]
    counters = dict(data)
    for inner in definition.get("groups", ()):
        one = groups(inner, counts)
        times = counts.get(inner["name"])
        data[inner["name"]] = one if times is None else [one] * times
    return data | counters


def every_counter(number: int, counts: Mapping[str, int]) -> dict[str, int]:
    return dict(model(number, counts).counters)


def walk(group: Any, prefix: str = "") -> Iterator[tuple[str, int, int]]:
    for name, point in group.points.items():
        yield prefix + name, point.offset, point.len
    for name, inner in group.groups.items():
        if isinstance(inner, list):
            for i, one in enumerate(inner):
                yield from walk(one, f"{prefix}{name}[{i + 1}].")
        else:
            yield from walk(inner, f"{prefix}{name}.")


@pytest.mark.parametrize(("number", "counts"), CASES)
def test_every_point_lies_where_the_reference_puts_it(number: int, counts: dict[str, int]) -> None:
    definition = reference.get_model_def(number)["group"]
    data = groups(definition, counts) | every_counter(number, counts)
    built = reference.Model(model_id=number, data=data)
    ours = model(number, counts)
    expected = list(walk(built))
    assert [(p.name, p.offset, p.size) for p in ours.points.values()] == expected
    assert ours.length == built.len


@pytest.mark.parametrize(("number", "counts"), CASES)
def test_counts_are_read_back_from_registers(number: int, counts: dict[str, int]) -> None:
    assert counts_of(number, ModelBlock(model(number, counts)).registers) == counts


def test_what_a_curve_holds_is_written_and_read_by_place() -> None:
    block = ModelBlock(model(705, {"Crv": 2, "Pt": 4}))
    for name, sf in (("V_SF", -2), ("DeptRef_SF", -2)):
        block.set_raw(name, sf)
    block.set_value("Crv[2].Pt[4].V", 109.5)
    assert block.value("Crv[2].Pt[4].V") == 109.5
    assert (block.raw("NCrv"), block.raw("NPt")) == (2, 4)
    assert block.raw("Crv[1].Pt[4].V") is None


def test_a_length_that_belies_the_counts_is_refused() -> None:
    registers = list(ModelBlock(model(705, {"Crv": 2, "Pt": 4})).registers)
    registers[1] += 1
    with pytest.raises(ValueError, match="ask for a length of"):
        counts_of(705, registers)
    modules = list(ModelBlock(model(160, {"module": 2})).registers)
    modules[1] -= 3
    with pytest.raises(ValueError, match="fits no module"):
        counts_of(160, modules)
    with pytest.raises(ValueError, match="do not hold its counts"):
        counts_of(705, registers[:5])


@pytest.mark.parametrize(
    ("number", "counts", "error"),
    [
        (705, {"Curve": 1}, KeyError),
        (705, {"Crv": -1}, ValueError),
        (705, {"Crv": 5000, "Pt": 50}, ValueError),
        (9999, {}, KeyError),
    ],
)
def test_what_no_model_can_be_is_refused(
    number: int, counts: dict[str, int], error: type[Exception]
) -> None:
    with pytest.raises(error):
        model(number, counts)
