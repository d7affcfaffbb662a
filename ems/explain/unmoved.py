"""DERs that were not moved in an interval, and why, in the words of the sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ems.domain import DerReading, Dispatch, Forecast, Quality, Site, Snapshot, Unmoved, named
from ems.explain.figures import MOST_NAMED, joined, power, share

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """What is known of an interval's DERs that were not commanded."""

    snapshot: Snapshot
    forecast: Forecast
    pins: Mapping[str, Unmoved]
    """What they may do."""

    @property
    def silent(self) -> frozenset[str]:
        """Of them, those that do not answer."""
        ders = self.snapshot.ders.values()
        return frozenset(r.der for r in ders if r.quality is not Quality.GOOD)

    def nobody(self, site: Site) -> str:
        """One sentence where no DER answers; empty where one does.

        It quotes why of the first few, and with that their addresses.
        """
        readings = [self.snapshot.ders[der.name] for der in site.ders]
        if not readings or len(self.silent) < len(readings):
            return ""
        why = [named(r.der, r.note.partition(";")[0]) for r in readings[:MOST_NAMED]]
        more = f"; and {len(readings) - MOST_NAMED} more" if len(readings) > MOST_NAMED else ""
        simulated = any(host in line for line in why for host in LOOPBACK)
        start = ", or start `geems plant` with this site file" if simulated else ""
        return (
            f"No device answers, so nothing is sent ({'; '.join(why)}{more}): check the network "
            f"and the addresses in the site file{start}."
        )

    def words(self, site: Site, held: Dispatch) -> str:
        """`pv is silent and reckoned at 1.00 of 8.30 MW`; empty where all could be moved."""
        groups: dict[str, list[str]] = {}
        for der in site.ders:
            if der.name in self.pins:
                groups.setdefault(_state(self.snapshot.ders[der.name]), []).append(der.name)
        return "; ".join(self._group(how, names, held) for how, names in groups.items())

    def _group(self, how: str, names: Sequence[str], held: Dispatch) -> str:
        if len(names) == 1:
            return f"{names[0]} is {how} and reckoned at {self._reckoned(names, held)}"
        if len(names) <= MOST_NAMED:
            each = [f"{name} (reckoned at {self._reckoned([name], held)})" for name in names]
            return f"{joined(each)} are {how}"
        return f"{len(names)} devices are {how} and reckoned at {self._reckoned(names, held)}"

    def _reckoned(self, names: Sequence[str], held: Dispatch) -> str:
        """What they most likely give together; where they are plants, of what the sun offers."""
        skies = self.forecast.unkept(self.pins).pv
        given_kw = offered_kw = 0.0
        for name in names:
            at = held.setpoints[name]
            if name in skies:  # without a cap it gives what the sun does
                sun_kw = skies[name].expected_kw
                given_kw += sun_kw if at.cap_kw is None else min(sun_kw, at.cap_kw)
                offered_kw += sun_kw
            else:
                given_kw += at.p_kw
        together = " together" if len(names) > 1 else ""
        if all(name in skies for name in names) and offered_kw - given_kw > 1.0:
            return share(given_kw, offered_kw) + together
        return power(given_kw) + together


def _state(reading: DerReading) -> str:
    if reading.quality is not Quality.GOOD:
        return "silent"
    if reading.local:
        return "under local control"
    if reading.limited:
        return "limited by somebody else"
    return "disconnected by others" if reading.off else "not following"
