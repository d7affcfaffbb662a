"""The record of a cycle, and its JSON form."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.domain import (
    Advised,
    Answer,
    Before,
    Bes,
    Command,
    Counterfactual,
    CycleRecord,
    Degraded,
    Dg,
    Feedback,
    Horizon,
    Infeasible,
    InForce,
    LateSolve,
    Ledger,
    LedgerEntry,
    LimitPrice,
    Limits,
    Partial,
    Policy,
    Pv,
    Quality,
    Readback,
    Refused,
    RowKind,
    Secured,
    Sent,
    Setpoint,
    Setup,
    Site,
    TerminalSoc,
    Timed,
    Verified,
    Violation,
    Worth,
)
from ems.errors import BadInput
from ems.record import from_json, record, setup_from_json, setup_to_json, to_json

SAMPLE = Path(__file__).with_name("test_record_sample.json").read_text()
"""One cycle of the reference feeder, as version 0.1 wrote it: later versions still read it."""

GONE = {".secured.load_flow.taps", ".secured.free_load_flow.taps"}
"""What it held and no later version does: taps, empty then, now under `regulation`."""

COMMAND = Command(der="pv", p_kw=None, q_kvar=0.0, cap_kw=7.0, reversion_kw=0.0, reversion_s=1800)
VIOLATION = Violation(kind=RowKind.V_MAX, place="B13.1", value=1.11, limit=1.1, case="high")


def sample() -> CycleRecord:
    return from_json(SAMPLE)


def infeasible(of: Verified) -> Infeasible:
    return Infeasible(
        dispatch=of.dispatch,
        load_flow=of.load_flow,
        reason="no setpoints keep every limit",
        violations=(VIOLATION,),
    )


def degraded(of: Verified) -> Degraded:
    return Degraded(dispatch=of.dispatch, load_flow=of.load_flow, reason="solver late")


def again(base: CycleRecord, **changes: object) -> CycleRecord:
    """The record the stage makes of the same values, some changed."""
    v = {name: getattr(base, name) for name in ("snapshot", "forecast", "free", "secured")}
    v |= {"ledger": base.ledger, "outcomes": base.outcomes} | changes
    site = Site(
        name="s",
        latitude_deg=0,
        longitude_deg=0,
        ders=(Pv(name="pv", bus="B13", rated_kw=1.0),),
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
        load_max_kw=1.0,
        load_min_kw=1.0,
    )
    return record(site, **v)


def test_a_record_of_the_first_version_is_read_and_all_it_held_is_written_back() -> None:
    """Fields that came later stand beside it at their defaults."""
    written = json.loads(to_json(sample()))
    assert set(lost(json.loads(SAMPLE), written)) == GONE
    assert to_json(from_json(json.dumps(written))) == to_json(sample())


def lost(old: object, new: object, at: str = "") -> list[str]:
    """Places where `new` does not hold what `old` does; it may hold more."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            place
            for key, value in old.items()
            for place in (lost(value, new[key], f"{at}.{key}") if key in new else [f"{at}.{key}"])
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            place
            for i, (a, b) in enumerate(zip(old, new, strict=True))
            for place in lost(a, b, f"{at}.{i}")
        ]
    return [] if old == new else [at]


def test_quantiles_and_available_power_come_back_as_they_were_written() -> None:
    base = sample()
    assert (base.forecast.levels, base.forecast.pv["pv"].quantiles_kw) == ((), ())
    pv = replace(base.forecast.pv["pv"], quantiles_kw=(8000.1, 9000.2, 1 / 3 * 1e4))
    forecast = replace(
        base.forecast, pv={"pv": pv}, levels=(0.05, 0.5, 0.95), confidence=0.95,
        load_method="profile", load_quantiles_kw=(13e3, 13.2e3, 13.4e3),
        load_lower_kw=13e3, load_upper_kw=13.4e3,
    )  # fmt: skip
    reading = replace(base.snapshot.ders["pv"], available_kw=9123.4)
    told = replace(base.snapshot, ders={**base.snapshot.ders, "pv": reading})
    full = replace(base, forecast=forecast, snapshot=told)
    found = from_json(to_json(full))
    assert found.forecast == forecast
    assert found.snapshot.ders["pv"].available_kw == 9123.4


