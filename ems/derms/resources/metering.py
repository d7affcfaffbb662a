"""UsagePoint, MeterReading, Reading: what devices reported, to be read."""

from ems.derms import access
from ems.derms.asking import Answer, Refusal, Request, Route, resource
from ems.derms.board import Board, Mirror
from ems.derms.readings import Reported
from ems.derms.resources.mirrors import mirror_of, visible
from ems.derms.resources.paging import page
from ems.protocols.ieee2030_5 import codec, sep


def points(request: Request, board: Board) -> Answer:
    """The usage points, by mRID downwards."""
    return page(
        request,
        "UsagePointList",
        visible(request.peer, board),
        lambda point: codec.fragment(_point(point)),
        subscribable=0,
    )


def point(request: Request, board: Board) -> Answer:
    """One of them."""
    return resource(_point(mirror_of(request, board)))


def meters(request: Request, board: Board) -> Answer:
    """Its meter readings, by mRID downwards."""
    held = mirror_of(request, board)
    numbers = sorted(range(1, len(held.meters) + 1), key=lambda n: -int(held.meters[n - 1][0], 16))
    return page(
        request,
        "MeterReadingList",
        numbers,
        lambda number: codec.fragment(_meter(board, held, number)),
        subscribable=0,
    )


def meter(request: Request, board: Board) -> Answer:
    """One of them."""
    held = mirror_of(request, board)
    return resource(_meter(board, held, _number(request, held)))


def reading_type(request: Request, board: Board) -> Answer:
    """What it is a reading of."""
    held = mirror_of(request, board)
    declared = _declared(held, _number(request, held))
    kind = declared.ReadingType_ or sep.ReadingType()
    return resource(kind.model_copy(update={"href": request.path}))


def reading(request: Request, board: Board) -> Answer:
    """Its newest value."""
    held = mirror_of(request, board)
    number = _number(request, held)
    mrid = held.meters[number - 1][0]
    # Nothing is read before it was measured: a clock that is ahead makes no reading newer.
    found = [
        ((min(_ended(one) or reported.received, reported.received), reported.received), one)
        for reported in reversed(board.reported(held.lfdi, mrid))
        for told in reversed(_sets_in(mrid, reported))
        for one in reversed(told.Reading_ or [])
    ]
    if not found:
        raise Refusal(404, "nothing was reported yet")
    # Of the same time the one that was told last: it stands first.
    _, last = max(found, key=lambda timed: timed[0])
    return resource(last.model_copy(update={"href": request.path}))


def reading_sets(request: Request, board: Board) -> Answer:
    """What was reported lately, newest first."""
    held = mirror_of(request, board)
    sets = _sets(board, held, _number(request, held))
    numbers = sorted(sets, key=lambda n: -sets[n].timePeriod.start)
    return page(
        request,
        "ReadingSetList",
        numbers,
        lambda number: codec.fragment(_set(f"{request.path}/{number}", sets[number])),
        time_of=lambda number: sets[number].timePeriod.start,
        pollRate=board.rates.poll_s,
        subscribable=0,
    )


def reading_set(request: Request, board: Board) -> Answer:
    """One report."""
    return resource(_set(request.path, _reported(request, board)))


def readings(request: Request, board: Board) -> Answer:
    """Its readings, in the order of their times."""
    found = sorted(_reported(request, board).Reading_ or [], key=_ended)
    return page(
        request,
        "ReadingList",
        found,
        codec.fragment,
        time_of=_ended,
        subscribable=0,
    )


def _number(request: Request, held: Mirror) -> int:
    number = request.numbers[1]
    if not 1 <= number <= len(held.meters):
        raise Refusal(404, f"usage point {held.number} has no meter reading {number}")
    return number


def _declared(held: Mirror, number: int) -> sep.MirrorMeterReading:
    return codec.decode(held.meters[number - 1][1].encode(), sep.MirrorMeterReading)


def _sets(board: Board, held: Mirror, number: int) -> dict[int, sep.MirrorReadingSet]:
    """What was reported lately for one meter reading, by number."""
    mrid = held.meters[number - 1][0]
    return {
        reported.number + index: found
        for reported in board.reported(held.lfdi, mrid)
        for index, found in enumerate(_sets_in(mrid, reported))
    }


def _sets_in(mrid: str, reported: Reported) -> list[sep.MirrorReadingSet]:
    """The sets of one report; a single Reading alone is a set."""
    told = codec.decode(reported.body.encode(), sep.MirrorMeterReading)
    if told.MirrorReadingSet_ or told.Reading_ is None:
        return told.MirrorReadingSet_ or []
    whole = sep.DateTimeInterval(start=reported.received, duration=0)
    period = told.Reading_.timePeriod or whole
    return [sep.MirrorReadingSet(mRID=mrid, timePeriod=period, Reading_=[told.Reading_])]


def _reported(request: Request, board: Board) -> sep.MirrorReadingSet:
    held = mirror_of(request, board)
    sets = _sets(board, held, _number(request, held))
    number = request.numbers[2]
    if number not in sets:
        raise Refusal(404, f"there is no reading set {number}")
    return sets[number]


def _set(href: str, found: sep.MirrorReadingSet) -> sep.ReadingSet:
    return sep.ReadingSet(
        href=href,
        mRID=found.mRID,
        description=found.description,
        version=found.version,
        timePeriod=found.timePeriod,
        ReadingListLink=sep.ListLink(href=f"{href}/r", all_=len(found.Reading_ or [])),
    )


def _ended(one: sep.Reading) -> int:
    return one.timePeriod.start + one.timePeriod.duration if one.timePeriod else 0


def _point(held: Mirror) -> sep.UsagePoint:
    told = codec.decode(held.body.encode(), sep.MirrorUsagePoint)
    href = f"/upt/{held.number}"
    return sep.UsagePoint(
        href=href,
        mRID=told.mRID,
        description=told.description,
        version=told.version,
        roleFlags=told.roleFlags,
        serviceCategoryKind=told.serviceCategoryKind,
        status=told.status,
        deviceLFDI=held.lfdi,
        MeterReadingListLink=sep.ListLink(href=f"{href}/mr", all_=len(held.meters)),
    )


def _meter(board: Board, held: Mirror, number: int) -> sep.MeterReading:
    told = _declared(held, number)
    href = f"/upt/{held.number}/mr/{number}"
    reported = told.mRID.upper() in board.latest(held.lfdi)
    return sep.MeterReading(
        href=href,
        mRID=told.mRID,
        description=told.description,
        version=told.version,
        ReadingLink=sep.Link(href=f"{href}/r") if reported else None,
        ReadingSetListLink=sep.ListLink(href=f"{href}/rs", all_=len(_sets(board, held, number))),
        ReadingTypeLink=sep.Link(href=f"{href}/rt"),
    )


ROUTES = (
    Route(pattern="/upt", rule=access.registered, get=points),
    Route(pattern="/upt/#", rule=access.own_mirror, get=point),
    Route(pattern="/upt/#/mr", rule=access.own_mirror, get=meters),
    Route(pattern="/upt/#/mr/#", rule=access.own_mirror, get=meter),
    Route(pattern="/upt/#/mr/#/rt", rule=access.own_mirror, get=reading_type),
    Route(pattern="/upt/#/mr/#/r", rule=access.own_mirror, get=reading),
    Route(pattern="/upt/#/mr/#/rs", rule=access.own_mirror, get=reading_sets),
    Route(pattern="/upt/#/mr/#/rs/#", rule=access.own_mirror, get=reading_set),
    Route(pattern="/upt/#/mr/#/rs/#/r", rule=access.own_mirror, get=readings),
)
