"""What others held devices to when a decision was made, and what of it has changed since."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from ems.domain import CycleRecord, Der, DerReading
from ems.response import OwnCaps, own_caps, tolerance_kw


class Change(NamedTuple):
    """Why a device no longer is what the decision reckoned with."""

    why: str
    at_large: bool = False
    """Whether it holds neither a command nor a limit now: making room waits for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoned:
    """Of one decision."""

    own_caps: OwnCaps = field(default_factory=dict)
    """Caps of ours; any other cap that a device shows is somebody else's."""
    limited: Mapping[str, float] = field(default_factory=dict)
    """Caps of somebody else [kW]."""
    most: Mapping[str, float | None] = field(default_factory=dict)
    """Limits that devices were commanded within; None: there was none [kW]."""
    off: frozenset[str] = frozenset()
    """Devices that others disconnected."""

    @classmethod
    def of(cls, record: CycleRecord) -> Self:
        """What a cycle reckoned with."""
        ders = record.snapshot.ders
        return cls(
            own_caps=own_caps(record, {}),
            limited={n: r.cap_kw for n, r in ders.items() if r.limited and r.cap_kw is not None},
            most={n: r.most_kw for n, r in ders.items()},
            off=frozenset(n for n, r in ders.items() if r.off),
        )

    def changes(self, der: Der, reading: DerReading) -> Iterator[Change]:
        """What a device shows that was not so; the last one says it best."""
        yield from self._looser(der.name, reading)
        yield from self._tighter(der, reading)

    def newly_off(self, name: str, reading: DerReading | None) -> bool:
        """Whether others disconnect a device that the decision counts on.

        What was asked of it is neither to be judged nor asked again, before the next decision or
        until they lift that.
        """
        return reading is not None and reading.off and name not in self.off

    def _looser(self, name: str, reading: DerReading) -> Iterator[Change]:
        """A plant that somebody else limited may make more."""
        if (cap_kw := self.limited.get(name)) is None or reading.cap_kw == cap_kw:
            return
        if not reading.limited:
            gone = f"the limit of {cap_kw:.0f} kW that somebody else set is gone"
            yield Change(gone, at_large=True)
        elif reading.cap_kw is not None and reading.cap_kw > cap_kw:
            yield Change(f"somebody else raised its limit of {cap_kw:.0f} kW")

    def _tighter(self, der: Der, reading: DerReading) -> Iterator[Change]:
        """A plant is limited to less, within which its command goes on; or it is disconnected."""
        if self.newly_off(der.name, reading):
            yield Change("others of its server disconnect it")
            return
        if reading.most_kw is None or der.name not in self.most:
            return
        reckoned_kw = self.most[der.name]
        before_kw = der.rated_kw if reckoned_kw is None else reckoned_kw
        if reading.most_kw < before_kw - tolerance_kw(der):
            yield Change(f"another program of its server limits it to {reading.most_kw:.0f} kW")
