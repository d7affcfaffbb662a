"""Limits that a utility sets, in a decision: kept, never raised, recorded, replayed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ems.clock import SteppedClock
from ems.cycle import run_cycle
from ems.daemon import Service
from ems.domain import CycleRecord, Imposed, RowKind, Watched
from ems.gateways.memory import MemoryField
from ems.record import from_json, to_json
from ems.replay.again import again, given_of, otherwise
from ems.replay.differences import compared
from ems.store import Store
from tests.sites import AUTO, NOW, PRICE_USD_PER_KWH, ports, segment
from tests.unit.between_cycles import START

SITE = segment()
LOAD_KW = 9000.0


def injected_kw(record: CycleRecord) -> float:
    """Most that all DERs inject: plants at their caps."""
    setpoints = record.secured.dispatch.setpoints.values()
    return sum(at.p_kw if at.cap_kw is None else at.cap_kw for at in setpoints)


def limited(imposed: Imposed | None) -> CycleRecord:
    return run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, ports(SITE), NOW, imposed=imposed)


def test_a_lower_limit_of_the_utility_replaces_the_sites_own() -> None:
    site = replace(SITE, export_limit_kw=500.0, import_limit_kw=4000.0)
    on = Imposed(export_kw=200.0, import_kw=3000.0).on(site)
    assert (on.export_limit_kw, on.import_limit_kw) == (200.0, 3000.0)


def test_a_limit_of_the_site_is_never_raised() -> None:
    site = replace(SITE, export_limit_kw=500.0, import_limit_kw=4000.0, generation_limit_kw=7000.0)
    on = Imposed(export_kw=900.0, import_kw=9000.0, generation_kw=99e3).on(site)
    assert on == site


def test_generation_and_export_are_limits_apart() -> None:
    on = Imposed(generation_kw=5000.0).on(SITE)
    assert (on.generation_limit_kw, on.export_limit_kw) == (5000.0, None)
    both = Imposed(generation_kw=12_000.0, export_kw=100.0).on(SITE)
    assert (both.generation_limit_kw, both.export_limit_kw) == (12_000.0, 100.0)


@pytest.mark.parametrize("look_ahead", [False, True])
@pytest.mark.parametrize("load_kw", [2000.0, LOAD_KW])
def test_generation_is_bounded_whatever_the_load_takes_of_it(
    load_kw: float, look_ahead: bool
) -> None:
    world = ports(SITE, MemoryField(SITE, load_kw=load_kw))
    policy = replace(AUTO, look_ahead=look_ahead)
    asked = Imposed(generation_kw=1500.0)
    record = run_cycle(SITE, policy, PRICE_USD_PER_KWH, world, NOW, imposed=asked)
    assert injected_kw(record) <= 1500.0 + 1.0
    kinds = {price.row.kind for price in record.secured.dispatch.binding}
    assert RowKind.GENERATION in kinds
    assert RowKind.EXPORT not in kinds


@pytest.mark.parametrize("limit_kw", [7000.0, 3000.0])
def test_a_dispatch_keeps_what_all_ders_may_inject(limit_kw: float) -> None:
    assert injected_kw(limited(None)) > 7000.0
    record = limited(Imposed(generation_kw=limit_kw))
    assert injected_kw(record) <= limit_kw + 1.0


def test_a_disconnect_takes_every_plant_to_nought_and_generators_as_fast_as_they_ramp() -> None:
    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw={"pv": 7953.0, "dg": 500.0, "bes": 0.0})
    world = ports(SITE, field)
    none = Imposed(generation_kw=0.0)
    record = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, NOW, imposed=none)
    assert injected_kw(record) <= 1.0
    generators = limited(none).secured.dispatch.setpoints["dg"].p_kw
    assert generators == pytest.approx(2997.0 - SITE.dgs[0].ramp_down_kw_per_h / 4.0, abs=1.0)


def test_the_record_holds_the_limit_and_who_set_it_and_reads_back_equal() -> None:
    asked = Imposed(
        export_kw=0.0, notes=("utility: export ≤ 0 kW",), alarms=("open the breaker by hand",),
        lost="no answer for an hour",
    )  # fmt: skip
    record = limited(asked)
    assert record.imposed == asked
    assert "utility: export ≤ 0 kW" in record.secured.notes
    assert record.ledger.sentence.endswith("Utility: export ≤ 0 kW.")
    assert {"no answer for an hour", "open the breaker by hand"} <= set(record.alarms)
    assert from_json(to_json(record)).imposed == asked


def test_a_replay_decides_the_same_under_the_same_limit() -> None:
    record = limited(Imposed(generation_kw=4000.0))
    assert record.setup is not None
    made = again(record, given_of(record, record.setup, None), ports(SITE).network)
    assert compared(record, made).differences == ()
    unlimited = replace(given_of(record, record.setup, None), imposed=None)
    free = otherwise(record, unlimited, ports(SITE).network)
    assert injected_kw(free) > 4000.0


class Limited:
    """A service under a utility whose limits a test sets; each cycle is a real one."""

    def __init__(self, store: Store) -> None:
        self.asked: Imposed | None = None
        self.records: list[CycleRecord] = []
        self.clock = SteppedClock(START)
        self.world = replace(ports(SITE), journal=store)
        self.told: list[object] = []
        self.policy = replace(AUTO, keep_alive_s=60.0, reversion_s=300)
        self.service = Service(
            site=SITE, policy=self.policy, ports=self.world, store=store, run=self.run,
            clock=self.clock, lease_clock=SteppedClock(START), imposed=lambda: self.asked,
            measured=self.told.append,
        )  # fmt: skip

    def run(self, now: object, watched: Watched | None) -> CycleRecord:  # noqa: ARG002
        last = self.records[-1] if self.records else None
        made = run_cycle(
            SITE, self.policy, PRICE_USD_PER_KWH, self.world, self.clock.now(), last, watched,
            self.asked,
        )  # fmt: skip
        self.records.append(made)
        return made

    def poll(self, seconds: float) -> int:
        """Let time pass and poll; how many cycles have run."""
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))
        self.service.poll()
        return len(self.records)


def test_a_limit_that_changes_between_two_cycles_is_decided_with_the_next_poll(
    tmp_path: object,
) -> None:
    store = Store.open(f"{tmp_path}/geems.sqlite")
    bench = Limited(store)
    bench.service.cycle()
    assert bench.poll(10) == 1
    bench.asked = Imposed(generation_kw=6000.0, notes=("utility: generation ≤ 6000 kW",))
    assert bench.poll(10) == 2
    assert bench.records[-1].imposed == bench.asked
    assert bench.poll(10) == 2
    # One that flaps costs a cycle as often as commands are refreshed, not with every poll.
    bench.asked = None
    assert bench.poll(10) == 2
    assert bench.poll(60) == 3
    bench.service.stop()
    store.close()


def test_what_was_measured_is_told_with_every_poll_not_once_a_cycle(tmp_path: object) -> None:
    store = Store.open(f"{tmp_path}/geems.sqlite")
    bench = Limited(store)
    bench.service.cycle()
    for count in (1, 2, 3):
        assert bench.poll(10) == 1
        assert len(bench.told) == count
    assert isinstance(bench.told[-1], dict)
    assert set(SITE.names) <= set(bench.told[-1])
    bench.service.stop()
    store.close()


def test_limits_that_are_tightened_again_are_followed_at_once_each_time(tmp_path: object) -> None:
    store = Store.open(f"{tmp_path}/geems.sqlite")
    bench = Limited(store)
    bench.service.cycle()
    for count, limit_kw in enumerate((7000.0, 6000.0, 5000.0), start=2):
        bench.asked = Imposed(generation_kw=limit_kw)
        assert bench.poll(10) == count
        assert bench.records[-1].imposed == bench.asked
    # Relaxed limits wait until commands would be refreshed.
    bench.asked = Imposed(generation_kw=6500.0)
    assert bench.poll(10) == 4
    assert bench.poll(60) == 5
    bench.service.stop()
    store.close()
