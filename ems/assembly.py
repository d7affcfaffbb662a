"""The one place where a site's parts are put together: settings in, a working site out."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from ems.constrain import largest_safe_share, reversion_violations
from ems.cycle import run_cycle
from ems.domain import CycleRecord, DeviceAddress, Policy, Site
from ems.errors import BadInput
from ems.forecast import LadderForecaster
from ems.gateways.sunspec import SunSpecField
from ems.outlook import TariffOutlook
from ems.ports import Network, Ports
from ems.settings import Settings
from ems.store import Holder, Store
from ems.tariff import Tariff
from feeders import Feeder

ONE_CYCLE_S = 120.0
"""Longer than any single cycle: its lease lapses by itself when the process dies [s]."""


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
    learn: Callable[[datetime], None] = field(default=lambda _now: None)
    """Called after each cycle: what takes a second and can wait until devices are written."""

    def run(self, now: datetime) -> CycleRecord:
        """One cycle; the next one falls back on it, and on what is learnt after it."""
        record = self._cycle(now)
        self.learn(now)
        return record

    def _cycle(self, now: datetime) -> CycleRecord:
        record = run_cycle(
            self.site, self.policy, self.tariff.price(now), self.ports, now, self.previous
        )
        self.previous = record
        return record

    def run_once(self, now: datetime) -> CycleRecord:
        """One cycle outside the service, as the site's only writer meanwhile.

        Raises:
            LeaseHeld: the service, or another process, runs this site.
        """
        holder = str(Holder.this_process())
        self.store.take_lease(self.site.name, holder, ONE_CYCLE_S, now)
        try:
            return self._cycle(now)
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
        feeder = Feeder.open(settings.feeder_source(), site.placements)
        stack.callback(feeder.close)
        check_reversion(site, feeder, settings.file.name)
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
            ),
            store=store,
            previous=latest,
            learn=partial(forecaster.learn, site, store),
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
