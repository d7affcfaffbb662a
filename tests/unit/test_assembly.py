"""A site put together: what a cycle is followed by."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ems.assembly import OpenSite
from ems.domain import CycleRecord, InForce, Policy, Setpoint
from ems.record import from_json
from ems.store import Store
from ems.tariff import flat
from tests.sites import NOW, ports, segment
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
