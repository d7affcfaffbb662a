"""The cycle that plans the day ahead, sends its first interval, and falls back when late."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ems import planning
from ems.clock import INTERVAL
from ems.constrain.ahead import rows_ahead
from ems.cycle import run_cycle
from ems.domain import (
    CycleRecord,
    Forecast,
    Horizon,
    InForce,
    Injections,
    Plan,
    Policy,
    RowKind,
    Setpoint,
    Site,
    Snapshot,
    SolverStatus,
    Verified,
    at_worth,
)
from ems.domain.ahead import HorizonForecast
from ems.errors import BadInput, RefusedWrite, SolverFault, Unreachable
from ems.gateways.memory import MemoryField
from ems.lookahead import horizon_of
from ems.lookahead import lookahead as plan_the_day
from ems.ports import History, Ports
from ems.record import from_json, to_json
from ems.settings import TEMPLATE, load_settings
from ems.store import Store
from ems.tariff import Tariff, from_table
from ems.web import Health, create_app
from feeders import Feeder
from tests.sites import AUTO, LOAD_KW, NOW, GivenForecast, ports, segment

SITE = segment()
PLANNING = replace(AUTO, look_ahead=True)
CHEAP, DEAR = 0.25, 0.45
"""Both dearer than w_es, 0.16 $/kWh: by it alone the battery gives all it has, and stays empty."""
TWO_PRICES = from_table(
    "two prices",
    {
        "zone": "UTC",
        "period": [
            {"name": "dear", "usd_per_kwh": DEAR,
             "windows": [{"days": "all", "start": "17:00", "end": "21:00"}]},
            {"name": "cheap", "usd_per_kwh": CHEAP},
        ],
    },
)  # fmt: skip


class Foretold:
    """An outlook that was told sun and load, and how prices are."""

    def __init__(
        self, tariff: Tariff = TWO_PRICES, pv_kw: Sequence[float] | float = 1000.0, n: int = 96
    ) -> None:
        self.tariff, self.n = tariff, n
        self.pv_kw = tuple(pv_kw) if isinstance(pv_kw, Sequence) else (pv_kw,) * n

    def ahead(
        self,
        site: Site,
        snapshot: Snapshot,  # noqa: ARG002
        forecast: Forecast,
        history: History,  # noqa: ARG002
    ) -> Horizon:
        sun = {pv.name: self.pv_kw for pv in site.pvs}
        told = HorizonForecast(load_kw=(forecast.load_kw,) * self.n, pv_kw=sun)
        return horizon_of(forecast, told, self.tariff)


def world(
    outlook: Foretold | None = None, pv_kw: float = 1000.0, soc_pct: float = 60.0
) -> tuple[Ports, MemoryField]:
    field = MemoryField(SITE, load_kw=LOAD_KW, p_kw={"pv": pv_kw, "dg": 2997.0, "bes": 0.0})
    field.soc_pct["bes"] = soc_pct
    made = ports(SITE, field, GivenForecast(pv_kw, pv_kw))
    return replace(made, outlook=outlook or Foretold()), field


def cycle(
    of: Ports, policy: Policy = PLANNING, price: float = CHEAP, now: datetime = NOW
) -> CycleRecord:
    return run_cycle(SITE, policy, price, of, now)


def planned(record: CycleRecord) -> Plan:
    assert record.plan is not None
    return record.plan


# --- what is planned, and what is sent -----------------------------------------------


def test_the_battery_charges_cheap_and_discharges_dear_where_the_weight_would_not() -> None:
    made, _ = world(soc_pct=30.0)
    plan = planned(cycle(made))
    energy = {
        price: sum(p for p, at in zip(plan.p_kw["bes"], plan.price_usd_per_kwh, strict=True)
                   if at == price) / 4
        for price in (CHEAP, DEAR)
    }  # fmt: skip
    assert energy[CHEAP] < -500.0
    assert energy[DEAR] > 500.0
    alone = cycle(made, AUTO)
    assert alone.secured.dispatch.setpoints["bes"].p_kw > 0.0


def test_the_first_interval_of_the_plan_is_what_is_sent() -> None:
    for pv_kw in (1000.0, 10_000.0):  # without and with rows of eq. (10)
        made, field = world(pv_kw=pv_kw)
        record = cycle(made)
        assert isinstance(record.secured, Verified)
        plan = planned(record)
        sent = record.secured.dispatch.setpoints
        assert {n: p[0] for n, p in plan.p_kw.items()} == {n: s.p_kw for n, s in sent.items()}
        assert {n: q[0] for n, q in plan.q_kvar.items()} == {n: s.q_kvar for n, s in sent.items()}
        assert field.p_kw["bes"] == sent["bes"].p_kw
        assert plan.starts[0] == record.forecast.start


def test_stored_energy_closes_over_the_plan_and_the_terminal_policy_is_kept() -> None:
    made, _ = world()
    for terminal, least in (("keep", 60.0), ("free", 20.0), (85.0, 85.0)):
        plan = planned(cycle(made, replace(PLANNING, terminal_soc=terminal)))  # type: ignore[arg-type]  # one of the policies
        stored = plan.storage["bes"]
        kwh = stored.start_kwh
        for p, at_end in zip(plan.p_kw["bes"], stored.kwh, strict=True):
            kwh -= 0.25 * (p / 0.92 if p > 0.0 else p * 0.92)
            assert at_end == pytest.approx(kwh, abs=1e-5)
        assert stored.soc_pct[-1] >= least - 1e-6
        assert stored.shortfall_kwh == 0.0


def test_at_a_negative_price_energy_is_stored_not_burnt() -> None:
    """Charging and discharging at once would earn; the balance of what is stored shows it."""
    table = {"zone": "UTC", "period": [
        {"name": "flood", "usd_per_kwh": -0.2,
         "windows": [{"days": "all", "start": "21:00", "end": "23:30"}]},
        {"name": "rest", "usd_per_kwh": 0.1},
    ]}  # fmt: skip
    made, _ = world(Foretold(from_table("flood", table)), soc_pct=80.0)
    record = cycle(made, price=-0.2)
    plan = planned(record)
    kwh = plan.storage["bes"].start_kwh
    for p, at_end in zip(plan.p_kw["bes"], plan.storage["bes"].kwh, strict=True):
        kwh -= 0.25 * (p / 0.92 if p > 0.0 else p * 0.92)
        assert at_end == pytest.approx(kwh, abs=1e-5)
    assert isinstance(record.secured, Verified)


def test_the_price_of_the_interval_is_the_cycles_not_the_outlooks() -> None:
    made, _ = world()
    plan = planned(cycle(made, price=0.33))
    assert plan.price_usd_per_kwh[:2] == (0.33, CHEAP)


def test_the_record_with_its_plan_reads_back_equal() -> None:
    made, _ = world()
    record = cycle(made)
    assert from_json(to_json(record)).plan == record.plan


def test_a_device_that_does_not_answer_is_held_in_the_first_interval_only() -> None:
    made, field = world()
    first = cycle(made)
    field.fail("bes", Unreachable("gone"))
    record = run_cycle(SITE, PLANNING, CHEAP, made, NOW + INTERVAL, first)
    plan = planned(record)
    assert plan.p_kw["bes"][0] == record.secured.dispatch.setpoints["bes"].p_kw
    assert any(p != plan.p_kw["bes"][0] for p in plan.p_kw["bes"][1:])


def test_where_others_make_room_for_a_device_that_refuses_the_plan_is_made_again() -> None:
    made, field = world(pv_kw=10_000.0)
    first = cycle(world(pv_kw=10_000.0)[0], price=0.57)
    field.cap_kw["pv"] = field.p_kw["pv"] = 7450.0
    held = Setpoint(der="pv", p_kw=7450.0, q_kvar=0.0, cap_kw=7450.0)
    ours = {"pv": InForce(setpoints=(held,), written=NOW)}
    field.fail("pv", RefusedWrite("LOCAL"))
    record = run_cycle(SITE, PLANNING, 0.57, made, NOW, replace(first, in_force=ours))
    assert any("made room" in alarm for alarm in record.alarms)
    sent = record.secured.dispatch.setpoints
    assert {n: p[0] for n, p in planned(record).p_kw.items()} == {
        n: s.p_kw for n, s in sent.items()
    }


def test_the_ledger_of_a_planned_interval_closes_with_storage_at_its_worth() -> None:
    made, _ = world(pv_kw=10_000.0)
    record = cycle(made)
    ledger = record.ledger
    assert ledger.limits
    assert ledger.unattributed_usd_per_h == pytest.approx(0.0, abs=1e-3 * ledger.relief_usd_per_h)
    assert ledger.counterfactuals[0].saves_usd_per_h > 0.0
    site = at_worth(SITE, planned(record))
    assert site.bess[0].weight_usd_per_kwh > CHEAP


def test_over_a_day_planning_costs_less_than_deciding_interval_by_interval() -> None:
    """Both start after the evening's price with an empty battery, and end so."""
    bills = {}
    for name, policy in (("plan", replace(PLANNING, terminal_soc="free")), ("alone", AUTO)):
        made, field = world(soc_pct=20.0)
        bill, last = 0.0, None
        for i in range(96):
            now = NOW + i * INTERVAL
            last = run_cycle(SITE, policy, TWO_PRICES.price(now), made, now, last)
            assert isinstance(last.secured, Verified)
            bill += last.secured.dispatch.cost_usd_per_h / 4
            p = field.p_kw["bes"]
            field.soc_pct["bes"] -= 100.0 / 800.0 * 0.25 * (p / 0.92 if p > 0.0 else p * 0.92)
        bills[name] = bill
        assert field.soc_pct["bes"] == pytest.approx(20.0, abs=0.01)
    # 640 kWh in at 0.25 $/0.92, out at 0.45 $ · 0.92: 91 $.
    assert bills["alone"] - bills["plan"] == pytest.approx(91.0, abs=2.0)


