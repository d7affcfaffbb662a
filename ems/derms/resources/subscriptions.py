"""Subscription: who is told of changes."""

from dataclasses import replace

from ems.derms import access
from ems.derms.asking import Answer, Reason, Refusal, Request, Route, created, done, resource
from ems.derms.board import Board, Subscribed
from ems.derms.resources.end_devices import device_of
from ems.derms.resources.paging import page
from ems.derms.subscribers import uri_fault
from ems.protocols.ieee2030_5 import codec, sep

_MOST = 64
"""Subscriptions of one device."""
_XML = 0
"""Subscription.encoding."""


def subscriptions(request: Request, board: Board) -> Answer:
    """The subscriptions of a device."""
    known = device_of(request, board)
    return page(
        request,
        "SubscriptionList",
        board.subscriptions(known.number),
        lambda held: codec.fragment(_made(held)),
        pollRate=known.poll_rate_s or board.rates.poll_s,
    )


def subscription(request: Request, board: Board) -> Answer:
    """One of them."""
    return resource(_made(_held(request, board)))


def subscribe(request: Request, board: Board) -> Answer:
    """A device wants to be told; the same wish again only renews it."""
    known = device_of(request, board)
    told = _checked(request, board)
    mine = board.subscriptions(known.number)
    path = told.subscribedResource.partition("?")[0]
    renewed = any((s.path, s.uri) == (path, told.notificationURI) for s in mine)
    if len(mine) >= _MOST and not renewed:
        raise Refusal(400, f"{_MOST} subscriptions are the most", code=Reason.RESOURCES)
    made = board.subscribe(
        known.number,
        path=path,
        uri=told.notificationURI,
        limit=told.limit,
        level=told.level,
    )
    href = f"/edev/{known.number}/sub/{made.number}"
    return done(href) if renewed else created(href)


def renew(request: Request, board: Board) -> Answer:
    """A device confirms its wish."""
    held = _held(request, board)
    told = _checked(request, board)
    if (told.subscribedResource.partition("?")[0], told.notificationURI) != (held.path, held.uri):
        raise Refusal(400, "what is subscribed cannot be changed; subscribe anew")
    board.subscribe(held.device, path=held.path, uri=held.uri, limit=told.limit, level=told.level)
    return done()


def unsubscribe(request: Request, board: Board) -> Answer:
    """A device wants to be told no more."""
    held = _held(request, board)
    board.unsubscribe(held.device, held.number)
    return done()


def _held(request: Request, board: Board) -> Subscribed:
    found = board.subscription(*request.numbers)
    if found is None:
        raise Refusal(404, f"there is no subscription {request.numbers[1]}")
    return found


def _checked(request: Request, board: Board) -> sep.Subscription:
    told = request.read(sep.Subscription)
    if told.Condition_ is not None:
        raise Refusal(400, "Subscription/Condition: not supported", code=Reason.CONDITION)
    if told.encoding != _XML:
        raise Refusal(400, f"Subscription/encoding: {told.encoding}; only 0 (XML) is written")
    if fault := uri_fault(told.notificationURI, request.settings):
        raise Refusal(400, f"Subscription/notificationURI: {fault}")
    _check_resource(request, board, told.subscribedResource.partition("?")[0])
    return told


def _check_resource(request: Request, board: Board, path: str) -> None:
    found = request.serves.find(path)
    if found is None or not found[0].subscribable:
        raise Refusal(400, f"Subscription/subscribedResource: {path} cannot be subscribed to")
    route, numbers = found
    route.rule(replace(request, path=path, numbers=numbers), board)


def _made(held: Subscribed) -> sep.Subscription:
    return sep.Subscription(
        href=f"/edev/{held.device}/sub/{held.number}",
        subscribedResource=held.path,
        encoding=_XML,
        level=held.level,
        limit=held.limit,
        notificationURI=held.uri,
    )


ROUTES = (
    Route(pattern="/edev/#/sub", rule=access.own_device, get=subscriptions, post=subscribe),
    Route(
        pattern="/edev/#/sub/#",
        rule=access.own_device,
        get=subscription,
        put=renew,
        delete=unsubscribe,
    ),
)
