"""Who runs the cycles of a site, and when nobody did."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from ems.errors import LeaseHeld
from ems.store.database import Database
from ems.store.lease import Holder, describe
from ems.store.schema import LeaseRow, MissedRow
from ems.store.values import Lease, MissedRun


class Runs(Database):
    """The lease of the only writer, and the runs that were missed."""

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


def _lease(connection: Connection, site: str) -> Lease | None:
    query = select(LeaseRow.holder, LeaseRow.ends).where(LeaseRow.site == site)
    found = connection.execute(query).one_or_none()
    return None if found is None else Lease(site=site, holder=found.holder, ends=found.ends)


def _held(lease: Lease) -> str:
    return (
        f"site {lease.site} is already run by {describe(lease.holder)} until "
        f"{lease.ends:%Y-%m-%d %H:%M:%S} UTC unless renewed; stop that one first, or wait"
    )
