"""A DER that others of the site's own server disconnect: known to be off, and commanded to be."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ems.clock import SteppedClock, interval_start
from ems.command import command
from ems.cycle import run_cycle
from ems.daemon import Service
from ems.domain import (
    CycleRecord,
    DerReading,
    Dg,
    EndDeviceAddress,
    Ignored,
    InForce,
    Partial,
    Pv,
    Quality,
    Sent,
    Setpoint,
    Setup,
    Site,
    Snapshot,
    Watched,
)
from ems.gateways.ieee2030_5.field import Ieee2030Field
from ems.gateways.ieee2030_5.joined import JoinedField
from ems.gateways.ieee2030_5.memory import MemoryDevice, MemoryServer
from ems.gateways.ieee2030_5.orders import held
from ems.gateways.ieee2030_5.ratings import ratings
from ems.gateways.memory import MemoryField
from ems.protocols.ieee2030_5 import sep, values
from ems.record import from_json, to_json
from ems.replay import again, compared, given_of
from ems.store import Store
from ems.unmoved import disconnected, off, unconfirmed, unmoved
from feeders import Feeder
from tests.ieee2030_5_field import ANSWER_S, AT, REVERSION_S, end_device
from tests.sites import AUTO, LOAD_KW, NOW, PRICE_USD_PER_KWH, GivenForecast, ports, segment
from tests.sites import snapshot as measured

SITE = replace(segment(pv_q_max_kvar=3000.0, v_min_pu=0.90), power_factor_min=0.99)
"""Only the plant can keep its power factor: its reactive power is asked for wherever it may be."""
WIDE = segment()
DERS = {d.name: d for d in SITE.ders}
POLICY = replace(AUTO, reversion_s=REVERSION_S)
OFF = sep.DERControlBase(opModConnect=False)
NOTHING_KW = sep.DERControlBase(opModGenLimW=values.active_power(0.0))
SUN_KW = 9000.0


class World:
    """One DER is a client of the site's own server, and mirrors what it does; time passes."""

    def __init__(self, name: str, *others: sep.DERControlBase, site: Site = SITE) -> None:
        self.der, self.site = DERS[name], site
        self.device: MemoryDevice = end_device(self.der)
        assert self.device.capability is not None
        self.device.capability.rtgMaxVar = values.reactive_power(self.der.q_max_kvar * 1000.0)
        self.device.others = list(others)
        self.server = MemoryServer({name: self.device}, AT)
        address = EndDeviceAddress(enddevice=name.upper(), answer_s=ANSWER_S)
        self.client = Ieee2030Field(site, {name: address}, self.server, fresh_s=120.0)
        self.others = MemoryField(
            replace(site, ders=tuple(d for d in site.ders if d.name != name)),
            load_kw=LOAD_KW, p_kw={"pv": 7953.0, "dg": 2997.0, "bes": 0.0},
        )  # fmt: skip
        of = {n: self.client if n == name else self.others for n in site.names}
        self.ports = replace(
            ports(site, forecast=GivenForecast(SUN_KW, SUN_KW)), field=JoinedField(of, self.others)
        )
        self.clock = SteppedClock(NOW)
        self.records: list[CycleRecord] = []
        self.mirror()

    def mirror(self) -> None:
        """What the device does now, as it tells it."""
        p_kw, q_kvar, of = 0.0, 0.0, ratings(self.device)
        asked = self.device.orders[0].base if self.device.orders else self.device.default
        if asked is not None and of is not None and OFF not in self.device.others:
            order = held(self.der, asked, of)
            q_kvar, p_kw = order.q_kvar, order.p_kw or 0.0
            if isinstance(self.der, Pv):
                p_kw = SUN_KW if order.cap_kw is None else min(SUN_KW, order.cap_kw)
        for reading, kilo in zip(self.device.readings, (p_kw, q_kvar), strict=True):
            reading.value, reading.time = kilo * 1000.0, self.server.now()
        if self.device.status is not None and self.device.status.stateOfChargeStatus is not None:
            self.device.status.readingTime = self.server.now()
            self.device.status.stateOfChargeStatus.dateTime = self.server.now()

    def pass_s(self, seconds: float) -> None:
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))
        self.server.pass_s(seconds)
        self.mirror()

    def cycle(self, watched: Watched | None = None) -> CycleRecord:
        before = self.records[-1] if self.records else None
        self.records.append(
            run_cycle(
                self.site, POLICY, PRICE_USD_PER_KWH, self.ports, self.clock.now(), before, watched
            )
        )
        return self.records[-1]

    @property
    def newest(self) -> sep.DERControlBase:
        return self.device.orders[0].base

    def reading(self) -> DerReading:
        found = self.client.read(self.clock.now())[self.der.name]
        assert isinstance(found, DerReading)
        return found


