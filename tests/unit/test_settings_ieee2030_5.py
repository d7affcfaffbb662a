"""The `[ieee2030_5]` table, alone or in a site file."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from ems.errors import BadInput
from ems.settings import TEMPLATE, load_settings
from ems.settings.ieee2030_5 import (
    ControlBaseTable,
    CurveTable,
    EndDeviceDerTable,
    EndDeviceTable,
    EventTable,
    GroupTable,
    Ieee20305Table,
    ProgramTable,
)
from ems.settings.ieee2030_5.file import load_server

TABLE = '[ieee2030_5]\ncert_file = "s.pem"\nkey_file = "s.key"\nca_file = "root.pem"\n'
TABLES = (
    EndDeviceTable, EndDeviceDerTable, ProgramTable, EventTable, CurveTable, GroupTable,
    ControlBaseTable,
)  # fmt: skip
DOCS = Path(__file__).parents[2] / "docs"


def written(folder: Path, text: str, name: str = "derms.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_its_own_needs_nothing_else(tmp_path: Path) -> None:
    read = load_server(written(tmp_path, TABLE), {})
    assert (read.table.host, read.table.port, read.table.cipher) == ("127.0.0.1", 8443, "strict")
    assert read.table.registration == "closed"
    assert read.store == tmp_path / "geems.sqlite"
    assert read.beside("s.pem") == tmp_path / "s.pem"


def test_the_database_may_lie_elsewhere(tmp_path: Path) -> None:
    text = f'{TABLE}[store]\npath = "state/derms.sqlite"\n'
    assert load_server(written(tmp_path, text), {}).store == tmp_path / "state/derms.sqlite"


def test_a_site_file_may_hold_the_server(tmp_path: Path) -> None:
    site = written(tmp_path, f"{TEMPLATE.read_text(encoding='utf-8')}\n{TABLE}", "site.toml")
    assert load_server(site, {}).table == load_server(written(tmp_path, TABLE), {}).table
    assert load_settings(site, {}).ieee2030_5 is not None


def test_a_site_without_a_server_is_told_so(tmp_path: Path) -> None:
    site = written(tmp_path, TEMPLATE.read_text(encoding="utf-8"), "site.toml")
    assert load_settings(site, {}).ieee2030_5 is None
    with pytest.raises(BadInput, match=r"holds no \[ieee2030_5\] table"):
        load_server(site, {})


def test_a_fault_in_a_site_file_is_told_beside_those_of_its_other_tables(tmp_path: Path) -> None:
    text = TEMPLATE.read_text(encoding="utf-8").replace("rated_kw = 10000", "rated_kw = -1")
    wrong = f'{TABLE}[[ieee2030_5.device]]\nname = "one"\nlfdi = "{"A" * 40}"\npin = 111116\n'
    with pytest.raises(BadInput) as told:
        load_settings(written(tmp_path, f"{text}\n{wrong}", "site.toml"), {})
    assert [fault.place for fault in told.value.faults] == [
        "site.toml: ieee2030_5.device[0].pin",
        "site.toml: pv[0].rated_kw",
    ]


def test_the_environment_lies_over_the_file(tmp_path: Path) -> None:
    over = {"GEEMS_IEEE2030_5__CIPHER": "compat", "GEEMS_SITE__NAME": "of-another-file"}
    assert load_server(written(tmp_path, TABLE), over).table.cipher == "compat"
    with pytest.raises(BadInput, match="environment GEEMS_IEEE2030_5__CIPHER: expected 'strict'"):
        load_server(written(tmp_path, TABLE), {"GEEMS_IEEE2030_5__CIPHER": "gcm"})


def test_identifiers_are_read_in_either_case(tmp_path: Path) -> None:
    text = f'{TABLE}[[ieee2030_5.device]]\nname = "one"\nlfdi = "{"ab" * 20}"\n'
    assert load_server(written(tmp_path, text), {}).table.device[0].lfdi == "AB" * 20


@pytest.mark.parametrize("table", TABLES)
def test_what_can_be_written_is_documented(table: type[BaseModel]) -> None:
    page = (DOCS / "ieee2030_5.md").read_text(encoding="utf-8")
    assert [key for key in table.model_fields if f"`{key}`" not in page] == []


def test_the_documented_file_is_one(tmp_path: Path) -> None:
    page = (DOCS / "ieee2030_5.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```toml\n")[1:]]
    first, whole = [block for block in blocks if block.startswith("[ieee2030_5]")]
    assert load_server(written(tmp_path, first), {}).table.registration == "open"
    read = load_server(written(tmp_path, whole), {})
    assert [device.name for device in read.table.device] == ["inverter-1"]


def test_every_key_has_a_meaning() -> None:
    nameless = [
        f"{table.__name__}.{key}"
        for table in (Ieee20305Table, *TABLES)
        for key, field in table.model_fields.items()
        if not field.description
    ]
    assert nameless == []
