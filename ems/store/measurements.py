"""Minute means of what was measured, and the series that are read out of them."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from ems.clock import interval_start
from ems.store import rows
from ems.store.database import Database
from ems.store.schema import MinuteRow
from ems.store.values import LOAD, MinuteMean

if TYPE_CHECKING:  # pandas is loaded where histories are read
    import pandas as pd

    from forecasting.record import PlantRecord


class Measurements(Database):
    """Minute means of devices and load."""

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
