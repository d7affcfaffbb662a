"""From a decision to what the devices hold.

What is nearly held already is left as it is, the rest is written, relief first. Whatever then is
in force is judged by load flows; where it is unsafe, the devices that followed make room for those
that did not. The way of a generator to its setpoint is judged too: it takes minutes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ems.command import Astray
from ems.domain import (
    Answer,
    Command,
    Der,
    DerReading,
    Dispatch,
    Infeasible,
    LoadReading,
    Outcome,
    Policy,
    Pv,
    Readback,
    Refused,
    RowPrice,
    Secured,
    Setpoint,
    Site,
    Snapshot,
    Unmoved,
    Violation,
    Watched,
)
from ems.errors import Contested, DeviceError, FellBack, RefusedWrite
from ems.ports import Field
from ems.response import tolerance_kw
from ems.unmoved import Held, after_writes, disconnected, disobeying, off, unconfirmed

SHARES = (0.25, 0.5, 0.75)
"""Where on a generator's way the mix is judged. Its ends are cases of the interval; voltages and
currents bend so little between them that three points in between show what they could hide."""
MOST_APART = 4
"""Most generators whose ways are judged apart from one another: two load flows of every case for
each."""

Decide = Callable[[Mapping[str, Unmoved]], tuple[Dispatch, Secured]]
Judge = Callable[[Mapping[str, Setpoint], Mapping[str, Unmoved]], Sequence[Violation]]
Write = Callable[
    [Mapping[str, Setpoint], Sequence[RowPrice], Mapping[str, Astray]], Mapping[str, Outcome]
]


class Heard:
    """A field (`ems.ports.Field`) whose answers to writes are kept."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._answers: dict[str, list[Answer]] = {}

    @property
    def answers(self) -> Mapping[str, tuple[Answer, ...]]:
        """What each device answered so far, in the order of the writes."""
        return {name: tuple(answers) for name, answers in self._answers.items()}

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        """Read every DER."""
        return self._field.read(now)

    def read_load(self, now: datetime) -> LoadReading | DeviceError:
        """Read the aggregate load meter."""
        return self._field.read_load(now)

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        """Write each command, and keep what comes back."""
        answers = self._field.write(commands)
        for name in (c.der for c in commands if c.der in answers):
            self._answers.setdefault(name, []).append(_kept(answers[name]))
        return answers

    def close(self) -> None:
        """End all connections."""
        self._field.close()


