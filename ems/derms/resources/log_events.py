"""LogEvent: what devices noticed."""

from ems.derms import access
from ems.derms.asking import Answer, Refusal, Request, Route, created, resource
from ems.derms.board import Board
from ems.derms.resources.end_devices import device_of
from ems.derms.resources.paging import page
from ems.protocols.ieee2030_5 import codec, sep


def events(request: Request, board: Board) -> Answer:
    """The last log events of a device, newest first."""
    known = device_of(request, board)
    made = [_event(request.path, number, body) for number, body in board.logs(known.lfdi)]
    made.sort(key=lambda event: (-event.createdDateTime, -event.logEventID))
    return page(
        request,
        "LogEventList",
        made,
        codec.fragment,
        time_of=lambda event: event.createdDateTime,
        pollRate=known.poll_rate_s or board.rates.poll_s,
        subscribable=1,
    )


def take(request: Request, board: Board) -> Answer:
    """A device noticed something."""
    told = request.read(sep.LogEvent)
    told.href = None
    known = device_of(request, board)
    number = board.log(known.lfdi, codec.encode(told).decode())
    return created(f"{request.path}/{number}")


def event(request: Request, board: Board) -> Answer:
    """One of them."""
    known = device_of(request, board)
    body = dict(board.logs(known.lfdi)).get(request.numbers[1])
    if body is None:
        raise Refusal(404, f"device {known.number} has no log event {request.numbers[1]}")
    made = codec.decode(body.encode(), sep.LogEvent)
    made.href = request.path
    return resource(made)


def _event(path: str, number: int, body: str) -> sep.LogEvent:
    made = codec.decode(body.encode(), sep.LogEvent)
    made.href = f"{path}/{number}"
    return made


ROUTES = (
    Route(pattern="/edev/#/lel", rule=access.own_device, get=events, post=take, subscribable=True),
    Route(pattern="/edev/#/lel/#", rule=access.own_device, get=event),
)