# --- rows of later intervals ---------------------------------------------------------

NOON = (*(1000.0,) * 8, *(10_000.0,) * 8, *(1000.0,) * 8)


def highest_pu(of: Ports, plan: Plan, t: int) -> float:
    at = Injections(
        p_kw={n: p[t] for n, p in plan.p_kw.items()},
        q_kvar={n: q[t] for n, q in plan.q_kvar.items()},
        load_kw=plan.load_kw[t],
    )
    return of.network.load_flow(at).highest()[1]


def test_a_plan_that_would_break_a_limit_at_noon_is_mended() -> None:
    made, _ = world(Foretold(pv_kw=NOON, n=24))
    record = cycle(made)
    plan = planned(record)
    assert record.secured.notes == ()
    assert [round(kw) for kw in plan.p_kw["pv"][:8]] == [1000] * 8
    for t in range(8, 16):
        assert 7000.0 < plan.p_kw["pv"][t] < 8000.0
        assert 1.099 < highest_pu(made, plan, t) <= 1.10
        assert plan.q_kvar["dg"][t] == pytest.approx(-400.0, abs=1.0)


def test_rows_stand_only_where_a_load_flow_breaks() -> None:
    made, _ = world(Foretold(pv_kw=NOON, n=24))
    mended = planned(cycle(made))
    assert rows_ahead(SITE, mended, made.network) == {}
    broken = replace(mended, p_kw={**mended.p_kw, "pv": NOON})
    rows = rows_ahead(SITE, broken, made.network)
    assert set(rows) == set(range(8, 16))
    assert set(rows[8].kind) == {RowKind.V_MAX}
    assert rows[8].place[0].startswith("B13.")
    assert (rows[8].c_p > 0.0).any()


