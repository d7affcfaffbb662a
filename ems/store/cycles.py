"""Records of cycles, and what they decided and expected."""

import hashlib
import json
import math
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, Engine, Select, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from ems import record as codec
from ems.clock import interval_start
from ems.domain import CycleRecord, Setpoint, Setup
from ems.store import rows
from ems.store.database import Database
from ems.store.schema import CycleRow, ForecastRow, SetpointRow, SetupRow
from ems.store.values import KeptForecast, KeptSetpoint


class Cycles(Database):
    """Cycle records, newest last; what a cycle was run with is kept once for all alike."""

    def __init__(self, engine: Engine) -> None:
        """Use `open`."""
        super().__init__(engine)
        self._setups: dict[str, Setup] = {}
        """Setups by digest, as far as they were read or written."""

    def append(self, record: CycleRecord) -> None:
        """Keep one record; when this returns it is on the disk.

        What it was run with is kept once for all cycles that are run alike.
        """
        text = codec.to_json(replace(record, setup=None))
        setup = None if record.setup is None else self._digest(record.setup)
        with self._writing() as connection:
            if setup is not None:
                known = {"digest": setup, "json": codec.setup_to_json(self._setups[setup])}
                connection.execute(upsert(SetupRow).values(known).on_conflict_do_nothing())
            cycle_id = connection.execute(
                insert(CycleRow).values(rows.cycle(record, text, setup)).returning(CycleRow.id)
            ).scalar_one()
            for table, values in (
                (SetpointRow, rows.setpoints(record, cycle_id)),
                (ForecastRow, rows.forecasts(record, cycle_id)),
            ):
                if values:
                    connection.execute(insert(table), values)

    def latest(self) -> CycleRecord | None:
        """The record appended last."""
        return self._record(_cycles().order_by(CycleRow.id.desc()).limit(1))

    def at(self, time: datetime) -> CycleRecord | None:
        """The newest record of the interval that holds `time`."""
        start = interval_start(time)
        newest = select(func.max(CycleRow.id)).where(CycleRow.start == start)
        return self._record(_cycles().where(CycleRow.id == newest.scalar_subquery()))

    def before(self, record: CycleRecord) -> CycleRecord | None:
        """The record appended last before that interval's newest one."""
        newest = select(func.max(CycleRow.id)).where(CycleRow.start == record.start)
        earlier = _cycles().where(CycleRow.id < newest.scalar_subquery())
        return self._record(earlier.order_by(CycleRow.id.desc()).limit(1))

    def between(self, since: datetime, until: datetime, limit: int = 96) -> list[CycleRecord]:
        """Newest record of each interval that starts in [since, until), oldest first.

        Where there are more than `limit`, the latest ones.
        """
        query = (
            _cycles()
            .where(CycleRow.id.in_(_newest_cycles(since, until)))
            .order_by(CycleRow.start.desc())
            .limit(limit)
        )
        with self._reading() as connection:
            found = connection.execute(query).all()
            return [self._read(connection, row.json, row.setup) for row in reversed(found)]

    def _record(self, query: Select[str, str | None]) -> CycleRecord | None:
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else self._read(connection, row.json, row.setup)

    def _read(self, connection: Connection, text: str, setup: str | None) -> CycleRecord:
        """A record with what it was run with."""
        record = codec.from_json(text)
        if setup is None:
            return record
        if setup not in self._setups:
            query = select(SetupRow.json).where(SetupRow.digest == setup)
            kept = connection.execute(query).scalar_one_or_none()
            if kept is None:  # somebody else's hand; the record is worth showing all the same
                return record
            self._setups[setup] = codec.setup_from_json(kept)
        return replace(record, setup=self._setups[setup])

    def _digest(self, setup: Setup) -> str:
        """What a setup is found by; reckoned once while cycles are run alike."""
        for digest, known in list(self._setups.items()):  # readers add to it meanwhile
            if known == setup:
                return digest
        digest = hashlib.sha256(codec.setup_to_json(setup).encode()).hexdigest()
        self._setups[digest] = setup
        return digest

    def setpoints(self, since: datetime, until: datetime) -> list[KeptSetpoint]:
        """What was asked of each DER in [since, until), and what became of it."""
        row = SetpointRow
        query = (
            select(row)
            .where(row.cycle_id.in_(_newest_cycles(since, until)))
            .order_by(row.start, row.der)
        )
        with self._reading() as connection:
            return [
                KeptSetpoint(
                    start=r.start,
                    setpoint=Setpoint(
                        der=r.der, p_kw=_nan(r.p_kw), q_kvar=_nan(r.q_kvar), cap_kw=r.cap_kw
                    ),
                    outcome=r.outcome,
                    reason=r.reason,
                    readback_p_kw=r.readback_p_kw,
                    readback_q_kvar=r.readback_q_kvar,
                    readback_cap_kw=r.readback_cap_kw,
                )
                for r in connection.execute(query)
            ]

    def forecasts(self, since: datetime, until: datetime) -> list[KeptForecast]:
        """What was expected of each PV plant and of the load in [since, until)."""
        row = ForecastRow
        query = (
            select(row)
            .where(row.cycle_id.in_(_newest_cycles(since, until)))
            .order_by(row.start, row.device)
        )
        with self._reading() as connection:
            return [
                KeptForecast(
                    start=r.start,
                    device=r.device,
                    expected_kw=_nan(r.expected_kw),
                    lower_kw=r.lower_kw,
                    upper_kw=r.upper_kw,
                    method=r.method,
                    quantiles_kw=json.loads(r.quantiles_kw) if r.quantiles_kw else {},
                    notes=tuple(json.loads(r.notes)) if r.notes else (),
                )
                for r in connection.execute(query)
            ]


def _cycles() -> Select[str, str | None]:
    """Records, and the digest of what each was run with."""
    return select(CycleRow.json, CycleRow.setup)


def _newest_cycles(since: datetime, until: datetime) -> Select[int]:
    """Id of the newest record of each interval that starts in [since, until)."""
    return (
        select(func.max(CycleRow.id))
        .where(CycleRow.start >= since, CycleRow.start < until)
        .group_by(CycleRow.start)
    )


def _nan(value: float | None) -> float:
    """NULL is how SQLite keeps a NaN."""
    return math.nan if value is None else value
