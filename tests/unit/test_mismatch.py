"""Feedback from measurement: what is learnt at a bus, and what all nodes make of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ems.cycle import run_cycle
from ems.domain import (
    Before,
    Bes,
    BusMismatch,
    DerReading,
    Feedback,
    Forecast,
    Injections,
    Limits,
    Linearisation,
    LoadFlow,
    LoadReading,
    Quality,
    Regulation,
    Site,
    Snapshot,
    terminals,
)
from ems.errors import DeviceError
from ems.gateways.memory import MemoryField
from ems.mismatch import Corrected, compare, complaints, corrected, present_state
from ems.ports import Network, Ports
from ems.record import from_json, to_json
from feeders import Feeder
from tests.sites import AUTO, LOAD_KW, NOW, PRICE_USD_PER_KWH, ports, segment, sky, snapshot

Floats = NDArray[np.float64]
QUARTER = timedelta(minutes=15)
SAMPLE = Path(__file__).with_name("test_record_sample.json")
ON = Feedback()

# --- a network that can be reckoned by hand ------------------------------------------

WAYS = {
    "HEAD.1": "", "NEAR.1": "a", "MID.1": "ab", "FAR.1": "abcd", "SIDE.1": "ae", "DEAD.1": "",
}  # fmt: skip
"""Line sections between each node and the head, each of the same reactance."""
NODES = tuple(WAYS)
X_PU_PER_KVAR = 1e-5


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """Linear in Q of the DERs; nothing else moves a voltage."""

    flow: LoadFlow
    ders: tuple[str, ...]
    dv_dq: Floats

    def change(self, dp_kw: Floats, dq_kvar: Floats) -> tuple[Floats, Floats]:
        return self.dv_dq @ dq_kvar, np.zeros(0) * dp_kw.sum()

    def voltage_rows(self, nodes: Sequence[int]) -> tuple[Floats, Floats]:
        rows = self.dv_dq[list(nodes)]
        return np.zeros_like(rows), rows

    def loading_cuts(
        self, elements: Sequence[int], dp_kw: Floats, dq_kvar: Floats
    ) -> tuple[Floats, Floats, Floats]:
        none = np.zeros((len(elements), len(self.ders)))
        return np.zeros(len(elements)), none * dp_kw, none * dq_kvar


@dataclass(eq=False, kw_only=True)
class Tree:
    """Nodes share the line sections that their ways to the head have in common."""

    site: Site
    ways: Mapping[str, str] = field(default_factory=lambda: WAYS)
    head_v_pu: float = 1.0
    regulated: bool = False
    converges: bool = True

    def load_flow(self, at: Injections, *, controls: bool = False) -> LoadFlow:
        assert controls == self.regulated
        q = np.array([at.q_kvar[n] for n in self.site.names])
        live = np.array([not node.startswith("DEAD") for node in self.ways])
        v = np.where(live, self.head_v_pu + self._slopes() @ q, 0.0)
        return LoadFlow(
            converged=self.converges, residual_kw=0.0, nodes=tuple(self.ways), v_pu=v,
            elements=(), loading_pct=np.zeros(0), head_kw=0.0, head_kvar=0.0, losses_kw=0.0,
        )  # fmt: skip

    def load_flows(self, points: Sequence[Injections]) -> list[LoadFlow]:
        return [self.load_flow(at) for at in points]

    def linearise(self, at: Injections) -> Slopes:
        flow = self.load_flow(at, controls=self.regulated)
        return Slopes(flow=flow, ders=self.site.names, dv_dq=self._slopes())

    def _slopes(self) -> Floats:
        own = [self.ways[f"{d.bus}.1"] for d in self.site.ders]
        shared = [[len(set(way) & set(one)) for one in own] for way in self.ways.values()]
        return X_PU_PER_KVAR * np.array(shared, dtype=float)


def site_of(*buses: str, band: tuple[float, float] = (0.95, 1.05)) -> Site:
    """A battery at each bus, named as its bus."""
    return Site(
        name="tree", latitude_deg=0.0, longitude_deg=0.0, load_max_kw=100.0, load_min_kw=10.0,
        limits=Limits(v_min_pu=band[0], v_max_pu=band[1]),
        ders=tuple(
            Bes(name=b.lower(), bus=b, rated_kw=10.0, capacity_kwh=10.0, phases=1) for b in buses
        ),
    )  # fmt: skip


FAR = site_of("FAR")


def seen(site: Site, minutes: float = 0.0, **v_pu: float | None) -> Snapshot:
    """All at rest, with these voltages measured."""
    now = NOW + timedelta(minutes=minutes)
    plain = snapshot(segment(), now=now).ders["bes"]
    return Snapshot(
        time=now,
        load=LoadReading(time=now, p_kw=50.0, q_kvar=10.0),
        ders={
            d.name: replace(plain, der=d.name, time=now, v_pu=v_pu.get(d.name)) for d in site.ders
        },
    )


def forecast() -> Forecast:
    return sky(0.0, 0.0, 50.0)


def after(mismatch: Mapping[str, BusMismatch], at: Snapshot) -> Before:
    """What a cycle leaves that measured this."""
    return Before(time=at.time, mismatch=mismatch)


def learnt(
    *v_pu: float | None, feedback: Feedback = ON, every_minutes: float = 15.0
) -> list[BusMismatch]:
    """The bus FAR, modelled at 1.0 pu, over cycles that measure these voltages."""
    found: Mapping[str, BusMismatch] = {}
    last = Before()
    trail = []
    for k, v in enumerate(v_pu):
        at = seen(FAR, every_minutes * k, far=v)
        found = compare(FAR, feedback, at, forecast(), Tree(site=FAR), last)
        last = after(found, at)
        if "FAR" in found:
            trail.append(found["FAR"])
    return trail


# --- what is learnt at a bus ---------------------------------------------------------


def test_a_voltage_above_the_model_tightens_the_upper_limit_at_once_and_in_full() -> None:
    one = learnt(1.012)[0]
    assert one.upper_pu == pytest.approx(0.012)
    assert one.lower_pu == 0.0
    assert (one.measured_pu, one.modelled_pu) == (1.012, 1.0)


def test_a_voltage_below_the_model_tightens_the_lower_limit_at_once_and_in_full() -> None:
    one = learnt(0.988)[0]
    assert one.lower_pu == pytest.approx(-0.012)
    assert one.upper_pu == 0.0


def test_a_correction_that_tightens_outlasts_a_cloud_and_fades_in_hours() -> None:
    trail = learnt(1.012, *[1.0] * 12)
    held = [one.upper_pu for one in trail]
    assert held == sorted(held, reverse=True)
    assert held[1] == pytest.approx(0.8 * 0.012)
    assert held[-1] < 0.001


def test_the_filtered_difference_follows_by_halves() -> None:
    assert [round(one.filtered_pu, 6) for one in learnt(1.012, 1.012, 1.012)] == [
        0.006, 0.009, 0.0105,
    ]  # fmt: skip


def test_a_measurement_within_a_meters_accuracy_never_relaxes_a_limit() -> None:
    assert all(one.upper_pu == 0.0 for one in learnt(*[0.991] * 20))
    assert all(one.lower_pu == 0.0 for one in learnt(*[1.009] * 20))


def test_beyond_it_a_limit_is_relaxed_only_after_cycles_that_agree_and_by_what_exceeds_it() -> None:
    trail = learnt(*[0.975] * 40)
    assert [one.upper_pu for one in trail[:3]] == [0.0, 0.0, 0.0]
    assert -0.005 < trail[3].upper_pu < 0.0
    assert trail[-1].upper_pu == pytest.approx(-0.015, abs=1e-4)


def test_one_cycle_that_disagrees_takes_a_relaxation_back_at_once() -> None:
    trail = learnt(*[0.975] * 8, 1.001, 0.975)
    assert trail[7].upper_pu < 0.0
    assert trail[8].upper_pu == pytest.approx(0.001)
    assert trail[9].upper_pu >= 0.0


def test_cycles_asked_for_by_hand_are_no_agreeing_cycles() -> None:
    trail = learnt(*[0.975] * 20, every_minutes=0.1)
    assert trail[-1].cycles == 1
    assert trail[-1].upper_pu == 0.0


def test_a_correction_never_exceeds_its_bound() -> None:
    assert learnt(1.08)[0].upper_pu == 0.03
    assert learnt(1.08, feedback=Feedback(max_pu=0.02))[0].upper_pu == 0.02
    assert learnt(0.92)[0].lower_pu == -0.03


@given(st.lists(st.one_of(st.none(), st.floats(0.8, 1.2)), min_size=1, max_size=12))
def test_whatever_is_measured_the_corrections_are_ordered_bounded_and_justified(
    v_pu: list[float | None],
) -> None:
    for one in learnt(*v_pu):
        assert max(abs(one.lower_pu), abs(one.upper_pu)) <= 0.03
        assert one.lower_pu <= one.upper_pu
        difference = one.difference_pu
        if difference is None or abs(difference) > 0.15:
            assert one.lower_pu <= 0.0 <= one.upper_pu
        else:  # a limit is never laxer than what is measured now, less a meter's error
            assert one.upper_pu >= min(0.0, difference + 0.01) - 1e-12
            assert one.lower_pu <= max(0.0, difference - 0.01) + 1e-12


def test_a_meter_that_falls_silent_leaves_a_correction_that_decays_and_is_forgotten() -> None:
    trail = learnt(1.012, *[None] * 30)
    assert trail[1].measured_pu is None
    assert trail[1].upper_pu == pytest.approx(0.8 * 0.012)
    assert len(trail) < 31


def test_a_meter_that_falls_silent_relaxes_nothing() -> None:
    assert learnt(*[0.975] * 8, None)[-1].upper_pu == 0.0


def test_a_correction_decays_with_the_time_that_has_passed_not_with_the_cycles() -> None:
    slow = learnt(1.012, 1.0, every_minutes=60.0)[-1].upper_pu
    assert slow == pytest.approx(0.8**4 * 0.012)


def test_readings_that_are_not_good_teach_nothing() -> None:
    at = seen(FAR, far=1.02)
    stale = {n: replace(r, quality=Quality.STALE) for n, r in at.ders.items()}
    assert compare(FAR, ON, replace(at, ders=stale), forecast(), Tree(site=FAR), Before()) == {}


@pytest.mark.parametrize("v", [None, 0.0, float("nan")])
def test_no_voltage_is_no_measurement(v: float | None) -> None:
    assert learnt(v) == []


def test_without_a_load_meter_the_present_state_is_not_known_and_nothing_is_learnt() -> None:
    at = seen(FAR, far=1.02)
    guessed = replace(at, load=replace(at.load, quality=Quality.ASSUMED))
    assert compare(FAR, ON, guessed, forecast(), Tree(site=FAR), Before()) == {}


def test_a_load_flow_that_does_not_converge_teaches_nothing() -> None:
    found = compare(
        FAR, ON, seen(FAR, far=1.02), forecast(), Tree(site=FAR, converges=False), Before()
    )
    assert found["FAR"].upper_pu == 0.0
    assert found["FAR"].modelled_pu is None


def test_while_any_device_is_silent_no_limit_is_relaxed() -> None:
    site = site_of("FAR", "SIDE")
    found = {"FAR": learnt(*[0.975] * 8)[-1]}
    at = seen(site, 15.0, far=0.975, side=1.0)
    silent = replace(at.ders["side"], quality=Quality.STALE)
    at = replace(at, ders={**at.ders, "side": silent})
    last = after(found, seen(site))
    now = compare(site, ON, at, forecast(), Tree(site=site), last)
    assert found["FAR"].upper_pu < 0.0
    assert now["FAR"].upper_pu == 0.0


def test_devices_at_one_bus_are_one_measurement() -> None:
    site = site_of("FAR", "NEAR")
    twin = replace(site, ders=(*site.ders, replace(site.ders[0], name="twin")))
    at = seen(twin, far=1.010, twin=1.014, near=1.0)
    found = compare(twin, ON, at, forecast(), Tree(site=twin), Before())
    assert found["FAR"].measured_pu == pytest.approx(1.012)


def test_the_present_state_is_solved_at_the_powers_that_are_measured() -> None:
    """200 kvar over four sections raise FAR by 0.008 pu: the model says what is measured."""
    at = seen(FAR, far=1.008)
    at = replace(at, ders={"far": replace(at.ders["far"], q_kvar=200.0)})
    found = compare(FAR, ON, at, forecast(), Tree(site=FAR), Before())
    assert found["FAR"].modelled_pu == pytest.approx(1.008)
    assert found["FAR"].upper_pu == pytest.approx(0.0, abs=1e-12)


def test_where_the_meter_tells_no_kvar_the_forecasts_power_factor_holds() -> None:
    at = seen(FAR)
    plain = replace(at, load=replace(at.load, q_kvar=None))
    ahead = replace(forecast(), load_kw=100.0, load_kvar=30.0)
    assert present_state(at, ahead).load_kvar == 10.0
    assert present_state(plain, ahead).load_kvar == 15.0
    assert present_state(plain, forecast()).load_kvar is None


def test_the_same_values_give_the_same_differences() -> None:
    assert learnt(1.01, None, 0.97, 1.2) == learnt(1.01, None, 0.97, 1.2)


# --- what is told --------------------------------------------------------------------


def told(*v_pu: float | None) -> list[str]:
    return list(complaints(ON, {one.bus: one for one in learnt(*v_pu)[-1:]}))


def test_a_difference_that_grows_is_told_with_its_bus_its_values_and_what_to_check() -> None:
    (line,) = told(1.004, 1.011, 1.0135, 1.0138)
    assert line == (
        "FAR: measured 1.0138 pu, modelled 1.0000 pu, difference grew to 0.014 pu over 4 cycles; "
        "check line lengths, load power factor or taps"
    )


def test_a_difference_that_stays_is_told_as_such() -> None:
    assert "0.013 pu apart over 5 cycles" in told(*[0.987] * 5)[0]


def test_a_single_odd_measurement_and_a_small_difference_are_not_told() -> None:
    assert told(1.015) == []
    assert told(*[1.009] * 10) == []


def test_a_difference_beyond_what_may_be_corrected_is_told_at_once() -> None:
    (line,) = told(1.045)
    assert line == (
        "FAR: measured 1.0450 pu, modelled 1.0000 pu, 0.045 pu apart; no more than 0.03 pu is "
        "corrected: check the meter, line lengths, load power factor or taps"
    )


def test_a_meter_of_another_nominal_voltage_is_told_and_not_used() -> None:
    one = learnt(1.01, 0.5774)[-1]
    assert "too far apart to be used; check the meter" in told(1.01, 0.5774)[0]
    assert one.lower_pu == 0.0


# --- all nodes -----------------------------------------------------------------------


def mismatch(bus: str, upper_pu: float = 0.0, lower_pu: float = 0.0) -> BusMismatch:
    return BusMismatch(
        bus=bus, measured_pu=1.0, modelled_pu=1.0, filtered_pu=0.0, upper_pu=upper_pu,
        lower_pu=lower_pu, first_pu=0.0, cycles=9,
    )  # fmt: skip


def shifted(tree: Tree, *found: BusMismatch) -> dict[str, float]:
    """By how much each node is moved."""
    at = Injections(
        p_kw=dict.fromkeys(tree.site.names, 0.0),
        q_kvar=dict.fromkeys(tree.site.names, 0.0),
        load_kw=50.0,
    )
    network = corrected(tree.site, tree, {one.bus: one for one in found})
    plain = tree.load_flow(at)
    moved = network.load_flow(at)
    assert np.array_equal(network.linearise(at).flow.v_pu, moved.v_pu)
    change = (moved.v_pu - plain.v_pu).round(12)
    return dict(zip(plain.nodes, change.tolist(), strict=True))


def test_a_node_takes_the_part_of_the_impedance_that_it_shares_with_the_measured_bus() -> None:
    tree = Tree(site=FAR, head_v_pu=1.04)
    assert shifted(tree, mismatch("FAR", upper_pu=0.012)) == {
        "HEAD.1": 0.0, "NEAR.1": 0.003, "MID.1": 0.006, "FAR.1": 0.012, "SIDE.1": 0.003,
        "DEAD.1": 0.0,
    }  # fmt: skip


def test_of_several_measured_buses_a_node_follows_the_one_it_shares_most_with() -> None:
    tree = Tree(site=site_of("FAR", "SIDE"), head_v_pu=1.04)
    found = shifted(tree, mismatch("FAR", upper_pu=0.012), mismatch("SIDE", upper_pu=0.0))
    assert found["MID.1"] == 0.006
    assert found["SIDE.1"] == 0.0


def test_what_all_measured_buses_have_in_common_holds_for_every_node() -> None:
    """A wrong tap: the same difference at any distance."""
    tree = Tree(site=site_of("FAR", "SIDE", "NEAR"), head_v_pu=1.04)
    found = shifted(tree, *[mismatch(b, upper_pu=0.01) for b in ("FAR", "SIDE", "NEAR")])
    assert found == {**dict.fromkeys(WAYS, 0.01), "DEAD.1": 0.0}


def test_what_grows_with_the_distance_leaves_the_head_alone() -> None:
    tree = Tree(site=site_of("FAR", "NEAR"), head_v_pu=1.04)
    found = shifted(tree, mismatch("FAR", upper_pu=0.012), mismatch("NEAR", upper_pu=0.003))
    assert found["HEAD.1"] == pytest.approx(0.0, abs=1e-9)


def test_where_nothing_is_measured_no_limit_is_relaxed() -> None:
    tree = Tree(site=FAR, head_v_pu=1.04)
    found = shifted(tree, mismatch("FAR", upper_pu=-0.01, lower_pu=-0.02))
    assert found == {**dict.fromkeys(WAYS, 0.0), "FAR.1": -0.01}


@pytest.mark.parametrize(("v", "moves"), [(1.04, 0.01), (0.96, -0.02)])
def test_each_limit_is_held_against_its_own_correction(v: float, moves: float) -> None:
    tree = Tree(site=FAR, head_v_pu=v)
    assert shifted(tree, mismatch("FAR", upper_pu=0.01, lower_pu=-0.02))["FAR.1"] == moves


def test_a_voltage_that_is_higher_in_the_model_is_never_lower_when_corrected() -> None:
    vs = []
    for v in np.linspace(0.93, 1.07, 141):
        tree = Tree(site=FAR, head_v_pu=float(v))
        vs.append(v + shifted(tree, mismatch("FAR", upper_pu=0.03, lower_pu=-0.03))["FAR.1"])
    assert np.all(np.diff(vs) > 0.0)


def test_slopes_are_the_models() -> None:
    tree = Tree(site=FAR)
    at = Injections(p_kw={"far": 0.0}, q_kvar={"far": 0.0}, load_kw=50.0)
    network = corrected(FAR, tree, {"FAR": mismatch("FAR", upper_pu=0.01)})
    plain, lin = tree.linearise(at), network.linearise(at)
    one = np.ones(1)
    assert lin.ders == plain.ders
    assert np.array_equal(lin.change(one, one)[0], plain.change(one, one)[0])
    assert np.array_equal(lin.voltage_rows([3])[1], plain.voltage_rows([3])[1])
    assert lin.loading_cuts([], np.zeros(1), np.zeros(1))[1].shape == (0, 1)


def test_a_network_that_is_right_stays_itself() -> None:
    tree = Tree(site=FAR)
    assert corrected(FAR, tree, {}) is tree
    assert corrected(FAR, tree, {"FAR": mismatch("FAR")}) is tree


def test_of_very_many_measured_buses_some_stand_for_those_like_them() -> None:
    """80 laterals of two buses each; the inner bus of each is measured, and one outer node not."""
    sections = [chr(0x4E00 + i) for i in range(160)]
    ways = {}
    for i in range(80):
        ways[f"IN{i}.1"] = "a" + sections[2 * i]
        ways[f"OUT{i}.1"] = "a" + sections[2 * i] + sections[2 * i + 1]
    site = site_of(*[f"IN{i}" for i in range(80)])
    tree = Tree(site=site, ways=ways, head_v_pu=1.04)
    found = shifted(tree, *[mismatch(f"IN{i}", upper_pu=1e-4 * i) for i in range(80)])
    assert [found[f"IN{i}.1"] for i in range(80)] == [pytest.approx(1e-4 * i) for i in range(80)]
    outer = [found[f"OUT{i}.1"] for i in range(80)]
    right = sum(o == pytest.approx(1e-4 * i, abs=2e-5) for i, o in enumerate(outer))
    assert right >= 40
    assert max(outer) <= 0.0079 + 1e-9


def test_a_device_measures_the_phases_it_is_connected_to() -> None:
    nodes = ("B7.1", "B7.2", "B7.3", "B71.1", "b8.2")
    at = terminals(["b7", "B7.3.1", "B8", "B9", "B7.4"], nodes)
    assert {bus: found.tolist() for bus, found in at.items()} == {
        "b7": [0, 1, 2], "B7.3.1": [0, 2], "B8": [4], "B9": [], "B7.4": [],
    }  # fmt: skip


# --- in the cycle --------------------------------------------------------------------


class Measuring(MemoryField):
    """The PV plant measures one and the same voltage."""

    def __init__(self, site: Site, v_pu: float) -> None:
        super().__init__(site, LOAD_KW, p_kw={"pv": 7000.0, "dg": 2997.0})
        self.v_pu = v_pu

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        return {
            n: replace(r, v_pu=self.v_pu) if n == "pv" and isinstance(r, DerReading) else r
            for n, r in super().read(now).items()
        }


@dataclass(eq=False)
class Regulated:
    """The reference feeder, as if it had a regulator whose tap every load flow carries on."""

    feeder: Feeder
    asked: list[Regulation | None] = field(default_factory=list)
    regulated: bool = True

    def load_flow(self, at: Injections, *, controls: bool = False) -> LoadFlow:
        self.asked.append(at.regulation)
        flow = self.feeder.load_flow(replace(at, regulation=None))
        stands = at.regulation or Regulation(taps={"transformer.reg": (1.0, 1.00625)})
        if controls and at.regulation is None:
            stands = Regulation(taps={"transformer.reg": (1.0, 1.0125)})
        return replace(flow, regulation=stands)

    def load_flows(self, points: Sequence[Injections]) -> list[LoadFlow]:
        return [self.load_flow(at) for at in points]

    def linearise(self, at: Injections) -> Linearisation:
        return self.feeder.linearise(replace(at, regulation=None))


def regulated(site: Site) -> tuple[Ports, Regulated]:
    world = ports(site)
    assert isinstance(world.network, Feeder)
    network = Regulated(world.network)
    return replace(world, network=network), network


def test_taps_are_carried_from_cycle_to_cycle() -> None:
    site = segment()
    world, network = regulated(site)
    first = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW)
    assert first.snapshot.regulation is None
    left = first.secured.load_flow.regulation
    network.asked.clear()
    second = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW + QUARTER, first)
    assert left.taps
    assert second.snapshot.regulation == left
    assert None not in network.asked


def test_taps_of_a_load_flow_that_diverged_are_not_carried_on() -> None:
    site = segment()
    world, _ = regulated(site)
    first = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW)
    stood = Regulation(taps={"transformer.reg": (1.0, 1.0125)})
    flow = replace(
        first.secured.load_flow, converged=False,
        regulation=Regulation(taps={"transformer.reg": (1.0, 9.9)}),
    )  # fmt: skip
    diverged = replace(
        first,
        secured=replace(first.secured, load_flow=flow),
        snapshot=replace(first.snapshot, regulation=stood),
    )
    second = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW + QUARTER, diverged)
    assert second.snapshot.regulation == stood


def test_a_feeder_without_regulators_is_handed_no_taps() -> None:
    site = segment()
    first = run_cycle(site, AUTO, PRICE_USD_PER_KWH, ports(site), NOW)
    second = run_cycle(site, AUTO, PRICE_USD_PER_KWH, ports(site), NOW + QUARTER, first)
    assert second.snapshot.regulation is None


def test_the_cycle_keeps_the_differences_in_its_record_and_goes_on_from_them() -> None:
    site = segment()
    world = ports(site, Measuring(site, 1.09))
    first = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW)
    assert from_json(to_json(first)).mismatch == first.mismatch
    second = run_cycle(site, AUTO, PRICE_USD_PER_KWH, world, NOW + QUARTER, first)
    assert second.mismatch["B13"].cycles == first.mismatch["B13"].cycles + 1


def test_with_feedback_off_nothing_is_corrected() -> None:
    site = segment()
    policy = replace(AUTO, feedback=Feedback(on=False))
    high = run_cycle(site, policy, PRICE_USD_PER_KWH, ports(site, Measuring(site, 1.099)), NOW)
    plain = run_cycle(site, policy, PRICE_USD_PER_KWH, ports(site), NOW)
    assert high.mismatch == {}
    assert high.secured.load_flow.highest() == plain.secured.load_flow.highest()


def test_a_record_without_differences_is_one_of_an_older_version() -> None:
    assert from_json(SAMPLE.read_text()).mismatch == {}


def accepted(network: Network) -> Network:
    """What mypy checks: a corrected network is a network."""
    return network


def test_a_corrected_network_is_a_network() -> None:
    found = {"FAR": mismatch("FAR", upper_pu=0.01)}
    network = accepted(corrected(FAR, Tree(site=FAR), found))
    assert isinstance(network, Corrected)
    assert network.regulated is False
