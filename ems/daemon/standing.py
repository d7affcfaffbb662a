"""How the service stands: what it did, what went wrong, and what an operator is told of it."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.metadata import version

from ems.clock import INTERVAL, Clock, interval_start
from ems.daemon.lease import LeaseKeeper
from ems.daemon.watch import Watch
from ems.domain import CycleRecord, DerReading, LoadReading, Policy, Quality, Site, named
from ems.errors import DeviceError
from ems.web import DeviceHealth, Health

log = logging.getLogger(__name__)

Answers = Mapping[str, DerReading | LoadReading | DeviceError]

CLOCK_ALARM = timedelta(hours=1)
"""How long it is shown that the clock was set: a person who looks in, and any monitoring that
asks now and then, shall see it; the log and the list of missed intervals keep it for good."""


class Standing:
    """Told from any thread, by the jobs of one service."""

    def __init__(self, site: Site, policy: Policy, clock: Clock, lease: LeaseKeeper) -> None:
        """Nothing has happened yet."""
        self._site, self._policy = site, policy
        self._clock, self._lease = clock, lease
        self.changed = threading.Condition()
        """Guards everything below; notified after every cycle, and when one was missed."""
        self.last: CycleRecord | None = None
        self._store_fault = ""
        self._cycle_fault = ""
        self._clock_fault = ""
        self._clock_fault_until: datetime | None = None
        self._last_error = ""
        self._cycles = self._failures = self.missed = 0
        self._last_missed = ""
        self._devices: dict[str, DeviceHealth] = {}
        self._watch_alarms: tuple[str, ...] = ()
        self._dropped: frozenset[str] = frozenset()
        """Devices of which these tell that they are no longer refreshed, and why."""

    def wait_for_cycles(self, count: int, timeout_s: float) -> bool:
        """Wait until so many cycles have finished or failed since the start."""
        with self.changed:
            return self.changed.wait_for(lambda: self._cycles + self._failures >= count, timeout_s)

    # --- what happened ---------------------------------------------------------------

    def finished(self, record: CycleRecord) -> None:
        """A cycle ended in order."""
        with self.changed:
            self.last, self._cycle_fault = record, ""
            self._cycles += 1
            self.changed.notify_all()

    def failed(self, due: datetime, fault: str) -> None:
        """The cycle of an interval ended in an error."""
        self.error(fault)
        with self.changed:
            self._cycle_fault = f"the cycle of {due:%H:%M} UTC failed: {fault}"
            self._failures += 1
            self.changed.notify_all()

    def error(self, text: str) -> None:
        """Something failed; it is shown until something else does."""
        with self.changed:
            self._last_error = f"{self._clock.now():%Y-%m-%d %H:%M:%S} UTC: {text}"

    def stored(self, fault: str = "") -> None:
        """The database was used; with what went wrong, if anything did."""
        if fault:
            self.error(fault)
        with self.changed:
            self._store_fault = fault

    def missing(self, due: datetime, reason: str, intervals: int) -> None:
        """No cycle ran for so many intervals from `due` on."""
        with self.changed:
            self.missed += intervals
            self._last_missed = f"{due:%Y-%m-%d %H:%M} UTC: {reason}"
            self.changed.notify_all()

    def not_missing(self, intervals: int) -> None:
        """So many intervals that were told missed are yet to come: the clock was set back."""
        with self.changed:
            self.missed -= intervals
            self._last_missed = ""

    def clock_set(self, before: datetime, now: datetime) -> str:
        """The clock was set from one time to another; returns what is told of it."""
        way = "back" if now < before else "forward"
        by = timedelta(seconds=round(abs(now - before).total_seconds()))
        times = [f"{t:%Y-%m-%d %H:%M:%S}" for t in (before, now)]
        text = f"the clock was set {way} by {by}, from {times[0]} to {times[1]} UTC"
        self._doubt_clock(text)
        return text

    def clock_behind(self, recorded: datetime, now: datetime) -> None:
        """The service starts, and a record lies ahead."""
        self._doubt_clock(
            f"the last record is of {recorded:%Y-%m-%d %H:%M} UTC, and the clock shows "
            f"{now:%Y-%m-%d %H:%M}: it was set back, or was wrong then"
        )

    def _doubt_clock(self, text: str) -> None:
        log.warning(text)
        self.error(text)
        with self.changed:
            self._clock_fault = text
            self._clock_fault_until = self._clock.now() + CLOCK_ALARM

    # --- the devices -----------------------------------------------------------------

    def show_devices(self, answers: Answers) -> None:
        """What one poll heard."""
        with self.changed:
            for device, answer in answers.items():
                before = self._devices.get(device)
                self._devices[device] = (
                    DeviceHealth(
                        reachable=False,
                        last_seen=before.last_seen if before else None,
                        note=str(answer).removeprefix(f"{device}: "),
                    )
                    if isinstance(answer, DeviceError)
                    else DeviceHealth(
                        reachable=answer.quality is Quality.GOOD,
                        last_seen=answer.time,
                        note=answer.note,
                    )
                )

    def show_commands(self, watch: Watch) -> None:
        """What is in force, and how devices follow; the devices' turn must be held."""
        with self.changed:
            for device, health in self._devices.items():
                response, why, refreshed = watch.told(device)
                self._devices[device] = replace(
                    health, response=response, response_note=why, refreshed=refreshed,
                    ramps_to_kw=watch.ramps_to_kw(device),
                )  # fmt: skip
            self._watch_alarms = tuple(watch.alarms())
            self._dropped = frozenset(watch.dropped)

    # --- health ----------------------------------------------------------------------

    def health(
        self,
        next_run: datetime | None,
        unheard: str,
        concerns: Sequence[str],
        links: Mapping[str, str],
    ) -> Health:
        """The state now; quick, from any thread.

        Args:
            next_run: when the next cycle is due.
            unheard: why the audience is not told; empty where it is.
            concerns: what is not as it should be beside the cycles; alarms.
            links: what else is served or followed.
        """
        now = self._clock.now()
        with self.changed:
            last = self.last
            # One that lies ahead is of a time before the clock was set back: it tells nothing.
            fresh = last is not None and interval_start(now) - INTERVAL <= last.start <= now
            return Health(
                ready=self._lease.held and fresh,
                site=self._site.name,
                now=now,
                speed=self._clock.speed,
                version=version("geems"),
                mode=self._policy.control,
                lease_held=self._lease.held,
                lease_holder=self._lease.holder,
                cycles=self._cycles,
                failures=self._failures,
                missed=self.missed,
                last_cycle=last.start if last else None,
                last_status=last.status if last else None,
                last_cycle_s=sum(last.stage_s.values()) if last else None,
                last_error=self._last_error,
                last_missed=self._last_missed,
                next_run=next_run,
                devices=dict(self._devices),
                links=dict(links),
                alarms=(*self._alarms(now, unheard), *concerns),
            )

    def _alarms(self, now: datetime, unheard: str) -> tuple[str, ...]:
        lost = f"nothing is written: {self._lease.lost}" if self._lease.lost else ""
        kept = f"records are not kept: {self._store_fault}" if self._store_fault else ""
        until = self._clock_fault_until
        clock = self._clock_fault if until is not None and now < until else ""
        told = self._dropped
        silent = [
            named(n, d.note) for n, d in self._devices.items() if not d.reachable and n not in told
        ]
        models = self.last.model_faults if self.last is not None else ()
        lines = (
            lost, self._cycle_fault, clock, kept, unheard, *self._watch_alarms, *silent, *models,
        )  # fmt: skip
        return tuple(line for line in lines if line)
