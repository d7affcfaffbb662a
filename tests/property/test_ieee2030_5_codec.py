"""Every IEEE 2030.5 resource reads back as it was written, and nothing else is read."""

from contextlib import suppress
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Le, Lt
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import StringConstraints

from ems.protocols.ieee2030_5 import codec, sep
from ems.protocols.ieee2030_5.schema.primitives import Hex

KINDS = sorted(codec.KINDS)
# What the schema's strings may hold: all that XML can carry.
TEXT = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\n\r"
)
URIS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='<>"'))


def bounds(marks: tuple[Any, ...]) -> tuple[int, int]:
    low, high = -(2**63), 2**63 - 1
    for mark in marks:
        for part in mark.metadata if hasattr(mark, "metadata") else (mark,):
            if isinstance(part, Ge):
                low = int(str(part.ge))
            elif isinstance(part, Le):
                high = int(str(part.le))
            elif isinstance(part, Lt):
                high = int(str(part.lt)) - 1
    return low, high


def texts(marks: tuple[Any, ...]) -> st.SearchStrategy[str]:
    digits = next((m.digits for m in marks if isinstance(m, Hex)), 0)
    if digits:
        # Written as whole octets in upper case.
        octets = st.lists(st.sampled_from("0123456789ABCDEF"), min_size=2, max_size=digits)
        return octets.map(lambda made: "".join(made[: len(made) // 2 * 2]))
    longest = 4096
    pattern = ""
    for mark in marks:
        if isinstance(mark, StringConstraints):
            longest = mark.max_length or longest
            pattern = str(mark.pattern)
        else:
            longest = getattr(mark, "max_length", None) or longest
            pattern = str(getattr(mark, "pattern", "") or pattern)
    if longest == 4096:
        return URIS.map(lambda uri: uri[:64])
    assert pattern
    return st.text(TEXT, max_size=longest)


def values(annotation: Any, marks: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        inner = [a for a in get_args(annotation) if a is not type(None)]
        return st.none() | values(inner[0], marks)
    if origin is Annotated:
        bare, *more = get_args(annotation)
        return values(bare, (*marks, *more))
    if origin is list:
        return st.lists(values(get_args(annotation)[0], marks), min_size=1, max_size=3)
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(*bounds(marks))
    if annotation is str:
        return texts(marks)
    if annotation is sep.Resource:
        return st.sampled_from(
            [sep.DERControlList, sep.DERProgramList, sep.DefaultDERControl]
        ).flatmap(resources)
    return st.deferred(lambda: resources(annotation))


def resources(kind: Any) -> st.SearchStrategy[Any]:
    fields = {
        name: values(info.annotation, tuple(info.metadata))
        for name, info in kind.model_fields.items()
    }
    return st.fixed_dictionaries(fields).map(lambda made: kind(**made))


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
# Deep resources take long to draw, which says nothing about the codec.
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_every_resource_reads_back_as_it_was_written(name: str, data: st.DataObject) -> None:
    kind = codec.KINDS[name]
    resource = data.draw(resources(kind))
    document = codec.encode(resource)
    assert codec.decode(document, kind) == resource
    assert codec.encode(codec.decode(document, kind)) == document
    if "xsi:type" not in document.decode():
        # The library's own reader agrees; it does not follow xsi:type, nor keep empty text.
        assert kind.from_xml(document, empty_as_string=True) == resource
    older = codec.encode(resource, namespace=codec.OLDER_NAMESPACE)
    assert codec.decode(older, kind) == resource
    assert codec.namespace_of(older) == codec.OLDER_NAMESPACE


SEEDS = [
    codec.encode(
        sep.DERSettings(
            setGradW=27,
            setMaxW=sep.ActivePower(multiplier=0, value=5000),
            updatedTime=1_700_000_000,
        )
    ),
    b'<?xml version="1.0" encoding="UTF-8"?><DERStatus><readingTime>7</readingTime></DERStatus>',
    codec.encode(
        sep.Subscription(
            subscribedResource="/derp/1/derc",
            encoding=0,
            level="+S1",
            limit=1,
            notificationURI="https://localhost/n",
        )
    ),
]


@given(
    seed=st.sampled_from(SEEDS),
    at=st.integers(0, 400),
    cut=st.integers(0, 40),
    put=st.binary(max_size=40)
    | st.sampled_from([b"<", b"&x;", b"]]>", b"<a>", b"</a>", b"\x00", b"-"]),
)
@settings(max_examples=400, deadline=None)
def test_a_damaged_document_is_misread_or_read_and_nothing_else_happens(
    seed: bytes, at: int, cut: int, put: bytes
) -> None:
    damaged = seed[:at] + put + seed[at + cut :]
    with suppress(codec.Misread):
        codec.decode(damaged, sep.DERSettings, sep.DERStatus, sep.Subscription)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
@example(b"")
@example(b"<a xmlns='urn:ieee:std:2030.5:ns'/>")
@example("<DERStatus/>".encode("utf-16"))
@example("<DERStatus/>".encode("utf-16-le"))
@example(b"<?xml version='1.0' encoding='utf-7'?>+ADw-DERStatus/+AD4-")
@example(b"<" * 5000)
@example(b"<a>" * 5000)
@settings(max_examples=200, deadline=None)
def test_junk_is_misread(junk: bytes) -> None:
    with pytest.raises(codec.Misread):
        codec.decode(junk, sep.DERStatus)
