"""A request, its answer, a refusal: what the handlers of the resources work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, TypeVar

from ems.derms.allowance import Registrations
from ems.derms.board import Board, Device
from ems.derms.settings import ServerSettings
from ems.errors import GeemsError
from ems.protocols.ieee2030_5 import codec
from ems.protocols.ieee2030_5.schema.base import Element

R = TypeVar("R", bound=Element)

_XML = (b"content-type", codec.MEDIA.encode())
_MOST_RENDERED = 8192
"""Pages kept as they were rendered; a page of 255 controls has 250 KiB, most have less than 5."""

_MOST_FRAGMENTS = 32_768
"""Items of lists kept as they were rendered, of about 1 KiB each."""


class Reason(IntEnum):
    """Error.reasonCode."""

    FORMAT = 0
    VALUES = 1
    RESOURCES = 2
    CONDITION = 3
    FREQUENCY = 4


class Refusal(GeemsError):
    """A request that is not answered as asked."""

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        code: Reason = Reason.VALUES,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.code = code
        self.headers = headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who asks."""

    lfdi: str
    """Of its certificate."""
    device: Device | None
    """As what it is registered."""
    aggregator: bool
    """It acts for others."""
    administrator: bool
    """It may read everything."""


class Serves(Protocol):
    """The server, as a handler sees it."""

    settings: ServerSettings
    """How it is set up."""
    own: tuple[str, int] | None
    """LFDI and SFDI of its own certificate."""
    rendered: "Rendered"
    """What was rendered before."""
    registrations: Registrations
    """How often devices may register themselves."""

    def find(self, path: str) -> "tuple[Route, tuple[int, ...]] | None":
        """What is at a path, and the numbers in it."""
        ...


@dataclass(slots=True, kw_only=True)
class Request:
    """One request, on its way to a handler."""

    method: str
    """GET for HEAD too."""
    path: str
    """Without query."""
    numbers: tuple[int, ...]
    """The numbers in the path."""
    query: bytes
    """Behind the question mark."""
    peer: Peer
    """Who asks."""
    serves: "Serves"
    """The server that answers."""
    now: int
    """The server's time [s]."""
    body: bytes = b""
    """What came with it."""

    @property
    def settings(self) -> ServerSettings:
        """How this server is set up."""
        return self.serves.settings

    @property
    def rendered(self) -> "Rendered":
        """What was rendered before."""
        return self.serves.rendered

    def read(self, *kinds: type[R]) -> R:
        """The resource in the body.

        Raises:
            Refusal: 400, it is none of these, or has a fault.
        """
        if not self.body:
            raise Refusal(400, "the request has no body", code=Reason.FORMAT)
        try:
            return codec.decode(self.body, *kinds, most_bytes=self.settings.max_body_bytes)
        except codec.Misread as error:
            raise Refusal(400, str(error), code=Reason.FORMAT) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back."""

    status: int = 200
    """HTTP."""
    body: bytes = b""
    """XML, or nothing."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """All of them, but for date and server."""


Handler = Callable[[Request, Board], Answer]
Rule = Callable[[Request, Board], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What can be done at a path."""

    pattern: str
    """`#` stands for a number."""
    rule: Rule
    """Raises Refusal where the peer may not be here."""
    get: Handler
    """Answers GET and HEAD."""
    put: Handler | None = None
    """Answers PUT."""
    post: Handler | None = None
    """Answers POST."""
    delete: Handler | None = None
    """Answers DELETE."""
    subscribable: bool = False
    """Its changes can be subscribed to."""
    allow: bytes = field(init=False)
    """Value of the Allow header."""
    handlers: Mapping[str, Handler] = field(init=False)
    """By method."""

    def __post_init__(self) -> None:
        """Derive what is asked for with each request."""
        offered = {
            "GET": self.get,
            "HEAD": self.get,
            "PUT": self.put,
            "POST": self.post,
            "DELETE": self.delete,
        }
        handlers = {method: handler for method, handler in offered.items() if handler}
        object.__setattr__(self, "handlers", handlers)
        object.__setattr__(self, "allow", ", ".join(handlers).encode())


class Rendered:
    """Answers that stay right for as long as what they were made of is the same."""

    def __init__(self) -> None:
        self._answers: dict[object, tuple[object, Answer]] = {}
        self._fragments: dict[object, tuple[object, bytes]] = {}

    def get(self, key: object, made_of: object, render: Callable[[], Answer]) -> Answer:
        """The answer under `key`, rendered anew where it was made of something else.

        Args:
            key: path, query, and who asks where that matters.
            made_of: compared by identity, or member by member where it is a tuple.
            render: makes the answer.
        """
        known = self._answers.get(key)
        if known is not None and _same(known[0], made_of):
            return known[1]
        answer = render()
        if len(self._answers) >= _MOST_RENDERED:
            self._answers.clear()
        self._answers[key] = (made_of, answer)
        return answer

    def fragment(self, key: object, made_of: object, render: Callable[[], bytes]) -> bytes:
        """The same for an item of a list, without its namespace."""
        known = self._fragments.get(key)
        if known is not None and _same(known[0], made_of):
            return known[1]
        made = render()
        if len(self._fragments) >= _MOST_FRAGMENTS:
            self._fragments.clear()
        self._fragments[key] = (made_of, made)
        return made


def _same(one: object, other: object) -> bool:
    if one is other:
        return True
    if not isinstance(one, tuple) or not isinstance(other, tuple) or len(one) != len(other):
        return False
    pairs = zip(one, other, strict=True)
    return all(a is b or (isinstance(a, int | str) and a == b) for a, b in pairs)


def document(body: bytes) -> Answer:
    """200 with a document."""
    return Answer(body=body, headers=(_XML, (b"content-length", str(len(body)).encode())))


def resource(made: Element) -> Answer:
    """200 with a resource."""
    return document(codec.encode(made))


def created(href: str) -> Answer:
    """201, and where it is."""
    return Answer(status=201, headers=((b"location", href.encode()), (b"content-length", b"0")))


def done(href: str = "") -> Answer:
    """204, and where it is, if that may be news."""
    return Answer(status=204, headers=((b"location", href.encode()),) if href else ())


def refused(refusal: Refusal) -> Answer:
    """The answer to a refused request: an Error resource, and why in plain words."""
    body = f'<Error xmlns="{codec.NAMESPACE}"><reasonCode>{refusal.code}</reasonCode></Error>'
    plain = refusal.reason.encode("ascii", "replace").decode()
    # The resource has no element for a text; RFC 7234 has a header for one.
    warning = "".join(c if c.isprintable() and c not in '"\\' else " " for c in plain)[:400]
    length = str(len(body)).encode()
    return Answer(
        status=refusal.status,
        body=body.encode(),
        headers=(
            _XML,
            (b"content-length", length),
            (b"warning", f'199 geems "{warning}"'.encode()),
            *refusal.headers,
        ),
    )
