"""The database of one site: cycle records, minute means, missed runs, the lease."""

import hashlib
import json
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Select, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from ems import record as codec
from ems.clock import interval_start
from ems.domain import CycleRecord, Setpoint, Setup
from ems.errors import LeaseHeld
from ems.store import rows
from ems.store.engine import faults_named, open_engine, writing
from ems.store.lease import Holder, describe
from ems.store.schema import (
    CycleRow,
    ForecastRow,
    LeaseRow,
    MinuteRow,
    MissedRow,
    SetpointRow,
    SetupRow,
)
from ems.store.values import LOAD, KeptForecast, KeptSetpoint, Lease, MinuteMean, MissedRun

if TYPE_CHECKING:  # pandas is loaded where histories are read
    import pandas as pd

    from forecasting.record import PlantRecord


class Store:
    """Thread-safe. Every method raises `StoreFault` when the database fails."""

    def __init__(self, engine: Engine) -> None:
        """Use `open`."""
        self._engine = engine
        self._writing_engine = writing(engine)
        # Threads of one process take turns here: SQLite's own waiting is by polling, unfair.
        self._turn = threading.Lock()
        self._setups: dict[str, Setup] = {}
        """Setups by digest, as far as they were read or written."""
        self.path = Path(str(engine.url.database))
        """The database file."""

    @classmethod
    def open(cls, path_or_url: str | Path, *, busy_timeout_s: float = 5.0) -> "Store":
        """Open or create the database and migrate it to this version.

        Args:
            path_or_url: path of the file, or `sqlite:///PATH`.
            busy_timeout_s: how long to wait for another program's lock [s].

        Raises:
            BadInput: not a path of a database of this or an older version of GEEMS.
            StoreFault: the file cannot be read or written.
        """
        return cls(open_engine(path_or_url, busy_timeout_s))

    def close(self) -> None:
        """Close all connections; the last one of all processes folds the log into the file."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with faults_named(str(self.path)), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with (
            self._turn,
            faults_named(str(self.path)),
            self._writing_engine.begin() as connection,
        ):
            yield connection

    # --- cycle records ---------------------------------------------------------------

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
                )
                for r in connection.execute(query)
            ]

    # --- measurements ----------------------------------------------------------------

    def add_minute(self, *means: MinuteMean) -> None:
        """Keep minute means; a later mean of the same device and minute replaces the first.

        A mean whose power is not a finite number is not kept.
        """
        means = tuple(mean for mean in means if math.isfinite(mean.p_kw))
        if means:
            with self._writing() as connection:
                _put(connection, means)

    def add_history(self, der: str, series: "pd.Series[float]") -> None:
        """Keep a series measured before GEEMS came, uncapped: 1- to 15-minute means of power.

        Args:
            der: name of the DER.
            series: power [kW]; index: aware times, label at the start of each mean,
                ascending and unique. NaN is skipped.

        Raises:
            BadInput: the index is not such an index; all faults at once.
        """
        from ems.store.history import minutes_of

        means = minutes_of(der, series)
        if means:
            with self._writing() as connection:
                _put(connection, means)

    def measurements(
        self, since: datetime, until: datetime, device: str | None = None
    ) -> list[MinuteMean]:
        """Minute means in [since, until), by time; of one device, or of all."""
        row = MinuteRow
        query = select(row).where(row.time >= since, row.time < until)
        if device is not None:
            query = query.where(row.device == device)
        with self._reading() as connection:
            return [
                MinuteMean(**r._mapping)  # noqa: SLF001  public by SQLAlchemy's documentation
                for r in connection.execute(query.order_by(row.time, row.device))
            ]

    def pv_record(self, der: str, since: datetime, until: datetime) -> "PlantRecord":
        """What is known of a plant's available power (the History port).

        From the interval that holds `since` until just before `until`, a start of an interval.
        An interval in which any cap was in force tells no available power, unless the device
        says it: what a capped plant makes does not tell what it could have.
        """
        from ems.store.history import plant_record_of

        with self._reading() as connection:
            return plant_record_of(connection, der, interval_start(since), until)

    def pv_records(
        self, ders: Sequence[str], since: datetime, until: datetime
    ) -> "Mapping[str, PlantRecord]":
        """`pv_record` of many plants, read at once (the FleetHistory port)."""
        from ems.store.history import plant_records_of

        with self._reading() as connection:
            return plant_records_of(connection, ders, interval_start(since), until)

    def load_kw(self, since: datetime, until: datetime) -> "pd.Series[float]":
        """15-minute means of the aggregate load [kW], indexed as `mean_kw` (the History port)."""
        return self.mean_kw(LOAD, since, until)

    def mean_kw(
        self, device: str, since: datetime, until: datetime, *, covered: float = 0.0
    ) -> "pd.Series[float]":
        """15-minute means of power, capped or not [kW].

        Args:
            device: its name, or that of the load.
            since: in the first interval.
            until: after the last one.
            covered: share of an interval that must have been measured [1].

        Returns:
            Index: UTC interval start, from the interval that holds `since` until just before
            `until`; NaN where nothing was measured, or less of it than asked.
        """
        from ems.store.history import interval_means

        with self._reading() as connection:
            return interval_means(connection, device, interval_start(since), until, covered)

    # --- missed runs -----------------------------------------------------------------

    def add_missed(self, start: datetime, reason: str, intervals: int = 1) -> None:
        """Note that no cycle ran for `intervals` intervals from `start` on."""
        values = {"start": start, "reason": reason, "intervals": intervals}
        with self._writing() as connection:
            connection.execute(insert(MissedRow).values(values))

    def take_back_missed(self, start: datetime, intervals: int, left: int) -> None:
        """Of a run of `intervals` that was noted from `start` on, only the first `left` stand."""
        row = MissedRow.__table__
        this = (MissedRow.start == start, MissedRow.intervals == intervals)
        with self._writing() as connection:
            if left > 0:
                connection.execute(row.update().where(*this).values(intervals=left))  # type: ignore[attr-defined]  # __table__ is typed as FromClause
            else:
                connection.execute(row.delete().where(*this))  # type: ignore[attr-defined]  # as above

    def missed(self, since: datetime, until: datetime) -> list[MissedRun]:
        """Runs missed whose first interval starts in [since, until), in order."""
        row = MissedRow
        query = select(row.start, row.intervals, row.reason).where(
            row.start >= since, row.start < until
        )
        with self._reading() as connection:
            return [
                MissedRun(start=r.start, intervals=r.intervals, reason=r.reason)
                for r in connection.execute(query.order_by(row.start, row.id))
            ]

    # --- lease -----------------------------------------------------------------------

    def take_lease(self, site: str, holder: str, ttl_s: float, now: datetime) -> Lease:
        """Become, or stay, the only writer of a site until `now + ttl_s`.

        A lease that has lapsed may be taken, and one whose holder is a process of this
        machine that has ended (`Holder`).

        Raises:
            LeaseHeld: another has it; names the holder and when the lease ends.
        """
        ends = now + timedelta(seconds=ttl_s)
        with self._writing() as connection:
            held = _lease(connection, site)
            if held is not None and held.holder != holder and held.ends > now:
                other = Holder.parse(held.holder)
                if other is None or not other.is_dead:
                    raise LeaseHeld(_held(held))
            values = {"holder": holder, "ends": ends}
            connection.execute(
                upsert(LeaseRow)
                .values(site=site, **values)
                .on_conflict_do_update(index_elements=["site"], set_=values)
            )
        return Lease(site=site, holder=holder, ends=ends)

    def renew(self, site: str, holder: str, ttl_s: float, now: datetime) -> Lease:
        """Keep the lease until `now + ttl_s`.

        Raises:
            LeaseHeld: another took it after it had lapsed.
        """
        return self.take_lease(site, holder, ttl_s, now)

    def release(self, site: str, holder: str) -> None:
        """Give the lease back; nothing happens where another has it."""
        lease = LeaseRow.__table__
        with self._writing() as connection:
            connection.execute(
                lease.delete().where(LeaseRow.site == site, LeaseRow.holder == holder)  # type: ignore[attr-defined]  # __table__ is typed as FromClause
            )

    def lease(self, site: str) -> Lease | None:
        """The lease of a site as it stands, lapsed or not."""
        with self._reading() as connection:
            return _lease(connection, site)


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


def _put(connection: Connection, means: Sequence[MinuteMean]) -> None:
    statement = upsert(MinuteRow)
    fields = (
        "p_kw", "q_kvar", "v_pu", "soc_pct", "capped", "cap_kw", "available_kw", "polls", "minutes",
    )  # fmt: skip
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["device", "time"],
            set_={name: statement.excluded[name] for name in fields},
        ),
        [rows.minute(mean) for mean in means],
    )


def _lease(connection: Connection, site: str) -> Lease | None:
    query = select(LeaseRow.holder, LeaseRow.ends).where(LeaseRow.site == site)
    found = connection.execute(query).one_or_none()
    return None if found is None else Lease(site=site, holder=found.holder, ends=found.ends)


def _held(lease: Lease) -> str:
    return (
        f"site {lease.site} is already run by {describe(lease.holder)} until "
        f"{lease.ends:%Y-%m-%d %H:%M:%S} UTC unless renewed; stop that one first, or wait"
    )
