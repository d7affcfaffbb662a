"""The one place where a site's parts are put together: settings in, a working site out."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ems.assembly.links import Clients, clients_of, field_of, utility_of
from ems.assembly.meter import NetMeter
from ems.clock import Clock, WallClock
from ems.command import Astray, command
from ems.constrain import check_reversion, unproved
from ems.cycle import run_cycle
from ems.domain import (
    CycleRecord,
    DerReading,
    DeviceAddress,
    Imposed,
    Outcome,
    Policy,
    Quality,
    Sent,
    Site,
    Watched,
)
from ems.forecast import LadderForecaster
from ems.measure import measure
from ems.outlook import TariffOutlook
from ems.ports import Ports
from ems.response import own_caps, with_foreign_caps
from ems.settings import Settings
from ems.store import Holder, Store
from ems.tariff import Tariff
from ems.unmoved import Held, left_behind, limited, reverted
from feeders import Feeder, fingerprint

if TYPE_CHECKING:  # the client of IEEE 2030.5: half a second, and most sites follow nobody
    from ems.gateways.ieee2030_5.utility import Utility

log = logging.getLogger(__name__)

ONE_CYCLE_S = 120.0
"""Longer than any single cycle of devices that answer at once: its lease lapses by itself when the
process dies [s]."""
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
    clock: Clock = field(default_factory=WallClock)
    """Goes on by the time that passes; the server of `clients` tells it to them."""
    clients: Clients | None = field(default=None)
    """The server of the DERs that speak IEEE 2030.5; None: there is none."""
    utility: "Utility | None" = field(default=None)
    """The utility that the site follows; None: none."""

    def begin(self) -> None:
        """Answer clients, and follow the utility: from now on, until the site is closed.

        Raises:
            PortInUse: another program listens there.
        """
        if self.clients is not None:
            self.clients.begin()
        if self.utility is not None:
            self.utility.start()

    def ready(self) -> None:
        """Return once clients and utility were heard, or had the time for it; later at once."""
        if self.utility is not None:
            self.utility.ready()
        if self.clients is not None:
            self.clients.ready()

    def end(self) -> None:
        """Wait for nobody any more."""
        if self.utility is not None:
            self.utility.end()
        if self.clients is not None:
            self.clients.end()

    def imposed(self) -> Imposed | None:
        """What the utility limits the site to now; None: there is none to follow."""
        return self.utility.limits() if self.utility is not None else None

    def measured(self, answers: Mapping[str, object]) -> None:
        """Tell the utility what the DERs do, as of when the oldest was measured.

        Nothing, where one of them is not heard: what the others do is not what the site does.
        """
        found = [answers.get(name) for name in self.site.names]
        known = [r for r in found if isinstance(r, DerReading) and r.quality is Quality.GOOD]
        if self.utility is None or not known or len(known) < len(found):
            return
        self.utility.der.report(
            sum(r.p_kw for r in known),
            sum(r.q_kvar for r in known),
            min(r.time for r in known).timestamp(),
        )

    def concerns(self) -> tuple[str, ...]:
        """What is not as it should be beside the cycles, for people; alarms."""
        unkept = self.clients.unkept() if self.clients is not None else ""
        asked = self.imposed()
        by_the_utility = (asked.lost, *asked.alarms) if asked is not None else ()
        return tuple(one for one in (self.unproved, unkept, *by_the_utility) if one)

    def links(self) -> Mapping[str, str]:
        """What else is served or followed, and how that does; for people."""
        found = {}
        if self.clients is not None:
            found["ieee2030_5"] = self.clients.told()
        if self.utility is not None:
            found["utility"] = self.utility.told()
        return found

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
            before = replace(before, in_force=self._left_behind(before, now))
        record = run_cycle(
            self.site, policy, self.tariff.price(now), self.ports, now, before, watched,
            self.imposed(),
        )  # fmt: skip
        if self.utility is not None:
            self.measured(record.snapshot.ders)
        self.previous, self.inherited = record, False
        return record

    def _left_behind(self, before: CycleRecord, now: datetime) -> Held:
        """What devices hold of another process; of what was handed back nothing is known."""
        held = left_behind(before, now)
        if self.clients is None:
            return held
        handed_back = self.clients.link.handed_back(self.clients.ders)
        return {name: at for name, at in held.items() if name not in handed_back}

    def run_once(self, now: datetime) -> CycleRecord:
        """One cycle outside the service, as the site's only writer meanwhile.

        Nobody refreshes what it writes, so the timers outlast the interval.

        Raises:
            LeaseHeld: the service, or another process, runs this site.
        """
        reversion_s = max(self.policy.reversion_s, ONCE_REVERSION_S)
        policy = replace(self.policy, reversion_s=reversion_s, keep_alive_s=None)
        with self._only_writer(now):
            return self._cycle(policy, now + self._begun(), None)

    def release(self, now: datetime) -> Mapping[str, Outcome]:
        """Hand control back: every device is written what it would fall back to by itself.

        These values are proved safe together. What relieves the network is written first. A plant
        that somebody else limits is left alone. Clients that other programs of the server ask
        something are left to these.

        Raises:
            LeaseHeld: the service, or another process, runs this site.
        """
        policy = replace(self.policy, keep_alive_s=None)
        with self._only_writer(now):
            now += self._begun()
            snapshot = measure(self.site, policy, self.ports.field, now)
            last = self.previous
            before = [n for n, r in last.snapshot.ders.items() if r.limited] if last else []
            shown = with_foreign_caps(self.site, snapshot.ders, own_caps(last, {}), before)
            astray = {
                name: Astray(why=limited(reading.cap_kw), asked=None)
                for name, reading in shown.items()
                if reading.limited and reading.cap_kw is not None
            }
            outcomes = command(
                self.site,
                policy,
                snapshot,
                {d.name: reverted(d) for d in self.site.ders},
                (),
                astray,
                self.ports.field,
            )
            if self.clients is not None and policy.control == "auto":
                done = [name for name, answer in outcomes.items() if isinstance(answer, Sent)]
                self.clients.hand_back(done)
            return outcomes

    def _begun(self) -> timedelta:
        """Begin, and wait until clients have been heard; how long that took."""
        started_s = time.monotonic()
        self.begin()
        self.ready()
        return timedelta(seconds=time.monotonic() - started_s)

    @contextmanager
    def _only_writer(self, now: datetime) -> Iterator[None]:
        holder = str(Holder.this_process())
        longest_s = ONE_CYCLE_S + (self.clients.longest_s if self.clients is not None else 0.0)
        self.store.take_lease(self.site.name, holder, longest_s, now)
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
        clock = WallClock()
        clients = clients_of(settings, clock, stack)
        links = field_of(settings, site, addresses or settings.addresses(), clients)
        stack.callback(links.close)
        latest = store.latest()
        utility = utility_of(settings, site, clock, latest)
        if utility is not None:
            stack.callback(utility.close)
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
                meter=NetMeter(site, store, settings.control.poll_s),
            ),
            store=store,
            previous=latest,
            inherited=latest is not None,
            learn=partial(forecaster.learn, site, store),
            holding=holding,
            unproved=told,
            clock=clock,
            clients=clients,
            utility=utility,
        )
