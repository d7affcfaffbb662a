"""How often devices may register themselves: each certificate, and all together.

A registration is parsed, checked, audited and kept for good. Whoever has a certificate of ours, and
a fault or worse intentions, must not fill the database or keep others from being answered.
"""

import math

_MINUTE_S = 60
_MOST_KNOWN = 10_000
"""Certificates that are remembered; those that have saved up everything again go first."""


class Allowance:
    """So many in a minute; who was quiet has saved up those of one minute."""

    def __init__(self, per_minute: int) -> None:
        """All of it is there.

        Args:
            per_minute: how many.
        """
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._at: int | None = None

    def wait_s(self, now: int) -> int:
        """How long until the next one may be taken; 0: at once [s].

        Args:
            now: [s]. Where the clock is set back, nothing is added until it has caught up.
        """
        if self._at is None or now > self._at:
            passed = 0 if self._at is None else now - self._at
            self._left = min(self._per_minute, self._left + passed * self._per_minute / _MINUTE_S)
            self._at = now
        if self._left >= 1:
            return 0
        return math.ceil((1 - self._left) * _MINUTE_S / self._per_minute)

    def take(self) -> None:
        """One is taken."""
        self._left -= 1

    @property
    def whole(self) -> bool:
        """All of it is there."""
        return self._left >= self._per_minute


class Registrations:
    """The allowance of each certificate, and that of all together."""

    def __init__(self, *, each: int, together: int) -> None:
        """Nobody has registered yet.

        Args:
            each: registrations in a minute by one certificate.
            together: by all.
        """
        self._each = each
        self._of: dict[str, Allowance] = {}
        self._together = Allowance(together)

    def take(self, lfdi: str, now: int) -> tuple[int, int]:
        """Take one, where both allow it.

        Args:
            lfdi: of the certificate.
            now: [s].

        Returns:
            How long this certificate, and how long everybody has to wait; 0 and 0: it is taken [s].
        """
        own = self._of.get(lfdi)
        if own is None:
            own = self._of[lfdi] = Allowance(self._each)
        waits = own.wait_s(now), self._together.wait_s(now)
        if waits == (0, 0):
            own.take()
            self._together.take()
            if len(self._of) > _MOST_KNOWN:
                self._forget(now)
        return waits

    def _forget(self, now: int) -> None:
        """Drop who has saved up everything, and where nobody has, who came first."""
        for known in self._of.values():
            known.wait_s(now)
        kept = {lfdi: known for lfdi, known in self._of.items() if not known.whole}
        self._of = dict(list(kept.items())[-_MOST_KNOWN // 2 :])
