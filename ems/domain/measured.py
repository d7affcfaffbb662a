"""What is measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from feeders.values import Regulation

PLAUSIBLE = 1.25
"""Power above this multiple of the rating is a fault of the measurement: cloud enhancement
and overload stay below it."""


class Quality(StrEnum):
    """How far a measured value may be trusted."""

    GOOD = "good"
    STALE = "stale"
    """Last good value, older than it should be."""
    ASSUMED = "assumed"
    """No value at all: a conservative one stands in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerReading:
    """What one DER reports."""

    der: str
    time: datetime
    """When it was measured, UTC."""
    p_kw: float
    q_kvar: float
    v_pu: float | None = None
    soc_pct: float | None = None
    """State of charge; None for anything that is not a battery [%]."""
    cap_kw: float | None = None
    """Active-power cap in force in the device; None when it has none [kW]."""
    limited: bool = False
    """Under a cap that somebody else set: it is not commanded, for that cap is not to be raised."""
    most_kw: float | None = None
    """PV: most that a limit lets it give which the site's own server tells it besides our commands;
    it is commanded within that. None: there is no such limit [kW]."""
    off: bool = False
    """Others of the site's own server disconnect it, whatever we command: it gives no active and no
    reactive power. It is commanded all the same, to be off."""
    lifted: bool = False
    """PV: its cap is one of others that was laid into what it holds of us, and that they have
    lifted or raised since."""
    p_set_kw: float | None = None
    """What its registers order, 0 where that control is off; None where they do not tell [kW]."""
    q_set_kvar: float | None = None
    """The same of reactive power [kvar]."""
    available_kw: float | None = None
    """PV: power it says it could make, were it not capped; None where it does not say [kW]."""
    rated_kw: float | None = None
    """Rating the device reports [kW]."""
    hz: float | None = None
    """Frequency at its terminals; None where it does not say [Hz]."""
    connected: bool | None = None
    """Whether it is connected to the grid; None where it does not say."""
    heartbeat: int | None = None
    """A counter that a living device moves; None where it has none."""
    local: bool = False
    """Under local control: somebody works on it, and it takes no command."""
    heard: bool = True
    """Whether it has ever answered; where not, its values stand for none at all."""
    quality: Quality = Quality.GOOD
    note: str = ""
    """Why the quality is not good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReading:
    """What the aggregate load meter reports."""

    time: datetime
    p_kw: float
    q_kvar: float | None = None
    quality: Quality = Quality.GOOD
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of the segment at one instant."""

    time: datetime
    ders: Mapping[str, DerReading]
    """One reading per DER of the site, always complete: missing ones are `ASSUMED`."""
    load: LoadReading
    head_v_pu: float | None = None
    """Measured source voltage; None: the feeder file's [pu]."""
    regulation: Regulation | None = None
    """Where taps and capacitors stand, measured or as the last load flow left them; None: as
    the feeder file leaves them."""

    @property
    def faults(self) -> tuple[str, ...]:
        """What is not good about this snapshot, one line each."""
        notes = [named(r.der, r.note) for r in self.ders.values() if r.quality is not Quality.GOOD]
        if self.load.quality is not Quality.GOOD:
            notes.append(named("load", self.load.note))
        return tuple(notes)


def named(device: str, said: str) -> str:
    """What is said of a device, its name in front once: many a message begins with it."""
    return said if said.startswith((f"{device}: ", f"{device} at ")) else f"{device}: {said}"
