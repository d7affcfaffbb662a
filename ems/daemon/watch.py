"""The devices between two cycles: what they show, whether they follow, what is refreshed.

A command is refreshed while the decision it is part of is valid and its device answers as one that
holds it. Anything else is not written over: the device is left to its timer, and a new decision is
asked for, so that the others make room before it falls back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ems.clock import INTERVAL
from ems.daemon import orders
from ems.daemon.reckoned import Reckoned
from ems.domain import (
    Alike,
    Command,
    CycleRecord,
    Der,
    DerReading,
    Dg,
    Followed,
    Ignored,
    InForce,
    Outcome,
    Policy,
    Quality,
    Readback,
    Response,
    Sent,
    Setpoint,
    Site,
    Waiting,
    Watched,
    named,
    same_kw,
)
from ems.errors import DeviceError, FellBack, RefusedWrite
from ems.measure import plausible
from ems.response import Asked, respond, tolerance_kw, with_foreign_caps
from ems.standstill import alike, site_v_pu, stopped
from ems.unmoved import HOLD_OVER_S, as_written, limited, refreshed


@dataclass(slots=True, kw_only=True)
class _Held:
    """A command in force, and how its device follows."""

    command: Command
    target: Setpoint
    """Where it leads; a generator goes there step by step."""
    asked: Asked
    response: Response
    written: datetime
    """When it was last confirmed, UTC."""
    trusted: bool
    """Whether the decision counts on it."""
    silent: str = ""
    """Why the last poll did not hear it."""


class Watch:
    """What one service knows of its devices; its owner lets one thread in at a time."""

    def __init__(self, site: Site, policy: Policy) -> None:
        """Nothing is known yet."""
        self._site = site
        self._ders = {d.name: d for d in site.ders}
        self._policy = policy
        self._held: dict[str, _Held] = {}
        self._in_force: dict[str, InForce] = {}
        self._readings: dict[str, DerReading] = {}
        self._alike: dict[str, Alike] = {}
        self._began: datetime | None = None
        """Start of the interval decided last."""
        self._refreshed: datetime | None = None
        self.lost: dict[str, str] = {}
        """Devices that the decision counts on and that do not keep to it, and why."""
        self.dropped: dict[str, str] = {}
        """Devices whose command is no longer refreshed, and why."""
        self.at_large = False
        """Whether one of them holds neither its command nor a limit: it waits for nothing."""
        self._reckoned = Reckoned()

    def watched(self) -> Watched | None:
        """For the next cycle; None where none has ended yet."""
        if self._began is None:
            return None
        return Watched(
            in_force=dict(self._in_force),
            readings=dict(self._readings),
            alike=dict(self._alike),
            responses={name: held.response for name, held in self._held.items()},
        )

    # --- what happens ----------------------------------------------------------------

    def decided(self, record: CycleRecord, now: datetime, written: datetime) -> None:
        """Take over what a cycle sent.

        Args:
            record: of the cycle.
            now: when it began; timers and refreshes are counted from here.
            written: when it had ended; devices have their time to follow from here.
        """
        before, self._held = self._held, {}
        for name, outcome in record.outcomes.items():
            if orders.holds(outcome):
                decided = record.kept.get(name) or record.secured.dispatch.setpoints[name]
                stood_kw = record.snapshot.ders[name].p_kw
                self._held[name] = self._taken(
                    outcome, decided, stood_kw, before.get(name), written
                )
        self._in_force = dict(record.in_force)
        self._began, self._refreshed = record.start, now
        self.lost, self.dropped, self.at_large = {}, {}, False
        self._reckoned = Reckoned.of(record)

    def _taken(
        self, outcome: Outcome, decided: Setpoint, stood_kw: float, before: _Held | None,
        now: datetime,
    ) -> _Held:  # fmt: skip
        command, trusted = outcome.command, isinstance(outcome, Sent)
        asked = Asked(command=command, since=now, from_kw=stood_kw)
        response: Response = Waiting()
        if before is not None and (
            orders.same(before.command, command) or self._goes_on(before, command)
        ):
            # Asked the same as before: its time does not begin anew.
            asked, response = replace(before.asked, command=command), before.response
        target = decided if trusted else as_written(decided, command)
        return _Held(
            command=command, target=target, asked=asked, response=response, written=now,
            trusted=trusted,
        )  # fmt: skip

    def _goes_on(self, before: _Held, command: Command) -> bool:
        """Whether a generator that is on its way is sent further in the same direction."""
        if not isinstance(self._ders[command.der], Dg) or not isinstance(before.response, Waiting):
            return False
        ways = [(c.p_kw or 0.0) - before.asked.from_kw for c in (before.command, command)]
        return ways[0] * ways[1] > 0.0

    def forget(self, why: str) -> None:
        """It is not known any more what the devices hold: nothing is refreshed."""
        for name in list(self._held):
            self._drop(name, why)
        self._in_force = {}

    def clock_set(self, by: timedelta) -> None:
        """Move all that is known along with the clock: how long ago it was has not changed."""
        for held in self._held.values():
            held.written += by
            held.asked = replace(held.asked, since=held.asked.since + by)
        self._in_force = {
            name: replace(
                at, written=at.written + by, reverts_from=at.earliest + by,
                reverts_until=at.latest + by,
            )
            for name, at in self._in_force.items()
        }  # fmt: skip
        self._readings = {n: replace(r, time=r.time + by) for n, r in self._readings.items()}
        self._alike = {
            n: replace(run, first=replace(run.first, time=run.first.time + by))
            for n, run in self._alike.items()
        }
        self._began = self._began and self._began + by
        self._refreshed = self._refreshed and self._refreshed + by

    def see(
        self, answers: Mapping[str, DerReading | DeviceError], now: datetime
    ) -> Mapping[str, DerReading | DeviceError]:
        """Take in one poll.

        Returns the same, with what cannot be true as an error, and what stands still as stale.
        """
        seen = {n: plausible(self._ders[n], a) for n, a in answers.items() if n in self._ders}
        heard = {n: a for n, a in seen.items() if isinstance(a, DerReading)}
        if self._began is not None:
            limited = self._reckoned.limited.keys() | {
                n for n, r in self._readings.items() if r.limited
            }
            heard = with_foreign_caps(self._site, heard, self._reckoned.own_caps, limited)
        seen |= heard
        v_pu = site_v_pu(heard.values())
        for name, answer in seen.items():
            if isinstance(answer, DerReading):
                run = alike(self._alike.get(name), answer, v_pu)
                self._alike[name] = run
                if why := stopped(run, now, v_pu, self._policy.stale_after_s):
                    seen[name] = replace(answer, quality=Quality.STALE, note=why)
                else:
                    self._readings[name] = answer
                    for change in self._reckoned.changes(self._ders[name], answer):
                        self.lost[name] = change.why
                        self.at_large |= change.at_large
            if name in self._held:
                self._judge(name, seen[name])
        return seen

    def _judge(self, name: str, answer: DerReading | DeviceError) -> None:
        held, der = self._held[name], self._ders[name]
        if isinstance(answer, DeviceError):
            held.silent = str(answer).removeprefix(f"{name}: ")
            return
        held.silent = ""
        if answer.quality is not Quality.GOOD:
            self._drop(name, answer.note)
        elif answer.local:
            self._drop(name, "under local control")
        elif answer.limited and answer.cap_kw is not None:
            self._drop(name, limited(answer.cap_kw))
        elif self._reckoned.newly_off(name, answer):
            pass
        elif other := orders.another(der, held.command, answer):
            self._drop(name, f"{other}: restarted, or written")
            self.at_large = True
        else:
            held.response = respond(der, held.asked, answer, self._policy.response_s)
            if isinstance(held.response, Followed):
                held.asked = Asked(command=held.command, since=answer.time, from_kw=answer.p_kw)
            elif isinstance(held.response, Ignored) and held.trusted:
                held.trusted = False
                self.lost[name] = held.response.reason

    def _drop(self, name: str, why: str) -> None:
        del self._held[name]
        self.lost[name] = self.dropped[name] = why

    # --- refreshing ------------------------------------------------------------------

    @property
    def valid_until(self) -> datetime | None:
        """Until when the last decision may be refreshed."""
        return self._began and self._began + INTERVAL + timedelta(seconds=HOLD_OVER_S)

    def due(self, now: datetime) -> Sequence[Command]:
        """Commands to refresh now, none before it is time; those not to be refreshed are dropped.

        A generator's is the next step of its way.
        """
        every = self._policy.keep_alive_s
        if every is None or self._refreshed is None or not self._held:
            return ()
        if (now - self._refreshed).total_seconds() < every:
            return ()
        valid_until = self.valid_until
        if valid_until is not None and now >= valid_until:
            over = f"no decision since that of {self._began:%H:%M} UTC"
            for name in list(self._held):
                self._drop(name, over)
        waiting = set()
        for name, held in list(self._held.items()):
            if held.silent:
                self._drop(name, held.silent)
            elif self._reckoned.newly_off(name, self._readings.get(name)):
                waiting.add(name)
            elif held.trusted and self._behind(held):
                shown_kw = self._readings[name].p_kw
                self._drop(name, f"it shows {shown_kw:.1f} kW, led to {held.command.p_kw:.1f} kW")
        self._refreshed = now
        return [
            self._next(self._ders[name], held, every)
            for name, held in self._held.items()
            if name not in waiting
        ]

    def _next(self, der: Der, held: _Held, every: float) -> Command:
        command = held.command
        if not isinstance(der, Dg) or command.p_kw is None:
            return command
        if self._behind(held):  # its steps begin anew from where it stands
            stands_kw = max(self._readings[der.name].p_kw, 0.0)
            return replace(command, p_kw=der.towards(stands_kw, command.p_kw, every))
        if not held.trusted:
            return command
        return replace(command, p_kw=der.towards(command.p_kw, held.target.p_kw, every))

    def _behind(self, held: _Held) -> bool:
        """Whether a generator stands further below its command than a step of its ramp: tripped.

        Asked for all of it, it would come back in one step.
        """
        der, reading = self._ders[held.command.der], self._readings.get(held.command.der)
        every, asked_kw = self._policy.keep_alive_s, held.command.p_kw
        if not isinstance(der, Dg) or reading is None or every is None or asked_kw is None:
            return False
        step_kw = der.ramp_up_kw_per_h * every / 3600.0
        return asked_kw - reading.p_kw > step_kw + tolerance_kw(der)

    def refreshed(
        self,
        commands: Sequence[Command],
        answers: Mapping[str, Readback | DeviceError],
        now: datetime,
    ) -> None:
        """Take in what became of a refresh."""
        for command in commands:
            name = command.der
            held, answer = self._held[name], answers.get(name, DeviceError("no answer"))
            if not isinstance(answer, RefusedWrite):  # then nothing was written
                self._in_force[name] = refreshed(
                    self._in_force.get(name), as_written(held.target, command), command, now,
                    None if isinstance(answer, DeviceError) else answer,
                )  # fmt: skip
            if isinstance(answer, FellBack):
                self._in_force[name] = replace(self._in_force[name], reverts_from=now)
            if isinstance(answer, DeviceError):
                self._drop(name, f"{str(answer).removeprefix(f'{name}: ')}; not refreshed")
                continue
            held.command, held.written = command, now
            held.asked = replace(held.asked, command=command)

    # --- telling ---------------------------------------------------------------------

    def told(self, name: str) -> tuple[str, str, datetime | None]:
        """Response of a device, its reason, and when its command was last confirmed."""
        held = self._held.get(name)
        if held is None:
            return "", self.dropped.get(name, ""), None
        why = held.response.reason if isinstance(held.response, Ignored) else ""
        response = "ramping" if self.ramps_to_kw(name) is not None else _named(held.response)
        return response, why, held.written

    def ramps_to_kw(self, name: str) -> float | None:
        """Setpoint that a generator is led to, of which its command is but a step yet [kW].

        None where it was asked for all of it, and where it does not follow.
        """
        held = self._held.get(name)
        if held is None or not isinstance(self._ders[name], Dg) or held.command.p_kw is None:
            return None
        if isinstance(held.response, Ignored):
            return None
        to_kw = held.target.p_kw
        return None if same_kw(held.command.p_kw, to_kw) else to_kw

    def alarms(self) -> Sequence[str]:
        """What an operator must look at, worst first."""
        ignored = [
            f"{name}: {held.response.reason}"
            for name, held in self._held.items()
            if isinstance(held.response, Ignored)
        ]
        falls = [f"{named(n, why)}; {self._until(n)}" for n, why in self.dropped.items()]
        return [*ignored, *falls]

    def _until(self, name: str) -> str:
        held = self._in_force.get(name)
        if held is None:
            return "it falls back by itself"
        if not held.reverts:
            return "it has no timer, and keeps its last command"
        return f"it falls back by itself by {held.latest:%H:%M:%S} UTC unless a cycle writes again"


def _named(response: Response) -> str:
    return type(response).__name__.lower()
