"""A recorded cycle decided again: the same, to the last bit, or as it would have been.

A record holds all that its decision was made from, and what of it depended on time; the feeder is
opened anew. What is not the same on another version, another feeder or with a record of an older
version is told, and where.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ems.domain import CycleRecord, Setup
from ems.errors import Fault
from ems.replay.again import Remembered, again, given_of, otherwise
from ems.replay.changes import changed, parsed
from ems.replay.differences import APART, Compared, Difference, compared, setups_compared, short
from ems.replay.values import Change
from ems.settings import Settings
from feeders import Feeder, fingerprint

__all__ = [
    "Change",
    "Compared",
    "Difference",
    "Remembered",
    "Replayed",
    "again",
    "changed",
    "compared",
    "given_of",
    "otherwise",
    "parsed",
    "replay",
]

NOT_KEPT = ("setup", "before", "horizon", "no_horizon", "answers", "timed")
"""What records of older versions lack; not compared with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A recorded cycle, and the same decided again."""

    recorded: CycleRecord
    again: CycleRecord
    compared: Compared
    changes: tuple[Change, ...]
    """What was set otherwise; empty where it was only decided again."""
    inputs: tuple[Difference, ...]
    """Versions, and the feeder, where they are not those of the record."""
    notes: tuple[str, ...]
    """What else to know, one line each."""

    @property
    def identical(self) -> bool:
        """Whether every value is the same, to the last bit."""
        return not self.compared.differences


def replay(
    record: CycleRecord,
    previous: CycleRecord | None,
    settings: Settings,
    changes: Sequence[Change] = (),
    malformed: Sequence[Fault] = (),
) -> Replayed:
    """Decide a recorded cycle again. Nothing is written, to no device and to no database.

    Args:
        record: the cycle.
        previous: the one before it; only records of older versions need it.
        settings: today's site file: where the feeder is, and whose keys changes name.
        changes: what shall be otherwise.
        malformed: what is wrong already with how changes are written; told with the rest.

    Raises:
        BadInput: a change that cannot be.
        FeederFault: today's feeder does not compile, or lacks a bus of the record's DERs.
    """
    feeder = fingerprint(settings.feeder_source())
    today = Setup(site=settings.to_site(), policy=settings.to_policy(), feeder=feeder)
    given = given_of(record, today, previous)
    if changes or malformed:
        given = changed(given, changes, settings, malformed)
    with closing(Feeder.open(settings.feeder_source(), given.site.placements)) as network:
        made = (otherwise if changes else again)(record, given, network)
    old = record.setup is None
    return Replayed(
        recorded=record,
        again=made,
        compared=compared(record, made, {*APART, *NOT_KEPT} if old else APART),
        changes=tuple(changes),
        inputs=tuple(_inputs(record, made, feeder)),
        notes=tuple(_notes(record, previous, today)),
    )


def _inputs(record: CycleRecord, made: CycleRecord, feeder: str) -> Iterator[Difference]:
    """What the two were run on, where that is not the same."""
    names = dict.fromkeys((*record.versions, *made.versions))
    yield from _unlike("versions", record.versions, {n: made.versions.get(n) for n in names})
    if record.setup is not None and record.setup.feeder:
        yield from _unlike("setup", {"feeder": record.setup.feeder}, {"feeder": feeder})


def _unlike(
    where: str, recorded: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Difference]:
    for name, value in now.items():
        if recorded.get(name) != value:
            yield Difference(path=f"{where}.{name}", recorded=recorded.get(name), again=value)


def _notes(record: CycleRecord, previous: CycleRecord | None, today: Setup) -> Iterator[str]:
    if record.setup is None:
        yield "an older version kept no site and policy with its records: today's site file is used"
        if record.before is None:
            before = f"of {previous.start:%Y-%m-%d %H:%M} UTC" if previous else "is missing"
            yield f"nor what the cycle before had left: the record before it {before}"
        if record.plan is not None and record.horizon is None:
            yield "nor the day ahead: the interval is decided alone"
        return
    if not record.setup.feeder:
        yield "the record does not tell which feeder it was proved on: today's is used"
    since = _changed_since(record.setup, today)
    if since:
        yield f"the site file has changed since, the recorded one is used: {'; '.join(since)}"


def _changed_since(recorded: Setup, today: Setup) -> Sequence[str]:
    """Keys of site and policy that are not what they were."""
    # A single cycle outside the service writes timers of its own.
    single = recorded.policy.keep_alive_s is None
    own = {"policy.reversion_s", "policy.keep_alive_s"} if single else set()
    return [
        f"{d.path} was {short(d.recorded)}, is {short(d.again)}"
        for d in setups_compared(recorded, today).differences
        if d.path not in {"feeder", *own}
    ]