def alarms_of_devices(record: CycleRecord) -> list[str]:
    """All but that the power factor is missed, which is true of a site without its plant."""
    return [a for a in record.alarms if "no DER can keep the power factor" not in a]


# --- whole cycles --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pv", "bes", "dg"])
def test_it_is_not_counted_on_and_is_commanded_to_be_off_while_the_others_are_written_as_ever(
    name: str,
) -> None:
    world = World(name, OFF)
    for _ in range(3):
        record = world.cycle()
        assert {n: type(o) for n, o in record.outcomes.items()} == dict.fromkeys(SITE.names, Sent)
        assert record.secured.dispatch.setpoints[name] == off(DERS[name])
        told = record.outcomes[name].command
        assert (told.p_kw or 0.0, told.q_kvar, told.cap_kw or 0.0) == (0.0, 0.0, 0.0)
        assert alarms_of_devices(record) == []
        assert world.newest.opModConnect is False
        world.pass_s(200.0)
    assert len(world.server.published) == 3, "its control is renewed"


def test_that_the_power_factor_is_missed_without_it_is_told_and_not_asked_of_it() -> None:
    record = World("pv", OFF).cycle()
    assert any("no DER can keep the power factor limit" in a for a in record.alarms)
    assert record.outcomes["pv"].command.q_kvar == 0.0


def test_a_limit_of_no_watts_does_not_disconnect_and_leaves_its_reactive_power() -> None:
    world = World("pv", NOTHING_KW)
    record = world.cycle()
    outcome = record.outcomes["pv"]
    assert isinstance(outcome, Sent)
    assert not world.reading().off
    assert (outcome.command.cap_kw, world.newest.opModMaxLimW) == (0.0, 0)
    assert outcome.command.q_kvar > 1000.0
    assert record.alarms == ()


def test_people_are_told_why_it_is_off() -> None:
    world = World("bes", OFF)
    assert world.reading().note == "another program of its server disconnects it"
    world.device.others = []
    assert world.reading().note == ""


def test_a_record_of_it_is_decided_again_to_the_same() -> None:
    world = World("pv", OFF)
    world.cycle()
    world.pass_s(200.0)
    record = from_json(to_json(world.cycle()))
    assert record.snapshot.ders["pv"].off
    given = given_of(record, Setup(site=SITE, policy=POLICY), None)
    with closing(Feeder.open("segment13", SITE.placements)) as network:
        assert compared(record, again(record, given, network)).differences == ()


# --- lifted --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pv", "bes", "dg"])
def test_a_refresh_gives_it_back_with_nothing_as_it_was_proved_and_the_next_cycle_with_more(
    name: str,
) -> None:
    world = World(name)
    world.cycle()
    world.pass_s(60.0)
    world.device.others = [OFF]
    record = world.cycle()
    world.device.others = []
    assert world.newest.opModConnect is False, "until it is told, it goes on as it is"
    world.ports.field.write([o.command for o in record.outcomes.values()])
    of = ratings(world.device)
    assert of is not None
    order = held(DERS[name], world.newest, of)
    assert world.newest.opModConnect is None
    assert (order.p_kw or 0.0, order.cap_kw or 0.0, order.q_kvar) == (0.0, 0.0, 0.0)
    world.mirror()
    free = world.cycle()
    assert alarms_of_devices(free) == []
    assert isinstance(free.outcomes[name], Sent)
    if name == "pv":
        assert free.secured.dispatch.setpoints[name].p_kw > 900.0


# --- what is proved ------------------------------------------------------------------


def test_what_it_does_not_confirm_is_judged_like_any_other_write() -> None:
    """It may go on with what it holds, or fall back, until it has heard that it is to be off."""
    world = World("pv", site=WIDE)
    first = world.cycle()
    cap_kw = first.outcomes["pv"].command.cap_kw
    assert cap_kw is not None
    assert cap_kw > 5000.0
    world.pass_s(60.0)
    world.device.others, world.device.answers_after_s = [OFF], None
    record = world.cycle()
    assert isinstance(record.outcomes["pv"], Partial)
    assert any(a.startswith("after a write that failed") for a in record.alarms)
    may = unconfirmed(world.site, record.snapshot, record.outcomes, record.in_force)["pv"]
    assert may.high.cap_kw == cap_kw
    assert off(DERS["pv"]) in record.in_force["pv"].setpoints