def test_the_ledger_comes_back_as_it_was_written() -> None:
    ledger = Ledger(
        sentence="pv held at 7.65 of 10.00 MW: B13 at its 1.10 pu limit.",
        compliance_usd_per_h=1348.0,
        entries=(
            LedgerEntry(
                der="pv",
                moved_kw=-2348.0,
                moved_kvar=0.0,
                limits=("B13",),
                worth=(Worth(place="B13", usd_per_kwh=0.58, usd_per_kvarh=1.9),),
                limits_usd_per_kwh=0.58,
                energy_usd_per_kwh=0.574,
            ),
        ),
        limits=(
            LimitPrice(
                kind=RowKind.V_MAX,
                place="B13",
                limit=1.1,
                price=55e3,
                slack=0.0,
                relief_usd_per_h=1362.0,
            ),
        ),
        counterfactuals=(
            Counterfactual(
                what="voltage allowed up to 1.11 instead of 1.10 pu",
                saves_usd_per_h=546.0,
                price_usd_per_h_per_unit=55e3,
                step=0.01,
                unit="pu",
            ),
        ),
    )
    assert from_json(to_json(replace(sample(), ledger=ledger))).ledger == ledger


def test_a_record_is_one_line_of_standard_json() -> None:
    text = to_json(sample())
    assert "\n" not in text
    json.loads(text, parse_constant=pytest.fail)


@given(
    st.lists(st.floats(), min_size=1, max_size=8),
    st.floats(),
)
def test_every_float_of_a_record_comes_back_bit_for_bit_nan_and_infinity_too(
    voltages: list[float], cost: float
) -> None:
    base = sample()
    assert isinstance(base.secured, Verified)
    v_pu = np.array(voltages)
    flow = replace(base.secured.load_flow, v_pu=v_pu)
    free = replace(base.free, cost_usd_per_h=cost)
    back = from_json(
        to_json(replace(base, free=free, secured=replace(base.secured, load_flow=flow)))
    )
    found = back.secured.load_flow.v_pu
    assert found.dtype == np.float64
    nan = np.isnan(v_pu)
    assert np.array_equal(np.isnan(found), nan)
    assert found[~nan].tobytes() == v_pu[~nan].tobytes()
    same = math.isnan(cost) and math.isnan(back.free.cost_usd_per_h)
    assert same or math.copysign(1, cost) == math.copysign(1, back.free.cost_usd_per_h)
    assert same or back.free.cost_usd_per_h == cost


def test_numpy_numbers_are_written_like_plain_ones() -> None:
    base = sample()
    free = replace(base.free, cost_usd_per_h=np.float64(1.5), grid_kw=np.float64(2.5))
    assert from_json(to_json(replace(base, free=free))).free.cost_usd_per_h == 1.5


@pytest.mark.parametrize(
    "outcome",
    [
        Sent(command=COMMAND, readback=Readback(p_kw=None, q_kvar=0.0, cap_kw=7.0)),
        Partial(command=COMMAND, reason="no answer"),
        Partial(
            command=COMMAND,
            reason="differs",
            readback=Readback(p_kw=None, q_kvar=0.0, cap_kw=6.0),
        ),
        Refused(command=COMMAND, reason="exception 2"),
        Advised(command=COMMAND),
    ],
)
def test_every_outcome_keeps_its_kind(outcome: object) -> None:
    back = from_json(to_json(replace(sample(), outcomes={"pv": outcome})))  # type: ignore[dict-item]  # all are outcomes
    assert back.outcomes["pv"] == outcome


@pytest.mark.parametrize("turn", [lambda v: v, degraded, infeasible])
def test_every_result_of_constrain_keeps_its_kind_and_its_voltages(
    turn: Callable[[Verified], Secured],
) -> None:
    base = sample()
    assert isinstance(base.secured, Verified)
    secured = turn(base.secured)
    back = from_json(to_json(replace(base, secured=secured))).secured
    assert type(back) is type(secured)
    assert back.load_flow.nodes == secured.load_flow.nodes
    assert back.load_flow.v_pu.tobytes() == secured.load_flow.v_pu.tobytes()
    if isinstance(back, Infeasible):
        assert back.violations == (VIOLATION,)


