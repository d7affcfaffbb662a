"""One end device at a server of IEEE 2030.5: follows its events, answers them, reports.

Two tasks. One talks to the server: whatever is due, one request after another, and after a
failure again with growing pauses. What the device tells fails on its own, and is told again
later: it never keeps the device from reading what it is asked for. The other follows the events
that are known, also while no server answers. A server that is lost for good leaves the device
with its default control, once the events that are known are over. Neither ends by a fault, of the
server's or of its own.
"""

import asyncio
import logging
import math
from collections.abc import Callable

from ems.clock import Clock
from ems.enddevice.answering import Answers
from ems.enddevice.application import NOTHING, ControlInForce, DerApplication
from ems.enddevice.duties import Duty
from ems.enddevice.reading_programs import read_programs
from ems.enddevice.registration import NotRegistered, Registered, WrongServer, register
from ems.enddevice.schedule import Schedule
from ems.enddevice.session import Lost, Refused, Session
from ems.enddevice.telling import Telling
from ems.enddevice.timing import MOST_S, ServerTime, backoff_s, sooner
from ems.protocols.ieee2030_5 import sep

log = logging.getLogger(__name__)

EXAMPLE_PEN = 32473
"""Private enterprise number that is kept for examples (RFC 5612)."""
TIME_S = 900
"""How often to read the clock where the server does not say [s]."""
AGAIN_S = 10
"""After a fault of its own: how soon to follow anew [s]."""