def _kept(answer: Readback | DeviceError) -> Answer:
    if isinstance(answer, DeviceError):
        return Answer(
            fault=str(answer),
            refused=isinstance(answer, RefusedWrite),
            fell_back=isinstance(answer, FellBack),
            contested=isinstance(answer, Contested),
        )
    return Answer(readback=answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was decided and sent, and what came of it."""

    free: Dispatch
    secured: Secured
    pins: Mapping[str, Unmoved]
    outcomes: Mapping[str, Outcome]
    held: Held
    kept: Mapping[str, Setpoint]
    """What was left as it was, being near enough."""
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The devices of one interval, and those who decide and judge for them."""

    site: Site
    policy: Policy
    snapshot: Snapshot
    write: Write
    """The stage that writes."""
    held: Held
    """What the devices were last written."""
    watched: Watched | None
    decide: Decide
    judge: Judge
    """What a mix breaks in any case of the interval."""

    @property
    def now(self) -> datetime:
        """The present."""
        return self.snapshot.time

    def send(self, free: Dispatch, secured: Secured, pins: Mapping[str, Unmoved]) -> Round:
        """Write a decision.

        Args:
            free: the dispatch without network rows.
            secured: what load flows verified.
            pins: devices that cannot be moved now.
        """
        aside = frozenset(pins) - disconnected(self.snapshot, self.watched)
        alarms: tuple[str, ...] = ()
        moving, halfway = self._unsafe_way(secured, pins)
        if halfway is not None:
            found = self._with_room_for_the_way(secured, pins, moving, halfway)
            if found is None:
                alarms = (f"generators on their way may break a limit: {halfway}",)
            else:
                free, secured, pins = found
        kept = self._kept(secured, pins)
        setpoints = {**secured.dispatch.setpoints, **kept}
        astray = self._astray()
        outcomes = self._written(setpoints, secured, astray)
        held = after_writes(self.held, setpoints, outcomes, self.now)
        made = Round(
            free=free, secured=secured, pins=pins, outcomes=outcomes, held=held, kept=kept,
            alarms=alarms,
        )  # fmt: skip
        doubts = self._doubts(made, aside)
        broken = self.judge(setpoints, {**pins, **doubts}) if doubts else ()
        return self._with_room(made, doubts, broken[0], aside, astray) if broken else made

    def _doubts(self, made: Round, aside: frozenset[str]) -> Mapping[str, Unmoved]:
        """Devices that were commanded and did not confirm; the others were reckoned with."""
        unsure = unconfirmed(self.site, self.snapshot, made.outcomes, made.held)
        return {name: unmoved for name, unmoved in unsure.items() if name not in aside}

    def _with_room(
        self,
        made: Round,
        doubts: Mapping[str, Unmoved],
        worst: Violation,
        aside: frozenset[str],
        astray: Mapping[str, Astray],
    ) -> Round:
        """The devices that did not follow stay where they are; the others make room."""
        alarm = f"after a write that failed, the mix in force may be unsafe: {worst}"
        if isinstance(made.secured, Infeasible):
            return replace(made, alarms=(*made.alarms, alarm))
        stuck = {name: doubt for name, doubt in doubts.items() if not _waited(made, name)}
        pins = {**made.pins, **stuck}
        free, secured = self.decide(pins)
        setpoints = secured.dispatch.setpoints
        left = {name: Astray(why="", asked=None) for name in stuck}
        again = self._written(setpoints, secured, {**astray, **left})
        moved = {name: outcome for name, outcome in again.items() if name not in stuck}
        made = replace(
            made, free=free, secured=secured, pins=pins, kept={},
            outcomes={**made.outcomes, **moved},
            held=after_writes(made.held, setpoints, moved, self.now),
        )  # fmt: skip
        if not self.judge(setpoints, {**pins, **self._doubts(made, aside)}):
            alarm += "; the other DERs made room"
        return replace(made, alarms=(*made.alarms, alarm))

    def _written(
        self, setpoints: Mapping[str, Setpoint], secured: Secured, astray: Mapping[str, Astray]
    ) -> Mapping[str, Outcome]:
        return self.write(setpoints, secured.dispatch.binding, astray)

    def _astray(self) -> Mapping[str, Astray]:
        """Devices that do not obey, and what they are asked once more."""
        found, ders = {}, {d.name: d for d in self.site.ders}
        for name, why in disobeying(self.snapshot, self.watched).items():
            held = self.held.get(name)
            reading = self.snapshot.ders[name]
            ours = held is not None and not reading.local and not reading.limited
            # Others may have disconnected it since: what was asked before, it is not to do.
            asked = off(ders[name]) if reading.off else held.setpoints[0] if held else None
            found[name] = Astray(why=why, asked=asked if ours else None)
        return found

    # --- what is nearly held already -------------------------------------------------

    def _kept(self, secured: Secured, pins: Mapping[str, Unmoved]) -> Mapping[str, Setpoint]:
        """What devices hold and keep, within the deadband; only where all of it verifies."""
        if self.policy.deadband_pct <= 0.0 or isinstance(secured, Infeasible):
            return {}
        setpoints = secured.dispatch.setpoints
        near = {}
        for der in self.site.ders:
            held = self.held.get(der.name)
            if der.name in pins or held is None or not held.earliest == held.latest > self.now:
                continue
            band = self.policy.deadband_pct / 100.0 * der.rated_kw
            at = _left(der, held.setpoints[0], setpoints[der.name], band)
            if at is not None:
                near[der.name] = at
        if not near:
            return {}
        mix = {**setpoints, **near}
        still = self._on_the_way(mix, dict.fromkeys(self._moving(mix, pins), 0.0))
        return {} if self.judge(mix, pins) or self.judge(still, pins) else near

    # --- generators on their way -----------------------------------------------------

    def _unsafe_way(
        self, secured: Secured, pins: Mapping[str, Unmoved]
    ) -> tuple[Sequence[str], Violation | None]:
        """Generators that are sent elsewhere, and what would break on their way; None: nothing."""
        setpoints = secured.dispatch.setpoints
        moving = self._moving(setpoints, pins)
        if isinstance(secured, Infeasible) or not moving:
            return moving, None
        for shares in _ways(moving, starting=self._starting(moving)):
            broken = self.judge(self._on_the_way(setpoints, shares), pins)
            # A decision that breaks a limit by itself (paper mode) is none for its way.
            if broken:
                return moving, None if self.judge(setpoints, pins) else broken[0]
        return moving, None

    def _with_room_for_the_way(
        self,
        secured: Secured,
        pins: Mapping[str, Unmoved],
        moving: Sequence[str],
        broken: Violation,
    ) -> tuple[Dispatch, Secured, Mapping[str, Unmoved]] | None:
        """Another decision, that holds all the way; None where there is none.

        The generators go where they were sent, the others keep room for the way; where they
        cannot, the generators stay where they stand.
        """
        names = ", ".join(moving)
        for wider, said in (
            (self._way(secured.dispatch.setpoints, moving), f"room kept for the way of {names}"),
            ({name: _pinned(self._stands(name)) for name in moving}, f"{names} not moved"),
        ):
            free, other = self.decide({**pins, **wider})
            if not isinstance(other, Infeasible):
                note = f"{said}: on it a limit would break: {broken}"
                return free, replace(other, notes=(*other.notes, note)), {**pins, **wider}
        return None

    def _way(
        self, setpoints: Mapping[str, Setpoint], moving: Sequence[str]
    ) -> Mapping[str, Unmoved]:
        """Generators that are sent, and may be anywhere between."""
        start = self._on_the_way(setpoints, dict.fromkeys(moving, 0.0))
        found = {}
        for name in moving:
            one, other = start[name], setpoints[name]
            ends = [(pick(one.p_kw, other.p_kw), pick(one.q_kvar, other.q_kvar))
                    for pick in (max, min)]  # fmt: skip
            high, low = (replace(other, p_kw=p_kw, q_kvar=q_kvar) for p_kw, q_kvar in ends)
            found[name] = Unmoved(expected=other, high=high, low=low)
        return found

    def _moving(
        self, setpoints: Mapping[str, Setpoint], pins: Mapping[str, Unmoved]
    ) -> Sequence[str]:
        """Generators that are sent further than a measurement is wrong."""
        return [
            d.name
            for d in self.site.dgs
            if d.name not in pins
            and abs(setpoints[d.name].p_kw - self.snapshot.ders[d.name].p_kw) > tolerance_kw(d)
        ]

    def _starting(self, moving: Sequence[str]) -> bool:
        """Whether one stands where it has not all its Q, so that its start is no case either."""
        full = {d.name: d.full_q_kw for d in self.site.dgs}
        return any(self.snapshot.ders[name].p_kw < full[name] for name in moving)

    def _stands(self, name: str) -> Setpoint:
        reading = self.snapshot.ders[name]
        return Setpoint(der=name, p_kw=reading.p_kw, q_kvar=reading.q_kvar)

    def _on_the_way(
        self, setpoints: Mapping[str, Setpoint], shares: Mapping[str, float]
    ) -> Mapping[str, Setpoint]:
        """Generators at a share of their way, with as much Q as they have there; the others there.

        A generator gives all its Q from some power on, and less below.
        """
        found = dict(setpoints)
        for dg in self.site.dgs:
            if (share := shares.get(dg.name)) is None:
                continue
            there, stands_kw = setpoints[dg.name], self.snapshot.ders[dg.name].p_kw
            p_kw = stands_kw + share * (there.p_kw - stands_kw)
            most_kvar = dg.q_max_kvar * min(1.0, max(p_kw, 0.0) / dg.full_q_kw)
            q_kvar = min(max(there.q_kvar, -most_kvar), most_kvar)
            found[dg.name] = replace(there, p_kw=p_kw, q_kvar=q_kvar)
        return found


def _ways(moving: Sequence[str], *, starting: bool) -> Iterator[Mapping[str, float]]:
    """Points on the way: all alike; of few also each alone ahead of and behind the others."""
    for share in (0.0, *SHARES) if starting else SHARES:
        yield dict.fromkeys(moving, share)
    if 1 < len(moving) <= MOST_APART:
        for one in moving:
            yield {name: float(name == one) for name in moving}
            yield {name: float(name != one) for name in moving}


def _waited(made: Round, name: str) -> bool:
    """Whether a device was only held back; it can still move."""
    outcome = made.outcomes[name]
    return isinstance(outcome, Refused) and outcome.waited


def _pinned(at: Setpoint) -> Unmoved:
    return Unmoved(expected=at, high=at, low=at)


def _left(der: Der, held: Setpoint, new: Setpoint, band: float) -> Setpoint | None:
    """What it holds, where that is near enough to what is new; None where it is to be written.

    A cap is never left higher than the one that was verified.
    """
    if abs(new.q_kvar - held.q_kvar) > band:
        return None
    if isinstance(der, Pv):
        if new.cap_kw is None or held.cap_kw is None:
            return None
        if not held.cap_kw <= new.cap_kw <= held.cap_kw + band:
            return None
        left = replace(held, p_kw=min(new.p_kw, held.cap_kw))
    elif abs(new.p_kw - held.p_kw) > band:
        return None
    else:
        left = held
    # Off is off: a generator or battery a little above or below it is not near it, and a battery at
    # the end of its energy could not be held to the little.
    if not isinstance(der, Pv) and (held.p_kw == 0.0) != (new.p_kw == 0.0):
        return None
    return None if left == new else left
