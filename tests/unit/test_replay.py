"""A recorded cycle decided again: the same to the last bit, whatever it went through."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from ems import deciding, planning
from ems.clock import INTERVAL
from ems.cycle import run_cycle
from ems.dispatch import dispatch
from ems.domain import (
    Bes,
    Command,
    CycleRecord,
    Degraded,
    DerReading,
    Feedback,
    Forecast,
    Given,
    Horizon,
    Ignored,
    Infeasible,
    InForce,
    Limits,
    Partial,
    Policy,
    Pv,
    PvForecast,
    Quality,
    Readback,
    Sent,
    Setpoint,
    Setup,
    Site,
    Snapshot,
    SolverStatus,
    Watched,
)
from ems.domain.ahead import HorizonForecast
from ems.errors import DeviceError, RefusedWrite, SolverFault, Unreachable
from ems.gateways.memory import LOAD, MemoryField
from ems.lookahead import horizon_of
from ems.lookahead import lookahead as plan_the_day
from ems.ports import History, Ports
from ems.record import from_json, to_json
from ems.replay import Compared, Remembered, again, compared, given_of, otherwise
from ems.tariff import Tariff, from_table
from feeders import Feeder
from tests.sites import (
    AUTO,
    LOAD_KW,
    NOW,
    PRICE_USD_PER_KWH,
    GivenForecast,
    Kept,
    NoHistory,
    ports,
    segment,
)

SITE = segment()
POWERS = {"pv": 7953.0, "dg": 2997.0, "bes": 0.0}
STRANGE = Setup(site=segment(v_max_pu=1.2), policy=Policy())
"""Of a site file that was changed since: no replay of a whole record may look at it."""


@pytest.fixture(scope="module")
def feeder() -> Iterator[Feeder]:
    """The feeder opened anew, as a replay does; other points were solved on it before."""
    with closing(Feeder.open("segment13", SITE.placements)) as opened:
        yield opened


Replay = Callable[[CycleRecord], tuple[CycleRecord, Compared]]


@pytest.fixture
def replay(feeder: Feeder) -> Replay:
    """Decides a cycle again from what the database would hold of it."""

    def run(record: CycleRecord) -> tuple[CycleRecord, Compared]:
        return replayed(record, feeder)

    return run


def replayed(record: CycleRecord, network: Feeder) -> tuple[CycleRecord, Compared]:
    kept = from_json(to_json(record))
    made = again(kept, given_of(kept, STRANGE, None), network)
    return made, compared(kept, made)


def same(found: tuple[CycleRecord, Compared]) -> CycleRecord:
    made, told = found
    assert told.differences == ()
    assert told.values > 300
    return made


# --- kinds of cycles -----------------------------------------------------------------


def test_cycles_in_a_row_are_the_same_in_any_order(replay: Replay) -> None:
    """Load and sun move, the battery is used; each cycle goes on from the one before."""
    rng = np.random.default_rng(7)
    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw=POWERS)
    policy = replace(AUTO, fit_losses=True, deadband_pct=2.0)
    world, last, made = ports(SITE, field), None, []
    for k in range(8):
        field.load_kw = LOAD_KW * float(rng.uniform(0.5, 1.1))
        world = replace(world, forecaster=GivenForecast(float(rng.uniform(0, 9000)), 9500.0))
        last = run_cycle(SITE, policy, float(rng.uniform(0, 0.6)), world, NOW + k * INTERVAL, last)
        made.append(last)
    for i in rng.permutation(len(made)).tolist():
        same(replay(made[i]))
    assert made[-1].before is not None
    assert made[-1].before.loss_factor is not None


def test_nothing_but_the_record_and_the_feeder_is_asked(replay: Replay) -> None:
    """Neither devices nor journal are there to be written to."""
    world = ports(SITE, MemoryField(SITE, load_kw=LOAD_KW, p_kw=POWERS))
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW)
    assert isinstance(world.field, MemoryField)
    assert isinstance(world.journal, Kept)
    written = list(world.field.written)
    same(replay(record))
    assert world.field.written == written
    assert len(world.journal.records) == 1


def test_a_single_cycle_of_advice_is_the_same(replay: Replay) -> None:
    record = run_cycle(SITE, Policy(), PRICE_USD_PER_KWH, ports(SITE), NOW)
    assert record.answers == {}
    same(replay(record))


def test_the_published_method_is_the_same(replay: Replay) -> None:
    policy = replace(AUTO, mode="paper")
    record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, ports(SITE), NOW)
    same(replay(record))


def test_a_demand_charge_remembers_the_months_highest_import(replay: Replay) -> None:
    site = replace(SITE, demand_charge_usd_per_kw=12.0, export_limit_kw=500.0)
    world = ports(site)
    first = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW)
    record = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW + INTERVAL, first)
    assert record.before is not None
    assert record.before.peak_kw is not None
    same(replay(record))


def test_a_cycle_without_a_safe_dispatch_is_the_same() -> None:
    site = segment(v_min_pu=0.99)
    world = ports(site, MemoryField(site, load_kw=14_500.0), GivenForecast(0.0, 0.0))
    record = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW)
    assert isinstance(record.secured, Infeasible)
    with closing(Feeder.open("segment13", site.placements)) as network:
        same(replayed(record, network))


@pytest.mark.parametrize("dead", [("bes",), ("pv", LOAD), (*SITE.names, LOAD)])
def test_a_cycle_with_devices_that_are_silent_is_the_same(
    dead: tuple[str, ...], replay: Replay
) -> None:
    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw=POWERS)
    world = ports(SITE, field)
    first = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW)
    for name in dead:
        field.fail(name, Unreachable("no route"))
    second = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW + 3 * INTERVAL, first)
    assert second.snapshot.faults
    same(replay(second))


def test_a_cycle_in_which_others_made_room_for_a_device_is_the_same(replay: Replay) -> None:
    """Two rounds of writes: each device answers each round as it did."""
    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw=POWERS)
    world = ports(SITE, field)
    first = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, ports(SITE), NOW)
    field.cap_kw["pv"] = field.p_kw["pv"] = 7450.0
    held = Setpoint(der="pv", p_kw=7450.0, q_kvar=0.0, cap_kw=7450.0)
    field.fail("pv", RefusedWrite("LOCAL"))
    ours = replace(first, in_force={"pv": InForce(setpoints=(held,), written=NOW)})
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW, ours)
    assert any("the other DERs made room" in alarm for alarm in record.alarms)
    assert len(record.answers["pv"]) == 1
    assert len(record.answers["dg"]) == 2
    same(replay(record))


def test_a_device_that_holds_something_else_than_asked_does_so_again(replay: Replay) -> None:
    class Lying(MemoryField):
        def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
            done = dict(super().write(commands))
            if "bes" in done:
                done["bes"] = DeviceError("WSet reads 0 W, asked for 200000 W")
            return done

    world = ports(SITE, Lying(SITE, load_kw=LOAD_KW, p_kw=POWERS))
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW)
    assert isinstance(record.outcomes["bes"], Partial)
    assert isinstance(same(replay(record)).outcomes["bes"], Partial)


def test_a_device_whose_registers_round_reads_back_what_it_read_back_then(replay: Replay) -> None:
    class Rounding(MemoryField):
        def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
            done = super().write(commands)
            return {
                n: replace(a, cap_kw=math.floor(a.cap_kw))
                if isinstance(a, Readback) and a.cap_kw
                else a
                for n, a in done.items()
            }

    world = ports(SITE, Rounding(SITE, load_kw=LOAD_KW, p_kw=POWERS))
    made = same(replay(run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW)))
    outcome = made.outcomes["pv"]
    assert isinstance(outcome, Sent)
    assert outcome.command.cap_kw != outcome.readback.cap_kw == 7380.0


def test_what_was_watched_between_cycles_is_reckoned_with_again(replay: Replay) -> None:
    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw=POWERS)
    world = ports(SITE, field)
    first = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW)
    seen = Watched(
        in_force=first.in_force,
        readings=first.snapshot.ders,
        responses={"bes": Ignored(reason="it shows 0.0 kW, asked for 200.0 kW")},
    )
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW + INTERVAL, first, seen)
    assert record.before is not None
    assert record.before.held == {}
    assert "bes" in {n for n, o in record.outcomes.items() if not isinstance(o, Sent)}
    same(replay(record))


class Measuring(MemoryField):
    """The PV plant measures a voltage above the model's."""

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        return {
            n: replace(r, v_pu=1.0931) if n == "pv" and isinstance(r, DerReading) else r
            for n, r in super().read(now).items()
        }


