"""The one place where a site's parts are put together: settings in, a working site out."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from ems.command import Astray, command
from ems.constrain import holding_violations, largest_safe_share, reversion_violations
from ems.cycle import run_cycle
from ems.domain import CycleRecord, DeviceAddress, Outcome, Policy, Site, Watched
from ems.errors import BadInput
from ems.forecast import LadderForecaster
from ems.gateways.sunspec import SunSpecField
from ems.measure import measure
from ems.outlook import TariffOutlook
from ems.ports import Network, Ports
from ems.response import own_caps, with_foreign_caps
from ems.settings import Settings
from ems.store import Holder, Store
from ems.tariff import Tariff
from ems.unmoved import left_behind, limited, reverted
from feeders import Feeder, fingerprint

log = logging.getLogger(__name__)

ONE_CYCLE_S = 120.0
"""Longer than any single cycle: its lease lapses by itself when the process dies [s]."""
ONCE_REVERSION_S = 1200
"""Shortest timer of a cycle that nobody refreshes: its interval, and five minutes until the next
run at the latest [s]."""


@dataclass(slots=True, kw_only=True)
class OpenSite:
    """A site with its connections open."""

    site: Site
    policy: Policy
    tariff: Tariff
    ports: Ports
    store: Store
    previous: CycleRecord | None = field(default=None)
    """The cycle before: what readings fall back on, and what the devices hold."""
    inherited: bool = field(default=False)
    """Whether that one was run by another process: how long ago is not known for certain."""
    learn: Callable[[datetime], None] = field(default=lambda _now: None)
    """Called after each cycle: what takes a second and can wait until devices are written."""
    holding: frozenset[str] = field(default=frozenset())
    """Devices known to keep their last command when GEEMS is silent."""
    unproved: str = field(default="")
    """What nobody can promise of them, for people; empty where nothing is to be feared."""

    def run(self, now: datetime, watched: Watched | None = None) -> CycleRecord:
        """One cycle; the next one falls back on it, and on what is learnt after it."""
        record = self._cycle(self.policy, now, watched)
        self.learn(now)
        self._judge_holding()
        return record

    def _judge_holding(self) -> None:
        """Whether a device of SunSpec's older models has a timer is known once it was written."""
        in_force = self.previous.in_force if self.previous else {}
        holding = self.holding | {name for name, at in in_force.items() if not at.reverts}
        if holding != self.holding:
            self.holding = holding
            self.unproved = unproved(self.site, self.ports.network, holding)
            if self.unproved:
                log.warning("%s", self.unproved)

    def _cycle(self, policy: Policy, now: datetime, watched: Watched | None) -> CycleRecord:
        before = self.previous
        if before is not None and self.inherited:
            before = replace(before, in_force=left_behind(before, now))
        record = run_cycle(
            self.site, policy, self.tariff.price(now), self.ports, now, before, watched
        )
        self.previous, self.inherited = record, False
        return record

    def run_once(self, now: datetime) -> CycleRecord:
        """One cycle outside the service, as the site's only writer meanwhile.

        Nobody refreshes what it writes, so the timers outlast the interval.

        Raises:
            LeaseHeld: the service, or another process, runs this site.
        """
        reversion_s = max(self.policy.reversion_s, ONCE_REVERSION_S)
        policy = replace(self.policy, reversion_s=reversion_s, keep_alive_s=None)
        with self._only_writer(now):
            return self._cycle(policy, now, None)

    def release(self, now: datetime) -> Mapping[str, Outcome]:
        """Hand control back: every device is written what it would fall back to by itself.

        These values are proved safe together. What relieves the network is written first. A plant
        that somebody else limits is left alone.

        Raises:
            LeaseHeld: the service, or another process, runs this site.
        """
        policy = replace(self.policy, keep_alive_s=None)
        with self._only_writer(now):
            snapshot = measure(self.site, policy, self.ports.field, now)
            last = self.previous
            before = [n for n, r in last.snapshot.ders.items() if r.limited] if last else []
            shown = with_foreign_caps(self.site, snapshot.ders, own_caps(last, {}), before)
            astray = {
                name: Astray(why=limited(reading.cap_kw), asked=None)
                for name, reading in shown.items()
                if reading.limited and reading.cap_kw is not None
            }
            return command(
                self.site,
                policy,
                snapshot,
                {d.name: reverted(d) for d in self.site.ders},
                (),
                astray,
                self.ports.field,
            )

    @contextmanager
    def _only_writer(self, now: datetime) -> Iterator[None]:
        holder = str(Holder.this_process())
        self.store.take_lease(self.site.name, holder, ONE_CYCLE_S, now)
        try:
            yield
        finally:
            self.store.release(self.site.name, holder)


