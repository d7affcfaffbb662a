"""One recorded cycle decided again: from the record, on the feeder, by the cycle's own code.

Nothing is written: what devices answered stands in the record, and no journal is handed in.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from ems.cycle import decided, left_by
from ems.domain import (
    Answer,
    Command,
    CycleRecord,
    DerReading,
    Given,
    LoadReading,
    Outcome,
    Partial,
    Readback,
    Refused,
    Sent,
    Setup,
)
from ems.errors import Contested, DeviceError, FellBack, RefusedWrite, Unreachable
from ems.pace import AsRecorded, Pace
from ems.ports import Network


def given_of(record: CycleRecord, today: Setup, previous: CycleRecord | None) -> Given:
    """What a recorded cycle was decided from.

    Args:
        record: the cycle.
        today: stands in where an older version kept no setup.
        previous: the cycle before it; likewise for what that one left.
    """
    setup = record.setup or today
    now = record.snapshot.time
    return Given(
        setup=setup,
        price_usd_per_kwh=record.free.price_usd_per_kwh,
        snapshot=record.snapshot,
        forecast=record.forecast,
        before=record.before or left_by(previous, setup.site, setup.policy, now, record.watched),
        horizon=record.horizon,
        no_horizon=record.no_horizon,
        watched=record.watched,
        imposed=record.imposed,
    )


def again(record: CycleRecord, given: Given, network: Network) -> CycleRecord:
    """Decide a recorded cycle again, taking the branches that it took.

    Args:
        record: the cycle.
        given: what it was decided from (`given_of`).
        network: the feeder.
    """
    field = Remembered(record, exactly=True)
    return decided(given, network, field, AsRecorded(record.timed, record.plan))


def otherwise(record: CycleRecord, given: Given, network: Network) -> CycleRecord:
    """Decide a recorded cycle as it would have been from something else.

    Nothing is late in it that would not be now; devices that answered do so again.
    """
    return decided(given, network, Remembered(record), Pace())


class Remembered:
    """A field (`ems.ports.Field`) that answers writes as the devices of a record did."""

    def __init__(self, record: CycleRecord, *, exactly: bool = False) -> None:
        """Remember a record.

        Args:
            record: what devices answered.
            exactly: each device gives the very answers of the record, in their order. Asked more
                often, or else, one that took its last command takes any, and one that did not
                takes none.
        """
        answers = {n: list(a) for n, a in (record.answers or _told(record.outcomes)).items()}
        self._last = {name: told[-1] for name, told in answers.items()}
        self._answers = answers if exactly else {}

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        """What each device answers; nothing is written anywhere."""
        return {command.der: self._answer(command) for command in commands}

    def _answer(self, command: Command) -> Readback | DeviceError:
        told = self._answers.get(command.der)
        if told:
            answer = told.pop(0)
            return answer.readback or _fault(answer)
        last = self._last.get(command.der)
        if last is not None and last.readback is None:
            return _fault(last)
        reverts = last is None or last.readback is None or last.readback.reverts
        return Readback(
            p_kw=command.p_kw, q_kvar=command.q_kvar, cap_kw=command.cap_kw, reverts=reverts
        )

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        """No device can be read."""
        del now
        return {}

    def read_load(self, now: datetime) -> LoadReading | DeviceError:
        """Nor can the meter."""
        return Unreachable(f"a record holds no meter to be read at {now}")

    def close(self) -> None:
        """There is nothing to end."""


def _fault(answer: Answer) -> DeviceError:
    if answer.contested:
        return Contested(answer.fault)
    if answer.fell_back:
        return FellBack(answer.fault)
    return RefusedWrite(answer.fault) if answer.refused else DeviceError(answer.fault)


def _told(outcomes: Mapping[str, Outcome]) -> Mapping[str, tuple[Answer, ...]]:
    """What devices answered last, where an older version kept only what became of it."""
    found = {}
    for name, outcome in outcomes.items():
        match outcome:
            case Sent(readback=readback) | Partial(readback=Readback() as readback):
                found[name] = (Answer(readback=readback),)
            case Partial(reason=reason):
                found[name] = (Answer(fault=reason),)
            case Refused(reason=reason):
                found[name] = (Answer(fault=reason, refused=True),)
    return found