def test_what_was_learnt_of_the_models_voltages_is_learnt_again(replay: Replay) -> None:
    policy = replace(AUTO, feedback=Feedback(on=True))
    world = ports(SITE, Measuring(SITE, load_kw=LOAD_KW, p_kw=POWERS))
    last = None
    for k in range(5):
        last = run_cycle(SITE, policy, PRICE_USD_PER_KWH, world, NOW + k * INTERVAL, last)
        same(replay(last))
    assert last is not None
    assert last.mismatch["B13"].cycles == 5


# --- a feeder whose taps move --------------------------------------------------------

TOWN = Site(
    name="town",
    latitude_deg=35.0,
    longitude_deg=-78.0,
    ders=(
        *(Pv(name=f"pv{bus}", bus=bus, rated_kw=900.0, q_max_kvar=300.0) for bus in ("35", "78")),
        Bes(name="bes", bus="97", rated_kw=300.0, capacity_kwh=1200.0, q_max_kvar=100.0),
    ),
    limits=Limits(v_min_pu=0.95, v_max_pu=1.05),
    load_max_kw=3600.0,
    load_min_kw=600.0,
)


class Town:
    """A forecaster for the town: much sun."""

    def predict(self, site: Site, snapshot: Snapshot, history: History) -> Forecast:  # noqa: ARG002
        sun = PvForecast(expected_kw=800.0, lower_kw=300.0, upper_kw=900.0, method="given")
        pv = {plant.name: sun for plant in site.pvs}
        return Forecast(start=snapshot.time, pv=pv, load_kw=snapshot.load.p_kw)


