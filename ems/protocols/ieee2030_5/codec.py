"""Documents of IEEE 2030.5: `application/sep+xml`, strict in writing, lenient in reading.

Written: UTF-8 without a declaration (some clients refuse one), elements in the order of the
schema, no namespace that is not used, nothing that is not set. Read: any order, unknown elements
passed over, the namespaces and names of older editions, `xsi:type`, hexadecimal numbers shorter or
longer than their field as long as the value fits. Refused whatever they hold: document type
declarations (and with them entities), other encodings than UTF-8.

Both walk the fields of the pydantic-xml classes by a plan made once per class. The library's own
`to_xml` and `from_xml` remain usable; a list of 255 controls takes them 40 and 6 times as long.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar
from xml.sax.saxutils import quoteattr

from envoy_schema.server.schema.sep2.base import nsmap
from lxml import etree
from pydantic import ValidationError

from ems.errors import GeemsError
from ems.protocols.ieee2030_5 import sep
from ems.protocols.ieee2030_5.plan import Field, Plan, plan_of, tag_of
from ems.protocols.ieee2030_5.schema.base import Element

MEDIA: Final = "application/sep+xml"
NAMESPACE: Final = "urn:ieee:std:2030.5:ns"
OLDER_NAMESPACE: Final = "http://zigbee.org/sep"
CSIP_AUS: Final = nsmap["csipaus"]
XSI: Final = nsmap["xsi"]
MOST_BYTES: Final = 1 << 20
"""Longer documents are refused unread: a list of 255 controls has a quarter of this."""

_MOST_TAGS: Final = 1 << 15
"""So many take a third of a second to read; 255 curves of ten points have fewer."""
# "" too: a document without a namespace can mean nothing else here.
_OURS: Final = frozenset({NAMESPACE, OLDER_NAMESPACE, "http://ieee.org/2030.5", ""})
_DECLARATION: Final = re.compile(r"^\s*<\?xml\s[^>]*\?>")
_HEX: Final = re.compile(r"(0x)?[0-9A-Fa-f]{1,32}")
_MOST_NAMED: Final = 256
"""Characters of an address in what is told of a member that cannot be read."""
_ENCODING: Final = re.compile(r"""encoding\s*=\s*["']([^"']*)["']""")

T = TypeVar("T", bound=Element)


class Misread(GeemsError):
    """A document is no such resource."""

    def __init__(self, reason: str, place: str = "") -> None:
        self.reason: Final = reason
        self.place: Final = place
        """Path of elements, for example `DERControl/interval/start`."""
        super().__init__(f"{place}: {reason}" if place else reason)


# ---- writing


def encode(resource: Element, *, namespace: str = NAMESPACE) -> bytes:
    """The document of one resource."""
    written = _written(resource, plan_of(type(resource)).tag)
    return _with_namespaces(written, namespace).encode()


def fragment(resource: Element) -> bytes:
    """The same without its namespace, to be put into a list by `list_document`."""
    written = _written(resource, plan_of(type(resource)).tag)
    return _with_namespaces(written, "").encode()


def list_document(
    tag: str,
    *,
    href: str,
    all_: int,
    results: int,
    fragments: Iterable[bytes],
    namespace: str = NAMESPACE,
    **attributes: int | str | None,
) -> bytes:
    """A page of a list, made of fragments: `list_document("EndDeviceList", …, pollRate=300)`."""
    known = {"href": href, **attributes, "all": all_, "results": results}
    opening = "".join(f" {k}={quoteattr(str(v))}" for k, v in known.items() if v is not None)
    head = f"<{tag} xmlns={quoteattr(namespace)}{opening}>".encode()
    return b"".join((head, *fragments, f"</{tag}>".encode()))


def _with_namespaces(written: str, namespace: str) -> str:
    """Declares at the root what is used, and nothing else."""
    declared = f' xmlns="{namespace}"' if namespace else ""
    # `<` and `"` are escaped in text, so these can only be names.
    if "<csipaus:" in written:
        declared += f' xmlns:csipaus="{CSIP_AUS}"'
    if ' xsi:type="' in written:
        declared += f' xmlns:xsi="{XSI}"'
    end = _END_OF_NAME.search(written, 1)
    at = end.start() if end else len(written)
    return f"{written[:at]}{declared}{written[at:]}"


_END_OF_NAME: Final = re.compile("[ />]")


def _written(resource: Element, tag: str, xsi_type: str = "") -> str:
    parts: list[str] = []
    _write(resource, tag, xsi_type, parts)
    return "".join(parts)


def _write(resource: Element, tag: str, xsi_type: str, parts: list[str]) -> None:
    plan = plan_of(type(resource))
    values = resource.__dict__
    item: Any
    opening = f'<{tag} xsi:type="{xsi_type}"' if xsi_type else f"<{tag}"
    for field in plan.attributes:
        value = values[field.name]
        if value is not None:
            opening += f' {field.tag}="{field.text(value)}"'
    parts.append(f"{opening}>")
    mark = len(parts)
    for field in plan.elements:
        value = values[field.name]
        if value is None:
            continue
        for item in value if field.many else (value,):
            if field.element is None:
                parts.append(f"<{field.tag}>{field.text(item)}</{field.tag}>")
            else:
                other = "" if type(item) is field.element else tag_of(type(item))
                _write(item, field.tag, other, parts)
    if len(parts) == mark:
        parts[-1] = f"{opening}/>"
    else:
        parts.append(f"</{tag}>")


# ---- reading


def decode(body: bytes, *kinds: type[T], most_bytes: int = MOST_BYTES, lenient: bool = False) -> T:
    """The resource a document holds; one of `kinds`.

    Args:
        body: the document.
        kinds: what it may be.
        most_bytes: longer documents are refused unread.
        lenient: pass over members of a list that are no such resource; `unread` of the list tells
            which.

    Raises:
        Misread: it is no XML, something that is never read, or no such resource.
    """
    root = _root(body, most_bytes)
    names = {tag_of(kind): kind for kind in kinds}
    local, _ = _name(str(root.tag))
    # <Response xsi:type="DERControlResponse"> means the same as <DERControlResponse>.
    kind = names.get(_xsi_type(root)) or names.get(local)
    if kind is None:
        raise Misread(f"expected {' or '.join(names)}, found {local[:64]}")
    unread: list[sep.Unread] = []
    made = _made(kind, root, unread if lenient and issubclass(kind, sep.ListResource) else None)
    if unread and isinstance(made, sep.ListResource):
        made.leaves_out(tuple(unread))
    return made


def namespace_of(body: bytes, *, most_bytes: int = MOST_BYTES) -> str:
    """The namespace a document is written in, so that it can be given back in it."""
    return _name(str(_root(body, most_bytes).tag))[1]


def _made(kind: type[T], root: etree._Element, unread: list[sep.Unread] | None = None) -> T:
    read = _read(kind, root, unread)
    return _valid(kind, read)


def _valid(kind: type[T], read: dict[str, Any]) -> T:
    try:
        return kind.model_validate(read)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = "/".join(str(at).removesuffix("_") for at in first["loc"])
        raise Misread(first["msg"], f"{plan_of(kind).tag}/{path}") from None


def _root(body: bytes, most_bytes: int) -> etree._Element:
    if len(body) > most_bytes:
        raise Misread(f"longer than {most_bytes} bytes")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Misread("not UTF-8") from None
    if text.count("<") > _MOST_TAGS:
        raise Misread(f"more than {_MOST_TAGS} tags")
    declaration = _DECLARATION.match(text)
    if declaration:
        encoding = _ENCODING.search(declaration[0])
        if encoding and encoding[1].lower() not in {"utf-8", "utf8", "us-ascii", "ascii"}:
            raise Misread(f"encoding {encoding[1][:32]}; only UTF-8 is read")
        text = text[declaration.end() :]
    # Also inside comments and CDATA, where it would do no harm, and has no business either.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Misread("a document type declaration")
    try:
        return etree.fromstring(text.strip().encode(), _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Misread(f"no XML: {str(error)[:120]}") from None


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _name(tag: str) -> tuple[str, str]:
    """`{namespace}local` → local, namespace."""
    namespace, brace, local = tag.rpartition("}")
    return (local, namespace[1:]) if brace else (tag, "")


def _xsi_type(element: etree._Element) -> str:
    """Without a prefix, if it has one."""
    return element.get(f"{{{XSI}}}type", "").rpartition(":")[2].strip()


def _read(
    kind: type[Element], element: etree._Element, unread: list[sep.Unread] | None = None
) -> dict[str, Any]:
    """The fields of an element.

    Args:
        kind: its class.
        element: as parsed.
        unread: takes the members that are no such resource; None: they make the whole unreadable.
    """
    plan = plan_of(kind)
    read: dict[str, Any] = {}
    # Not `element.attrib.items()`, whose time grows with the square of their number.
    for field in plan.attributes:
        told = element.get(field.local)
        if told is not None:
            read[field.name] = _leaf(field, told)
    for child in element:
        found = _field_of(plan, child)
        if found is None:
            continue
        value: Any
        if found.element is None:
            value = _leaf(found, child.text or "")
        elif unread is not None and found.many:
            value = _member(found, found.element, child, unread)
            if value is None:
                continue
        else:
            value = _inner(found, child)
        if not found.many:
            if found.name in read:
                raise Misread("stands there more than once", f"{plan.tag}/{found.local}")
            read[found.name] = value
        elif found.name in read:
            read[found.name].append(value)
        else:
            read[found.name] = [value]
    return read


def _field_of(plan: Plan, child: etree._Element) -> Field | None:
    """None: an element this resource does not have."""
    tag = str(child.tag)
    known = plan.seen.get(tag)
    if known is not None:
        return known
    local, namespace = _name(tag)
    if namespace not in _OURS:
        return plan.by_element.get((local, True)) if "csipaus" in namespace else None
    found = plan.by_element.get((local, False))
    if found is not None:
        # Only what is known is kept: a peer could fill the memory with what is not.
        plan.seen[tag] = found
    return found


def _inner(field: Field, child: etree._Element) -> Any:
    kind = field.element or Element
    named = KINDS.get(_xsi_type(child))
    if named is not None and named is not kind and issubclass(named, kind):
        return _made(named, child)
    return _read(kind, child)


def _member(
    field: Field, kind: type[Element], child: etree._Element, unread: list[sep.Unread]
) -> Element | None:
    """A member of a list; None: it is no such resource, and that is noted."""
    try:
        value = _inner(field, child)
        return value if isinstance(value, Element) else _valid(kind, value)
    except Misread as error:
        mrids = [(c.text or "").strip() for c in child if _name(str(c.tag))[0] == "mRID"]
        mrid = mrids[0] if len(mrids) == 1 else ""
        required = child.get("responseRequired", "")
        unread.append(
            sep.Unread(
                tag=field.local,
                reason=str(error),
                href=child.get("href", "")[:_MOST_NAMED],
                mrid=mrid.removeprefix("0x").upper() if _HEX.fullmatch(mrid) else "",
                reply_to=child.get("replyTo", ""),
                response_required=int(required, 16) if _HEX.fullmatch(required) else 0,
            )
        )
        return None


def _leaf(field: Field, text: str) -> str:
    if field.is_text:
        return text
    text = text.strip()
    if field.hex_digits:
        text = text.removeprefix("0x").upper()
        if len(text) > field.hex_digits:
            # Leading zeros do not change the number.
            cut = len(text) - field.hex_digits
            text = text[cut:] if not text[:cut].strip("0") else text
    return text


KINDS: Final[Mapping[str, type[Element]]] = {
    name: kind
    for name in sep.__all__
    if isinstance(kind := getattr(sep, name), type) and issubclass(kind, Element)
}
"""Every class of `sep` by its element."""
