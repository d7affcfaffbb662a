"""Response: what devices did with events."""

from ems.derms import access
from ems.derms.asking import Answer, Refusal, Request, Route, created, resource
from ems.derms.board import Board, Control, NotFound, Responded
from ems.derms.resources.paging import page
from ems.protocols.ieee2030_5 import codec, identity, sep

_SET = 1
"""One set holds all; events say where to reply to."""
_STATUSES = frozenset({*range(1, 15), *range(252, 256)})
"""ResponseType: all other values are reserved."""


def sets(request: Request, board: Board) -> Answer:
    """The response sets: there is one."""
    return page(
        request,
        "ResponseSetList",
        [_SET],
        lambda _: codec.fragment(_made(request, board)),
        pollRate=board.rates.poll_s,
    )


def response_set(request: Request, board: Board) -> Answer:
    """The set."""
    _check_set(request)
    return resource(_made(request, board))


def responses(request: Request, board: Board) -> Answer:
    """The responses of the peer's devices, newest first."""
    _check_set(request)
    return page(
        request,
        "ResponseList",
        _visible(request, board),
        lambda response: codec.fragment(_response(response, sep.Response)),
        time_of=_time,
    )


def respond(request: Request, board: Board) -> Answer:
    """A device says what it did with an event."""
    _check_set(request)
    told = request.read(sep.Response, sep.DERControlResponse)
    lfdi = told.endDeviceLFDI.zfill(identity.LFDI_DIGITS).upper()
    if not access.acts_for(request.peer, lfdi, board):
        raise Refusal(403, f"{request.peer.lfdi} cannot respond for {lfdi}")
    if told.status is not None and told.status not in _STATUSES:
        raise Refusal(400, f"Response/status: {told.status} is reserved")
    try:
        control = board.control(told.subject)
    except NotFound as error:
        raise Refusal(400, f"Response/subject: {error}") from error
    if not _concerns(request, board, control, lfdi):
        raise Refusal(403, f"Response/subject: {told.subject} is no event of {lfdi}")
    made = board.respond(
        subject=control.mrid, lfdi=lfdi, status=told.status or 0, time=told.createdDateTime
    )
    return created(f"/rsps/{_SET}/r/{made.number}")


def response(request: Request, board: Board) -> Answer:
    """One response."""
    _check_set(request)
    number = request.numbers[1]
    found = next((r for r in _visible(request, board) if r.number == number), None)
    if found is None:
        raise Refusal(404, f"there is no response {number}")
    return resource(_response(found, sep.DERControlResponse))


def _concerns(request: Request, board: Board, control: Control, lfdi: str) -> bool:
    """Whether an event is of this device, or was: it says how one ended that was taken from it."""
    if board.program(control.program).number in _programs(request, board, lfdi):
        return True
    return any(said.lfdi == lfdi for said in board.responses(control.mrid))


def _programs(request: Request, board: Board, lfdi: str) -> frozenset[int]:
    """Numbers of the programs that one has of whom a response is."""
    if lfdi == request.peer.lfdi:
        return access.programs_of(request.peer, board)
    device = board.device_by_lfdi(lfdi)
    return frozenset() if device is None else board.programs_of(device)


def _check_set(request: Request) -> None:
    if request.numbers[0] != _SET:
        raise Refusal(404, f"there is no response set {request.numbers[0]}")


def _visible(request: Request, board: Board) -> list[Responded]:
    found = board.responses_of(access.lfdis_of(request.peer, board))
    return sorted(found, key=lambda held: (-_time(held), held.lfdi))


def _time(held: Responded) -> int:
    return held.received if held.time is None else held.time


def _made(request: Request, board: Board) -> sep.ResponseSet:
    return sep.ResponseSet(
        href=f"/rsps/{_SET}",
        mRID=identity.mrid("responses", pen=board.pen),
        description="DERControl",
        ResponseListLink=sep.ListLink(href=f"/rsps/{_SET}/r", all_=len(_visible(request, board))),
    )


def _response(held: Responded, kind: type[sep.Response]) -> sep.Response:
    """In a list it is a Response by name, on its own a DERControlResponse."""
    return kind(
        href=f"/rsps/{_SET}/r/{held.number}",
        createdDateTime=held.time,
        endDeviceLFDI=held.lfdi,
        status=held.status or None,
        subject=held.subject,
    )


ROUTES = (
    Route(pattern="/rsps", rule=access.registered, get=sets),
    Route(pattern="/rsps/#", rule=access.registered, get=response_set),
    Route(pattern="/rsps/#/r", rule=access.registered, get=responses, post=respond),
    Route(pattern="/rsps/#/r/#", rule=access.registered, get=response),
)
