"""The real cycle in a service over devices in memory, with a clock that the test moves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from ems.clock import SteppedClock, interval_start
from ems.cycle import run_cycle
from ems.daemon import Service
from ems.domain import (
    Command,
    CycleRecord,
    DerReading,
    Partial,
    Policy,
    Readback,
    Sent,
    Watched,
)
from ems.errors import DeviceError
from ems.gateways.memory import MemoryField
from ems.store import Store
from tests.sites import LOAD_KW, NOW, PRICE_USD_PER_KWH, GivenForecast, ports, segment

SITE = segment()
POLICY = Policy(
    control="auto", reversion_s=300, keep_alive_s=60.0, response_s=30.0, deadband_pct=0.5
)
START = interval_start(NOW)


class Devices(MemoryField):
    """Devices in memory with ways to go wrong, and a list of what each call wrote."""

    def __init__(self) -> None:
        super().__init__(
            SITE, load_kw=LOAD_KW, p_kw={"pv": 7000.0, "dg": 2000.0}, q_kvar={"dg": 0.0}
        )
        self.available_kw = {"pv": 9000.0}
        self.calls: list[tuple[Command, ...]] = []
        self.deaf: set[str] = set()
        """Acknowledge, and do nothing."""
        self.change: dict[str, Callable[[DerReading], DerReading]] = {}
        """What a device shows in place of the truth."""

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        found = dict(super().read(now))
        for name, change in self.change.items():
            answer = found[name]
            if isinstance(answer, DerReading):
                found[name] = change(answer)
        return found

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        self.calls.append(tuple(commands))
        stood = (dict(self.p_kw), dict(self.q_kvar))
        answers = super().write(commands)
        for name in self.deaf & {c.der for c in commands}:
            self.p_kw[name], self.q_kvar[name] = stood[0][name], stood[1][name]
        return answers


class Bench:
    """The real cycle in a service whose clock the test moves."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.field = Devices()
        self.clock = SteppedClock(START)
        self.lease_clock = SteppedClock(START)
        self.world = replace(ports(SITE, self.field, GivenForecast(9000.0, 9000.0)), journal=store)
        self.records: list[CycleRecord] = []
        self.act: Callable[[], None] = lambda: None
        self.service = Service(
            site=SITE, policy=POLICY, ports=self.world, store=store, run=self.run,
            clock=self.clock, lease_clock=self.lease_clock,
        )  # fmt: skip

    def run(self, now: datetime, watched: Watched | None) -> CycleRecord:
        before = self.records[-1] if self.records else None
        made = run_cycle(SITE, POLICY, PRICE_USD_PER_KWH, self.world, now, before, watched)
        self.records.append(made)
        self.act()
        return made

    def poll(self, seconds: float) -> Sequence[tuple[Command, ...]]:
        """Let time pass, poll, and tell what was written."""
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))
        self.field.calls.clear()
        self.service.poll()
        return list(self.field.calls)

    @property
    def alarms(self) -> str:
        return "\n".join(self.service.health().alarms)


@contextmanager
def in_control(folder: Path) -> Iterator[Bench]:
    store = Store.open(folder / "geems.sqlite")
    made = Bench(store)
    made.service.cycle()
    assert all(isinstance(o, Sent) for o in made.records[0].outcomes.values())
    yield made
    made.service.stop()
    store.close()


def command_of(bench: Bench, name: str) -> Command:
    outcome = bench.records[-1].outcomes[name]
    assert isinstance(outcome, Sent | Partial)
    return outcome.command


def restart(bench: Bench) -> None:
    bench.field.cap_kw["pv"] = None
    bench.field.p_kw["pv"] = 9000.0