def test_where_it_had_no_cap_the_others_wait_until_it_confirms_to_be_off() -> None:
    """What loads the feeder in its place is written only once it is known to have gone."""
    world = World("pv", site=segment(v_max_pu=1.2))
    assert world.cycle().outcomes["pv"].command.cap_kw is None
    world.pass_s(60.0)
    world.device.others, world.device.answers_after_s = [OFF], None
    assert (world.reading().cap_kw, world.reading().off) == (None, True)
    world.others.written.clear()
    world.others.p_kw["bes"] = 0.0
    asked = [off(DERS["pv"]), *(replace(off(DERS[n]), p_kw=150.0) for n in ("bes", "dg"))]
    at = replace(measured(world.site), ders=world.ports.field.read(world.clock.now()))  # type: ignore[arg-type]  # all answer
    outcomes = command(world.site, POLICY, at, {s.der: s for s in asked}, (), {}, world.ports.field)
    assert isinstance(outcomes["pv"], Partial)
    assert "bes" not in {c.der for c in world.others.written}


def seen(name: str, p_kw: float, **changes: bool | Quality) -> Snapshot:
    at = measured(SITE)
    reading = replace(at.ders[name], p_kw=p_kw, off=True, **changes)  # type: ignore[arg-type]
    return replace(at, ders={**at.ders, name: reading})


@pytest.mark.parametrize("name", ["pv", "bes"])
def test_an_inverter_is_reckoned_as_off_from_when_it_is_disconnected(name: str) -> None:
    """What it is measured at may be older; what it does not confirm is doubtful."""
    pinned = unmoved(SITE, seen(name, 150.0), {})[name]
    assert pinned.expected == pinned.high == pinned.low == off(DERS[name])


def test_a_generator_may_have_no_switch_and_still_be_on_its_way_down() -> None:
    pinned = unmoved(SITE, seen("dg", 2000.0), {})["dg"]
    assert (pinned.expected.p_kw, pinned.low.p_kw, pinned.high.p_kw) == (0.0, 0.0, 2000.0)


def test_a_generator_is_asked_for_nothing_at_once() -> None:
    world = World("dg", OFF)
    policy = replace(POLICY, keep_alive_s=60.0)
    to = {"dg": off(DERS["dg"])}
    site = replace(SITE, ders=(DERS["dg"],))
    outcome = command(site, policy, seen("dg", 2000.0), to, (), {}, world.client)["dg"]
    assert isinstance(outcome, Sent)
    assert outcome.command.p_kw == 0.0


def test_one_that_is_silent_or_does_not_obey_is_reckoned_with_as_ever() -> None:
    """Others say that it is off; what is known of the device says otherwise."""
    silent = seen("pv", 5000.0, quality=Quality.STALE)
    astray = Watched(responses={"pv": Ignored(reason="it makes 5000 kW under a cap of 0 kW")})
    heard = seen("pv", 5000.0)
    assert disconnected(heard, None) == {"pv"}
    for at, watched in ((silent, None), (heard, astray), (seen("pv", 5000.0, local=True), None)):
        assert not disconnected(at, watched)
        assert unmoved(SITE, at, {}, watched)["pv"].high.p_kw >= 5000.0


@pytest.mark.parametrize("astray", [False, True])
def test_what_is_not_known_to_be_off_may_be(*, astray: bool) -> None:
    """It may have heard of the others last, or at last."""
    running = Setpoint(der="dg", p_kw=2000.0, q_kvar=300.0)
    site = replace(
        SITE,
        ders=tuple(replace(d, reversion_kw=900.0) if isinstance(d, Dg) else d for d in SITE.ders),
    )
    holds = InForce(setpoints=(running,), written=NOW, reverts_from=NOW + timedelta(hours=1))
    watched = Watched(responses={"dg": Ignored(reason="it goes on")}) if astray else None
    at = seen("dg", 2000.0, quality=Quality.GOOD if astray else Quality.STALE)
    pinned = unmoved(site, at, {"dg": holds}, watched)["dg"]
    assert (pinned.low.p_kw, pinned.high.p_kw) == (0.0, 2000.0)
    assert (pinned.low.q_kvar, pinned.high.q_kvar) == (0.0, 300.0)


