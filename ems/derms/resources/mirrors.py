"""MirrorUsagePoint: what devices report; UsagePoint: the same, to be read."""

from collections.abc import Sequence

from ems.derms import access
from ems.derms.asking import (
    Answer,
    Peer,
    Reason,
    Refusal,
    Request,
    Route,
    created,
    done,
    resource,
)
from ems.derms.board import Board, Conflict, Latest, Mirror
from ems.derms.resources.paging import page
from ems.protocols.ieee2030_5 import codec, identity, sep

_MOST_POINTS = 64
"""Usage points of one device."""
_MOST_METERS = 64
"""Meter readings of one usage point."""
CLOCKS_DIFFER_S = 5
"""By how much a client's clock, which it takes from here, may be ahead [s]."""


def visible(peer: Peer, board: Board) -> list[Mirror]:
    """The usage points that the peer may see, by mRID downwards."""
    return sorted(board.mirrors_of(access.lfdis_of(peer, board)), key=lambda m: -int(m.mrid, 16))


# ---- reported


def mirrors(request: Request, board: Board) -> Answer:
    """The mirrored usage points."""
    return page(
        request,
        "MirrorUsagePointList",
        visible(request.peer, board),
        lambda mirror: codec.fragment(_mirror(board, mirror)),
        pollRate=board.rates.poll_s,
    )


def mirror(request: Request, board: Board) -> Answer:
    """One of them."""
    return resource(_mirror(board, mirror_of(request, board)))


def make(request: Request, board: Board) -> Answer:
    """A device says what it will report; the same mRID again changes that."""
    told = request.read(sep.MirrorUsagePoint)
    known = board.mirror_by_mrid(told.mRID.upper())
    made = _take(request, board, told)
    href = f"/mup/{made.number}"
    return created(href) if known is None else done(href)


def change(request: Request, board: Board) -> Answer:
    """The same, at its own path."""
    told = request.read(sep.MirrorUsagePoint)
    if told.mRID.upper() != mirror_of(request, board).mrid:
        raise Refusal(400, "MirrorUsagePoint/mRID: it cannot be changed")
    _take(request, board, told)
    return done()


def remove(request: Request, board: Board) -> Answer:
    """A device reports here no more."""
    board.remove_mirror(mirror_of(request, board).number)
    return done()


def report(request: Request, board: Board) -> Answer:
    """Readings of one or more meter readings."""
    told = request.read(sep.MirrorMeterReading, sep.MirrorMeterReadingList)
    point = mirror_of(request, board)
    meters = _meters(told)
    if not meters:
        raise Refusal(400, "MirrorMeterReadingList: no MirrorMeterReading in it")
    point = _take_meters(request, board, point, meters)
    number = 1 + [mrid for mrid, _ in point.meters].index(meters[0].mRID.upper())
    return created(f"/upt/{point.number}/mr/{number}")


def mirror_of(request: Request, board: Board) -> Mirror:
    """The usage point of the path; the rule saw to it that there is one."""
    found = board.mirror(request.numbers[0])
    if found is None:
        raise Refusal(404, f"there is no usage point {request.numbers[0]}")
    return found


def _take(request: Request, board: Board, told: sep.MirrorUsagePoint) -> Mirror:
    lfdi = told.deviceLFDI.zfill(identity.LFDI_DIGITS).upper()
    if not access.acts_for(request.peer, lfdi, board):
        raise Refusal(403, f"{request.peer.lfdi} cannot report for {lfdi}")
    meters = told.MirrorMeterReading_ or []
    told.MirrorMeterReading_ = None
    told.href = None
    told.postRate = None
    # Checked before anything is taken: a document is taken whole or not at all.
    known = board.mirror_by_mrid(told.mRID.upper())
    if known is None and len(board.mirrors_of([lfdi])) >= _MOST_POINTS:
        problem = f"a device has at most {_MOST_POINTS} usage points"
        raise Refusal(400, problem, code=Reason.RESOURCES)
    _check_meters(known, meters)
    try:
        made = board.put_mirror(
            mrid=told.mRID,
            lfdi=lfdi,
            owner=request.peer.lfdi,
            body=codec.encode(told).decode(),
            role=int(told.roleFlags or "0", 16),
        )
    except Conflict as error:
        raise Refusal(400, str(error)) from error
    return _take_meters(request, board, made, meters)


