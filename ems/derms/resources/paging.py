"""Pages of lists: `s` where to start, `l` how many, `a` only what is after a time.

IEEE 2030.5-2018 clause 4.6: without `l` a page has one item. A page never has more than 255: the
client learns from `all` that there are more. `all` counts what the query lets through.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote_plus

from ems.derms.asking import Answer, Reason, Refusal, Request, document
from ems.protocols.ieee2030_5 import codec

T = TypeVar("T")

MOST_ITEMS = 255
"""On a page: 250 KiB of controls."""
_MOST_DIGITS = 19
"""Of a 64-bit number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which items of a list are asked for."""

    start: int
    """How many are passed over."""
    limit: int
    """How many at most."""
    after: int | None
    """Only those of a later time [s]."""


def query_of(raw: bytes) -> Query:
    """What a query asks for; parameters that the standard does not know are passed over.

    Raises:
        Refusal: 400, a parameter is no number that it can be.
    """
    if not raw:
        return Query(start=0, limit=1, after=None)
    found: dict[str, int] = {}
    for part in raw.split(b"&"):
        name, _, text = part.partition(b"=")
        key = name.decode("latin-1")
        if key in {"s", "l", "a"} and key not in found:
            found[key] = _number(key, unquote_plus(text.decode("latin-1")))
    return Query(
        start=found.get("s", 0),
        limit=min(found.get("l", 1), MOST_ITEMS),
        after=found.get("a"),
    )


def _number(key: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return int(text)
    problem = f"{key}={text[:32]} in the query; it must be a whole number, not negative"
    raise Refusal(400, problem, code=Reason.FORMAT)


def page(
    request: Request,
    tag: str,
    items: Sequence[T],
    fragment: Callable[[T], bytes],
    *,
    time_of: Callable[[T], int] | None = None,
    **attributes: int | None,
) -> Answer:
    """A page of a list.

    Args:
        request: whose path and query it answers.
        tag: name of the list.
        items: the whole list, in its order.
        fragment: an item as XML, without the namespace.
        time_of: the time by which the list is ordered, if it is; `a` means that.
        **attributes: pollRate, subscribable …
    """
    query = query_of(request.query)
    if query.after is not None and time_of is not None:
        after = query.after
        items = [item for item in items if time_of(item) > after]
    found = items[query.start : query.start + query.limit]
    body = codec.list_document(
        tag,
        href=request.path,
        all_=len(items),
        results=len(found),
        fragments=map(fragment, found),
        namespace=codec.NAMESPACE,
        **attributes,
    )
    return document(body)
