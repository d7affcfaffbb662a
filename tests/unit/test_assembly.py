"""A site put together: what a cycle is followed by."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ems.assembly import OpenSite
from ems.domain import Policy
from ems.store import Store
from ems.tariff import flat
from tests.sites import NOW, ports, segment


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
