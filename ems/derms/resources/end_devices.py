"""EndDevice, Registration, FunctionSetAssignments: who is known, and what each is assigned to."""

from collections.abc import Callable, Sequence
from typing import Any

from ems.derms import access, elements
from ems.derms.admin import views
from ems.derms.asking import Answer, Reason, Refusal, Request, Route, created, done, resource
from ems.derms.board import Board, Conflict, Device, Program
from ems.derms.resources import programs
from ems.derms.resources.paging import page
from ems.protocols.ieee2030_5 import codec, identity, sep

_DIRECT = 1
"""The assignment that holds the programs a device has without a group."""


def devices(request: Request, board: Board) -> Answer:
    """The devices that the peer may see."""

    def render() -> Answer:
        return page(
            request,
            "EndDeviceList",
            access.visible_devices(request.peer, board),
            lambda device: _fragment(request, board, device),
            time_of=lambda device: device.changed,
            pollRate=board.rates.poll_s,
            subscribable=1,
        )

    key = (request.path, request.query, request.peer.lfdi)
    made_of = (board.assigned, board.described, board.rates)
    return request.rendered.get(key, made_of, render)


def device(request: Request, board: Board) -> Answer:
    """One device."""
    return resource(_made(board, device_of(request, board)))


def register(request: Request, board: Board) -> Answer:
    """A device registers itself, or an aggregator one that it acts for."""
    told = request.read(sep.EndDevice)
    peer = request.peer
    lfdi = (told.lFDI or peer.lfdi).zfill(identity.LFDI_DIGITS).upper()
    _check_identity(told, lfdi)
    known = board.device_by_lfdi(lfdi)
    if known is not None and access.may(peer, known):
        return done(f"/edev/{known.number}")
    settings = request.settings
    if settings.registration == "closed":
        raise Refusal(403, "devices are registered out of band here")
    _take_turn(request)
    listed = dict(settings.listed.get(lfdi, {}))
    if lfdi != peer.lfdi:
        theirs = known is not None or (listed and listed.get("aggregator") != peer.lfdi)
        _check_acts_for(request, lfdi, another_s=bool(theirs))
    if settings.registration == "listed" and not listed:
        raise Refusal(403, f"{lfdi} is not listed for registration")
    named = listed.pop("name", _name_of(lfdi))
    if lfdi != peer.lfdi:
        listed.setdefault("aggregator", peer.lfdi)
    listed.setdefault("category", int(told.deviceCategory or "0", 16))
    try:
        _audited(
            request,
            board,
            lambda: board.add_device(named, lfdi=lfdi, **listed),
            lambda: views.device(board, board.device(named)),
        )
    except Conflict as error:
        raise Refusal(400, str(error)) from error
    return created(f"/edev/{board.device(named).number}")


def _check_acts_for(request: Request, lfdi: str, *, another_s: bool) -> None:
    """Refuse a device that is not the peer's to register: with that goes every right to it.

    Only aggregators of the file learn which devices it knows.
    """
    peer = request.peer
    who = f"{peer.lfdi} cannot register {lfdi}"
    # One that was taken away by an administrator registers nobody any more.
    if peer.device is None:
        raise Refusal(403, f"{who}: it is not registered itself")
    if peer.lfdi not in request.settings.aggregators:
        raise Refusal(403, f"{who}: the file does not name it as an aggregator")
    if another_s:
        raise Refusal(403, f"{who}: it is not the aggregator of that device")


def _take_turn(request: Request) -> None:
    """Count an attempt to register; one too many is refused."""
    own_s, all_s = request.serves.registrations.take(request.peer.lfdi, request.now)
    wait_s = max(own_s, all_s)
    if not wait_s:
        return
    who = "this certificate registers" if own_s else "devices register"
    raise Refusal(
        429 if own_s else 503,
        f"{who} too often; try again in {wait_s} s",
        code=Reason.FREQUENCY,
        headers=((b"retry-after", str(wait_s).encode()),),
    )


