"""DeviceCapability, Time, SelfDevice: where everyone begins."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from ems.derms import access
from ems.derms.asking import Answer, Refusal, Request, Route, resource
from ems.derms.board import Board
from ems.derms.resources import mirrors
from ems.protocols.ieee2030_5 import sep

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)


def dcap(request: Request, board: Board) -> Answer:
    """What this server has for the peer."""
    peer = request.peer
    made_of = (board.assigned, len(board.mirrors()), board.rates)
    return request.rendered.get(
        (request.path, peer.lfdi), made_of, lambda: resource(_dcap(request, board))
    )


def _dcap(request: Request, board: Board) -> sep.DeviceCapability:
    peer = request.peer
    usage = len(mirrors.visible(peer, board))
    return sep.DeviceCapability(
        href="/dcap",
        pollRate=board.rates.poll_s,
        DERProgramListLink=sep.ListLink(
            href="/derp", all_=len(access.visible_programs(peer, board))
        ),
        ResponseSetListLink=sep.ListLink(href="/rsps", all_=1),
        TimeLink=sep.Link(href="/tm"),
        UsagePointListLink=sep.ListLink(href="/upt", all_=usage),
        EndDeviceListLink=sep.ListLink(href="/edev", all_=len(access.visible_devices(peer, board))),
        MirrorUsagePointListLink=sep.ListLink(href="/mup", all_=usage),
        SelfDeviceLink=sep.Link(href="/sdev"),
    )


def plain_dcap(board: Board) -> Answer:
    """What the plain port tells: where to begin, and nothing about anyone."""
    return resource(
        sep.DeviceCapability(
            href="/dcap",
            pollRate=board.rates.poll_s,
            TimeLink=sep.Link(href="/tm"),
            EndDeviceListLink=sep.ListLink(href="/edev"),
            MirrorUsagePointListLink=sep.ListLink(href="/mup"),
            SelfDeviceLink=sep.Link(href="/sdev"),
        )
    )


def time(request: Request, board: Board) -> Answer:
    """The server's time, by which all events go."""
    return request.rendered.get("/tm", (request.now, board.rates), lambda: _time(request, board))


def _time(request: Request, board: Board) -> Answer:
    zone = local(request.now, request.settings.timezone)
    return resource(
        sep.Time(
            href="/tm",
            pollRate=board.rates.poll_s,
            currentTime=request.now,
            dstEndTime=zone.dst_end,
            dstOffset=zone.dst_offset,
            dstStartTime=zone.dst_start,
            localTime=request.now + zone.offset_now,
            quality=request.settings.time_quality,
            tzOffset=zone.tz_offset,
        )
    )


class Zone:
    """Offsets of a zone in the year of an instant."""

    __slots__ = ("_zone", "dst_end", "dst_offset", "dst_start", "offset_now", "tz_offset")

    def __init__(self, when: int, dst: "tuple[int, int, int, int]", zone: ZoneInfo) -> None:
        self.tz_offset, self.dst_offset, self.dst_start, self.dst_end = dst
        self._zone = zone
        offset = datetime.fromtimestamp(when, zone).utcoffset() or timedelta()
        self.offset_now = int(offset.total_seconds())


def local(when: int, name: str) -> Zone:
    """The local time of a zone at an instant [s]."""
    zone = ZoneInfo(name)
    return Zone(when, _year(datetime.fromtimestamp(when, zone).year, name), zone)


@lru_cache(maxsize=16)
def _year(year: int, name: str) -> tuple[int, int, int, int]:
    """Standard offset, DST offset, start and end of DST [s]; a year without DST has 0 for both."""
    zone = ZoneInfo(name)
    offset = start = end = 0
    day, last = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    before = _dst(day, zone)
    standard = int((_offset(day, zone) - before).total_seconds())
    while day < last:
        day += _DAY
        after = _dst(day, zone)
        if after != before:
            hours = (day - _DAY + n * _HOUR for n in range(1, 25))
            changed = next(hour for hour in hours if _dst(hour, zone) == after)
            if after:
                start = int(changed.timestamp())
            else:
                end = int(changed.timestamp())
        offset = max(offset, int(after.total_seconds()))
        before = after
    return standard, offset, start, end


def _dst(when: datetime, zone: ZoneInfo) -> timedelta:
    return when.astimezone(zone).dst() or timedelta()


def _offset(when: datetime, zone: ZoneInfo) -> timedelta:
    return when.astimezone(zone).utcoffset() or timedelta()


def self_device(request: Request, board: Board) -> Answer:
    """The server as a device."""
    own = request.serves.own
    if own is None:
        raise Refusal(404, "this server has no certificate of its own")
    lfdi, sfdi = own
    return resource(sep.SelfDevice(href="/sdev", pollRate=board.rates.poll_s, lFDI=lfdi, sFDI=sfdi))


ROUTES = (
    Route(pattern="/dcap", rule=access.anyone, get=dcap),
    Route(pattern="/tm", rule=access.anyone, get=time),
    Route(pattern="/sdev", rule=access.anyone, get=self_device),
)
