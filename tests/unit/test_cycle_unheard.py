"""What a cycle says of devices that do not answer: what is so, and each of them once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ems.cycle import run_cycle
from ems.domain import CycleRecord, Infeasible
from ems.errors import Unreachable
from ems.gateways.memory import MemoryField
from ems.ports import Ports
from ems.record import from_json, to_json
from tests.sites import AUTO, LOAD_KW, NOW, PRICE_USD_PER_KWH, GivenForecast, ports, segment

SITE = segment()
PLACES = {"pv": "127.0.0.1:5021", "bes": "127.0.0.1:5022", "dg": "127.0.0.1:5023"}


@pytest.fixture
def field() -> MemoryField:
    return MemoryField(SITE, load_kw=6000.0)


@pytest.fixture
def world(field: MemoryField) -> Ports:
    return ports(SITE, field, GivenForecast(10_000.0, 10_000.0))


def cycle(world: Ports, *, minutes: float = 0, previous: CycleRecord | None = None) -> CycleRecord:
    now = NOW + timedelta(minutes=minutes)
    return run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, world, now, previous)


def lose(field: MemoryField, *names: str, host: str = "127.0.0.1") -> None:
    for name in names:
        place = PLACES[name].replace("127.0.0.1", host)
        field.fail(name, Unreachable(f"{name} at {place}: no connection: refused"))


def test_a_plant_that_was_never_heard_is_told_as_the_cause(
    world: Ports, field: MemoryField
) -> None:
    lose(field, "pv")
    record = cycle(world)
    assert isinstance(record.secured, Infeasible)
    assert record.ledger.sentence.startswith(
        "No safe dispatch exists (pv does not answer and may do anything: at full sun it would "
        "lift B13 to 1.1"
    )
    assert record.ledger.sentence.endswith(
        " pu); every device that answers is sent back to its reversion value."
    )
    assert {c.der for c in field.written} == {"bes", "dg"}


def test_where_nobody_answers_the_sentence_says_so_with_the_addresses(
    world: Ports, field: MemoryField
) -> None:
    lose(field, "pv", "bes", "dg")
    assert cycle(world).ledger.sentence == (
        "No device answers, so nothing is sent (pv at 127.0.0.1:5021: no connection: refused; "
        "dg at 127.0.0.1:5023: no connection: refused; "
        "bes at 127.0.0.1:5022: no connection: refused): check the network and the addresses in "
        "the site file, or start `geems plant` with this site file."
    )
    assert field.written == []


def test_a_simulated_plant_is_not_spoken_of_where_devices_are_elsewhere(
    world: Ports, field: MemoryField
) -> None:
    lose(field, "pv", "bes", "dg", host="10.0.0.7")
    assert cycle(world).ledger.sentence.endswith(
        "check the network and the addresses in the site file."
    )


def test_what_is_lost_by_a_silent_plant_is_said_first(world: Ports, field: MemoryField) -> None:
    field.load_kw = LOAD_KW
    first = cycle(world)
    lose(field, "pv")
    record = cycle(world, minutes=45, previous=first)
    assert record.ledger.sentence.startswith("pv is silent and reckoned at 1.00 of 10.00 MW; ")
    assert "; no limit binds, the least-cost dispatch stands: " in record.ledger.sentence


def test_several_silent_devices_are_told_together(world: Ports, field: MemoryField) -> None:
    field.load_kw = LOAD_KW
    first = cycle(world)
    lose(field, "bes", "dg")
    record = cycle(world, minutes=45, previous=first)
    assert record.ledger.sentence.startswith(
        "dg (reckoned at 0 kW) and bes (reckoned at 0 kW) are silent; pv held at "
    )


def test_a_lost_device_is_one_alarm(world: Ports, field: MemoryField) -> None:
    field.load_kw = LOAD_KW
    first = cycle(world)
    lose(field, "bes")
    assert cycle(world, minutes=2, previous=first).alarms == (
        "bes at 127.0.0.1:5022: no connection: refused; last good value is 120 s old",
    )


def test_where_nobody_answers_there_is_one_alarm_for_each_and_few_besides(
    world: Ports, field: MemoryField
) -> None:
    lose(field, "pv", "bes", "dg")
    alarms = cycle(world).alarms
    assert [a.split()[0].partition(".")[0] for a in alarms] == ["no", "B13", "pv", "dg", "bes"]


def test_a_device_that_was_never_heard_is_not_said_to_have_fallen_back(
    world: Ports, field: MemoryField
) -> None:
    field.load_kw = LOAD_KW
    lose(field, "dg")
    first = cycle(world)
    second = cycle(world, minutes=15, previous=first)
    [told] = [alarm for alarm in second.alarms if alarm.startswith("dg ")]
    assert told.endswith(": refused; never heard, anything it can do is reckoned with")


def test_a_device_that_was_never_heard_is_one_by_a_value_that_its_record_keeps(
    world: Ports, field: MemoryField
) -> None:
    """And not by its note: that is for people, in words that may change."""
    lose(field, "dg")
    first = from_json(to_json(cycle(world)))
    assert {name: r.heard for name, r in first.snapshot.ders.items()} == {
        "pv": True, "bes": True, "dg": False,
    }  # fmt: skip
    other = replace(first.snapshot.ders["dg"], note="in other words")
    reworded = replace(
        first, snapshot=replace(first.snapshot, ders={**first.snapshot.ders, "dg": other})
    )
    again = cycle(world, minutes=15, previous=reworded).snapshot.ders["dg"]
    assert not again.heard
    assert again.note.endswith("never heard, anything it can do is reckoned with")


def test_a_device_that_was_heard_is_known_by_its_last_value_whatever_its_note_says(
    world: Ports, field: MemoryField
) -> None:
    first = cycle(world)
    lose(field, "dg")
    noted = replace(
        first.snapshot.ders["dg"], note="never heard, anything it can do is reckoned with"
    )
    noted_so = replace(
        first, snapshot=replace(first.snapshot, ders={**first.snapshot.ders, "dg": noted})
    )
    again = cycle(world, minutes=15, previous=noted_so).snapshot.ders["dg"]
    assert again.heard
    assert again.note.endswith(": refused; last good value is 900 s old")
