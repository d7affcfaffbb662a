"""Who may do what.

A device sees what is its own, an aggregator also what belongs to those it manages, an administrator
everything. What is another's is answered with 403 whether it exists or not, so that nobody learns
from the answer which devices exist; an aggregator alone is told that there is no such device.
"""

from ems.derms.asking import Peer, Refusal, Request
from ems.derms.board import Board, Device, Program


def peer_of(lfdi: str, board: Board, administrators: frozenset[str]) -> Peer:
    """Who a certificate stands for; an aggregator is one only while it is registered itself."""
    device = board.device_by_lfdi(lfdi)
    return Peer(
        lfdi=lfdi,
        device=device,
        aggregator=device is not None and device.enabled and board.manages(lfdi),
        administrator=lfdi in administrators,
    )


def anyone(request: Request, board: Board) -> None:  # noqa: ARG001  the signature of rules
    """Whoever has a certificate that our authorities signed, unless it was disabled."""
    device = request.peer.device
    if device is not None and not device.enabled and not request.peer.administrator:
        raise Refusal(403, f"device {device.name!r} is disabled")


def registered(request: Request, board: Board) -> None:
    """Whoever is registered."""
    anyone(request, board)
    peer = request.peer
    if peer.device is None and not peer.administrator:
        raise Refusal(403, f"{peer.lfdi} is not registered")


def own_device(request: Request, board: Board) -> None:
    """The device of the first number is the peer's, or one that it manages."""
    registered(request, board)
    device = board.device_by_number(request.numbers[0])
    # An aggregator learns by a 404 that a device it managed is gone (CSIP, MAINT-001).
    if device is None and (request.peer.administrator or request.peer.aggregator):
        raise Refusal(404, f"there is no device {request.numbers[0]}")
    if device is None or not (request.peer.administrator or may(request.peer, device)):
        raise _others(request)


def own_program(request: Request, board: Board) -> None:
    """The program of the first number is assigned to the peer, or to a device that it manages."""
    registered(request, board)
    number = request.numbers[0]
    if not request.peer.administrator and number not in programs_of(request.peer, board):
        raise _others(request)
    if board.program_by_number(number) is None:
        raise Refusal(404, f"there is no program {number}")


def own_curve(request: Request, board: Board) -> None:
    """The curve of the first number belongs to such a program."""
    registered(request, board)
    curve = board.curve_by_number(request.numbers[0])
    if request.peer.administrator:
        seen = curve is not None
    else:
        programs = visible_programs(request.peer, board)
        seen = curve is not None and any(curve.name in p.curves for p in programs)
    if not seen:
        raise Refusal(404, f"there is no curve {request.numbers[0]} in your programs")


def own_mirror(request: Request, board: Board) -> None:
    """The usage point of the first number is of such a device."""
    registered(request, board)
    mirror = board.mirror(request.numbers[0])
    peer = request.peer
    if not peer.administrator and (mirror is None or not acts_for(peer, mirror.lfdi, board)):
        raise _others(request)
    if mirror is None:
        raise Refusal(404, f"there is no usage point {request.numbers[0]}")


def may(peer: Peer, device: Device) -> bool:
    """Whether a device is the peer's own, or one that it manages."""
    return peer.lfdi == device.lfdi or (peer.aggregator and peer.lfdi == device.aggregator)


def acts_for(peer: Peer, lfdi: str, board: Board) -> bool:
    """Whether the peer is that device, or manages it."""
    if lfdi == peer.lfdi:
        return True
    device = board.device_by_lfdi(lfdi)
    return device is not None and may(peer, device)


def lfdis_of(peer: Peer, board: Board) -> tuple[str, ...] | None:
    """The devices that a peer acts for, itself first; None: it sees everybody's."""
    if peer.administrator:
        return None
    return tuple(dict.fromkeys((peer.lfdi, *(device.lfdi for device in _managed(peer, board)))))


def visible_devices(peer: Peer, board: Board) -> tuple[Device, ...]:
    """Those the peer may see: what changed last first, then by SFDI and LFDI."""
    if peer.administrator:
        found = board.devices()
    else:
        own = (peer.device,) if peer.device else ()
        found = (*own, *(d for d in _managed(peer, board) if d.lfdi != peer.lfdi))
    return tuple(sorted(found, key=lambda d: (-d.changed, d.sfdi, d.lfdi)))


def programs_of(peer: Peer, board: Board) -> frozenset[int]:
    """Numbers of the programs that the peer may see."""
    own = board.programs_of(peer.device) if peer.device else frozenset()
    return own | board.programs_managed(peer.lfdi) if peer.aggregator else own


def visible_programs(peer: Peer, board: Board) -> tuple[Program, ...]:
    """The programs that the peer may see."""
    if peer.administrator:
        return board.programs()
    found = (board.program_by_number(number) for number in sorted(programs_of(peer, board)))
    return tuple(program for program in found if program is not None)


def _managed(peer: Peer, board: Board) -> tuple[Device, ...]:
    return board.managed_by(peer.lfdi) if peer.aggregator else ()


def _others(request: Request) -> Refusal:
    return Refusal(403, f"{request.path} is not a resource of {request.peer.lfdi}")
