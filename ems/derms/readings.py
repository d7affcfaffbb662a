"""The readings that devices mirror."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ems.derms.keeping import Entry
from ems.derms.kept import Kept
from ems.derms.moves import Moves
from ems.derms.recall import NotInMemory, Recall
from ems.derms.served import Conflict, Latest

REPORTS_HELD = 16
"""Reports in memory, per meter reading; the keeper has more."""
_DAY_S = 86_400
_Came = tuple[int, str]
"""When a report came [s], and all that came, as XML."""


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


class Readings:
    """Mirrored usage points and their readings."""

    def __init__(self, kept: Kept, moves: Moves) -> None:
        """Take up what was kept.

        Args:
            kept: what all parts share.
            moves: of devices to new certificates.
        """
        self._kept, self._moves = kept, moves
        self._mirrors: dict[int, Mirror] = {}
        self._mirror_of: dict[str, int] = {}
        self._mirrors_of: dict[str, set[int]] = {}
        self._latest: dict[str, dict[str, Latest]] = {}
        self._reported: dict[tuple[str, str], deque[Reported]] = {}
        self._meanwhile: dict[tuple[str, str], deque[_Came]] = {}
        """What came while the reports of a meter reading were read from the keeper."""
        for document in kept.keeper.documents("mup"):
            held = json.loads(document.body or "")
            meters = tuple((mrid, body) for mrid, body in held["meters"])
            self._index_mirror(Mirror(**held | {"meters": meters}))
        for document in kept.keeper.documents("latest"):
            latest = Latest(**json.loads(document.body or ""))
            self._latest.setdefault(document.owner, {})[latest.mrid] = latest

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
                number=self._kept.next("mirror"),
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
            self._meanwhile.pop((mirror.lfdi, mrid), None)
        self._kept.keep(
            self._kept.drop("mup", mirror.mrid, mirror.lfdi),
            *self._kept.retired("mirror", number),
            *(self._kept.drop("latest", f"{mirror.lfdi}/{mrid}", mirror.lfdi) for mrid in gone),
        )
        self._kept.tell("/mup", f"/mup/{number}", "/upt")

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
        self._hold_report((mirror.lfdi, latest.mrid), (latest.received, body))
        before = held.get(latest.mrid)
        if before is not None and latest.time < before.time <= latest.received:
            # Readings may come late or out of order: they are kept, and the newest stays it. One
            # that lies in the future by now, a clock was wrong, is not newer than any.
            self._kept.keep(entry)
            return
        held[latest.mrid] = latest
        self._kept.keep(entry, self._kept.put("latest", key, asdict(latest), mirror.lfdi))
        self._kept.tell(f"/upt/{mirror.number}")

    def reported(self, lfdi: str, mrid: str) -> Sequence["Reported"]:
        """What was last reported for one meter reading, oldest first.

        Raises:
            NotInMemory: the first time that somebody asks for it; from then on it is held.
        """
        held = self._reported.get((lfdi, mrid))
        if held is None:
            raise NotInMemory(self._recall((lfdi, mrid)))
        return tuple(held)

    def _recall(self, of: tuple[str, str]) -> Recall[Any]:
        since = self._kept.now() - _DAY_S
        self._meanwhile.setdefault(of, deque(maxlen=REPORTS_HELD))

        lfdi, mrid = of
        # Who was first said it first: of one second nothing else tells.
        owners = tuple(self._moves.before(lfdi))[::-1]

        def read() -> list[_Came]:
            found = (
                entry
                for owner in owners
                for entry in self._kept.keeper.entries(
                    "reading", owner=owner, key=mrid, since=since, newest=REPORTS_HELD
                )
            )
            theirs = [e for e in found if self._moves.holder(e.owner, e.time) == lfdi]
            return [(e.time, e.body) for e in sorted(theirs, key=lambda e: e.time)]

        def take(kept: list[_Came]) -> None:
            if of not in self._meanwhile:  # another has taken it, or it is gone
                return
            meanwhile = list(self._meanwhile.pop(of))
            self._reported[of] = deque(maxlen=REPORTS_HELD)
            for came in (*kept, *meanwhile[_known(kept, meanwhile) :]):
                self._hold_report(of, came)

        return Recall(read=read, take=take)

    def _hold_report(self, of: tuple[str, str], came: _Came) -> None:
        """Hold it where somebody asked for what it is of."""
        if of in self._meanwhile:
            self._meanwhile[of].append(came)
        if (held := self._reported.get(of)) is None:
            return
        received, body = came
        number = held[-1].number + held[-1].sets if held else 1
        sets = max(1, body.count("<MirrorReadingSet>"))
        held.append(Reported(number=number, sets=sets, received=received, body=body))

    def latest(self, lfdi: str) -> Mapping[str, Latest]:
        """The last values a device mirrored, by the mRID of the meter reading."""
        return self._latest.get(lfdi, {})

    def forget(self, lfdi: str) -> None:
        """Drop what a device reports here; its readings stay kept."""
        for mirror in self.mirrors_of([lfdi]):
            self.remove_mirror(mirror.number)

    def move(self, old: str, new: str) -> None:
        """A device has a new certificate: its own stays so, and what an aggregator made."""
        for mirror in self.mirrors():
            if old in {mirror.lfdi, mirror.owner}:
                self._mirrors_of[mirror.lfdi].discard(mirror.number)
                lfdi = new if mirror.lfdi == old else mirror.lfdi
                owner = new if mirror.owner == old else mirror.owner
                self._store_mirror(replace(mirror, lfdi=lfdi, owner=owner))
        for mrid, latest in self._latest.pop(old, {}).items():
            self._latest.setdefault(new, {})[mrid] = latest
            self._kept.keep(
                self._kept.drop("latest", f"{old}/{mrid}", old),
                self._kept.put("latest", f"{new}/{mrid}", asdict(latest), new),
            )
        for of in [of for of in (*self._reported, *self._meanwhile) if of[0] == old]:
            self._meanwhile.pop(of, None)
            if (held := self._reported.pop(of, None)) is not None:
                self._reported[new, of[1]] = held

    # What stands behind it

    def _store_mirror(self, mirror: Mirror) -> None:
        self._index_mirror(mirror)
        held: dict[str, Any] = {f.name: getattr(mirror, f.name) for f in fields(mirror)}
        self._kept.keep(self._kept.put("mup", mirror.mrid, held, mirror.lfdi))
        self._kept.tell("/mup", f"/mup/{mirror.number}", "/upt", f"/upt/{mirror.number}")

    def _index_mirror(self, mirror: Mirror) -> None:
        self._kept.taken("mirror", mirror.number)
        self._mirrors[mirror.number] = mirror
        self._mirror_of[mirror.mrid] = mirror.number
        self._mirrors_of.setdefault(mirror.lfdi, set()).add(mirror.number)


def _known(kept: Sequence[_Came], meanwhile: Sequence[_Came]) -> int:
    """How many of those that came meanwhile stand at the end of what was read already."""
    most = min(len(kept), len(meanwhile))
    return next((n for n in range(most, 0, -1) if kept[-n:] == meanwhile[:n]), 0)