class EndDeviceClient:
    """One end device, for itself or behind an aggregator's session."""

    def __init__(
        self,
        session: Session,
        lfdi: str,
        application: DerApplication,
        *,
        clock: Clock,
        pin: int | None = None,
        poll_s: int | None = None,
        post_s: int | None = None,
        pen: int = EXAMPLE_PEN,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            session: to the server; of the device's own certificate, or of its aggregator's.
            lfdi: of the device.
            application: what it drives.
            clock: where time comes from.
            pin: what the server must know of the device; None: whatever it says.
            poll_s: ask at least this often, however seldom the server wants it [s].
            post_s: report at least this often [s].
            pen: private enterprise number of whoever made the device.
            heard: called whenever all programs have been read, and what they ask for is done.
        """
        self.lfdi = lfdi
        self.time = ServerTime(clock)
        self.schedule = Schedule(lfdi, application.refuses)
        self.control: ControlInForce = NOTHING
        """What is in force at present."""
        self.registered = asyncio.Event()
        """Set once the server has been found, and the device in it."""
        self.read = asyncio.Event()
        """Set once all programs have been read for the first time."""
        self.trouble = ""
        """Why there is no server at present, or what it does not take, or what of it cannot be
        believed or read; empty: all is well."""
        self.unread: tuple[str, ...] = ()
        """What the server asks and nobody can read; the rest is followed."""
        self.fault = ""
        """Why what is known is not followed at present; empty: it is."""
        self._session = session
        self._der = application
        self._tells = Telling(session, lfdi, application, self.time, post_s=post_s, pen=pen)
        self._pin = pin
        self._poll_s = poll_s
        self._heard = heard
        self._answers = Answers(session, lfdi)
        self._learnt, self._wanted, self._rested = (asyncio.Event() for _ in range(3))
        self._known: Registered | None = None
        self._known_lost = False
        """Whether it has been logged that there is no server."""
        self._poll_duty = Duty(do=self._poll)
        self._following = (self._poll_duty, Duty(do=self._read_clock))
        """What nothing can be followed without."""
        self._answer_duty = Duty(do=self._answer)
        self._telling = (self._answer_duty, *self._tells.duties)
        """What the server wants to know; each may fail without the others."""

    async def run(self) -> None:
        """Live until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name=f"follow {self.lfdi}")
            tasks.create_task(self._talk(), name=f"talk {self.lfdi}")

    def poll_now(self) -> None:
        """Read the programs without waiting for their time: a notification has come.

        On the client's loop. Also for a clock that was moved.
        """
        self._poll_duty.due = 0.0
        self._wanted.set()
        self._learnt.set()

    async def refresh(self) -> None:
        """Read the programs now; returns once what they ask for is done and answered.

        An answer that the server does not take now is not waited for.
        """
        self._rested.clear()
        self.poll_now()
        await self._rested.wait()

    # --- following -----------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            self._learnt.clear()
            try:
                until = self._turn(int(self.time.now()))
                self.fault = ""
            except Exception as error:
                log.exception("%s: events are not followed", self.lfdi)
                self.fault = repr(error)
                until = int(self.time.now()) + AGAIN_S
            await self.time.until(until, self._learnt)

    def _turn(self, now: int) -> int | None:
        """Do and answer what there is to do; returns until when that holds."""
        turn = self.schedule.advance(now)
        self._answers.add(*turn.answers)
        if turn.control != self.control:
            self._apply(turn.control, now)
        if turn.answers:
            self._wanted.set()
        return turn.until

    def _apply(self, control: ControlInForce, now: int) -> None:
        before, self.control = self.control, control
        try:
            self._der.apply(control)
        except Exception:
            # It was judged and taken, and yet cannot be done: whatever is new in it is at fault.
            new = {
                ordered.source
                for mode, ordered in control.ordered.items()
                if ordered.event and before.ordered.get(mode) != ordered
            }
            log.exception("%s: cannot be followed: %s", self.lfdi, ", ".join(sorted(new)))
            if self.schedule.refuse(new, now):
                self._learnt.set()  # without them, at once

    # --- talking -------------------------------------------------------------------------

    async def _talk(self) -> None:
        pauses = backoff_s(self.lfdi)
        while True:
            try:
                if self._known is None:
                    await self._register()
                await self._do_what_is_due()
                if self._known_lost:
                    log.info("%s: the server is back", self.lfdi)
                    self._known_lost = False
                self.trouble = self._troubles()
                pauses = backoff_s(self.lfdi)
                await self._rest()
            except (Lost, Refused, NotRegistered, WrongServer) as error:
                self._lost(str(error))
            except Exception as error:
                log.exception("%s: a fault of the client; it begins anew", self.lfdi)
                self._lost(f"a fault of the client: {error!r}")
            else:
                continue
            await asyncio.sleep(next(pauses))

    def _lost(self, why: str) -> None:
        if not self._known_lost:
            log.warning("%s: %s", self.lfdi, why)
        self._known_lost, self.trouble = True, why
        self._known = None  # a server that comes back may know less than before

    async def _register(self) -> None:
        self._known = known = await register(self._session, self.lfdi, self._pin)
        category = known.device.deviceCategory
        self.schedule.category = (int(category, 16) if category else 0) or None
        await self._read_clock()
        self._tells.found(known)
        for duty in (*self._following, *self._telling):
            duty.due = 0.0
        self.registered.set()

    async def _do_what_is_due(self) -> None:
        for duty in self._following:
            if duty.due <= self.time.own():
                await duty.done(self.time)
        self._answer_soon()
        for duty in self._telling:
            if duty.due <= self.time.own() and not await duty.tried(self.lfdi, self.time):
                # Reading tells whether the server is there; one that restarted knows nothing.
                self._poll_duty.due = 0.0
                self._tells.forget()
            if self._poll_duty.due <= self.time.own():
                return  # what is asked for goes before what is told

    def _troubles(self) -> str:
        """What the server does not take, and what of it cannot be believed or read."""
        failing = (duty.trouble for duty in self._telling if duty.trouble)
        unread = f"passed over: {'; '.join(self.unread)}" if self.unread else ""
        return next(failing, "") or self._answers.trouble or self.time.doubt or unread

    async def _rest(self) -> None:
        self._wanted.clear()
        self._answer_soon()
        due = min(duty.due for duty in (*self._following, *self._telling))
        if due <= self.time.own():
            return
        self._rested.set()
        await self.time.until_own(due, self._wanted)

    def _answer_soon(self) -> None:
        if not self._answer_duty.trouble:  # else the server was not there, and is waited for
            due = self._answers.due()
            self._answer_duty.due = math.inf if due is None else due

    async def _answer(self) -> float:
        await self._answers.post(self.time.own())
        return MOST_S

    # --- duties: each returns how long until the next time ---------------------------------

    async def _poll(self) -> float:
        known = self._known
        if known is None or known.device.href is None:
            return 0.0
        device = await self._session.get(known.device.href, sep.EndDevice)
        self._known = known = Registered(
            capability=known.capability, device=device, poll_s=known.poll_s
        )
        self._tells.is_told_of(device)
        found = await read_programs(self._session, device)
        for unread in found.unread:
            if unread not in self.unread:
                log.warning("%s: passed over: %s", self.lfdi, unread)
        self.unread = found.unread
        self.schedule.learn(found.programs, int(self.time.now()), whole=found.whole)
        self.read.set()
        self._learnt.set()
        # The events that have just come are followed, and answered, before anything else.
        await asyncio.sleep(0)
        if not self.fault:
            self._heard()
        return sooner(found.poll_s or known.poll_s, self._poll_s)

    async def _read_clock(self) -> float:
        known = self._known
        if known is None or known.capability.TimeLink is None:
            return TIME_S
        asked_at = self.time.own()
        told = await self._session.get(known.capability.TimeLink.href, sep.Time)
        doubted = self.time.doubt
        if self.time.read(told.currentTime, asked_at, self.time.own()):
            self._learnt.set()  # what was to begin may have begun
        if self.time.doubt and not doubted:
            log.warning("%s: %s", self.lfdi, self.time.doubt)
        return sooner(told.pollRate or TIME_S, None)