def _meters(told: sep.Resource) -> list[sep.MirrorMeterReading]:
    """One, or those of a list."""
    if isinstance(told, sep.MirrorMeterReadingList):
        return told.MirrorMeterReading_ or []
    return [told] if isinstance(told, sep.MirrorMeterReading) else []


def _check_meters(point: Mirror | None, meters: Sequence[sep.MirrorMeterReading]) -> None:
    known = {mrid for mrid, _ in point.meters} if point else set()
    for meter in meters:
        if meter.ReadingType_ is None and meter.mRID.upper() not in known:
            raise Refusal(
                400,
                f"MirrorMeterReading {meter.mRID} is new here, and has no ReadingType",
                code=Reason.VALUES,
            )
    if len(known | {meter.mRID.upper() for meter in meters}) > _MOST_METERS:
        raise Refusal(400, f"more than {_MOST_METERS} meter readings", code=Reason.RESOURCES)


def _take_meters(
    request: Request, board: Board, point: Mirror, meters: Sequence[sep.MirrorMeterReading]
) -> Mirror:
    _check_meters(point, meters)
    for meter in meters:
        mrid = meter.mRID.upper()
        declared = dict(point.meters).get(mrid)
        sets, single = meter.MirrorReadingSet_ or [], meter.Reading_
        whole = codec.encode(meter).decode() if sets or single is not None else ""
        meter.MirrorReadingSet_ = meter.Reading_ = None
        meter.lastUpdateTime = meter.nextUpdateTime = None
        if meter.ReadingType_ is not None:
            point = board.put_meter(point, mrid, codec.encode(meter).decode())
            kind = meter.ReadingType_
        else:
            read = codec.decode((declared or "").encode(), sep.MirrorMeterReading)
            kind = read.ReadingType_ or sep.ReadingType()
            meter.description = meter.description or read.description
        readings = [reading for held in sets for reading in held.Reading_ or []]
        readings += [single] if single is not None else []
        newest = _newest(readings, request.now)
        if newest is not None:
            board.read(point, _latest(meter, kind, newest, request.now, point.role), whole)
    return point


def _newest(readings: Sequence[sep.Reading], now: int) -> sep.Reading | None:
    """The newest; one that is dated ahead only where there is no other."""
    valued = [reading for reading in readings if reading.value is not None]

    def rank(reading: sep.Reading) -> tuple[bool, int]:
        ended = _ended(reading, now)
        return ended <= now + CLOCKS_DIFFER_S, ended

    return max(valued, key=rank, default=None)


def _ended(reading: sep.Reading, now: int) -> int:
    """When what it is of ended; a reading without a period is of now [s]."""
    period = reading.timePeriod
    return now if period is None else period.start + period.duration


def _latest(
    meter: sep.MirrorMeterReading, kind: sep.ReadingType, reading: sep.Reading, now: int, role: int
) -> Latest:
    return Latest(
        mrid=meter.mRID.upper(),
        description=meter.description or "",
        value=(reading.value or 0) * 10.0 ** (kind.powerOfTenMultiplier or 0),
        uom=kind.uom or 0,
        kind=kind.kind or 0,
        flow=kind.flowDirection or 0,
        phase=kind.phase or 0,
        qualifier=kind.dataQualifier or 0,
        quality=int(reading.qualityFlags or "0", 16),
        # Nothing is read before it was measured: a clock that is ahead makes no reading fresher.
        time=min(_ended(reading, now), now),
        received=now,
        role=role,
    )


def _mirror(board: Board, point: Mirror) -> sep.MirrorUsagePoint:
    made = codec.decode(point.body.encode(), sep.MirrorUsagePoint)
    made.href = f"/mup/{point.number}"
    made.deviceLFDI = point.lfdi
    made.postRate = _post_rate(board, point)
    made.MirrorMeterReading_ = [
        codec.decode(body.encode(), sep.MirrorMeterReading) for _, body in point.meters
    ] or None
    return made


def _post_rate(board: Board, point: Mirror) -> int:
    device = board.device_by_lfdi(point.lfdi)
    return (device.post_rate_s if device else None) or board.rates.post_s


ROUTES = (
    Route(pattern="/mup", rule=access.registered, get=mirrors, post=make),
    Route(
        pattern="/mup/#",
        rule=access.own_mirror,
        get=mirror,
        put=change,
        post=report,
        delete=remove,
    ),
)