def test_load_flows_of_later_intervals_stop_when_there_is_no_time_left() -> None:
    made, _ = world(Foretold(pv_kw=NOON, n=24))
    mended = planned(cycle(made))
    broken = replace(mended, p_kw={**mended.p_kw, "pv": NOON})
    asked = iter([False] * 10 + [True])
    rows = rows_ahead(SITE, broken, made.network, late=lambda: next(asked))
    assert set(rows) == {8, 9, 10}


def test_what_was_not_proved_in_time_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "ROWS_SHARE", 0.0)
    made, _ = world()
    record = cycle(made)
    assert isinstance(record.secured, Verified)
    assert record.secured.notes == ("no time was left for load flows of all intervals ahead",)


def test_on_a_feeder_with_regulators_taps_act_before_an_interval_ahead_counts_as_broken() -> None:
    """At full load the taps of light load would leave the far end too low."""
    site = replace(SITE, ders=tuple(replace(d, bus="671") for d in SITE.ders[:1]))
    feeder = Feeder.open("ieee13", site.placements)
    light = feeder.load_flow(
        Injections(p_kw={"pv": 0.0}, q_kvar={"pv": 0.0}, load_kw=500.0), controls=True
    )
    limits = replace(site.limits, v_min_pu=0.95, v_max_pu=1.06, loading_max_pct=None)
    plan = Plan(
        starts=tuple(NOW + i * INTERVAL for i in range(3)), price_usd_per_kwh=(0.2,) * 3,
        load_kw=(500.0, 3466.0, 3466.0), p_kw={"pv": (0.0,) * 3}, q_kvar={"pv": (0.0,) * 3},
        storage={}, grid_kw=(0.0,) * 3, cost_usd=(0.0,) * 3, status=SolverStatus.OPTIMAL,
        gap_usd=0.0, either_or=0, wall_s=0.0,
    )  # fmt: skip
    heavy = Injections(
        p_kw={"pv": 0.0}, q_kvar={"pv": 0.0}, load_kw=3466.0, regulation=light.regulation
    )
    assert feeder.load_flow(heavy).lowest()[1] < 0.95
    assert rows_ahead(replace(site, limits=limits), plan, feeder, regulation=light.regulation) == {}
    feeder.close()


