"""From a decision to what the devices hold: the deadband, and generators on their way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pytest

from ems.command import Astray, command
from ems.domain import (
    Command,
    Degraded,
    Dispatch,
    Infeasible,
    InForce,
    Injections,
    Outcome,
    Policy,
    Readback,
    RowKind,
    RowPrice,
    Secured,
    Sent,
    Setpoint,
    SolverStatus,
    Unmoved,
    Violation,
)
from ems.gateways.memory import MemoryField
from ems.sending import Sender
from feeders import Feeder
from tests.sites import LOAD_KW, NOW, segment, snapshot

SITE = segment()
POLICY = Policy(control="auto", keep_alive_s=60.0, deadband_pct=1.0)
BROKEN = Violation(kind=RowKind.V_MAX, place="B13.1", value=1.11, limit=1.1, case="high")
NO_LOAD_FLOW = Feeder.open("segment13", SITE.placements).load_flow(
    Injections(p_kw={}, q_kvar={}, load_kw=LOAD_KW)
)


def at(pv: float | None = 5000.0, dg: float = 2000.0, bes: float = 100.0) -> dict[str, Setpoint]:
    made = 5000.0 if pv is None else pv
    return {
        "pv": Setpoint(der="pv", p_kw=made, q_kvar=0.0, cap_kw=pv),
        "dg": Setpoint(der="dg", p_kw=dg, q_kvar=-100.0),
        "bes": Setpoint(der="bes", p_kw=bes, q_kvar=0.0),
    }


def secured(setpoints: Mapping[str, Setpoint]) -> Secured:
    dispatch = Dispatch(
        setpoints=setpoints, grid_kw=0.0, price_usd_per_kwh=0.2, cost_usd_per_h=0.0,
        objective_usd_per_h=0.0, status=SolverStatus.OPTIMAL,
    )  # fmt: skip
    return Degraded(dispatch=dispatch, load_flow=NO_LOAD_FLOW, reason="given")


@dataclass
class World:
    """Who decides, judges and writes; tells what was asked of it."""

    unsafe: list[Mapping[str, Setpoint]] = field(default_factory=list)
    """Mixes that break a limit, compared to the kilowatt."""
    hopeless: int = 0
    """How many decisions find nothing."""
    judged: list[Mapping[str, Setpoint]] = field(default_factory=list)
    decided: list[Mapping[str, Unmoved]] = field(default_factory=list)
    written: dict[str, Setpoint] = field(default_factory=dict)

    def decide(self, pins: Mapping[str, Unmoved]) -> tuple[Dispatch, Secured]:
        self.decided.append(pins)
        again = secured({**at(), **{n: pin.expected for n, pin in pins.items()}})
        if len(self.decided) > self.hopeless:
            return again.dispatch, again
        return again.dispatch, Infeasible(
            dispatch=again.dispatch, load_flow=NO_LOAD_FLOW, reason="given", violations=()
        )

    def judge(
        self, mix: Mapping[str, Setpoint], pins: Mapping[str, Unmoved]
    ) -> Sequence[Violation]:
        del pins
        self.judged.append(mix)
        return [BROKEN] if any(_kw(mix) == _kw(bad) for bad in self.unsafe) else []

    def write(
        self,
        setpoints: Mapping[str, Setpoint],
        binding: Sequence[RowPrice],
        astray: Mapping[str, Astray],
    ) -> Mapping[str, Outcome]:
        del binding, astray
        self.written = dict(setpoints)
        return {name: _sent(setpoint) for name, setpoint in setpoints.items()}

    def sender(self, held: Mapping[str, Setpoint], policy: Policy = POLICY) -> Sender:
        now = snapshot(SITE, dg=2000.0)
        ends = NOW + timedelta(seconds=200)
        return Sender(
            site=SITE, policy=policy, snapshot=now, write=self.write, watched=None,
            held={
                n: InForce(setpoints=(s,), written=NOW, reverts_from=ends, reverts_until=ends)
                for n, s in held.items()
            },
            decide=self.decide, judge=self.judge,
        )  # fmt: skip


def _kw(mix: Mapping[str, Setpoint]) -> list[tuple[int, int]]:
    return [(round(s.p_kw), round(s.cap_kw or 0.0)) for s in mix.values()]


def _sent(setpoint: Setpoint) -> Sent:
    p_kw = None if setpoint.der == "pv" else setpoint.p_kw
    asked = Command(
        der=setpoint.der, p_kw=p_kw, q_kvar=setpoint.q_kvar, cap_kw=setpoint.cap_kw,
        reversion_kw=0.0, reversion_s=300,
    )  # fmt: skip
    back = Readback(p_kw=p_kw, q_kvar=setpoint.q_kvar, cap_kw=setpoint.cap_kw)
    return Sent(command=asked, readback=back)


def sent(world: World, held: Mapping[str, Setpoint], new: Mapping[str, Setpoint],
         policy: Policy = POLICY) -> Mapping[str, Setpoint]:  # fmt: skip
    decided = secured(new)
    world.sender(held, policy).send(decided.dispatch, decided, {})
    return world.written


# --- the deadband --------------------------------------------------------------------


def test_what_is_held_within_the_deadband_is_written_as_it_is_held() -> None:
    held, new = at(5000.0, 2000.0, 100.0), at(5090.0, 2025.0, 101.5)
    written = sent(World(), held, new)
    assert [s.p_kw for s in written.values()] == [5000.0, 2000.0, 100.0]
    assert written["pv"].cap_kw == 5000.0


def test_a_lower_cap_is_written_however_near_it_is() -> None:
    written = sent(World(), at(5000.0), at(4999.0))
    assert written["pv"].cap_kw == 4999.0


@pytest.mark.parametrize(
    ("held", "new"),
    [
        (at(5000.0), at(5200.0)),  # beyond the band
        (at(5000.0), at(None)),  # a cap that is lifted
        (at(None), at(9990.0)),
        (at(dg=10.0), at(dg=0.0)),  # off is off
    ],
)
def test_a_real_change_is_written(held: Mapping[str, Setpoint], new: Mapping[str, Setpoint]) -> (
    None
):  # fmt: skip
    written = sent(World(), held, new)
    changed = "dg" if held["pv"] == new["pv"] else "pv"
    assert written[changed] == new[changed]


def test_where_the_mix_with_held_values_breaks_a_limit_everything_is_written() -> None:
    held, new = at(5000.0, 2000.0, 100.0), at(5090.0, 2025.0, 101.5)
    mix = {**held, "pv": replace(held["pv"], p_kw=5000.0)}
    assert sent(World(unsafe=[mix]), held, new) == new


def test_the_mix_is_judged_while_generators_still_stand_where_they_were_too() -> None:
    held, new = at(5000.0, 900.0, 100.0), at(5090.0, 1000.0, 100.0)
    still = {**new, "pv": at(5000.0)["pv"], "dg": replace(new["dg"], p_kw=2000.0)}
    assert sent(World(unsafe=[still]), held, new) == new
    assert sent(World(), held, new)["pv"].cap_kw == 5000.0


def test_no_deadband_where_none_is_wanted_or_it_is_not_known_what_is_held() -> None:
    new = at(5090.0)
    assert sent(World(), at(), new, replace(POLICY, deadband_pct=0.0)) == new
    assert sent(World(), {}, new) == new


# --- generators on their way ---------------------------------------------------------


def test_the_way_of_a_generator_is_judged_between_its_ends() -> None:
    world = World()
    sent(world, {}, at(dg=1000.0))
    assert [round(mix["dg"].p_kw) for mix in world.judged] == [1750, 1500, 1250]


def test_the_others_keep_room_for_a_generator_whose_way_would_break_a_limit() -> None:
    new = at(dg=1000.0)
    halfway = {**new, "dg": replace(new["dg"], p_kw=1500.0)}
    world = World(unsafe=[halfway])
    decided = secured(new)
    found = world.sender({}).send(decided.dispatch, decided, {})
    [pins] = world.decided
    assert (pins["dg"].low.p_kw, pins["dg"].expected.p_kw, pins["dg"].high.p_kw) == (
        1000.0, 1000.0, 2000.0,
    )  # fmt: skip
    assert world.written["dg"].p_kw == 1000.0
    said = f"room kept for the way of dg: on it a limit would break: {BROKEN}"
    assert found.secured.notes == (said,)
    assert found.alarms == ()


def test_where_nobody_can_keep_room_the_generator_stays_where_it_stands() -> None:
    new = at(dg=1000.0)
    halfway = {**new, "dg": replace(new["dg"], p_kw=1500.0)}
    world = World(unsafe=[halfway], hopeless=1)
    decided = secured(new)
    found = world.sender({}).send(decided.dispatch, decided, {})
    assert world.written["dg"].p_kw == 2000.0
    assert found.secured.notes[0].startswith("dg not moved: on it a limit would break")


def test_where_even_that_does_not_hold_the_operator_is_told() -> None:
    new = at(dg=1000.0)
    halfway = {**new, "dg": replace(new["dg"], p_kw=1500.0)}
    world = World(unsafe=[halfway], hopeless=2)
    decided = secured(new)
    found = world.sender({}).send(decided.dispatch, decided, {})
    assert world.written["dg"].p_kw == 1000.0
    assert found.alarms == (f"generators on their way may break a limit: {BROKEN}",)


def test_a_generator_that_has_not_all_its_kvar_yet_is_judged_from_its_start() -> None:
    """It stands at 100 of 3000 kW: a third of its reactive power; asked are 100 of 400 kvar."""
    world = World()
    decided = secured({**at(dg=1500.0), "dg": Setpoint(der="dg", p_kw=1500.0, q_kvar=-400.0)})
    sender = world.sender({})
    low = replace(sender.snapshot.ders["dg"], p_kw=100.0)
    stands = replace(sender.snapshot, ders={**sender.snapshot.ders, "dg": low})
    replace(sender, snapshot=stands).send(decided.dispatch, decided, {})
    seen = [(round(mix["dg"].p_kw), round(mix["dg"].q_kvar)) for mix in world.judged]
    assert seen == [(100, -133), (450, -400), (800, -400), (1150, -400)]


def test_a_decision_that_breaks_a_limit_by_itself_is_no_matter_of_the_way() -> None:
    new = at(dg=1000.0)
    halfway = {**new, "dg": replace(new["dg"], p_kw=1500.0)}
    world = World(unsafe=[halfway, new])
    assert sent(world, {}, new)["dg"].p_kw == 1000.0
    assert world.decided == []


@pytest.mark.parametrize("pv_kw", [0.0, 4000.0, 8000.0])
def test_on_the_reference_feeder_no_voltage_lies_beyond_the_ends_of_a_generators_way(
    pv_kw: float,
) -> None:
    """What three points between the ends rest on: the voltage bends little and one way."""
    feeder = Feeder.open("segment13", SITE.placements)

    def voltages(dg_kw: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        powers = {"pv": pv_kw, "dg": dg_kw, "bes": 0.0}
        return feeder.load_flow(
            Injections(p_kw=powers, q_kvar={"dg": -400.0}, load_kw=LOAD_KW)
        ).v_pu

    way = np.array([voltages(kw) for kw in np.linspace(0.0, 3000.0, 13)])
    ends = np.sort(way[[0, -1]], axis=0)
    assert (way >= ends[0] - 1e-9).all()
    assert (way <= ends[1] + 1e-5).all()


# --- a device that does not follow, asked the same again -----------------------------


@pytest.mark.parametrize(
    ("shown_kw", "asked_kw"),
    [
        (0.0, 50.0),  # tripped: 3000 kW/h, a minute of its ramp
        (1900.0, 1950.0),
        (2380.0, 2400.0),  # nearly there
        (2900.0, 2400.0),  # its measurement may be what is wrong
    ],
)
def test_a_generator_that_fell_behind_is_asked_for_a_step_from_where_it_stands(
    shown_kw: float, asked_kw: float
) -> None:
    field = MemoryField(SITE, load_kw=LOAD_KW)
    stray = Astray(why="tripped", asked=at(dg=2400.0)["dg"])
    command(SITE, POLICY, snapshot(SITE, dg=shown_kw), at(), (), {"dg": stray}, field)
    assert [c.p_kw for c in field.written if c.der == "dg"] == [asked_kw]