def _name_of(lfdi: str) -> str:
    """What a device is called that registers itself and that nobody has named."""
    return f"edev-{lfdi}"


def change(request: Request, board: Board) -> Answer:
    """A device tells its category; who it is cannot be changed."""
    told = request.read(sep.EndDevice)
    known = device_of(request, board)
    _check_identity(told, known.lfdi)
    if told.lFDI is not None and told.lFDI.zfill(identity.LFDI_DIGITS) != known.lfdi:
        raise Refusal(400, f"EndDevice/lFDI: {told.lFDI} is not this device")
    if told.deviceCategory is not None:
        category = int(told.deviceCategory, 16)
        _audited(
            request,
            board,
            lambda: board.change_device(known.name, category=category),
            lambda: views.device(board, board.device(known.name)),
        )
    return done()


def leave(request: Request, board: Board) -> Answer:
    """A device that registered in band leaves."""
    if request.settings.registration == "closed":
        raise Refusal(403, "devices are registered out of band here, and leave so")
    known = device_of(request, board)
    if not known.enabled:  # registered anew it would be enabled
        raise Refusal(403, f"device {known.name!r} is disabled: only the administration removes it")
    _audited(
        request,
        board,
        lambda: board.remove_device(known.name),
        lambda: views.device(board, board.device(known.name)),
    )
    return done()


def registration(request: Request, board: Board) -> Answer:
    """The PIN by which a device knows that this is its server."""
    known = device_of(request, board)
    if known.pin is None:
        raise Refusal(404, f"device {known.name!r} has no PIN")
    return resource(
        sep.Registration(
            href=request.path,
            pollRate=_poll_rate(board, known),
            dateTimeRegistered=known.created,
            pIN=known.pin,
        )
    )


def assignments(request: Request, board: Board) -> Answer:
    """The function set assignments of a device, by mRID downwards."""
    known = device_of(request, board)
    made = _assignments(board, known)
    return page(
        request,
        "FunctionSetAssignmentsList",
        [made[number][0] for number in sorted(made, key=lambda n: made[n][0].mRID, reverse=True)],
        codec.fragment,
        pollRate=_poll_rate(board, known),
        subscribable=1,
    )


def assignment(request: Request, board: Board) -> Answer:
    """One of them."""
    return resource(_assignment(request, board)[0])


def assigned_programs(request: Request, board: Board) -> Answer:
    """The programs of one assignment."""
    return programs.program_list(request, board, _assignment(request, board)[1])


def device_programs(request: Request, board: Board) -> Answer:
    """All programs of a device."""
    return programs.program_list(request, board, _programs(board, device_of(request, board)))


def device_of(request: Request, board: Board) -> Device:
    """The device of the path; the rule saw to it that there is one."""
    found = board.device_by_number(request.numbers[0])
    if found is None:
        raise Refusal(404, f"there is no device {request.numbers[0]}")
    return found


def _programs(board: Board, known: Device) -> list[Program]:
    found = (board.program_by_number(number) for number in board.programs_of(known))
    return [program for program in found if program is not None]


def _assignment(
    request: Request, board: Board
) -> tuple[sep.FunctionSetAssignments, Sequence[Program]]:
    made = _assignments(board, device_of(request, board))
    if request.numbers[1] not in made:
        raise Refusal(404, f"there is no assignment {request.numbers[1]}")
    return made[request.numbers[1]]


def _assignments(
    board: Board, known: Device
) -> dict[int, tuple[sep.FunctionSetAssignments, Sequence[Program]]]:
    """By number: the groups a device is in, and what it has without one."""
    groups = {group.name: group for group in board.groups()}
    direct = [board.program(name) for name in known.groups if name not in groups]
    made: dict[int, tuple[sep.FunctionSetAssignments, Sequence[Program]]] = {}
    if direct:
        mrid = identity.mrid("assignment", known.lfdi, pen=board.pen)
        made[_DIRECT] = (_fsa(known, _DIRECT, mrid, "", 0, len(direct)), direct)
    for name in known.groups:
        if group := groups.get(name):
            held = [board.program(program) for program in group.programs]
            fsa = _fsa(known, group.number, group.mrid, group.description, group.version, len(held))
            made[group.number] = (fsa, held)
    return made


