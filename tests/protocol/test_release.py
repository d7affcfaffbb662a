"""`geems release`: control handed back to real servers, and who is in the way of it."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner

from ems.assembly import OpenSite, open_site
from ems.cli import main
from ems.domain import Command, Partial, Readback, Sent
from ems.plant import GeneratedProfile, Plant
from ems.settings import TEMPLATE, load_settings
from ems.store import Store

NOON = datetime(2019, 7, 15, 20, tzinfo=UTC)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """The template's site, simulated; `site.toml` in `tmp_path` names its ports."""
    text = TEMPLATE.read_text(encoding="utf-8")
    file = tmp_path / "site.toml"
    file.write_text(text, encoding="utf-8")
    settings = load_settings(file, {})
    site = settings.to_site()
    made = Plant(site, "segment13", GeneratedProfile(site, 1, date(2019, 7, 15)), NOON)
    try:
        ports = {name: at.port for name, at in made.start().items()}
        for name, at in settings.addresses().items():
            text = text.replace(f"port = {at.port} }}", f"port = {ports[name]} }}")
        file.write_text(text, encoding="utf-8")
        yield made
    finally:
        made.close()


def geems(tmp_path: Path, *arguments: str) -> click.testing.Result:
    return CliRunner().invoke(main, ["release", str(tmp_path / "site.toml"), *arguments])


def document(result: click.testing.Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def take_control(tmp_path: Path, plant: Plant) -> None:
    with open_site(load_settings(tmp_path / "site.toml", {})) as opened:
        record = opened.run_once(NOON)
    assert all(isinstance(o, Sent) for o in record.outcomes.values())
    plant.advance_to(plant.now)
    assert plant.truth().q_kvar["bes"] != 0.0


def test_every_device_is_written_what_it_falls_back_to_and_stays_there(
    tmp_path: Path, plant: Plant
) -> None:
    take_control(tmp_path, plant)
    plant.advance_to(NOON + timedelta(minutes=20))
    result = geems(tmp_path, "--json")
    assert result.exit_code == 0
    found = document(result)
    assert found["ok"]
    assert {n: (d["outcome"], d["p_kw"], d["cap_kw"]) for n, d in found["devices"].items()} == {
        "pv": ("sent", None, 1000.0), "bes": ("sent", 0.0, None), "dg": ("sent", 0.0, None),
    }  # fmt: skip
    plant.excursions(plant.site.limits)
    for minutes in (20, 120):  # and when the timers have run out
        plant.advance_to(NOON + timedelta(minutes=minutes))
        truth = plant.truth()
        assert truth.p_kw["pv"] <= 1000.0
        assert (truth.p_kw["bes"], truth.q_kvar["bes"], truth.q_kvar["dg"]) == (0.0, 0.0, 0.0)
    assert not any(e.violated for e in plant.excursions(plant.site.limits))


def test_a_device_that_does_not_confirm_is_named_and_the_code_is_3(
    tmp_path: Path, plant: Plant
) -> None:
    take_control(tmp_path, plant)
    plant.unplug("bes")
    result = geems(tmp_path)
    assert result.exit_code == 3
    assert "pv: sent, read back: cap 1000 kW, 0 kvar" in result.stdout
    assert "bes: refused: not commanded while unheard: bes at 127.0.0.1" in result.stdout


def test_a_running_service_is_named_and_nothing_is_written(tmp_path: Path, plant: Plant) -> None:
    take_control(tmp_path, plant)
    stood = dict(plant.truth().q_kvar)
    with closing(Store.open(tmp_path / "geems.sqlite")) as store:
        store.take_lease("segment13", "the service", 3600.0, datetime.now(UTC))
        result = geems(tmp_path)
    assert result.exit_code == 1
    assert "already run by the service" in result.stderr
    plant.advance_to(plant.now)
    assert plant.truth().q_kvar == stood


def test_an_advisory_site_has_nothing_to_release(
    tmp_path: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    del plant
    monkeypatch.setenv("GEEMS_CONTROL__MODE", "advisory")
    result = geems(tmp_path)
    assert result.exit_code == 0
    assert "advisory mode: nothing was ever written" in result.stdout
    assert document(geems(tmp_path, "--json"))["devices"]["pv"]["outcome"] == "advisory"


def test_what_a_device_reads_back_is_told_not_what_it_was_asked(
    tmp_path: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of the server may be held lower by another program, and that counts as sent."""
    del plant
    asked = Command(
        der="pv", p_kw=None, q_kvar=0.0, cap_kw=1000.0, reversion_kw=1000.0, reversion_s=900
    )
    lower = Sent(command=asked, readback=Readback(p_kw=None, q_kvar=0.0, cap_kw=500.0))
    free = Sent(command=asked, readback=Readback(p_kw=None, q_kvar=0.0, cap_kw=None))
    unknown = Partial(command=asked, reason="no Response")
    monkeypatch.setattr(OpenSite, "release", lambda *_: {"pv": lower, "bes": free, "dg": unknown})
    result = geems(tmp_path)
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        "pv: sent, read back: cap 500 kW, 0 kvar",
        "bes: sent, read back: no cap, 0 kvar",
        "dg: partial: no Response",
    ]
    devices = document(geems(tmp_path, "--json"))["devices"]
    assert [devices[n]["cap_kw"] for n in ("pv", "bes", "dg")] == [500.0, None, 1000.0]


def test_a_limit_that_somebody_else_set_is_not_raised(tmp_path: Path, plant: Plant) -> None:
    from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

    take_control(tmp_path, plant)
    at = load_settings(tmp_path / "site.toml", {}).addresses()["pv"]
    somebody = SunSpecModbusClientDeviceTCP(1, at.host, at.port)
    somebody.scan()
    somebody.connect()
    controls = somebody.models[704][0]
    cap, enabled = controls.WMaxLimPct, controls.WMaxLimPctEna
    cap.cvalue, enabled.cvalue = 5.0, 1
    cap.write()
    enabled.write()
    result = geems(tmp_path)
    assert result.exit_code == 3
    assert "pv: refused: held at 500 kW by somebody else" in result.stdout
    cap.read()
    somebody.close()
    assert cap.cvalue == 5.0