def test_one_that_did_not_obey_before_is_asked_to_be_off_too() -> None:
    """To ask again what it did not do would be cut by the server, each time anew."""
    world = World("bes")
    first = world.cycle()
    world.pass_s(60.0)
    world.device.others = [OFF]
    ignored = {"bes": Ignored(reason="acknowledged, but it shows 0.0 kW")}
    record = world.cycle(Watched(in_force=first.in_force, responses=ignored))
    outcome = record.outcomes["bes"]
    assert isinstance(outcome, Partial)
    assert outcome.readback is not None
    assert (outcome.command.p_kw, outcome.command.q_kvar) == (0.0, 0.0)
    world.pass_s(60.0)
    later = world.cycle(Watched(in_force=record.in_force))
    assert isinstance(later.outcomes["bes"], Sent)
    assert alarms_of_devices(later) == []


# --- between two cycles --------------------------------------------------------------


class Served(World):
    """The same in a service whose clock the test moves."""

    def __init__(self, name: str, store: Store) -> None:
        super().__init__(name)
        self.clock = SteppedClock(interval_start(NOW))
        self.server.time = self.clock.now().timestamp()
        self.mirror()
        self.service = Service(
            site=SITE, policy=replace(POLICY, keep_alive_s=60.0, response_s=30.0),
            ports=self.ports, store=store, run=self.run,
            clock=self.clock, lease_clock=SteppedClock(self.clock.now()),
        )  # fmt: skip
        self.alarmed: list[str] = []
        """What an operator saw after any poll, and while a decision was being made."""
        self.service.cycle()

    def run(self, now: datetime, watched: Watched | None) -> CycleRecord:
        assert now == self.clock.now()
        self.alarmed += self.service.health().alarms
        return self.cycle(watched)

    def poll(self, seconds: float) -> None:
        self.pass_s(seconds)
        self.service.poll()
        self.alarmed += self.service.health().alarms


@pytest.fixture(params=["pv", "bes", "dg"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    store = Store.open(tmp_path / "geems.sqlite")
    made = Served(request.param, store)
    assert isinstance(made.records[0].outcomes[made.der.name], Sent)
    yield made
    made.service.stop()
    store.close()


def test_what_begins_between_two_cycles_is_decided_on_once_and_nothing_is_alarmed(
    served: Served,
) -> None:
    name = served.der.name
    served.poll(20.0)
    served.device.others = [OFF]
    for _ in range(20):
        served.poll(20.0)
    assert served.alarmed == []
    assert len(served.records) == 2
    record = served.records[-1]
    assert record.secured.dispatch.setpoints[name] == off(served.der)
    assert {type(o) for o in record.outcomes.values()} == {Sent}
    assert alarms_of_devices(record) == []
    health = served.service.health().devices[name]
    assert (health.response, health.note) == (
        "followed", "another program of its server disconnects it",
    )  # fmt: skip
    newest = served.device.orders[0]
    assert newest.start + newest.duration > served.server.now() + 60, "its control is renewed"


def test_what_others_lift_comes_back_with_nothing_until_the_next_decision(served: Served) -> None:
    served.poll(20.0)
    served.device.others = [OFF]
    for _ in range(4):
        served.poll(20.0)
    served.device.others = []
    for _ in range(10):
        served.poll(20.0)
        of = ratings(served.device)
        assert of is not None
        order = held(served.der, served.newest, of)
        assert (order.p_kw or 0.0, order.cap_kw or 0.0, order.q_kvar) == (0.0, 0.0, 0.0)
    assert served.newest.opModConnect is None
    assert (len(served.records), served.alarmed) == (2, [])
    served.poll(900.0)
    served.service.cycle()
    assert isinstance(served.records[-1].outcomes[served.der.name], Sent)
    assert alarms_of_devices(served.records[-1]) == []


def test_what_is_lifted_before_it_was_decided_on_is_asked_for_as_before(served: Served) -> None:
    served.poll(5.0)
    before = served.newest
    served.device.others = [OFF]
    served.poll(5.0)
    assert served.newest.opModConnect is False
    assert len(served.records) == 1
    served.device.others = []
    served.poll(55.0)
    assert isinstance(served.records[-1].outcomes[served.der.name], Sent)
    if served.der.name != "dg":  # which is led there from nothing
        assert served.newest == before
