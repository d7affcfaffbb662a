"""Time that runs out for a setting that nobody refreshes."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(slots=True)
class ReversionTimer:
    """Counts down in simulated time from the last write."""

    due: datetime | None = None
    """When it expires; None while it is not armed."""

    def arm(self, now: datetime, seconds: int) -> None:
        """Start anew; 0 s means never to revert."""
        self.due = now + timedelta(seconds=seconds) if seconds > 0 else None

    def remaining_s(self, now: datetime) -> int:
        """Seconds left, 0 while not armed [s]."""
        return 0 if self.due is None else max(0, round((self.due - now).total_seconds()))

    def expire(self, now: datetime) -> bool:
        """Whether it has just run out; it then stands disarmed."""
        if self.due is None or now < self.due:
            return False
        self.due = None
        return True
