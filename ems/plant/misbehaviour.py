"""Ways a device can go wrong without falling silent."""

from enum import StrEnum


class Misbehaviour(StrEnum):
    """What a fault drill lets a device do."""

    SLOW = "slow"
    """Takes longer to answer than anyone waits."""
    DEAF = "deaf"
    """Acknowledges writes and applies nothing: they do not read back."""
    STUCK = "stuck"
    """Takes writes and shows them, and goes on delivering what it was ordered before."""
    BLIND = "blind"
    """Its measurements read as not available (NaN)."""
    FROZEN = "frozen"
    """Its measurements and its heartbeat stand still."""
    BUSY = "busy"
    """Turns the next requests away: exception 6."""
    REBOOT = "reboot"
    """Drops its connections and comes back at once, controls as after power-up."""
    LOCAL = "local"
    """Somebody at the device has taken control: 715.LocRemCtl, and writes are refused."""
    WRONG_SCALE = "wrong scale"
    """Shows its active power with a scale factor that is one too large."""