# --- falling back --------------------------------------------------------------------


def untimed(record: CycleRecord) -> dict[str, Any]:
    """All of a record but how long it took."""
    still = partial(replace, solve_s=0.0)
    secured = replace(record.secured, dispatch=still(record.secured.dispatch))
    same = replace(record, stage_s={}, free=still(record.free), secured=secured)
    return {"json": to_json(same)}


class Unasked(Foretold):
    def ahead(
        self, site: Site, snapshot: Snapshot, forecast: Forecast, history: History
    ) -> Horizon:
        raise AssertionError(f"asked for {site} {snapshot} {forecast} {history}")


def test_with_the_look_ahead_off_nothing_is_different() -> None:
    for pv_kw in (1000.0, 10_000.0):
        made, _ = world(Unasked(), pv_kw=pv_kw)
        without = world(pv_kw=pv_kw)[0]
        assert untimed(cycle(made, AUTO)) == untimed(cycle(replace(without, outlook=None), AUTO))
        assert cycle(made, AUTO).plan is None


def late_after(times: int) -> Callable[..., Any]:
    """A look-ahead that finds so many plans in time."""
    left = iter(range(times))

    def found(*args: Any, **named: Any) -> Any:
        if next(left, None) is None:
            raise SolverFault("look-ahead: no plan within 20 s")
        return plan_the_day(*args, **named)

    return found