def test_on_a_feeder_whose_taps_move_each_cycle_begins_where_they_stood() -> None:
    field = MemoryField(TOWN, load_kw=3400.0, p_kw={"pv35": 500.0, "pv78": 500.0, "bes": 0.0})
    field.soc_pct["bes"] = 50.0
    feeder = Feeder.open("ieee123", TOWN.placements)
    world = Ports(
        field=field, network=feeder, history=NoHistory(), forecaster=Town(), journal=Kept()
    )
    made: list[CycleRecord] = []
    for k, load_kw in enumerate((3400.0, 900.0, 2600.0)):
        field.load_kw = load_kw
        last = made[-1] if made else None
        made.append(run_cycle(TOWN, Policy(), 0.3, world, NOW + k * INTERVAL, last))
    stands = [record.secured.load_flow.regulation.taps for record in made]
    assert stands[0] != stands[1]
    with closing(Feeder.open("ieee123", TOWN.placements)) as other:
        for record in reversed(made):
            same(replayed(record, other))


# --- what depended on time -----------------------------------------------------------

PLANNING = replace(AUTO, look_ahead=True)
EVENING = from_table("evening", {"zone": "UTC", "period": [
    {"name": "dear", "usd_per_kwh": 0.45,
     "windows": [{"days": "all", "start": "22:00", "end": "23:30"}]},
    {"name": "cheap", "usd_per_kwh": 0.25},
]})  # fmt: skip
FLOOD = from_table("flood", {"zone": "UTC", "period": [
    {"name": "flood", "usd_per_kwh": -0.2,
     "windows": [{"days": "all", "start": "21:00", "end": "23:30"}]},
    {"name": "rest", "usd_per_kwh": 0.1},
]})  # fmt: skip


class Foretold:
    """An outlook that was told the sun and how prices are."""

    def __init__(self, tariff: Tariff = EVENING, pv_kw: float = 1000.0) -> None:
        self.tariff, self.pv_kw = tariff, pv_kw

    def ahead(
        self,
        site: Site,
        snapshot: Snapshot,  # noqa: ARG002
        forecast: Forecast,
        history: History,  # noqa: ARG002
    ) -> Horizon:
        sun = {pv.name: (self.pv_kw,) * 24 for pv in site.pvs}
        told = HorizonForecast(load_kw=(forecast.load_kw,) * 24, pv_kw=sun)
        return horizon_of(forecast, told, self.tariff)


def planning_world(outlook: Foretold | None = None, pv_kw: float = 10_000.0) -> Ports:
    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw=POWERS)
    made = ports(SITE, field, GivenForecast(pv_kw, pv_kw))
    return replace(made, outlook=outlook or Foretold(pv_kw=pv_kw))


