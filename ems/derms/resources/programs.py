"""DERProgram, DERControl, DefaultDERControl, DERCurve."""

from collections.abc import Iterable

from ems.derms import access, elements
from ems.derms.asking import Answer, Refusal, Request, Route, resource
from ems.derms.board import Board, Curve, Program, Standing
from ems.derms.resources.paging import page
from ems.protocols.ieee2030_5 import codec, sep
from ems.protocols.ieee2030_5.events import Status


def programs(request: Request, board: Board) -> Answer:
    """All programs that the peer may see."""
    return program_list(request, board, access.visible_programs(request.peer, board))


def program_list(request: Request, board: Board, listed: Iterable[Program]) -> Answer:
    """Programs by primacy, then mRID downwards."""
    return page(
        request,
        "DERProgramList",
        sorted(listed, key=lambda p: (p.primacy, -int(p.mrid, 16))),
        lambda program: _program_fragment(request, board, program),
        pollRate=_poll_rate(request, board),
        subscribable=1,
    )


def program(request: Request, board: Board) -> Answer:
    """One program."""
    return resource(_program(request, board, program_of(request, board)))


def controls(request: Request, board: Board) -> Answer:
    """The controls of a program that have not ended, by start, then newest first."""
    held = program_of(request, board)
    standing = board.standing(held.name, request.now)
    return request.rendered.get(
        (request.path, request.query),
        (standing, held),
        lambda: _control_list(request, held, standing, range(len(standing.controls))),
    )


def active_controls(request: Request, board: Board) -> Answer:
    """Those in force."""
    held = program_of(request, board)
    standing = board.standing(held.name, request.now)
    return request.rendered.get(
        (request.path, request.query),
        (standing, held),
        lambda: _control_list(request, held, standing, _active(standing)),
    )


def control(request: Request, board: Board) -> Answer:
    """One control; also for a while after it has ended."""
    held = program_of(request, board)
    found = board.control_by_number(held.name, request.numbers[1])
    if found is None:
        raise Refusal(404, f"program {held.number} has no control {request.numbers[1]}")
    return resource(elements.control(held.number, found, board.state(found.mrid, request.now)))


def default(request: Request, board: Board) -> Answer:
    """What holds while no control does."""
    held = program_of(request, board)
    if held.default is None:
        raise Refusal(404, f"program {held.number} has no default control")
    return request.rendered.get(request.path, held, lambda: resource(_default(held)))


def program_curves(request: Request, board: Board) -> Answer:
    """The curves of a program."""
    return _curve_list(request, map(board.curve, program_of(request, board).curves))


def curves(request: Request, board: Board) -> Answer:
    """The curves of all programs that the peer may see."""
    seen = {name for p in access.visible_programs(request.peer, board) for name in p.curves}
    everything = request.peer.administrator
    return _curve_list(request, (c for c in board.curves() if everything or c.name in seen))


def curve(request: Request, board: Board) -> Answer:
    """One curve."""
    found = board.curve_by_number(request.numbers[0])
    if found is None:
        raise Refusal(404, f"there is no curve {request.numbers[0]}")
    return resource(elements.curve(found))


def program_of(request: Request, board: Board) -> Program:
    """The program of the path; the rule saw to it that there is one."""
    found = board.program_by_number(request.numbers[0])
    if found is None:
        raise Refusal(404, f"there is no program {request.numbers[0]}")
    return found


def _poll_rate(request: Request, board: Board) -> int:
    own = request.peer.device
    return (own.poll_rate_s if own else None) or board.rates.poll_s


def _active(standing: Standing) -> list[int]:
    return [n for n, state in enumerate(standing.states) if state.current is Status.ACTIVE]


def _control_list(
    request: Request, held: Program, standing: Standing, listed: Iterable[int]
) -> Answer:
    def fragment(number: int) -> bytes:
        found, state = standing.controls[number], standing.states[number]
        return request.rendered.fragment(
            found.mrid,
            (found, state.current, state.since, state.potentially_superseded),
            lambda: codec.fragment(elements.control(held.number, found, state)),
        )

    return page(
        request,
        "DERControlList",
        list(listed),
        fragment,
        time_of=lambda number: standing.controls[number].start,
        subscribable=1,
    )


def _program_fragment(request: Request, board: Board, held: Program) -> bytes:
    standing = board.standing(held.name, request.now)
    return request.rendered.fragment(
        ("derp", held.number),
        (held, standing),
        lambda: codec.fragment(_program(request, board, held)),
    )


def _program(request: Request, board: Board, held: Program) -> sep.DERProgram:
    href = f"/derp/{held.number}"
    standing = board.standing(held.name, request.now)
    return elements.program(
        held,
        ActiveDERControlListLink=sep.ListLink(href=f"{href}/actderc", all_=len(_active(standing))),
        DefaultDERControlLink=sep.Link(href=f"{href}/dderc") if held.default else None,
        DERControlListLink=sep.ListLink(href=f"{href}/derc", all_=len(standing.controls)),
        DERCurveListLink=sep.ListLink(href=f"{href}/dc", all_=len(held.curves)),
    )


def _default(held: Program) -> sep.DefaultDERControl:
    made = held.default
    if made is None:
        raise Refusal(404, f"program {held.number} has no default control")
    return made.model_copy(update={"href": f"/derp/{held.number}/dderc", "subscribable": 1})


def _curve_list(request: Request, listed: Iterable[Curve]) -> Answer:
    """Curves, newest first, then mRID downwards."""
    return page(
        request,
        "DERCurveList",
        sorted(listed, key=lambda c: (-c.created, -int(c.mrid, 16))),
        lambda found: codec.fragment(elements.curve(found)),
        time_of=lambda found: found.created,
    )


ROUTES = (
    Route(pattern="/derp", rule=access.registered, get=programs, subscribable=True),
    Route(pattern="/derp/#", rule=access.own_program, get=program, subscribable=True),
    Route(pattern="/derp/#/derc", rule=access.own_program, get=controls, subscribable=True),
    Route(pattern="/derp/#/derc/#", rule=access.own_program, get=control),
    Route(
        pattern="/derp/#/actderc", rule=access.own_program, get=active_controls, subscribable=True
    ),
    Route(pattern="/derp/#/dderc", rule=access.own_program, get=default, subscribable=True),
    Route(pattern="/derp/#/dc", rule=access.own_program, get=program_curves, subscribable=True),
    Route(pattern="/dc", rule=access.registered, get=curves),
    Route(pattern="/dc/#", rule=access.own_curve, get=curve),
)