@contextmanager
def open_site(
    settings: Settings, addresses: Mapping[str, DeviceAddress] | None = None
) -> Iterator[OpenSite]:
    """Open feeder, database and field links of a site; closed when the block ends.

    Args:
        settings: the site file.
        addresses: of the devices, instead of those in the site file.

    Raises:
        FeederFault: the feeder does not compile or lacks a bus.
        BadInput: the reversion values together are unsafe.
        StoreFault: the database cannot be opened.
    """
    site = settings.to_site()
    with ExitStack() as stack:
        mark = fingerprint(settings.feeder_source())
        feeder = Feeder.open(settings.feeder_source(), site.placements)
        stack.callback(feeder.close)
        check_reversion(site, feeder, settings.file.name)
        holding = frozenset(der.name for der in settings.ders if der.device.holds_on)
        told = unproved(site, feeder, holding)
        if told:
            log.warning("%s", told)
        store = Store.open(settings.store_path())
        stack.callback(store.close)
        links = SunSpecField(site, addresses or settings.addresses())
        stack.callback(links.close)
        latest = store.latest()
        forecaster = LadderForecaster(
            settings.forecast.method,
            models=settings.models_path(),
            confidence=settings.dispatch.confidence,
            zone=ZoneInfo(settings.site.timezone),
        )
        yield OpenSite(
            site=site,
            policy=settings.to_policy(),
            tariff=settings.to_tariff(),
            ports=Ports(
                field=links,
                network=feeder,
                history=store,
                forecaster=forecaster,
                journal=store,
                outlook=TariffOutlook(
                    settings.to_tariff(),
                    forecaster=forecaster,
                    models=settings.models_path(),
                    weather_file=settings.weather_path(),
                ),
                feeder=mark,
            ),
            store=store,
            previous=latest,
            inherited=latest is not None,
            learn=partial(forecaster.learn, site, store),
            holding=holding,
            unproved=told,
        )


def check_reversion(site: Site, network: Network, place: str) -> None:
    """Refuse a site whose devices would break limits when GEEMS is silent.

    Raises:
        BadInput: names the worst violation and the caps that would be safe.
    """
    broken = reversion_violations(site, network)
    if not broken:
        return
    share = largest_safe_share(site, network)
    safe = ", ".join(f"{pv.name} {share * pv.reversion_kw:.0f}" for pv in site.pvs)
    mend = (
        f"lower reversion_kw of the PV plants, at most: {safe}"
        if share > 0.0
        else "no PV cap mends it: check load.min_kw, the feeder and the DGs' reversion_kw"
    )
    raise BadInput.at(
        f"{place}: reversion_kw",
        f"together, at load.min_kw under a clear sky, the reversion values break a limit: "
        f"{broken[0]}; {mend}",
    )


def unproved(site: Site, network: Network, holding: Collection[str]) -> str:
    """What nobody can promise of devices that keep their last command when GEEMS is silent.

    No fault: without GEEMS such a device is not safer, and no key of the site file mends it.

    Args:
        site: what is installed.
        network: its feeder.
        holding: names of the devices that have no timer.

    Returns:
        For people; empty where the limits are kept whatever these devices hold.
    """
    broken = holding_violations(site, network, holding)
    if not broken:
        return ""
    names = ", ".join(name for name in site.names if name in holding)
    one = len(holding) == 1
    keep, they, them = ("keeps its", "it", "it") if one else ("keep their", "they", "them")
    return (
        f"not proved safe when GEEMS dies: {names} {keep} last command, and what {they} may be "
        f"told could break {'; '.join(str(v) for v in broken)}; give {them} a timer, or a limit "
        "of the device's own"
    )
