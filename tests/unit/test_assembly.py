"""A site put together: what a cycle is followed by."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ems.assembly import OpenSite
from ems.domain import CycleRecord, Imposed, InForce, Policy, Quality, Setpoint
from ems.errors import Unreachable
from ems.record import from_json
from ems.store import Store
from ems.tariff import flat
from tests.sites import NOW, ports, segment, snapshot
from tests.unit.test_record import SAMPLE


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened, in order; no cycle is really run."""
    happened: list[str] = []

    def cycled(_site: Any, policy: Policy, *_given: Any) -> Any:
        happened.append(f"cycle, timers of {policy.reversion_s} s, refreshed {policy.keep_alive_s}")

    monkeypatch.setattr("ems.assembly.run_cycle", cycled)
    return happened


def opened(store: Store, order: list[str]) -> OpenSite:
    def learn(now: datetime) -> None:
        order.append(f"learnt at {now:%H:%M}")

    site = segment()
    return OpenSite(
        site=site,
        policy=Policy(reversion_s=300, keep_alive_s=60.0),
        tariff=flat(0.2),
        ports=ports(site),
        store=store,
        learn=learn,
    )


def test_the_utility_is_told_what_was_measured_and_when_and_nothing_that_is_not_known(
    tmp_path: Path,
) -> None:
    told: list[tuple[float, float, float]] = []
    utility = SimpleNamespace(der=SimpleNamespace(report=lambda *what: told.append(what)))
    store = Store.open(tmp_path / "geems.sqlite")
    at = opened(store, [])
    at.utility = cast("Any", utility)
    seen = snapshot(at.site).ders
    late = replace(seen["bes"], time=NOW - timedelta(seconds=40))
    at.measured({**seen, "bes": late})
    p_kw, q_kvar = (sum(getattr(r, k) for r in seen.values()) for k in ("p_kw", "q_kvar"))
    assert told == [(p_kw, q_kvar, (NOW - timedelta(seconds=40)).timestamp())]
    at.measured({**seen, "bes": Unreachable("bes: silent")})
    at.measured({**seen, "pv": replace(seen["pv"], quality=Quality.STALE)})
    assert len(told) == 1
    store.close()


def test_a_utility_that_is_lost_or_asks_what_is_not_done_is_a_concern(tmp_path: Path) -> None:
    limits = [Imposed(), Imposed(lost="the utility has not answered", alarms=("it asks in vain",))]
    store = Store.open(tmp_path / "geems.sqlite")
    at = opened(store, [])
    assert at.concerns() == ()
    at.utility = cast("Any", SimpleNamespace(limits=lambda: limits[0]))
    assert at.concerns() == ()
    limits.pop(0)
    assert at.concerns() == ("the utility has not answered", "it asks in vain")
    store.close()


def test_what_takes_long_is_learnt_after_the_devices_are_written(
    tmp_path: Path, order: list[str]
) -> None:
    store = Store.open(tmp_path / "geems.sqlite")
    opened(store, order).run(NOW)
    store.close()
    assert order == ["cycle, timers of 300 s, refreshed 60.0", "learnt at 21:00"]


def test_a_single_cycle_outside_the_service_writes_timers_that_outlast_the_interval(
    tmp_path: Path, order: list[str]
) -> None:
    store = Store.open(tmp_path / "geems.sqlite")
    opened(store, order).run_once(NOW)
    store.close()
    assert order == ["cycle, timers of 1200 s, refreshed None"], "nobody refreshes, nothing learnt"


def test_timers_that_another_process_left_run_from_the_first_cycle_that_gets_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nobody knows how long it has been; afterwards the service counts itself."""
    told = Setpoint(der="pv", p_kw=4000.0, q_kvar=0.0, cap_kw=4000.0)
    timer = timedelta(seconds=300)
    base = from_json(SAMPLE)
    left = replace(
        base, start=NOW, snapshot=replace(base.snapshot, time=NOW),
        in_force={"pv": InForce(setpoints=(told,), written=NOW, reverts_from=NOW + timer)},
    )  # fmt: skip
    given: list[CycleRecord] = []

    def cycled(*args: Any) -> CycleRecord:
        previous: CycleRecord = args[5]
        given.append(previous)
        if len(given) == 1:
            raise RuntimeError("the solver is out to lunch")
        return previous

    monkeypatch.setattr("ems.assembly.run_cycle", cycled)
    store = Store.open(tmp_path / "geems.sqlite")
    site = opened(store, [])
    site.previous, site.inherited = left, True
    day = NOW + timedelta(days=1)
    with pytest.raises(RuntimeError):
        site.run(day)
    again = day + timedelta(hours=1)
    for now in (again, again + timedelta(minutes=15)):
        site.run(now)
    store.close()
    assert [r.in_force["pv"].latest for r in given] == [day + timer, again + timer, again + timer]