def _fsa(
    known: Device, number: int, mrid: str, description: str, version: int, programs_held: int
) -> sep.FunctionSetAssignments:
    href = f"/edev/{known.number}/fsa/{number}"
    return sep.FunctionSetAssignments(
        href=href,
        subscribable=0,
        DERProgramListLink=sep.ListLink(href=f"{href}/derp", all_=programs_held),
        ResponseSetListLink=sep.ListLink(href="/rsps", all_=1),
        TimeLink=sep.Link(href="/tm"),
        mRID=mrid,
        description=description or None,
        version=version,
    )


def _fragment(request: Request, board: Board, known: Device) -> bytes:
    """As it stands in a list."""
    return request.rendered.fragment(
        ("edev", known.number),
        (known, *_counts(board, known), board.rates),
        lambda: codec.fragment(_made(board, known)),
    )


def _counts(board: Board, known: Device) -> tuple[int, int, int, int]:
    """Lengths of the device's lists: assignments, DERs, subscriptions, log events."""
    groups = {group.name for group in board.groups()}
    direct = any(name not in groups for name in known.groups)
    return (
        sum(name in groups for name in known.groups) + direct,
        len(board.ders(known.lfdi)),
        len(board.subscriptions(known.number)),
        len(board.logs(known.lfdi)),
    )


def _made(board: Board, known: Device) -> sep.EndDevice:
    href = f"/edev/{known.number}"
    assigned, ders, subscribed, logged = _counts(board, known)
    return elements.device(
        known,
        ConfigurationLink=sep.Link(href=f"{href}/cfg"),
        DERListLink=sep.ListLink(href=f"{href}/der", all_=ders),
        DeviceInformationLink=sep.Link(href=f"{href}/di"),
        DeviceStatusLink=sep.Link(href=f"{href}/dstat"),
        LogEventListLink=sep.ListLink(href=f"{href}/lel", all_=logged),
        PowerStatusLink=sep.Link(href=f"{href}/ps"),
        FunctionSetAssignmentsListLink=sep.ListLink(href=f"{href}/fsa", all_=assigned),
        postRate=known.post_rate_s or board.rates.post_s,
        RegistrationLink=None if known.pin is None else sep.Link(href=f"{href}/reg"),
        SubscriptionListLink=sep.ListLink(href=f"{href}/sub", all_=subscribed),
    )


def _audited(
    request: Request, board: Board, act: Callable[[], object], shown: Callable[[], Any]
) -> None:
    """A change of who is known, by whoever asks for it."""
    what = f"{request.method} {request.path}"
    board.audit.made(request.peer.lfdi, what, request.now, act, shown, always=False)


def _check_identity(told: sep.EndDevice, lfdi: str) -> None:
    if told.sFDI != identity.sfdi_of(lfdi):
        raise Refusal(400, f"EndDevice/sFDI: {told.sFDI} does not follow from the LFDI {lfdi}")


def _poll_rate(board: Board, known: Device) -> int:
    return known.poll_rate_s or board.rates.poll_s


ROUTES = (
    Route(pattern="/edev", rule=access.anyone, get=devices, post=register, subscribable=True),
    Route(
        pattern="/edev/#",
        rule=access.own_device,
        get=device,
        put=change,
        delete=leave,
        subscribable=True,
    ),
    Route(pattern="/edev/#/reg", rule=access.own_device, get=registration),
    Route(pattern="/edev/#/fsa", rule=access.own_device, get=assignments, subscribable=True),
    Route(pattern="/edev/#/fsa/#", rule=access.own_device, get=assignment),
    Route(
        pattern="/edev/#/fsa/#/derp",
        rule=access.own_device,
        get=assigned_programs,
        subscribable=True,
    ),
    Route(pattern="/edev/#/derp", rule=access.own_device, get=device_programs, subscribable=True),
)
