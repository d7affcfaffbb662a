"""The readings that devices mirror."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ems.clock import Clock
from ems.derms.controls import RETAINED_S, Controls
from ems.derms.keeping import Entry, Keeper
from ems.derms.kept import PEN
from ems.derms.served import Conflict, Device, Latest

REPORTS_HELD = 16
"""Reports in memory, per meter reading; the keeper has more."""
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What came in one go for one meter reading."""

    number: int
    """Of the first set in it, at /upt/{point}/mr/{meter}/rs/{number}."""
    sets: int
    """How many sets it has; a single Reading is one."""
    received: int
    """When it came [s]."""
    body: str
    """A MirrorMeterReading, as XML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A MirrorUsagePoint: where a device reports its readings."""

    number: int
    """Its place in the paths: /mup/{number}."""
    mrid: str
    """Of the usage point; the device's choice."""
    lfdi: str
    """Whose readings they are."""
    owner: str
    """LFDI of who made it: the device, or its aggregator."""
    body: str
    """The MirrorUsagePoint without its readings, as XML."""
    meters: tuple[tuple[str, str], ...]
    """(mRID, MirrorMeterReading without its readings, as XML), in the order they came."""
    role: int = 0
    """Its roleFlags; 0 where an older version kept it."""


class Readings(Controls):
    """Mirrored usage points and their readings."""

    def __init__(
        self,
        keeper: Keeper | None = None,
        clock: Clock | None = None,
        *,
        pen: int = PEN,
        retained_s: int = RETAINED_S,
    ) -> None:
        super().__init__(keeper, clock, pen=pen, retained_s=retained_s)
        self._mirrors: dict[int, Mirror] = {}
        self._mirror_of: dict[str, int] = {}
        self._mirrors_of: dict[str, set[int]] = {}
        self._latest: dict[str, dict[str, Latest]] = {}
        self._reported: dict[tuple[str, str], deque[Reported]] = {}
        for kept in self.keeper.documents("mup"):
            held = json.loads(kept.body or "")
            meters = tuple((mrid, body) for mrid, body in held["meters"])
            self._index_mirror(Mirror(**held | {"meters": meters}))
        for kept in self.keeper.documents("latest"):
            latest = Latest(**json.loads(kept.body or ""))
            self._latest.setdefault(kept.owner, {})[latest.mrid] = latest

    def mirrors(self) -> tuple[Mirror, ...]:
        """All MirrorUsagePoints, by number."""
        return tuple(self._mirrors.values())

    def mirrors_of(self, lfdis: Sequence[str] | None) -> tuple[Mirror, ...]:
        """Those of some devices; None: all."""
        if lfdis is None:
            return self.mirrors()
        return tuple(self._mirrors[n] for lfdi in lfdis for n in self._mirrors_of.get(lfdi, ()))

    def mirror(self, number: int) -> Mirror | None:
        """The one at /mup/{number}."""
        return self._mirrors.get(number)

    def mirror_by_mrid(self, mrid: str) -> Mirror | None:
        """The one of that mRID."""
        number = self._mirror_of.get(mrid.upper())
        return None if number is None else self._mirrors[number]

    def put_mirror(self, *, mrid: str, lfdi: str, owner: str, body: str, role: int = 0) -> Mirror:
        """Make a MirrorUsagePoint, or change the one of this mRID.

        Raises:
            Conflict: it belongs to another device.
        """
        known = self.mirror_by_mrid(mrid)
        if known is not None and known.lfdi != lfdi:
            raise Conflict(f"usage point {mrid} is another device's")
        if known is None:
            mirror = Mirror(
                number=self._next("mirror"),
                mrid=mrid.upper(),
                lfdi=lfdi,
                owner=owner,
                body=body,
                meters=(),
                role=role,
            )
        else:
            mirror = replace(known, body=body, role=role)
        self._store_mirror(mirror)
        return mirror

    def remove_mirror(self, number: int) -> None:
        """Drop a MirrorUsagePoint; its readings stay kept."""
        mirror = self._mirrors.pop(number)
        del self._mirror_of[mirror.mrid]
        self._mirrors_of[mirror.lfdi].discard(number)
        latest = self._latest.get(mirror.lfdi, {})
        gone = [mrid for mrid, _ in mirror.meters if latest.pop(mrid, None)]
        for mrid, _ in mirror.meters:
            self._reported.pop((mirror.lfdi, mrid), None)
        self._keep(
            self._drop("mup", mirror.mrid, mirror.lfdi),
            *(self._drop("latest", f"{mirror.lfdi}/{mrid}", mirror.lfdi) for mrid in gone),
        )
        self.tell("/mup", f"/mup/{number}", "/upt")

    def put_meter(self, mirror: Mirror, mrid: str, body: str) -> Mirror:
        """Declare a meter reading of a usage point, or change it."""
        meters = dict(mirror.meters) | {mrid: body}
        if tuple(meters.items()) == mirror.meters:
            return mirror
        mirror = replace(mirror, meters=tuple(meters.items()))
        self._store_mirror(mirror)
        return mirror

    def read(self, mirror: Mirror, latest: Latest, body: str) -> None:
        """Take a reading.

        Args:
            mirror: what it came for.
            latest: the newest value in it.
            body: all that came, as XML.
        """
        held = self._latest.setdefault(mirror.lfdi, {})
        key = f"{mirror.lfdi}/{latest.mrid}"
        entry = Entry(
            kind="reading", owner=mirror.lfdi, key=latest.mrid, body=body, time=latest.received
        )
        if (mirror.lfdi, latest.mrid) in self._reported:
            self._hold_report(mirror.lfdi, latest.mrid, latest.received, body)
        before = held.get(latest.mrid)
        if before is not None and latest.time < before.time <= latest.received:
            # Readings may come late or out of order: they are kept, and the newest stays it. One
            # that lies in the future by now, a clock was wrong, is not newer than any.
            self._keep(entry)
            return
        held[latest.mrid] = latest
        self._keep(entry, self._put("latest", key, asdict(latest), mirror.lfdi))
        self.tell(f"/upt/{mirror.number}")

    def reported(self, lfdi: str, mrid: str) -> Sequence["Reported"]:
        """What was last reported for one meter reading, oldest first."""
        if (lfdi, mrid) not in self._reported:
            # Held from the first time that somebody asks for it.
            self._reported[lfdi, mrid] = deque(maxlen=REPORTS_HELD)
            since = self.now() - _DAY_S
            for entry in self.keeper.entries("reading", owner=lfdi, key=mrid, since=since):
                self._hold_report(lfdi, mrid, entry.time, entry.body)
        return tuple(self._reported[lfdi, mrid])

    def _hold_report(self, lfdi: str, mrid: str, received: int, body: str) -> None:
        held = self._reported[lfdi, mrid]
        number = held[-1].number + held[-1].sets if held else 1
        sets = max(1, body.count("<MirrorReadingSet>"))
        held.append(Reported(number=number, sets=sets, received=received, body=body))

    def latest(self, lfdi: str) -> Mapping[str, Latest]:
        """The last values a device mirrored, by the mRID of the meter reading."""
        return self._latest.get(lfdi, {})

    # What stands behind it

    def remove_device(self, name: str) -> Device:
        """See `Registry.remove_device`."""
        device = super().remove_device(name)
        for mirror in self.mirrors_of([device.lfdi]):
            self.remove_mirror(mirror.number)
        return device

    def _store_mirror(self, mirror: Mirror) -> None:
        self._index_mirror(mirror)
        held: dict[str, Any] = {f.name: getattr(mirror, f.name) for f in fields(mirror)}
        self._keep(self._put("mup", mirror.mrid, held, mirror.lfdi))
        self.tell("/mup", f"/mup/{mirror.number}", "/upt", f"/upt/{mirror.number}")

    def _index_mirror(self, mirror: Mirror) -> None:
        self._taken("mirror", mirror.number)
        self._mirrors[mirror.number] = mirror
        self._mirror_of[mirror.mrid] = mirror.number
        self._mirrors_of.setdefault(mirror.lfdi, set()).add(mirror.number)