def planned(outlook: Foretold | None = None, price: float = 0.25) -> CycleRecord:
    return run_cycle(SITE, PLANNING, price, planning_world(outlook), NOW)


def test_a_planned_cycle_plans_the_same_day(replay: Replay) -> None:
    record = planned()
    assert record.plan is not None
    assert record.horizon is not None
    assert same(replay(record)).plan is not None


def late_after(times: int) -> Callable[..., object]:
    """A look-ahead that finds so many plans in time."""
    left = iter(range(times))

    def found(*args: object, **named: object) -> object:
        if next(left, None) is None:
            raise SolverFault("look-ahead: no plan within 20 s")
        return plan_the_day(*args, **named)  # type: ignore[arg-type]  # as it is called

    return found


@pytest.mark.parametrize("times", [0, 2])
def test_a_plan_that_was_given_up_for_being_late_is_given_up_again(
    monkeypatch: pytest.MonkeyPatch, times: int, replay: Replay
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(planning, "lookahead", late_after(times))
        record = planned()
    assert record.plan is None
    assert record.alarms[-1].startswith("look-ahead late")
    assert [late.number for late in record.timed.solves] == [times]
    same(replay(record))


def test_a_plan_that_was_still_being_improved_is_taken_as_it_was(
    monkeypatch: pytest.MonkeyPatch, replay: Replay
) -> None:
    """At negative prices there are either-ors; no time to ponder them, then all the time."""
    with monkeypatch.context() as patched:
        patched.setattr(planning, "PROOF_S", 0.0)
        record = planned(Foretold(FLOOD), price=-0.2)
    assert record.plan is not None
    assert record.plan.either_or > 0
    assert record.timed.solves
    assert record.timed.solves[0].plan is not None, "rows of later intervals are found from it"
    same(replay(record))


def test_load_flows_ahead_for_which_there_was_no_time_are_left_out_again(
    monkeypatch: pytest.MonkeyPatch, replay: Replay
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(planning, "ROWS_SHARE", 0.0)
        record = planned()
    assert record.timed.proofs == 0
    assert any("no time was left" in note for note in record.secured.notes)
    same(replay(record))


def test_an_outlook_that_failed_is_not_asked_again(replay: Replay) -> None:
    class Broken(Foretold):
        def ahead(self, *_given: object) -> Horizon:
            raise OSError("weather file: no space")

    record = planned(Broken())
    assert record.alarms[-1] == "no look-ahead: OSError: weather file: no space"
    same(replay(record))


def test_a_solver_that_ran_out_of_time_does_so_again_on_any_machine(
    monkeypatch: pytest.MonkeyPatch, replay: Replay
) -> None:
    def late(*_args: object, **_named: object) -> None:
        raise SolverFault("dispatch: ipopt found no optimum within 20 s")

    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw={**POWERS, "pv": 6000.0})
    field.cap_kw["pv"] = 6000.0
    with monkeypatch.context() as patched:
        patched.setattr(deciding, "dispatch", late)
        record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, ports(SITE, field), NOW)
    assert isinstance(record.secured, Degraded)
    assert record.timed.solves[0].fault.endswith("within 20 s")
    same(replay(record))


def test_solves_that_came_near_their_limit_keep_their_answers(replay: Replay) -> None:
    policy = replace(AUTO, solver_limit_s=1e-6)
    record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, ports(SITE), NOW)
    assert record.timed.solves[0].dispatch is not None
    assert record.timed.solves[0].dispatch.setpoints == record.free.setpoints
    same(replay(record))


def test_an_answer_that_came_late_is_taken_as_it_was(
    monkeypatch: pytest.MonkeyPatch, replay: Replay
) -> None:
    """The best branch found until then, not the optimum."""
    solve = dispatch

    def hurried(*args: object, **named: object) -> object:
        found = solve(*args, **named)  # type: ignore[arg-type]  # as it is called
        moved = replace(found.setpoints["dg"], p_kw=found.setpoints["dg"].p_kw - 1.0)
        setpoints = {**found.setpoints, "dg": moved}
        return replace(found, setpoints=setpoints, status=SolverStatus.ACCEPTABLE)

    with monkeypatch.context() as patched:
        patched.setattr(deciding, "dispatch", hurried)
        record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, ports(SITE), NOW)
    assert record.free.status is SolverStatus.ACCEPTABLE
    same(replay(record))


