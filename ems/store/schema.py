"""Tables of the database. A change here needs a revision in `migrations/versions`.

SQLite keeps a NaN as NULL; a column that may be handed one is therefore nullable.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Dialect, Double, ForeignKey, Index, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time, kept as whole microseconds since 1970: exact, short, sortable.

    In SQL: `datetime(column / 1000000, 'unixepoch')`.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002  signature of the base
        """To the database."""
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  signature of the base
        """From the database."""
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {datetime: UtcTime, str: Text, float: Double}  # noqa: RUF012  read by the base as it stands


class CycleRow(Base):
    """One cycle record. A second record for an interval is kept beside the first."""

    __tablename__ = "cycles"
    __table_args__ = (
        Index("cycles_by_start", "start"),
        # AUTOINCREMENT: an id is never given twice, so the greatest is always the newest.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    site: Mapped[str]
    start: Mapped[datetime]
    status: Mapped[str]
    cost_usd_per_h: Mapped[float | None]
    json: Mapped[str]
    setup: Mapped[str | None]
    """Digest of what it was run with."""


class SetupRow(Base):
    """What cycles were run with: site, policy, the mark of the feeder."""

    __tablename__ = "setups"

    digest: Mapped[str] = mapped_column(primary_key=True)
    json: Mapped[str]


class SetpointRow(Base):
    """One DER's setpoint of one cycle, its outcome and its read-back."""

    __tablename__ = "setpoints"
    __table_args__ = (Index("setpoints_by_start", "start"),)

    cycle_id: Mapped[int] = mapped_column(
        ForeignKey("cycles.id", ondelete="CASCADE"), primary_key=True
    )
    der: Mapped[str] = mapped_column(primary_key=True)
    start: Mapped[datetime]
    p_kw: Mapped[float | None]
    q_kvar: Mapped[float | None]
    cap_kw: Mapped[float | None]
    outcome: Mapped[str]
    reason: Mapped[str]
    readback_p_kw: Mapped[float | None]
    readback_q_kvar: Mapped[float | None]
    readback_cap_kw: Mapped[float | None]


class ForecastRow(Base):
    """What one cycle expected of one PV plant, or of the load."""

    __tablename__ = "forecasts"
    __table_args__ = (Index("forecasts_by_start", "start"),)

    cycle_id: Mapped[int] = mapped_column(
        ForeignKey("cycles.id", ondelete="CASCADE"), primary_key=True
    )
    device: Mapped[str] = mapped_column(primary_key=True)
    start: Mapped[datetime]
    expected_kw: Mapped[float | None]
    lower_kw: Mapped[float | None]
    upper_kw: Mapped[float | None]
    method: Mapped[str]
    quantiles_kw: Mapped[str | None]
    notes: Mapped[str | None]
    """JSON; NULL where there are none."""


class MinuteRow(Base):
    """Minute mean of one device; clustered by device and time."""

    __tablename__ = "minutes"
    __table_args__ = (
        Index("minutes_by_time", "time"),
        {"sqlite_with_rowid": False},
    )

    device: Mapped[str] = mapped_column(primary_key=True)
    time: Mapped[datetime] = mapped_column(primary_key=True)
    p_kw: Mapped[float]
    q_kvar: Mapped[float | None]
    v_pu: Mapped[float | None]
    soc_pct: Mapped[float | None]
    capped: Mapped[bool]
    cap_kw: Mapped[float | None]
    available_kw: Mapped[float | None]
    polls: Mapped[int]
    minutes: Mapped[int]


class MissedRow(Base):
    """Intervals for which no cycle ran."""

    __tablename__ = "missed"

    id: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[datetime] = mapped_column(index=True)
    intervals: Mapped[int]
    reason: Mapped[str]


class LeaseRow(Base):
    """Who may write to the devices of a site."""

    __tablename__ = "leases"

    site: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    ends: Mapped[datetime]


class DermsDocumentRow(Base):
    """One document of the IEEE 2030.5 server's present state."""

    __tablename__ = "derms_documents"
    __table_args__ = (
        Index("derms_documents_by_key", "kind", "key", unique=True),
        # AUTOINCREMENT: the order of the ids is that in which documents were first kept.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str]
    owner: Mapped[str]
    body: Mapped[str]
    time: Mapped[int] = mapped_column(BigInteger)


class DermsEntryRow(Base):
    """Something that happened at the IEEE 2030.5 server."""

    __tablename__ = "derms_entries"
    __table_args__ = (
        Index("derms_entries_by_time", "kind", "time"),
        Index("derms_entries_by_owner", "owner", "kind", "time"),
        Index("derms_entries_by_key", "key", "kind", "time"),
        # AUTOINCREMENT: an id is never given twice, so ids tell the order.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    owner: Mapped[str]
    key: Mapped[str]
    body: Mapped[str]
    time: Mapped[int] = mapped_column(BigInteger)
