"""What happened long ago goes: readings, responses and log events of devices.

The audit is never pruned: each of its entries is sealed with the hash of the one before it.
"""

import logging
from concurrent.futures import Future

from ems.derms.keeping import Keeper

PRUNED = ("reading", "response", "log")
"""Kinds of the entries that go."""
BATCH = 1000
"""Of each kind at once: the writer is held up for some hundredths of a second."""
LOOK_S = 60
"""How often it looks for what has become old [s]; while there is more, with every step."""

_DAY_S = 86_400
_log = logging.getLogger(__name__)


class Retention:
    """Prunes what a keeper kept, batch by batch; owned by the server's loop."""

    def __init__(self, keeper: Keeper, keep_days: int) -> None:
        """Prune from the first `step` on.

        Args:
            keeper: keeps what happened.
            keep_days: for how long [d].
        """
        self._keeper = keeper
        self._keep_s = keep_days * _DAY_S
        self._next = 0
        """When it looks again [s since 1970, UTC]."""
        self._under_way: Future[int] | None = None

    def step(self, now: int) -> None:
        """Begin the next batch where one is due; never waits.

        Args:
            now: the server's time [s since 1970, UTC].
        """
        if self._under_way is not None:
            if not self._under_way.done():
                return
            done, self._under_way = self._under_way, None
            if (fault := done.exception()) is not None:
                _log.warning("what is older than keep_days could not be pruned: %s", fault)
            elif done.result() >= BATCH:
                self._next = now
        if abs(self._next - now) <= LOOK_S and now < self._next:
            return
        self._next = now + LOOK_S
        self._under_way = self._keeper.prune(PRUNED, before=now - self._keep_s, most=BATCH)
