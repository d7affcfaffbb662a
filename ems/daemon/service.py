"""The service: a cycle every quarter of an hour, polls and refreshes in between.

Nothing here decides anything. A cycle that fails is logged, counted and shown, and the next
one runs; while a cycle fails, the devices' reversion timers keep the feeder safe. A device that
does not keep to what was decided brings the next cycle forward, and so does a clock that was set.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from ems.clock import INTERVAL, Clock, WallClock, interval_start
from ems.daemon.lease import LeaseKeeper
from ems.daemon.missed import MissedIntervals, Run
from ems.daemon.schedule import STEP, Schedule, on_clock
from ems.daemon.sooner import Sooner
from ems.daemon.standing import Answers, Standing
from ems.daemon.watch import Watch
from ems.domain import CycleRecord, Imposed, Policy, Site, Watched
from ems.errors import DeviceError
from ems.measure import plausible_load
from ems.ports import Audience, Ports
from ems.store import LOAD, MinuteMeans, Store, StoreFault
from ems.web import Health

log = logging.getLogger(__name__)


def _at_once() -> None:
    """Nothing is to be waited for."""


def _nobody() -> None:
    """Nobody limits the site."""


def _told_nobody(_answers: Answers) -> None:
    """Nobody is told what was measured."""


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
        concerns: Callable[[], Sequence[str]] = tuple,
        ready: Callable[[], object] = _at_once,
        begin: Callable[[], object] = _at_once,
        end: Callable[[], object] = _at_once,
        imposed: Callable[[], Imposed | None] = _nobody,
        measured: Callable[[Answers], object] = _told_nobody,
        links: Callable[[], Mapping[str, str]] = dict,
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
            lease_clock: tells when a lease ends; real time, which other processes share; not
                `clock` itself, it follows the machine's whenever it is asked.
            audience: is told of every poll and every cycle.
            concerns: what is not as it should be beside the cycles, for people; alarms.
            ready: called before every cycle; returns when the devices can be asked.
            begin: called once the lease is held, before the first cycle.
            end: called before the last cycle is waited for; ends what `ready` waits for.
            imposed: what a utility limits the site to now. Where that is not what was decided
                with, it is decided again.
            measured: told what the devices answered to each poll.
            links: what else is served or followed, and how that does.
        """
        self.site = site
        self.store = store
        self._policy = policy
        self._field = ports.field
        self._run = run
        self._clock = clock or WallClock()
        self._audience = audience
        self._concerns = concerns
        self._ready, self._begin, self._end = ready, begin, end
        self._imposed, self._measured, self._links = imposed, measured, links
        self._lease = LeaseKeeper(store, site.name, lease_clock or WallClock())
        self._standing = Standing(site, policy, self._clock, self._lease)
        self._missed = MissedIntervals(self._note_missed, self._take_back_missed)
        self._schedule = Schedule(
            self._clock,
            poll_s,
            cycle=partial(self.cycle, again=False),
            poll=self.poll,
            missed=self._missed.note,
            clock_set=self._follow_clock,
            renew=self._renew,
        )
        self._devices_turn = threading.Lock()
        """A cycle and a poll never talk to the devices at once."""
        self._watch = Watch(site, policy)
        """Belongs to whoever has the devices' turn, as all below."""
        self._sooner = Sooner(policy, self._watch)
        self._minutes = MinuteMeans()

    # --- life ------------------------------------------------------------------------

    def start(self) -> None:
        """Take the lease, run one cycle at once, then one every quarter of an hour.

        Raises:
            LeaseHeld: another process runs this site.
            StoreFault: the database cannot be written.
        """
        self._lease.take()
        self._note_downtime()
        self._begin()
        self._schedule.start()

    def stop(self) -> None:
        """Finish the cycle that runs, keep the minute begun, give the lease back."""
        self._end()
        self._schedule.stop()
        with self._devices_turn:
            self._keep_minutes(before=None)
        try:
            self._lease.release()
        except StoreFault as fault:
            log.warning("the lease could not be given back, it lapses by itself: %s", fault)

    def wait_for_cycles(self, count: int, timeout_s: float) -> bool:
        """Wait until so many cycles have finished or failed since the start."""
        return self._standing.wait_for_cycles(count, timeout_s)

    # --- the two jobs ----------------------------------------------------------------

    def cycle(self, *, again: bool = True) -> CycleRecord | None:
        """Run one cycle now; None where it failed, or where another process has the lease.

        Args:
            again: also where this interval has its cycle. A scheduled run that comes late meets
                an interval that has, and does nothing.
        """
        self._ready()
        with self._devices_turn:
            now = self._clock.now()
            due = interval_start(now)
            if not again and self._has_cycle(due):
                return None
            self._missed.tried(due)
            self._in_store(self._lease.renew)
            if not self._lease.held:
                self._missed.note(due, self._lease.lost)
                return None
            self._keep_minutes(before=now)  # the forecast reads them
            self._sooner.begun(now)
            try:
                record = self._run(now, self._watch.watched())
            except Exception as error:
                log.exception("the cycle of %s failed", due)
                self._watch.forget("the cycle failed, perhaps while it wrote")
                self._standing.show_commands(self._watch)
                self._note_failure(due, error)
                return None
            self._watch.decided(record, now, written=self._clock.now())
            self._standing.show_commands(self._watch)
        self._tell(lambda to: to.cycle(record))
        self._log(record)
        self._standing.finished(record)
        return record

    def _log(self, record: CycleRecord) -> None:
        """One line per cycle; a model that stays refused is told of once."""
        last = self._standing.last
        known = frozenset(last.model_faults if last is not None else ())
        for fault in record.model_faults:
            if fault not in known:
                log.warning("%s", fault)
        alarms = [line for line in record.alarms if line not in record.model_faults]
        log.log(
            logging.INFO if record.status == "verified" else logging.WARNING,
            "%s %s: %s",
            f"{record.start:%Y-%m-%d %H:%M}",
            record.status,
            "; ".join((record.ledger.sentence, *alarms)),
        )

    def poll(self) -> None:
        """Read all devices once, refresh what is due; renew the lease. Never raises.

        Where a device does not keep to what was decided, the next cycle runs at once.
        """
        try:
            self._renew()
            # A cycle that holds the devices reads and writes them itself.
            if not self._devices_turn.acquire(blocking=False):
                return
            try:
                answers = self._read_devices()
                self._measured(answers)
                self._keep_alive()
                self._standing.show_devices(answers)
                self._standing.show_commands(self._watch)
                self._tell(lambda to: to.readings(self._clock.now(), answers))
                decide_again = self._must_decide_again()
            finally:
                self._devices_turn.release()
            if decide_again:
                self.cycle()
        except Exception as error:
            log.exception("the poll failed")
            self._standing.error(f"poll: {error}")

    def _renew(self) -> None:
        """Keep the lease, where a third of it has passed. A refresh may wait for longer."""
        if self._lease.renewal_is_due:
            self._in_store(self._lease.renew)

    def _read_devices(self) -> Answers:
        now = self._clock.now()
        answers: Answers = {
            **self._watch.see(self._field.read(now), now),
            LOAD: plausible_load(self.site, self._field.read_load(now)),
        }
        readings = [a for a in answers.values() if not isinstance(a, DeviceError)]
        self._keep_minutes(before=now)
        self._minutes.add(now, readings)
        self._sooner.answered(answers, self._standing.last)
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
        if not self._lease.held:
            return False
        now, last = self._clock.now(), self._standing.last
        return self._sooner.is_due(now, last, self._imposed(), self._on_record)

    def _on_record(self, due: datetime) -> bool:
        """Whether an interval has its decision, be it of a time before the clock was set."""
        try:
            return self._has_cycle(due) or self.store.at(due) is not None
        except StoreFault:
            return False  # decided again, as if it had none

    def _has_cycle(self, due: datetime) -> bool:
        last = self._standing.last
        return last is not None and last.start == due

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
            self._standing.stored(str(fault))
            return
        self._standing.stored()

    def _tell(self, say: Callable[[Audience], None]) -> None:
        """Tell who listens; what goes wrong there stops no control."""
        if self._audience is not None:
            try:
                say(self._audience)
            except Exception as error:
                log.exception("nobody could be told")
                self._standing.error(f"telling: {error}")

    # --- the clock -------------------------------------------------------------------

    def _follow_clock(self) -> None:
        """The machine's clock was set: go on by what it shows, with every duration as it was.

        What is known of the devices is moved along, so that their timers end when they do. What
        was decided was decided for another time: the next poll decides again.
        """
        with self._devices_turn:
            before = self._clock.now()
            self._keep_minutes(before=None)
            by = self._clock.follow()
            if abs(by) < STEP:  # a simulated clock, or one that was set right again meanwhile
                return
            now = self._clock.now()
            self._watch.clock_set(by)
            self._sooner.clock_set(by)
            told = self._standing.clock_set(before, now)
            self._missed.clock_set(now, told)
        self._in_store(self._lease.renew)

    # --- what went wrong -------------------------------------------------------------

    def _note_failure(self, due: datetime, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        self._standing.failed(due, text)
        self._in_store(lambda: self.store.add_missed(due, f"the cycle failed: {text}"))

    def _note_missed(self, due: datetime, reason: str, intervals: int) -> None:
        self._standing.missing(due, reason, intervals)
        self._in_store(lambda: self.store.add_missed(due, reason, intervals))

    def _take_back_missed(self, run: Run, left: int) -> None:
        if run.counted:
            self._standing.not_missing(run.intervals - left)
        self._in_store(lambda: self.store.take_back_missed(run.start, run.intervals, left))

    def _note_downtime(self) -> None:
        """Intervals since the last record, while the service did not run."""
        latest = self.store.latest()
        if latest is None:
            return
        now = self._clock.now()
        if latest.start > now:
            self._standing.clock_behind(latest.start, now)
        start = latest.start + INTERVAL
        gap = (interval_start(now) - start) // INTERVAL
        self._missed.not_running(latest.start, start, gap)
        if gap > 0:
            self.store.add_missed(start, "the service was not running", gap)

    def health(self) -> Health:
        """The state now; quick, from any thread."""
        due = self._schedule.next_run
        return self._standing.health(
            next_run=on_clock(self._clock, due) if due else None,
            unheard=self._audience.fault if self._audience else "",
            concerns=self._concerns(),
            links=self._links(),
        )