def test_times_come_back_as_the_same_instant_in_utc() -> None:
    local = timezone(timedelta(hours=2))
    start = datetime(2026, 7, 1, 16, 0, 0, 123456, tzinfo=local)
    back = from_json(to_json(replace(sample(), start=start)))
    assert back.start == start
    assert back.start.tzinfo is UTC


def test_a_time_without_zone_is_refused_when_writing() -> None:
    naive = datetime(2026, 7, 1)  # noqa: DTZ001  the fault under test
    with pytest.raises(BadInput, match="no time zone"):
        to_json(replace(sample(), start=naive))


def test_a_field_that_an_older_version_did_not_write_takes_its_default() -> None:
    value = json.loads(SAMPLE)
    del value["alarms"]
    value["of a later version"] = 1
    assert from_json(json.dumps(value)).alarms == ()


@pytest.mark.parametrize(
    ("path", "bad", "said"),
    [
        (("start",), "yesterday", "cycle record: start: 'yesterday' is not an ISO 8601 time"),
        (("start",), "2026-07-01T14:00:00", "no time zone"),
        (("secured", "kind"), "Perhaps", "secured: kind 'Perhaps' is unknown"),
        (("secured", "load_flow", "v_pu", 3), "high", "secured.load_flow.v_pu: 'high'"),
        (("snapshot", "ders", "pv", "quality"), "fair", "snapshot.ders.pv.quality: 'fair'"),
        (("free", "cost_usd_per_h"), True, "free.cost_usd_per_h: True is not a number"),
        (("alarms",), "fire", "alarms: 'fire' is not a list"),
        (("outcomes",), [], r"outcomes: \[\] is not an object"),
        (("site",), 3, "site: 3 is not of type str"),
    ],
)
def test_a_damaged_record_is_refused_with_the_place_named(
    path: tuple[str | int, ...], bad: object, said: str
) -> None:
    value = json.loads(SAMPLE)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = bad
    with pytest.raises(BadInput, match=said):
        from_json(json.dumps(value))


def test_a_record_cut_short_is_refused() -> None:
    with pytest.raises(BadInput, match="not JSON"):
        from_json(SAMPLE[:1000])


def test_a_missing_field_is_named() -> None:
    value = json.loads(SAMPLE)
    del value["forecast"]["load_kw"]
    with pytest.raises(BadInput, match="forecast: 'load_kw' is missing"):
        from_json(json.dumps(value))


def test_a_good_cycle_raises_no_alarm() -> None:
    made = again(sample())
    assert made.alarms == ()
    assert made.status == "verified"
    assert made.start == sample().forecast.start


def test_what_the_stages_already_tell_becomes_alarms_worst_first_each_once() -> None:
    base = sample()
    assert isinstance(base.secured, Verified)
    reading = replace(base.snapshot.ders["bes"], quality=Quality.STALE, note="95 s old")
    made = again(
        base,
        secured=infeasible(base.secured),
        snapshot=replace(base.snapshot, ders={**base.snapshot.ders, "bes": reading}),
        outcomes={
            "pv": Refused(command=COMMAND, reason="pv: exception 2"),
            "dg": Partial(command=COMMAND, reason="no answer"),
        },
        alarms=["bes: 95 s old", "mix in force unsafe"],
    )
    assert made.alarms == (
        "no safe dispatch: no setpoints keep every limit",
        str(VIOLATION),
        "pv: not written: exception 2",
        "dg: written in part: no answer",
        "bes: 95 s old",
        "mix in force unsafe",
    )
    assert made.status == "infeasible"


