"""The service: a cycle every quarter of an hour, polls and refreshes in between.

Nothing here decides anything. A cycle that fails is logged, counted and shown, and the next
one runs; while a cycle fails, the devices' reversion timers keep the feeder safe. A device that
does not keep to what was decided brings the next cycle forward.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from ems.clock import INTERVAL, Clock, WallClock, interval_start
from ems.daemon.lease import LeaseKeeper
from ems.daemon.trigger import SimulatedQuarterHour
from ems.daemon.watch import Watch
from ems.domain import CycleRecord, DerReading, LoadReading, Policy, Quality, Site, Watched
from ems.errors import DeviceError
from ems.ports import Audience, Ports
from ems.store import LOAD, MinuteMeans, Store, StoreFault
from ems.web import DeviceHealth, Health

log = logging.getLogger(__name__)

MISFIRE_GRACE_S = 600
"""How late a cycle may still start: the setpoints hold for the rest of the interval [s]."""

Answers = Mapping[str, DerReading | LoadReading | DeviceError]

SHORTEST_POLL_S = 0.2
"""A faster simulated clock polls no faster than this in real time [s]."""


class Service:
    """Runs one site. `start` and `stop` it, or call `poll` and `cycle` on a stepped clock."""

    def __init__(
        self,
        *,
        site: Site,
        policy: Policy,
        ports: Ports,
        store: Store,
        run: Callable[[datetime, Watched | None], CycleRecord],
        clock: Clock | None = None,
        poll_s: float = 10.0,
        lease_clock: Clock | None = None,
        audience: Audience | None = None,
    ) -> None:
        """Put together; nothing runs yet.

        Args:
            site: what is installed.
            policy: how it is run: how often commands are refreshed, how devices shall follow.
            ports: `ports.field` is polled, and commands are refreshed through it.
            store: keeps minute means, missed runs and the lease.
            run: one cycle at a time, which also keeps its record.
            clock: tells the intervals; default: the machine's.
            poll_s: time between polls, on that clock [s].
            lease_clock: tells when a lease ends; real time, which other processes share.
            audience: is told of every poll and every cycle.
        """
        self.site = site
        self.store = store
        self._policy = policy
        self._field = ports.field
        self._run = run
        self._clock = clock or WallClock()
        self._poll_s = poll_s
        self._audience = audience
        self._lease = LeaseKeeper(store, site.name, lease_clock or WallClock())
        self._scheduler: BackgroundScheduler | None = None
        self._devices_turn = threading.Lock()
        """A cycle and a poll never talk to the devices at once."""
        self._watch = Watch(site, policy)
        """Belongs to whoever has the devices' turn."""
        self._tried: datetime | None = None
        """When a cycle was last begun."""
        self._hurried = False
        """Whether the last decision that was brought forward came sooner than they may."""
        self._minutes = MinuteMeans()
        self._changed = threading.Condition()
        """Guards everything below; notified after every cycle."""
        self._store_fault = ""
        self._cycle_fault = ""
        self._last_error = ""
        self._last: CycleRecord | None = None
        self._last_due: datetime | None = None
        self._cycles = self._failures = self._missed = 0
        self._last_missed = ""
        self._already_missed: set[datetime] = set()
        self._devices: dict[str, DeviceHealth] = {}
        self._watch_alarms: tuple[str, ...] = ()

    # --- life ------------------------------------------------------------------------

    def start(self) -> None:
        """Take the lease, run one cycle at once, then one every quarter of an hour.

        Raises:
            LeaseHeld: another process runs this site.
            StoreFault: the database cannot be written.
        """
        self._lease.take()
        self._note_downtime()
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # its warnings are noted below
        scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True})
        scheduler.add_listener(self._on_missed, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        # Each an own job: where the first cycle reaches into the next interval, that one waits.
        once = {"again": False}
        scheduler.add_job(self.cycle, id="first", kwargs=once, misfire_grace_time=None)
        scheduler.add_job(
            self.cycle,
            self._quarter_hours(),
            kwargs=once,
            id="cycle",
            max_instances=1,
            misfire_grace_time=MISFIRE_GRACE_S,
        )
        scheduler.add_job(
            self.poll,
            IntervalTrigger(seconds=max(self._poll_s / self._clock.speed, SHORTEST_POLL_S)),
            id="poll",
            next_run_time=datetime.now(UTC),
            max_instances=1,
            misfire_grace_time=None,
        )
        self._scheduler = scheduler
        scheduler.start()

    def _quarter_hours(self) -> BaseTrigger:
        if isinstance(self._clock, WallClock):
            return CronTrigger(minute="*/15", timezone=UTC)
        return SimulatedQuarterHour(self._clock)

    def stop(self) -> None:
        """Finish the cycle that runs, keep the minute begun, give the lease back."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=True)
            self._scheduler = None
        with self._devices_turn:
            self._keep_minutes(before=None)
        try:
            self._lease.release()
        except StoreFault as fault:
            log.warning("the lease could not be given back, it lapses by itself: %s", fault)

    def wait_for_cycles(self, count: int, timeout_s: float) -> bool:
        """Wait until so many cycles have finished or failed since the start."""
        with self._changed:
            return self._changed.wait_for(lambda: self._cycles + self._failures >= count, timeout_s)

    # --- the two jobs ----------------------------------------------------------------

    def cycle(self, *, again: bool = True) -> CycleRecord | None:
        """Run one cycle now; None where it failed, or where another process has the lease.

        Args:
            again: also where this interval has its cycle. A scheduled run that comes late meets
                an interval that has, and does nothing.
        """
        with self._devices_turn:
            now = self._clock.now()
            due = interval_start(now)
            if not again and self._last is not None and self._last.start == due:
                return None
            self._note_gap(due)
            self._in_store(self._lease.renew)
            if not self._lease.held:
                self._note_missed(due, self._lease.lost)
                return None
            self._keep_minutes(before=now)  # the forecast reads them
            self._tried = now
            try:
                record = self._run(now, self._watch.watched())
            except Exception as error:
                log.exception("the cycle of %s failed", due)
                self._watch.forget("the cycle failed, perhaps while it wrote")
                self._show_commands()
                self._note_failure(due, error)
                return None
            self._watch.decided(record, now, written=self._clock.now())
            self._show_commands()
        self._tell(lambda to: to.cycle(record))
        log.log(
            logging.INFO if record.status == "verified" else logging.WARNING,
            "%s %s: %s",
            f"{record.start:%Y-%m-%d %H:%M}",
            record.status,
            "; ".join((record.ledger.sentence, *record.alarms)),
        )
        with self._changed:
            self._last, self._cycle_fault = record, ""
            self._cycles += 1
            self._changed.notify_all()
        return record

    def poll(self) -> None:
        """Read all devices once, refresh what is due; renew the lease. Never raises.

        Where a device does not keep to what was decided, the next cycle runs at once.
        """
        try:
            if self._lease.renewal_is_due:
                self._in_store(self._lease.renew)
            # A cycle that holds the devices reads and writes them itself.
            if not self._devices_turn.acquire(blocking=False):
                return
            try:
                answers = self._read_devices()
                self._keep_alive()
                self._show_devices(answers)
                self._show_commands()
                self._tell(lambda to: to.readings(self._clock.now(), answers))
                decide_again = self._must_decide_again()
            finally:
                self._devices_turn.release()
            if decide_again:
                self.cycle()
        except Exception as error:
            log.exception("the poll failed")
            self._note_error(f"poll: {error}")

    def _read_devices(self) -> Answers:
        now = self._clock.now()
        answers: Answers = {
            **self._watch.see(self._field.read(now), now),
            LOAD: self._field.read_load(now),
        }
        readings = [a for a in answers.values() if not isinstance(a, DeviceError)]
        self._keep_minutes(before=now)
        self._minutes.add(now, readings)
        return answers

    def _keep_alive(self) -> None:
        """Refresh the commands in force, where it is time and they still may be."""
        if not self._lease.held:
            self._watch.forget("another process has the lease")
            return
        now = self._clock.now()
        commands = self._watch.due(now)
        if not commands:
            return
        try:
            answers = self._field.write(commands)
        except Exception:
            self._watch.forget("the refresh failed, perhaps halfway")
            raise
        self._watch.refreshed(commands, answers, now)

    def _must_decide_again(self) -> bool:
        """Whether the decision in force counts on a device that does not keep to it.

        Not more often than commands are refreshed: a device that comes and goes costs a cycle each
        time, and its timer lasts for several refreshes. One that restarted, or whose foreign limit
        was lifted, is free meanwhile: that is decided at once, but not again and again.
        """
        every = self._policy.keep_alive_s
        if not (self._watch.lost and self._lease.held) or every is None or self._tried is None:
            return False
        early = (self._clock.now() - self._tried).total_seconds() < every
        if early and (self._hurried or not self._watch.at_large):
            return False
        self._hurried = early
        lost = "; ".join(f"{name}: {why}" for name, why in self._watch.lost.items())
        log.warning("deciding again before it is time: %s", lost)
        return True

    def _show_devices(self, answers: Answers) -> None:
        with self._changed:
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

    def _show_commands(self) -> None:
        """What is in force, and how devices follow; the devices' turn must be held."""
        with self._changed:
            for device, health in self._devices.items():
                response, why, refreshed = self._watch.told(device)
                self._devices[device] = replace(
                    health, response=response, response_note=why, refreshed=refreshed
                )
            self._watch_alarms = tuple(self._watch.alarms())

    def _keep_minutes(self, before: datetime | None) -> None:
        """Put finished minutes into the database; a failure there stops no control."""
        means = self._minutes.close(before=before)
        if means:
            self._in_store(lambda: self.store.add_minute(*means))

    def _in_store(self, act: Callable[[], None]) -> None:
        """Do something in the database; an alarm where that fails."""
        try:
            act()
        except StoreFault as fault:
            log.error("%s", fault)  # noqa: TRY400  the fault says it all; its traceback is SQL
            self._note_error(str(fault))
            with self._changed:
                self._store_fault = str(fault)
            return
        with self._changed:
            self._store_fault = ""

    def _tell(self, say: Callable[[Audience], None]) -> None:
        """Tell who listens; what goes wrong there stops no control."""
        if self._audience is not None:
            try:
                say(self._audience)
            except Exception as error:
                log.exception("nobody could be told")
                self._note_error(f"telling: {error}")

    # --- what went wrong -------------------------------------------------------------

    def _note_error(self, error: str) -> None:
        with self._changed:
            self._last_error = f"{self._clock.now():%Y-%m-%d %H:%M:%S} UTC: {error}"

    def _note_failure(self, due: datetime, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        self._note_error(text)
        with self._changed:
            self._cycle_fault = f"the cycle of {due:%H:%M} UTC failed: {text}"
            self._failures += 1
            self._changed.notify_all()
        self._in_store(lambda: self.store.add_missed(due, f"the cycle failed: {text}"))

    def _note_missed(self, due: datetime, reason: str, intervals: int = 1) -> None:
        with self._changed:
            if due in self._already_missed:
                return
            self._already_missed = {d for d in self._already_missed if d > due - 96 * INTERVAL}
            self._already_missed.add(due)
            self._missed += intervals
            self._last_missed = f"{due:%Y-%m-%d %H:%M} UTC: {reason}"
            self._changed.notify_all()
        log.warning("no cycle for %s: %s", due, reason)
        self._in_store(lambda: self.store.add_missed(due, reason, intervals))

    def _on_missed(self, event: Any) -> None:
        """A cycle did not start: too late for its interval, or the one before still runs."""
        if event.job_id != "cycle":
            return  # a poll that takes longer than the time between polls; the next one comes
        late = event.code == EVENT_JOB_MISSED
        times = [event.scheduled_run_time] if late else event.scheduled_run_times
        reason = "the machine was asleep or overloaded" if late else "the cycle before still runs"
        for real in times:
            self._note_missed(interval_start(self._on_clock(real)), reason)

    def _note_gap(self, due: datetime) -> None:
        """Intervals since the cycle before for which no run was even tried."""
        with self._changed:
            before, self._last_due = self._last_due, due
            start = due if before is None else before + INTERVAL
            while start < due and start in self._already_missed:
                start += INTERVAL
        if start < due:
            self._note_missed(
                start, "the machine was asleep or overloaded", (due - start) // INTERVAL
            )

    def _note_downtime(self) -> None:
        """Intervals since the last record, while the service did not run."""
        latest = self.store.latest()
        if latest is not None:
            start = latest.start + INTERVAL
            gap = (interval_start(self._clock.now()) - start) // INTERVAL
            if gap > 0:
                self.store.add_missed(start, "the service was not running", gap)

    def _on_clock(self, real: datetime) -> datetime:
        """A time of the machine on the service's clock, to the second."""
        return (self._clock.at(real) + timedelta(seconds=0.5)).replace(microsecond=0)

    # --- health ----------------------------------------------------------------------

    def health(self) -> Health:
        """The state now; quick, from any thread."""
        now = self._clock.now()
        scheduler = self._scheduler
        job = scheduler.get_job("cycle") if scheduler else None
        with self._changed:
            last = self._last
            fresh = last is not None and last.start >= interval_start(now) - INTERVAL
            return Health(
                ready=self._lease.held and fresh,
                site=self.site.name,
                now=now,
                speed=self._clock.speed,
                version=version("geems"),
                mode=self._policy.control,
                lease_held=self._lease.held,
                lease_holder=self._lease.holder,
                cycles=self._cycles,
                failures=self._failures,
                missed=self._missed,
                last_cycle=last.start if last else None,
                last_status=last.status if last else None,
                last_cycle_s=sum(last.stage_s.values()) if last else None,
                last_error=self._last_error,
                last_missed=self._last_missed,
                next_run=self._on_clock(job.next_run_time) if job else None,
                devices=dict(self._devices),
                alarms=self._alarms(),
            )

    def _alarms(self) -> tuple[str, ...]:
        lost = f"nothing is written: {self._lease.lost}" if self._lease.lost else ""
        kept = f"records are not kept: {self._store_fault}" if self._store_fault else ""
        silent = [f"{n}: {d.note}" for n, d in self._devices.items() if not d.reachable]
        unheard = self._audience.fault if self._audience else ""
        lines = (lost, self._cycle_fault, kept, unheard, *self._watch_alarms, *silent)
        return tuple(line for line in lines if line)