@pytest.mark.parametrize("times", [0, 2])
def test_a_late_plan_leaves_the_single_interval_and_an_alarm(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Late at once, and late in the midst of the constraint loop: nothing of both is mixed."""
    made, field = world(pv_kw=10_000.0)
    alone = cycle(replace(made, field=replaced(field)), AUTO)
    monkeypatch.setattr(planning, "lookahead", late_after(times))
    record = cycle(made)
    assert record.plan is None
    assert record.secured.dispatch.setpoints == alone.secured.dispatch.setpoints
    assert record.ledger.objective_usd_per_h == alone.ledger.objective_usd_per_h
    assert record.alarms == (
        "look-ahead late: the single interval was dispatched (look-ahead: no plan within 20 s)",
    )
    assert record.status == "degraded"


def replaced(field: MemoryField) -> MemoryField:
    """The same devices, untouched."""
    other = MemoryField(SITE, load_kw=field.load_kw, p_kw=dict(field.p_kw))
    other.soc_pct |= field.soc_pct
    return other


def test_all_plans_of_a_cycle_share_one_budget() -> None:
    made, _ = world()
    record = cycle(made)
    spent = planning.Planning(
        site=SITE, policy=replace(PLANNING, solver_limit_s=0.0), snapshot=record.snapshot,
        forecast=record.forecast, network=made.network, carried={},
        horizon=Foretold().ahead(SITE, record.snapshot, record.forecast, made.history),
    )  # fmt: skip
    with pytest.raises(SolverFault, match="not done within 0 s"):
        spent.free({})


@pytest.mark.parametrize(
    ("site", "what"),
    [
        (replace(SITE, power_factor_min=0.8), "a power-factor limit"),
        (replace(SITE, fairness="equal_share"), "fairness equal_share"),
    ],
)
def test_what_no_plan_knows_is_decided_by_the_interval_and_said(site: Site, what: str) -> None:
    made, _ = world(Unasked())
    record = run_cycle(site, PLANNING, CHEAP, made, NOW)
    assert record.plan is None
    assert record.secured.notes == (f"no look-ahead: no plan knows {what}",)
    assert what in record.ledger.sentence


def test_a_site_that_remembers_nothing_needs_no_plan() -> None:
    site = replace(SITE, ders=SITE.ders[:1])
    field = MemoryField(site, load_kw=LOAD_KW, p_kw={"pv": 1000.0})
    made = replace(ports(site, field, GivenForecast(1000.0, 1000.0)), outlook=Unasked())
    record = run_cycle(site, PLANNING, CHEAP, made, NOW)
    assert record.plan is None
    assert record.status == "verified"


def test_an_outlook_that_fails_is_an_alarm_and_the_cycle_goes_on() -> None:
    made, _ = world(Unasked())
    record = cycle(made)
    assert isinstance(record.secured, Verified)
    assert record.alarms[0].startswith("no look-ahead: AssertionError")


def test_a_plan_runs_into_the_next_day_without_a_gap() -> None:
    made, _ = world()
    plan = planned(cycle(made, now=NOW + timedelta(hours=2)))
    steps = {b - a for a, b in zip(plan.starts, plan.starts[1:], strict=False)}
    assert steps == {INTERVAL}
    assert len(plan.starts) == 96


# --- asked for, and shown ------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "policy"), [('"free"', "free"), ("40", 40.0), ("0.5", 0.5), ('"keep"', "keep")]
)
def test_the_site_file_switches_it_on_and_says_what_is_to_be_left(
    tmp_path: Path, written: str, policy: object
) -> None:
    file = tmp_path / "site.toml"
    asked = f"[dispatch]\nlook_ahead = true\nterminal_soc = {written}\n"
    file.write_text(TEMPLATE.read_text().replace("[dispatch]\n", asked))
    found = load_settings(file, {}).to_policy()
    assert (found.look_ahead, found.terminal_soc) == (True, policy)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('"kept"', 'expected "keep", "free" or a state of charge from 0 to 100, got "kept"'),
        ("120", "from 0 to 100, got 120"),
        ("true", "from 0 to 100, got true"),
        ("95", "95 % is above soc_max_pct of bes[0] (90)"),
    ],
)
def test_a_terminal_policy_that_cannot_be_is_refused_with_its_place(
    tmp_path: Path, written: str, said: str
) -> None:
    file = tmp_path / "site.toml"
    text = TEMPLATE.read_text().replace("soc_max_pct = 100", "soc_max_pct = 90")
    file.write_text(text.replace("[dispatch]\n", f"[dispatch]\nterminal_soc = {written}\n"))
    with pytest.raises(BadInput) as refused:
        load_settings(file, {})
    assert str(refused.value).startswith("site.toml: dispatch.terminal_soc: ")
    assert said in str(refused.value)


def test_the_plan_is_told_under_its_address_and_beside_the_dispatch(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "geems.sqlite")
    health = Health(
        ready=True, site=SITE.name, now=NOW, speed=1.0, version="9", mode="auto", lease_held=True,
        lease_holder="this one", cycles=1, failures=0, missed=0,
    )  # fmt: skip
    client = TestClient(create_app(store, lambda: health, SITE), base_url="http://127.0.0.1")
    assert client.get("/api/v1/plan/latest").status_code == 404
    made, _ = world()
    store.append(cycle(made, AUTO))
    assert client.get("/api/v1/plan/latest").status_code == 404
    assert client.get("/api/v1/dispatch/latest").json()["plan"] is None
    record = cycle(made)
    store.append(record)
    told = client.get("/api/v1/plan/latest").json()
    plan = planned(record)
    assert client.get("/api/v1/dispatch/latest").json()["plan"] == told
    assert len(told["intervals"]) == 96
    assert told["intervals"][5] == {
        "start": plan.starts[5].isoformat().replace("+00:00", "Z"),
        "price_usd_per_kwh": CHEAP,
        "load_kw": plan.load_kw[5],
        "grid_kw": plan.grid_kw[5],
        "cost_usd": plan.cost_usd[5],
        "setpoints_kw": {n: p[5] for n, p in plan.p_kw.items()},
        "soc_pct": {"bes": plan.storage["bes"].soc_pct[5]},
    }
    store.close()