def test_of_each_kind_of_limit_the_worst_place_is_an_alarm_and_the_others_a_number() -> None:
    base = sample()
    assert isinstance(base.secured, Verified)
    places = [f"B{bus}.{phase}" for bus in range(13, 6, -1) for phase in (1, 2, 3)]
    high = [replace(VIOLATION, place=place, value=1.2) for place in places]
    again_in = [replace(v, value=1.11, case="expected") for v in high]
    line = Violation(kind=RowKind.LOADING, place="line.l1", value=120.0, limit=100.0, case="high")
    secured = replace(infeasible(base.secured), violations=(*high, line, *again_in))
    assert again(base, secured=secured).alarms == (
        "no safe dispatch: no setpoints keep every limit",
        f"{high[0]}, and 20 more",
        str(line),
    )


def test_a_silent_device_is_one_alarm() -> None:
    base = sample()
    note = "bes at 127.0.0.1:5022: no connection: refused; last good value is 95 s old"
    reading = replace(base.snapshot.ders["bes"], quality=Quality.STALE, note=note)
    made = again(
        base,
        snapshot=replace(base.snapshot, ders={**base.snapshot.ders, "bes": reading}),
        outcomes={"bes": Refused(command=COMMAND, reason=f"not commanded while unheard: {note}")},
    )
    assert made.alarms == (note,)


def test_a_degraded_dispatch_is_an_alarm() -> None:
    base = sample()
    assert isinstance(base.secured, Verified)
    assert again(base, secured=degraded(base.secured)).alarms == ("solver late",)


# --- what a replay needs -------------------------------------------------------------


@pytest.mark.parametrize("terminal", ["keep", "free", 40.0, 0.1 + 0.2])
def test_site_and_policy_come_back_as_they_were_written(terminal: TerminalSoc) -> None:
    ders = (
        Pv(name="pv", bus="B13", rated_kw=1.0, s_max_kva=1.1, group="roofs"),
        Bes(name="bes", bus="B2.1", rated_kw=1 / 3, capacity_kwh=2.0),
        Dg(name="dg", bus="B4", rated_kw=9.0, cost_usd_per_kwh=0.1, ramp_up_kw_per_h=math.inf),
    )
    site = Site(
        name="s", latitude_deg=0.1, longitude_deg=0.2, ders=ders, load_max_kw=9.0, load_min_kw=1.0,
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1, loading_max_pct=None), power_factor_min=0.9,
    )  # fmt: skip
    policy = Policy(terminal_soc=terminal, keep_alive_s=60.0, feedback=Feedback(on=False))
    setup = Setup(site=site, policy=policy, feeder="town 1f")
    assert setup_from_json(setup_to_json(setup)) == setup
    assert from_json(to_json(replace(sample(), setup=setup))).setup == setup


def test_what_was_given_and_what_was_late_come_back_as_they_were_written() -> None:
    base = sample()
    start = base.start
    horizon = Horizon(
        starts=(start, start + timedelta(minutes=15)), price_usd_per_kwh=(0.1, 0.3),
        load_kw=(1.0, 2.0), pv_kw={"pv": (3.0, 4.0)}, terminal=55.0, notes=("no weather file",),
    )  # fmt: skip
    held = {"pv": InForce(setpoints=(Setpoint(der="pv", p_kw=1.0, q_kvar=0.0),), written=start)}
    before = Before(time=start, acted=True, loss_factor=0.03, peak_kw=12.0, held=held)
    timed = Timed(
        solves=(
            LateSolve(number=0, fault="late"),
            LateSolve(number=7, dispatch=replace(base.free, binding=())),
        ),
        proofs=3,
    )
    answers = {"pv": (Answer(fault="busy", refused=True), Answer(readback=Readback(
        p_kw=None, q_kvar=0.0, cap_kw=7.0, reverts=False
    )))}  # fmt: skip
    full = replace(
        base, horizon=horizon, no_horizon="", before=before, timed=timed, answers=answers
    )
    found = from_json(to_json(full))
    for name in ("horizon", "before", "timed", "answers"):
        assert getattr(found, name) == getattr(full, name)


def test_a_setup_that_is_none_is_refused_with_its_place() -> None:
    with pytest.raises(BadInput, match=r"cycle setup: not JSON"):
        setup_from_json("{")
    with pytest.raises(BadInput, match=r"cycle setup: top level: 'site' is missing"):
        setup_from_json("{}")
