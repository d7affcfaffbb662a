"""A device that was not there when the service began, and answers then."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.domain import Refused, Sent
from ems.errors import Unreachable
from ems.store import Store
from tests.unit.between_cycles import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A service whose battery was silent in the first cycle."""
    store = Store.open(tmp_path / "geems.sqlite")
    made = Bench(store)
    made.field.fail("bes", Unreachable("no answer"))
    made.service.cycle()
    assert isinstance(made.records[0].outcomes["bes"], Refused)
    yield made
    made.service.stop()
    store.close()


def test_it_is_commanded_with_the_next_poll_not_the_next_interval(bench: Bench) -> None:
    bench.poll(10)
    assert len(bench.records) == 1
    bench.field.fail("bes", None)
    bench.poll(10)
    assert len(bench.records) == 2
    assert isinstance(bench.records[-1].outcomes["bes"], Sent)


def test_one_that_comes_and_goes_is_welcomed_once(bench: Bench) -> None:
    bench.field.fail("bes", None)
    bench.poll(10)
    assert len(bench.records) == 2
    for _ in range(3):
        bench.field.fail("bes", Unreachable("no answer"))
        bench.poll(5)
        bench.field.fail("bes", None)
        bench.poll(5)
    assert len(bench.records) == 2
