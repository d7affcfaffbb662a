"""`geems audit verify`: a chain that is whole, and one that is not."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ems.cli import main
from ems.cli.outcome import Exit
from ems.derms.audit import Audit
from ems.derms.stored import StoreKeeper
from ems.settings import TEMPLATE
from ems.store import DermsStore, Store, back_up

Verify = Callable[..., Result]
HELD = {"second": '"x":2', "third": '"x":3', "other": '"x":7'}
"""What the texts of entries hold."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(TEMPLATE.read_text())
    with DermsStore.open(tmp_path / "geems.sqlite") as store:
        changed(store, 1, 2, 3)
    return tmp_path / "geems.sqlite"


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    monkeypatch.chdir(tmp_path)
    return lambda *given: CliRunner().invoke(main, ["audit", "verify", *given])


def changed(store: DermsStore, *numbers: int) -> None:
    audit = Audit(StoreKeeper(store))
    for number in numbers:
        with audit.change("A", f"PUT /{number}", now=1000 + number) as noted:
            noted.after = {"x": number}
    audit.durable.result()


def tampered(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(statement, HELD)
        connection.commit()


def told(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.mark.usefixtures("database")
def test_a_whole_chain_tells_its_end(verify: Verify) -> None:
    result = verify("--json")
    assert result.exit_code == Exit.OK
    end = told(result)["end"]
    assert told(result) == {"ok": True, "entries": 3, "end": end, "faults": []}
    sentence = f"geems.sqlite: all 3 entries are whole; the chain ends with\n{end}\n"
    assert verify().stdout.endswith(sentence)


def test_it_is_read_beside_a_server_that_runs_and_out_of_a_copy(
    database: Path, verify: Verify
) -> None:
    with DermsStore.open(database) as store:
        changed(store, 4)
        assert told(verify("--json"))["entries"] == 4
    back_up(database, database.with_name("copy.sqlite"))
    assert told(verify("copy.sqlite", "--json"))["entries"] == 4


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE derms_entries SET body = replace(body, :second, :other)", "entry 2 was altered"),
        ("UPDATE derms_entries SET body = '' WHERE instr(body, :second)", "entry 2 was altered"),
        (
            "DELETE FROM derms_entries WHERE instr(body, :second)",
            "entry 2 is missing or was altered",
        ),
        ("DELETE FROM derms_entries WHERE instr(body, :third)", "entries behind 2 are missing"),
        (
            "UPDATE derms_entries SET body = ' ' || body WHERE instr(body, :second)",
            "entry 2 was altered",
        ),
        ("UPDATE derms_entries SET time = 9 WHERE instr(body, :second)", "entry 2 was altered"),
        ("UPDATE derms_entries SET owner = 'B' WHERE instr(body, :second)", "entry 2 was altered"),
        ("UPDATE derms_documents SET body = '{}'", "its end was altered"),
        ("UPDATE derms_documents SET body = 'x'", "its end was altered"),
        ("UPDATE derms_documents SET body = json_set(body, '$.number', 0)", "its end was altered"),
        ("UPDATE derms_documents SET body = json_set(body, '$.number', -1)", "its end was altered"),
        ("UPDATE derms_documents SET body = json_set(body, '$.hash', '0')", "entry 3 was altered"),
        (
            "UPDATE derms_documents SET key = 'foot'",
            "its end is missing, or entries behind 0 were put in",
        ),
        ("DELETE FROM derms_documents", "its end is missing, or entries behind 0 were put in"),
    ],
)
def test_whatever_is_done_to_it_shows(
    database: Path, verify: Verify, statement: str, fault: str
) -> None:
    tampered(database, statement)
    result = verify("--json")
    assert result.exit_code == Exit.FAULT
    assert told(result)["faults"] == [{"place": str(database), "problem": fault}]
    assert f"geems.sqlite: {fault}" in verify().stderr


def test_who_seals_all_of_it_anew_does_not_pass_an_end_that_was_noted(
    database: Path, verify: Verify
) -> None:
    noted = told(verify("--json"))["end"]
    with DermsStore.open(database) as store:
        changed(store, 4)
    assert verify("--noted", noted).exit_code == Exit.OK
    tampered(database, "DELETE FROM derms_entries")
    tampered(database, "DELETE FROM derms_documents")
    with DermsStore.open(database) as store:
        changed(store, 1, 2, 7, 4)
    assert verify().exit_code == Exit.OK
    assert "entry 3 was altered" in verify("--noted", noted).stderr


def test_where_nothing_was_changed_and_where_there_is_nothing(
    tmp_path: Path, verify: Verify
) -> None:
    (tmp_path / "site.toml").write_text(TEMPLATE.read_text())
    missing = verify()
    assert missing.exit_code == Exit.BAD_INPUT
    assert "geems.sqlite: no such file" in missing.stderr
    Store.open(tmp_path / "geems.sqlite").close()
    assert verify().stdout.endswith("geems.sqlite: nothing was ever changed\n")
    assert told(verify("--json")) == {"ok": True, "entries": 0, "end": None, "faults": []}


def test_an_end_is_written_as_it_is_told(verify: Verify) -> None:
    result = verify("--noted", "3:abc")
    assert result.exit_code == Exit.BAD_INPUT
    assert "3:abc is not NUMBER:HASH, as `geems audit verify` tells it" in result.stderr
