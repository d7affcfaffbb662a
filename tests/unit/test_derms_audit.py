"""The audit: every change once, in a chain that shows what was done to it."""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from ems.derms.audit import Audit
from ems.derms.keeping import Change, Entry, MemoryKeeper


def changed(audit: Audit, number: int) -> None:
    with audit.change("A", f"PUT /{number}", now=1000 + number) as noted:
        noted.before, noted.after = {"x": number - 1}, {"x": number}


@pytest.fixture
def keeper() -> MemoryKeeper:
    return MemoryKeeper()


@pytest.fixture
def audit(keeper: MemoryKeeper) -> Audit:
    audit = Audit(keeper)
    for number in (1, 2, 3):
        changed(audit, number)
    return audit


def test_entries_tell_who_changed_what_when_and_from_what_to_what(audit: Audit) -> None:
    assert [(e.number, e.time, e.who, e.what, e.before, e.after) for e in audit.entries()] == [
        (n, 1000 + n, "A", f"PUT /{n}", {"x": n - 1}, {"x": n}) for n in (1, 2, 3)
    ]
    assert [e.number for e in audit.last(2)] == [2, 3]
    assert [e.number for e in audit.page(9, since=1003)] == [3]
    assert [e.number for e in audit.page(1, after=1)] == [2]


def test_a_chain_goes_on_over_a_restart(keeper: MemoryKeeper, audit: Audit) -> None:
    assert audit.fault() == ""
    again = Audit(keeper)
    changed(again, 4)
    assert [e.number for e in again.entries()] == [1, 2, 3, 4]
    assert again.fault() == ""


def test_a_change_that_fails_leaves_no_entry(audit: Audit) -> None:
    def fails() -> None:
        with audit.change("A", "PUT /x", now=5):
            raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        fails()
    assert [e.number for e in audit.entries()] == [1, 2, 3]
    assert audit.fault() == ""


def altered(entry: Entry, **members: object) -> Entry:
    body = json.dumps(json.loads(entry.body) | members)
    return Entry(kind=entry.kind, owner=entry.owner, key=entry.key, body=body, time=entry.time)


def test_an_altered_a_removed_and_a_cut_off_entry_are_found(
    keeper: MemoryKeeper, audit: Audit
) -> None:
    first, second, third = keeper._entries
    keeper._entries[:] = [first, altered(second, after={"x": 7}), third]
    assert audit.fault() == "entry 2 was altered"
    keeper._entries[:] = [first, third]
    assert audit.fault() == "entry 2 is missing or was altered"
    keeper._entries[:] = [first, second]
    assert audit.fault() == "entries behind 2 are missing"


def test_a_change_and_its_entry_are_handed_over_together() -> None:
    spans: list[list[Change | Entry]] = []

    class Joining(MemoryKeeper):
        @contextmanager
        def together(self) -> Iterator[None]:
            spans.append([])
            yield

        def keep(self, *what: Change | Entry) -> "Future[None]":
            spans[-1] += what
            return super().keep(*what)

    joining = Joining()
    audit = Audit(joining)
    with audit.change("A", "PUT /1", now=1):
        joining.keep(Change(kind="device", key="1", owner="", body="x", time=1))
    assert [type(one).__name__ for one in spans[0]] == ["Change", "Entry", "Change"]
