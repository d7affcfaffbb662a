"""The day, and its ladder: each rung of degradation, recorded and shown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from ems.cycle import run_cycle
from ems.domain import (
    Advised,
    Bes,
    Command,
    CycleRecord,
    Degraded,
    DerReading,
    Infeasible,
    InForce,
    Injections,
    Partial,
    Policy,
    Quality,
    Readback,
    Refused,
    Sent,
    Setpoint,
    Verified,
)
from ems.errors import DeviceError, RefusedWrite, SolverFault, Unreachable
from ems.gateways.memory import LOAD, MemoryField
from ems.ports import Ports
from tests.sites import AUTO, LOAD_KW, NOW, PRICE_USD_PER_KWH, GivenForecast, Kept, ports, segment

SITE = segment()
POWERS = {"pv": 7953.0, "dg": 2997.0, "bes": 0.0}


@pytest.fixture
def field() -> MemoryField:
    return MemoryField(SITE, load_kw=LOAD_KW, p_kw=POWERS)


@pytest.fixture
def world(field: MemoryField) -> Ports:
    return ports(SITE, field)


def cycle(
    world: Ports, policy: Policy = AUTO, *, minutes: float = 0, previous: CycleRecord | None = None
) -> CycleRecord:
    now = NOW + timedelta(minutes=minutes)
    return run_cycle(SITE, policy, PRICE_USD_PER_KWH, world, now, previous)


def test_a_good_cycle_measures_verifies_writes_and_keeps_a_record(
    world: Ports, field: MemoryField
) -> None:
    record = cycle(world)
    assert record.status == "verified"
    assert record.alarms == ()
    assert {c.der for c in field.written} == {"pv", "dg", "bes"}
    assert all(isinstance(o, Sent) for o in record.outcomes.values())
    assert isinstance(world.journal, Kept)
    assert world.journal.records == [record]
    assert set(record.stage_s) == {
        "measure",
        "forecast",
        "dispatch",
        "constrain",
        "explain",
        "command",
    }
    assert record.versions["pyomo"]


def test_the_reason_is_one_plain_sentence(world: Ports) -> None:
    ledger = cycle(world).ledger
    assert ledger.sentence.startswith(
        "pv held at 7.38 of 10.00 MW: B13 at its 1.10 pu limit should the load fall. "
    )
    assert "Compliance costs $" in ledger.sentence
    assert ledger.compliance_usd_per_h > 0.0
    assert ledger.entries[0].der == "pv"
    assert ledger.entries[0].limits[0] == "B13"


def test_every_command_carries_a_reversion_value_and_timer(
    world: Ports, field: MemoryField
) -> None:
    cycle(world)
    assert all(c.reversion_s == 1800 for c in field.written)
    assert {c.der: c.reversion_kw for c in field.written} == {"pv": 1000.0, "dg": 0.0, "bes": 0.0}


def test_what_relieves_the_limit_is_written_before_what_loads_it(
    world: Ports, field: MemoryField
) -> None:
    """BES starts to discharge here, which loads B13: it waits for the PV cap and the Q."""
    cycle(world)
    order = [c.der for c in field.written]
    assert order.index("pv") < order.index("bes") or field.written[-1].der == "bes"
    assert order[0] in {"pv", "dg"}


def test_advisory_mode_never_writes(world: Ports, field: MemoryField) -> None:
    record = cycle(world, Policy(control="advisory"))
    assert field.written == []
    assert all(isinstance(o, Advised) for o in record.outcomes.values())
    assert isinstance(record.secured, Verified)


def test_when_the_relief_is_not_confirmed_nothing_that_loads_is_written() -> None:
    """A battery without reactive power loads B13 when it discharges: it waits for the PV cap."""
    site = replace(
        SITE,
        ders=tuple(replace(d, q_max_kvar=0.0) if isinstance(d, Bes) else d for d in SITE.ders),
    )
    field = MemoryField(site, load_kw=LOAD_KW, p_kw=POWERS)
    field.fail("pv", RefusedWrite("device busy"))
    record = run_cycle(site, AUTO, PRICE_USD_PER_KWH, ports(site, field), NOW)
    assert isinstance(record.outcomes["pv"], Refused)
    assert all(c.p_kw == 0.0 for c in field.written if c.der == "bes")
    assert any("pv: not written: device busy" in a for a in record.alarms)


def test_a_device_that_does_not_follow_makes_the_others_make_room(
    world: Ports, field: MemoryField
) -> None:
    """PV stays at its old cap, a little too wide: the battery turns from discharge to charge."""
    field.cap_kw["pv"] = field.p_kw["pv"] = 7450.0
    first = cycle(replace(world, field=MemoryField(SITE, load_kw=LOAD_KW, p_kw=POWERS)))
    held = Setpoint(der="pv", p_kw=7450.0, q_kvar=0.0, cap_kw=7450.0)
    ours = {"pv": InForce(setpoints=(held,), written=NOW)}
    field.fail("pv", RefusedWrite("LOCAL"))
    record = cycle(world, previous=replace(first, in_force=ours))
    assert isinstance(record.secured, Verified)
    assert first.secured.dispatch.setpoints["bes"].p_kw == 200.0
    assert record.secured.dispatch.setpoints["pv"].cap_kw == 7450.0
    assert record.secured.dispatch.setpoints["bes"].p_kw < 0.0
    assert field.p_kw["bes"] < 0.0
    assert any("the other DERs made room" in alarm for alarm in record.alarms)


def test_a_cap_that_nobody_remembers_is_of_somebody_else_and_is_not_raised(
    world: Ports, field: MemoryField
) -> None:
    """The first contact of a process; a plant with no cap, or as it falls back, is free."""
    field.cap_kw["pv"] = field.p_kw["pv"] = 2000.0
    record = cycle(world)
    outcome = record.outcomes["pv"]
    assert isinstance(outcome, Refused)
    assert outcome.reason == "held at 2000 kW by somebody else; lift that limit at the device"
    assert record.status == "degraded"
    assert {c.der for c in field.written} == {"dg", "bes"}
    again = cycle(world, minutes=15, previous=record)
    assert any("pv: not written: held at 2000 kW by somebody else" in a for a in again.alarms)
    assert field.cap_kw["pv"] == 2000.0
    for free in (None, 1000.0):  # 1000 kW: its reversion value
        field.cap_kw["pv"] = free
        assert isinstance(cycle(world).outcomes["pv"], Sent)


def test_a_cap_of_the_cycle_before_is_ours(world: Ports, field: MemoryField) -> None:
    first = cycle(world)
    field.p_kw["pv"] = 3000.0
    again = cycle(world, minutes=15, previous=first)
    assert not again.snapshot.ders["pv"].limited
    assert isinstance(again.outcomes["pv"], Sent)


def test_a_device_that_cannot_be_held_back_by_any_means_is_told_as_infeasible(
    world: Ports, field: MemoryField
) -> None:
    """An uncapped 10 MW that refuses: no setpoint of the others mends it, and none pretends."""
    field.fail("pv", RefusedWrite("LOCAL"))
    record = cycle(world)
    assert isinstance(record.secured, Infeasible)
    assert record.secured.dispatch.setpoints["pv"].cap_kw is None
    assert any("B13" in alarm for alarm in record.alarms)


def test_a_dead_device_is_pinned_and_named_and_the_others_go_on(
    world: Ports, field: MemoryField
) -> None:
    first = cycle(world)
    field.fail("bes", Unreachable("no answer from 127.0.0.1:5022 in 3 s"))
    record = cycle(world, minutes=15, previous=first)
    assert record.status == "degraded"
    assert isinstance(record.outcomes["bes"], Refused)
    assert isinstance(record.outcomes["pv"], Sent)
    assert record.snapshot.ders["bes"].quality is Quality.STALE
    assert any("bes" in a and "5022" in a for a in record.alarms)


def test_a_device_silent_beyond_its_reversion_time_is_taken_at_its_reversion_value(
    world: Ports, field: MemoryField
) -> None:
    first = cycle(world)
    field.fail("dg", Unreachable("gone"))
    record = cycle(world, minutes=45, previous=first)
    reading = record.snapshot.ders["dg"]
    assert reading.quality is Quality.ASSUMED
    assert reading.p_kw == 0.0
    assert record.secured.dispatch.setpoints["dg"].p_kw == 0.0


@pytest.mark.parametrize("dg_kw", [0.0, 3000.0])
def test_what_is_sent_is_safe_whatever_a_device_does_that_was_never_heard(
    world: Ports, field: MemoryField, dg_kw: float
) -> None:
    field.fail("dg", Unreachable("no route"))
    record = cycle(world)
    assert record.snapshot.ders["dg"].quality is Quality.ASSUMED
    assert isinstance(record.secured, Verified)
    asked = record.secured.dispatch.setpoints
    cap = asked["pv"].cap_kw
    assert cap is not None
    for sun_kw in (0.0, cap):
        flow = world.network.load_flow(
            Injections(
                p_kw={"pv": sun_kw, "dg": dg_kw, "bes": asked["bes"].p_kw},
                q_kvar={"bes": asked["bes"].q_kvar},
                load_kw=LOAD_KW,
            )
        )
        assert flow.lowest()[1] >= 0.88
        assert flow.highest()[1] <= 1.10


def test_a_silent_device_is_reckoned_with_at_what_it_was_written_not_at_what_it_last_showed(
    world: Ports, field: MemoryField
) -> None:
    """The generator was sent to 3000 kW and then fell silent on its way there."""
    field.p_kw["dg"] = 1500.0
    first = cycle(world)
    assert first.in_force["dg"].setpoints[0].p_kw == 2250.0
    field.p_kw["dg"] = 1600.0
    field.fail("dg", Unreachable("gone"))
    record = cycle(world, minutes=5, previous=first)
    assert record.free.setpoints["dg"].p_kw == 2250.0
    assert record.in_force["dg"] == first.in_force["dg"]


def test_a_device_whose_timer_may_run_out_meanwhile_is_proved_before_and_after(
    world: Ports, field: MemoryField
) -> None:
    """Its −400 kvar may vanish within the interval: the cap cannot count on them."""
    first = cycle(world)
    field.fail("dg", Unreachable("gone"))
    soon = cycle(world, minutes=2, previous=first)
    later = cycle(world, minutes=20, previous=first)
    caps = [r.secured.dispatch.setpoints["pv"].cap_kw for r in (soon, later)]
    assert caps[0] is not None
    assert caps[1] is not None
    assert caps[1] < caps[0] - 100.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, 99_999.0])
def test_a_measurement_that_cannot_be_true_is_refused_and_nothing_is_written_to_that_device(
    world: Ports, field: MemoryField, bad: float
) -> None:
    first = cycle(world)
    field.written.clear()
    field.p_kw["dg"] = bad
    record = cycle(world, minutes=15, previous=first)
    assert record.snapshot.ders["dg"].quality is Quality.STALE
    assert math.isfinite(record.snapshot.ders["dg"].p_kw)
    assert "dg" not in {c.der for c in field.written}
    assert record.status == "degraded"


@pytest.mark.parametrize(("said", "kept"), [(9000.0, 9000.0), (-1.0, None), (math.nan, None),
                                           (99_999.0, None)])  # fmt: skip
def test_available_power_that_cannot_be_true_counts_as_not_told(
    world: Ports, field: MemoryField, said: float, kept: float | None
) -> None:
    field.tells_available = True
    field.available_kw["pv"] = said
    reading = cycle(world).snapshot.ders["pv"]
    assert (reading.available_kw, reading.quality) == (kept, Quality.GOOD)


def test_without_a_load_meter_the_last_value_then_the_lowest_load_is_taken(
    world: Ports, field: MemoryField
) -> None:
    first = cycle(world)
    field.fail(LOAD, Unreachable("meter down"))
    soon = cycle(world, minutes=15, previous=first)
    assert soon.snapshot.load.p_kw == LOAD_KW
    assert soon.snapshot.load.quality is Quality.STALE
    late = cycle(world, minutes=46, previous=soon)
    assert late.snapshot.load.p_kw == SITE.load_min_kw
    assert late.snapshot.load.quality is Quality.ASSUMED


def test_a_frozen_reading_counts_as_stale(world: Ports) -> None:
    class Frozen(MemoryField):
        def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
            old = now - timedelta(seconds=300)
            return {
                n: replace(r, time=old) if n == "dg" and isinstance(r, DerReading) else r
                for n, r in super().read(now).items()
            }

    frozen = Frozen(SITE, load_kw=LOAD_KW, p_kw=POWERS)
    record = cycle(replace(world, field=frozen))
    assert record.snapshot.ders["dg"].quality is Quality.STALE
    assert "300 s ago" in record.snapshot.ders["dg"].note


def test_a_battery_of_unknown_charge_holds_still(world: Ports, field: MemoryField) -> None:
    field.soc_pct["bes"] = math.nan
    record = cycle(world)
    assert record.secured.dispatch.setpoints["bes"].p_kw == 0.0


def test_a_solver_that_fails_keeps_what_is_verified_now(
    world: Ports, field: MemoryField, monkeypatch: pytest.MonkeyPatch
) -> None:
    field.cap_kw["pv"] = 6000.0
    field.p_kw["pv"] = 6000.0

    def failing(*_args: object, **_named: object) -> None:
        raise SolverFault("dispatch: Ipopt ended with time_limit")

    monkeypatch.setattr("ems.deciding.dispatch", failing)
    record = cycle(world)
    assert isinstance(record.secured, Degraded)
    assert "time_limit" in record.secured.reason
    assert record.secured.dispatch.setpoints["pv"].cap_kw == 6000.0
    assert record.ledger.sentence


def test_a_journal_that_fails_does_not_stop_control(world: Ports, field: MemoryField) -> None:
    class Full:
        def append(self, record: CycleRecord) -> None:
            assert record.outcomes
            raise OSError(28, "No space left on device")

    record = cycle(replace(world, journal=Full()))
    assert {c.der for c in field.written} == {"pv", "dg", "bes"}
    assert any("could not be kept" in a for a in record.alarms)
    assert record.status == "degraded"


def test_no_safe_dispatch_sends_the_reversion_set_and_raises_an_alarm() -> None:
    site = segment(v_min_pu=0.99)
    world = ports(site, MemoryField(site, load_kw=14_500.0), GivenForecast(0.0, 0.0))
    record = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW)
    assert isinstance(record.secured, Infeasible)
    assert record.status == "infeasible"
    assert any("no safe dispatch" in a for a in record.alarms)
    assert "reversion" in record.ledger.sentence
    assert isinstance(world.field, MemoryField)
    assert {c.der: (c.p_kw, c.cap_kw) for c in world.field.written} == {
        "pv": (None, 1000.0), "dg": (0.0, None), "bes": (0.0, None),
    }  # fmt: skip


def test_a_device_that_holds_something_else_than_asked_is_partial(world: Ports) -> None:
    class Lying(MemoryField):
        def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
            done = dict(super().write(commands))
            if "bes" in done:
                done["bes"] = DeviceError("WSet reads 0 W, asked for 200000 W")
            return done

    record = cycle(replace(world, field=Lying(SITE, load_kw=LOAD_KW, p_kw=POWERS)))
    outcome = record.outcomes["bes"]
    assert isinstance(outcome, Partial)
    assert "asked for 200000 W" in outcome.reason
    assert record.status == "degraded"


def test_ratings_clamp_what_is_written(world: Ports, field: MemoryField) -> None:
    cycle(world)
    for c in field.written:
        rated = {d.name: d for d in SITE.ders}[c.der]
        assert c.p_kw is None or abs(c.p_kw) <= rated.rated_kw
        assert abs(c.q_kvar) <= rated.q_max_kvar
        assert c.cap_kw is None or 0.0 <= c.cap_kw <= rated.rated_kw


def test_with_every_device_dead_from_the_start_the_optimiser_still_answers(
    world: Ports, field: MemoryField
) -> None:
    """Anything they can do is reckoned with; what that may break is told, nothing is written."""
    for name in (*SITE.names, LOAD):
        field.fail(name, Unreachable("no route"))
    record = cycle(world)
    assert record.free.status == "optimal"
    assert field.written == []
    assert record.status == "infeasible"


def test_a_generator_that_is_off_gives_no_reactive_power(world: Ports, field: MemoryField) -> None:
    """Energy cheaper than fuel: it runs only as far as its kvar are worth to the PV."""
    field.p_kw["dg"] = 0.0
    record = run_cycle(SITE, AUTO, 0.05, world, NOW)
    asked = record.secured.dispatch.setpoints["dg"]
    assert isinstance(record.secured, Verified)
    assert abs(asked.q_kvar) <= 400.0 * asked.p_kw / 300.0 + 1e-6
    dull = replace(world, forecaster=GivenForecast(1000.0, 2000.0))
    off = run_cycle(SITE, AUTO, 0.05, dull, NOW).secured.dispatch.setpoints["dg"]
    assert (off.p_kw, off.q_kvar) == (0.0, 0.0)


def test_a_measured_voltage_beyond_the_limits_is_an_alarm(world: Ports) -> None:
    class High(MemoryField):
        def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
            return {
                n: replace(r, v_pu=1.1123) if n == "pv" and isinstance(r, DerReading) else r
                for n, r in super().read(now).items()
            }

    high = replace(world, field=High(SITE, load_kw=LOAD_KW, p_kw=POWERS))
    found = cycle(high)
    assert found.alarms == ()  # as GEEMS found it: nothing was written yet
    record = cycle(high, minutes=15, previous=found)
    assert "pv measures 1.1123 pu, above 1.1 pu" in record.alarms
    assert record.status == "degraded"


def test_without_a_load_meter_what_is_sent_is_safe_from_lowest_to_highest_load(
    world: Ports, field: MemoryField
) -> None:
    first = cycle(world)
    field.fail(LOAD, Unreachable("meter down"))
    record = cycle(world, minutes=46, previous=first)
    assert record.snapshot.load.quality is Quality.ASSUMED
    assert isinstance(record.secured, Verified)
    asked = record.secured.dispatch.setpoints
    cap = asked["pv"].cap_kw
    assert cap is not None
    for sun_kw, load_kw in ((cap, SITE.load_min_kw), (0.0, SITE.load_max_kw)):
        flow = world.network.load_flow(
            Injections(
                p_kw={"pv": sun_kw, "dg": asked["dg"].p_kw, "bes": asked["bes"].p_kw},
                q_kvar={n: s.q_kvar for n, s in asked.items()},
                load_kw=load_kw,
            )
        )
        assert flow.highest()[1] <= 1.10
        assert flow.lowest()[1] >= 0.88


@pytest.mark.parametrize("stands_kw", [20.0, 50.0, 100.0])
def test_a_generator_that_has_not_all_its_kvar_yet_is_no_reason_for_a_cap_it_cannot_keep(
    stands_kw: float,
) -> None:
    """It is sent up, and for minutes it absorbs less than asked: the cap is safe then too."""
    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw={"pv": 7000.0, "dg": stands_kw})
    world = ports(SITE, field)
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW)
    asked = record.secured.dispatch.setpoints
    assert isinstance(record.secured, Verified)
    assert any("room kept for the way of dg" in note for note in record.secured.notes)
    for share in (0.0, 0.1, 0.3, 1.0):
        dg_kw = stands_kw + share * (asked["dg"].p_kw - stands_kw)
        dg_kvar = max(asked["dg"].q_kvar, -400.0 * min(1.0, dg_kw / 300.0))
        flow = world.network.load_flow(
            Injections(
                p_kw={"pv": asked["pv"].cap_kw or 0.0, "dg": dg_kw, "bes": asked["bes"].p_kw},
                q_kvar={"dg": dg_kvar, "bes": asked["bes"].q_kvar},
                load_kw=0.98 * LOAD_KW,
            )
        )
        assert flow.highest()[1] <= 1.10