def test_where_a_solving_process_died_and_another_solver_stood_in_it_does_so_again(
    monkeypatch: pytest.MonkeyPatch, replay: Replay
) -> None:
    site = replace(SITE, solver="ipopt")
    solve = dispatch

    def by_highs(of: Site, *args: object, **named: object) -> object:
        return solve(replace(of, solver="highs"), *args, **named)  # type: ignore[arg-type]  # as called

    with monkeypatch.context() as patched:
        patched.setattr(deciding, "dispatch", by_highs)
        record = run_cycle(site, AUTO, PRICE_USD_PER_KWH, ports(site), NOW)
    assert record.free.solver == "highs"
    same(replay(record))


# --- otherwise, and from older versions ----------------------------------------------


def with_limit(given: Given, v_max_pu: float) -> Given:
    limits = replace(given.site.limits, v_max_pu=v_max_pu)
    return replace(given, setup=replace(given.setup, site=replace(given.site, limits=limits)))


def test_decided_otherwise_what_was_late_is_not_late(
    monkeypatch: pytest.MonkeyPatch, feeder: Feeder
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(planning, "lookahead", late_after(0))
        record = planned()
    made = otherwise(record, with_limit(given_of(record, STRANGE, None), 1.09), feeder)
    assert made.plan is not None
    assert made.secured.load_flow.highest()[1] <= 1.09


def test_devices_that_answered_take_another_command_and_those_that_did_not_do_not() -> None:
    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw=POWERS)
    field.fail("bes", RefusedWrite("device busy"))
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, ports(SITE, field), NOW)
    asked = Command(
        der="dg", p_kw=1234.0, q_kvar=5.0, cap_kw=None, reversion_kw=0.0, reversion_s=1800
    )
    remembered = Remembered(record)
    first = remembered.write([asked, replace(asked, der="bes")])
    assert isinstance(first["bes"], RefusedWrite)
    second = remembered.write([asked, replace(asked, der="bes")])
    assert second["dg"] == Readback(p_kw=1234.0, q_kvar=5.0, cap_kw=None)
    assert str(second["bes"]) == "device busy"


def test_of_an_older_record_todays_site_and_the_record_before_stand_in(feeder: Feeder) -> None:
    world = ports(SITE)
    first = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW)
    second = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW + INTERVAL, first)
    old = replace(second, setup=None, before=None, answers={})
    given = given_of(old, Setup(site=SITE, policy=AUTO), first)
    assert given.before == second.before
    made = again(old, given, feeder)
    assert compared(old, made, {"setup", "before", "answers", "versions"}).differences == ()


# --- what is compared ----------------------------------------------------------------


def test_a_difference_of_one_bit_is_told_by_its_place_and_a_wall_time_is_none() -> None:
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, ports(SITE), NOW)
    at = record.free.setpoints["dg"]
    moved = replace(at, p_kw=math.nextafter(at.p_kw, math.inf))
    free = replace(record.free, setpoints={**record.free.setpoints, "dg": moved}, solve_s=99.0)
    flow = record.secured.load_flow
    v_pu = flow.v_pu.copy()
    v_pu[0] = -0.0
    other = replace(
        record, free=free, stage_s={"dispatch": 3.0},
        secured=replace(record.secured, load_flow=replace(flow, v_pu=v_pu)),
    )  # fmt: skip
    assert [d.path for d in compared(record, other).differences] == [
        "free.setpoints.dg.p_kw",
        f"secured.load_flow.v_pu[{flow.nodes[0]}]",
    ]


def test_zero_and_minus_zero_are_not_the_same() -> None:
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, ports(SITE), NOW)
    one, other = (replace(record, free=replace(record.free, grid_kw=kw)) for kw in (0.0, -0.0))
    (found,) = compared(one, other).differences
    assert str(found) == "free.grid_kw: recorded 0.0, now -0.0"


def test_readings_that_were_bad_are_as_bad_again(replay: Replay) -> None:
    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw=POWERS)
    field.soc_pct["bes"] = math.nan
    world = ports(SITE, field)
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW + timedelta(minutes=7))
    assert record.snapshot.ders["bes"].quality is Quality.GOOD
    same(replay(record))
