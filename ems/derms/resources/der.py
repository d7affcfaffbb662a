"""What a device says of itself: its DERs, DeviceInformation, PowerStatus and others."""

from collections.abc import Mapping

from ems.derms import access
from ems.derms.asking import Answer, Handler, Refusal, Request, Route, document, done, resource
from ems.derms.board import FILED, Board, Device
from ems.derms.resources.end_devices import device_of
from ems.derms.resources.paging import page
from ems.protocols.ieee2030_5 import codec, sep
from ems.protocols.ieee2030_5.events import Status

_OF_DER: Mapping[str, str] = {
    "dercap": "capability",
    "derg": "settings",
    "ders": "status",
    "dera": "availability",
}
"""Last part of the path → kind of the document."""
_OF_DEVICE: Mapping[str, str] = {
    "di": "information",
    "dstat": "device_status",
    "cfg": "configuration",
    "ps": "power_status",
}
_MOST_DERS = 64
"""DERs of one device; a number further up is a mistake, or worse."""


def ders(request: Request, board: Board) -> Answer:
    """The DERs of a device."""
    known = device_of(request, board)
    return page(
        request,
        "DERList",
        board.ders(known.lfdi),
        lambda number: codec.fragment(_der(request, board, known, number)),
        pollRate=known.poll_rate_s or board.rates.poll_s,
    )


def der(request: Request, board: Board) -> Answer:
    """One DER: where its resources are."""
    known = device_of(request, board)
    number = request.numbers[1]
    if number not in board.ders(known.lfdi):
        raise Refusal(404, f"device {known.number} has no DER {number}")
    return resource(_der(request, board, known, number))


def _der(request: Request, board: Board, known: Device, number: int) -> sep.DER:
    href = f"/edev/{known.number}/der/{number}"
    current = _current_program(request, board, known)
    assigned = len(board.programs_of(known))
    return sep.DER(
        href=href,
        subscribable=0,
        AssociatedDERProgramListLink=sep.ListLink(href=f"/edev/{known.number}/derp", all_=assigned),
        CurrentDERProgramLink=None if current is None else sep.Link(href=f"/derp/{current}"),
        DERAvailabilityLink=sep.Link(href=f"{href}/dera"),
        DERCapabilityLink=sep.Link(href=f"{href}/dercap"),
        DERSettingsLink=sep.Link(href=f"{href}/derg"),
        DERStatusLink=sep.Link(href=f"{href}/ders"),
    )


def _current_program(request: Request, board: Board, known: Device) -> int | None:
    """The program of highest priority that has a control in force."""
    held = (board.program_by_number(number) for number in board.programs_of(known))
    active = [
        program
        for program in held
        if program is not None
        and Status.ACTIVE in (s.current for s in board.standing(program.name, request.now).states)
    ]
    first = min(active, key=lambda p: (p.primacy, -int(p.mrid, 16)), default=None)
    return first.number if first else None


def _get(kind: str) -> Handler:
    def get(request: Request, board: Board) -> Answer:
        known = device_of(request, board)
        number = _number(request)
        found = board.document(known.lfdi, kind, number)
        if found is None:
            raise Refusal(404, f"device {known.number} has not put this yet")
        return document(found.body)

    return get


def _put(kind: str) -> Handler:
    def put(request: Request, board: Board) -> Answer:
        known = device_of(request, board)
        number = _number(request)
        told = request.read(FILED[kind])
        if isinstance(told, sep.DeviceInformation) and told.lFDI.zfill(40) != known.lfdi:
            raise Refusal(400, f"DeviceInformation/lFDI: {told.lFDI} is not this device")
        if isinstance(told, sep.DERSettings) and told.setMaxW.value < 0:
            raise Refusal(400, "DERSettings/setMaxW: it is negative")
        told.href = request.path
        # A device of the older edition reads back what it can read.
        most = request.settings.max_body_bytes
        older = codec.namespace_of(request.body, most_bytes=most) == codec.OLDER_NAMESPACE
        namespace = codec.OLDER_NAMESPACE if older else codec.NAMESPACE
        board.file(known.lfdi, kind, codec.encode(told, namespace=namespace), number)
        board.tell(request.path)
        return done()

    return put


def _number(request: Request) -> int:
    """Of the DER; 0 for a document of the device itself."""
    if len(request.numbers) == 1:
        return 0
    number = request.numbers[1]
    if not 1 <= number <= _MOST_DERS:
        raise Refusal(404, f"a device has DERs 1 to {_MOST_DERS}")
    return number


ROUTES = (
    Route(pattern="/edev/#/der", rule=access.own_device, get=ders),
    Route(pattern="/edev/#/der/#", rule=access.own_device, get=der),
    *(
        Route(
            pattern=f"/edev/#/der/#/{part}",
            rule=access.own_device,
            get=_get(kind),
            put=_put(kind),
            subscribable=True,
        )
        for part, kind in _OF_DER.items()
    ),
    *(
        Route(pattern=f"/edev/#/{part}", rule=access.own_device, get=_get(kind), put=_put(kind))
        for part, kind in _OF_DEVICE.items()
    ),
)
