"""Keeping the right to be the only writer of a site."""

import logging
from datetime import datetime

from ems.clock import Clock
from ems.errors import LeaseHeld
from ems.store import Holder, Store, describe

log = logging.getLogger(__name__)

LEASE_S = 60.0
"""How long a lease lasts without renewal: six polls at the default rate [s]."""


class LeaseKeeper:
    """The lease of one site, taken by this process; safe from several threads."""

    def __init__(self, store: Store, site: str, clock: Clock) -> None:
        """Take nothing yet.

        Args:
            store: where the lease is kept.
            site: the site's name.
            clock: real time, which other processes share.
        """
        self._store = store
        self._site = site
        self._clock = clock
        self._holder = str(Holder.this_process())
        self._ends: datetime | None = None
        self.lost = ""
        """Who has it instead; empty while it is held."""

    @property
    def held(self) -> bool:
        """Whether this process is the writer, as far as it knows."""
        return self._ends is not None

    @property
    def holder(self) -> str:
        """Who has the lease, for people."""
        return describe(self._holder) if self.held else self.lost

    def take(self) -> None:
        """Take or renew it now.

        Raises:
            LeaseHeld: another process has it.
            StoreFault: the database cannot be written.
        """
        self._clock.follow()  # other processes go by what the machine's clock shows now
        now = self._clock.now()
        lease = self._store.take_lease(self._site, self._holder, LEASE_S, now)
        self._ends, self.lost = lease.ends, ""

    @property
    def renewal_is_due(self) -> bool:
        """Whether a third of it has passed, or it is not held."""
        left_s = (self._ends - self._clock.now()).total_seconds() if self._ends else 0.0
        return left_s <= LEASE_S * 2 / 3

    def renew(self) -> None:
        """Renew it, or take it where it has become free; afterwards see `held`.

        Raises:
            StoreFault: the database cannot be written. The lease stays as it is: nobody
                else can take it there either, so control goes on.
        """
        try:
            self.take()
        except LeaseHeld as held:
            if not self.lost:
                log.error("the lease is lost, nothing is written any more: %s", held)  # noqa: TRY400  an expected end
            self._ends, self.lost = None, str(held)

    def release(self) -> None:
        """Give it back; nothing happens where another has it.

        Raises:
            StoreFault: the database cannot be written; the lease lapses by itself.
        """
        self._store.release(self._site, self._holder)
        self._ends = None
