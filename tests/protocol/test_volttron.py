"""The VOLTTRON driver in VOLTTRON's driver framework, in an environment of its own.

Not tested here: a whole platform with message bus, configuration store and historian.
"""

import csv
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from ems.domain import DeviceAddress, Site
from ems.plant import Plant
from ems.record import from_json
from ems.store import Store
from ems.web import Health, bind, create_app, url_of

SAMPLE = (Path(__file__).parents[1] / "unit" / "test_record_sample.json").read_text()
NOON = datetime(2026, 7, 1, 20, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "volttron" / "bin" / "python"
TOPIC = "devices/campus/feeder/device"
ROWS = (
    ("701.W", "power", "W", "FALSE", ""),
    ("701.TmpAmb", "not_there", "", "FALSE", ""),
    ("702.WMaxRtg", "rating", "W", "FALSE", ""),
    ("704.WSetEna", "enable", "", "TRUE", ""),
    ("704.WSet", "setpoint", "W", "TRUE", ""),
    ("704.VarSetEna", "var_enable", "", "TRUE", ""),
    ("704.VarSet", "var_setpoint", "Var", "TRUE", "0"),
    ("704.WSetRvrtTms", "timer", "s", "TRUE", ""),
    ("713.SoC", "soc", "Pct", "FALSE", ""),
    ("715.ControllerHb", "heartbeat", "", "TRUE", ""),
    ("1.Mn", "maker", "", "FALSE", ""),
)
Call = Callable[..., Any]


class Failed(Exception):
    """What the platform would be told."""


@dataclass(frozen=True)
class Driver:
    """One driver at work in VOLTTRON's Python."""

    process: subprocess.Popen[str]
    topics: Sequence[str]

    def __call__(self, method: str, *arguments: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self.process.stdin.flush()
        return _answer(self.process)


def _answer(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        assert process.stderr is not None
        raise Failed(f"VOLTTRON's Python ended: {process.stderr.read()}")
    said = json.loads(line)
    if "error" in said:
        raise Failed(said["error"])
    return said["answer"]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver as it is installed: built as a wheel, unpacked beside VOLTTRON's packages."""
    if not PYTHON.exists():
        pytest.skip("needs the environment .venv/volttron, which `make volttron-install` makes")
    folder = tmp_path_factory.mktemp("volttron")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT / "ems" / "volttron_driver", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "library")
    return folder / "library"


@contextmanager
def driving(
    library: Path,
    folder: Path,
    at: DeviceAddress,
    rows: Sequence[Sequence[str]] = ROWS,
    **more: Any,
) -> Iterator[Driver]:
    registry = folder / "registry.csv"
    with registry.open("w", newline="") as file:
        written = csv.writer(file)
        written.writerow(
            ("Reference Point Name", "Volttron Point Name", "Units", "Writable", "Default Value")
        )
        written.writerows(rows)
    config = {"device_address": at.host, "port": at.port, "unit": at.unit, "timeout": 2.0, **more}
    script = Path(__file__).with_name("volttron_platform.py")
    process = subprocess.Popen(
        [str(PYTHON), str(script), json.dumps(config), str(registry)],
        env={**os.environ, "PYTHONPATH": str(library)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Driver(process, _answer(process))
    finally:
        process.kill()
        process.communicate(timeout=10)


def of(point: str) -> str:
    return f"{TOPIC}/{point}"


def test_every_registry_row_becomes_a_point_with_its_unit_and_type(
    library: Path, tmp_path: Path, addresses: Mapping[str, DeviceAddress]
) -> None:
    with driving(library, tmp_path, addresses["bes"]) as driver:
        assert driver.topics == sorted(of(row[1]) for row in ROWS)
        assert driver("meta_data", of("power")) == {"units": "W", "type": "float", "tz": "UTC"}
        assert driver("meta_data", of("enable"))["type"] == "integer"
        assert driver("meta_data", of("maker"))["type"] == "string"


def test_a_scrape_reads_quantities_and_says_which_points_are_not_available(
    library: Path, tmp_path: Path, addresses: Mapping[str, DeviceAddress]
) -> None:
    with driving(library, tmp_path, addresses["bes"]) as driver:
        values, errors = driver("get_multiple_points", list(driver.topics))
        assert values[of("rating")] == 200_000.0
        assert values[of("soc")] == 60.0
        assert values[of("maker")] == "GEEMS"
        assert set(errors) == {of("not_there")}
        assert "not available (NaN)" in errors[of("not_there")]
        assert driver("get_point", of("soc")) == 60.0


def test_a_setpoint_is_followed_by_the_device_and_never_above_what_was_asked(
    library: Path, tmp_path: Path, plant: Plant, addresses: Mapping[str, DeviceAddress]
) -> None:
    with driving(library, tmp_path, addresses["bes"]) as driver:
        assert driver("set_point", of("setpoint"), 65_150.9) == 65_150.0
        assert driver("set_point", of("enable"), 1) == 1
        plant.advance_to(plant.now + timedelta(minutes=1))
        assert plant.truth().p_kw["bes"] == pytest.approx(65.15)
        assert driver("get_point", of("power")) == pytest.approx(65_150, abs=10)


def test_revert_all_puts_back_what_the_device_held_and_the_defaults(
    library: Path, tmp_path: Path, plant: Plant, addresses: Mapping[str, DeviceAddress]
) -> None:
    with driving(library, tmp_path, addresses["bes"]) as driver:
        for point, value in (
            ("setpoint", 50_000), ("enable", 1), ("timer", 600), ("var_setpoint", 7_000),
            ("var_enable", 1),
        ):  # fmt: skip
            driver("set_point", of(point), value)
        driver("revert_all")
        held = {p: driver("get_point", of(p)) for p in ("setpoint", "timer", "var_setpoint")}
        assert held == {"setpoint": 0.0, "timer": 0, "var_setpoint": 0.0}
        assert driver("get_point", of("var_enable")) == 0
        plant.advance_to(plant.now + timedelta(minutes=1))
        assert plant.truth().p_kw["bes"] == 0.0


def test_revert_point_puts_back_one(
    library: Path, tmp_path: Path, addresses: Mapping[str, DeviceAddress]
) -> None:
    with driving(library, tmp_path, addresses["bes"]) as driver:
        driver("set_point", of("setpoint"), 50_000)
        driver("set_point", of("timer"), 600)
        driver("revert_point", of("setpoint"))
        assert driver("get_point", of("setpoint")) == 0.0
        assert driver("get_point", of("timer")) == 600


def test_the_platforms_heart_beat_reaches_the_device(
    library: Path, tmp_path: Path, addresses: Mapping[str, DeviceAddress]
) -> None:
    beating = {"heart_beat_point": of("heartbeat")}
    with driving(library, tmp_path, addresses["bes"], **beating) as driver:
        driver("heart_beat")
        assert driver("get_point", of("heartbeat")) == 1


@pytest.mark.parametrize(
    ("point", "value", "said"),
    [
        ("power", 1, "read-only in the registry"),
        ("setpoint", float("nan"), "not a finite number"),
        ("setpoint", "much", "not a finite number"),
        ("setpoint", 1e6, "not written"),
        ("elsewhere", 1, "not configured"),
    ],
)
def test_what_cannot_be_written_is_refused_and_the_device_keeps_what_it_held(
    library: Path,
    tmp_path: Path,
    addresses: Mapping[str, DeviceAddress],
    point: str,
    value: Any,
    said: str,
) -> None:
    with driving(library, tmp_path, addresses["bes"]) as driver:
        with pytest.raises(Failed, match=said):
            driver("set_point", of(point), value)
        assert driver("get_point", of("setpoint")) == 0.0


def test_a_device_that_falls_silent_is_an_error_and_comes_back_by_itself(
    library: Path, tmp_path: Path, plant: Plant, addresses: Mapping[str, DeviceAddress]
) -> None:
    with driving(library, tmp_path, addresses["bes"]) as driver:
        assert driver("get_point", of("soc")) == 60.0
        plant.unplug("bes")
        with pytest.raises(Failed, match=r"no answer|no SunSpec device"):
            driver("get_point", of("soc"))
        plant.replug("bes")
        assert driver("get_point", of("soc")) == 60.0


def test_a_registry_row_that_is_wrong_is_told_by_its_name(
    library: Path, tmp_path: Path, addresses: Mapping[str, DeviceAddress]
) -> None:
    rows = [("WSet", "setpoint", "W", "TRUE", "")]
    with (
        pytest.raises(Failed, match=r"registry row 'setpoint', Reference Point Name: 'WSet' is no"),
        driving(library, tmp_path, addresses["bes"], rows) as driver,
    ):
        driver("get_point", of("setpoint"))


def test_a_registry_is_written_from_the_device_and_works(
    library: Path, tmp_path: Path, addresses: Mapping[str, DeviceAddress]
) -> None:
    at = addresses["bes"]
    made = subprocess.run(
        [str(PYTHON), "-m", "volttron.driver.interfaces.geems", at.host, "--port", str(at.port)],
        env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    rows = list(csv.DictReader(made.stdout.splitlines()))
    names = {row["Reference Point Name"]: row for row in rows}
    assert names["704.WSet"]["Writable"] == "TRUE"
    assert names["701.W"]["Writable"] == "FALSE"
    ordered = [
        (r["Reference Point Name"], r["Volttron Point Name"], r["Units"], r["Writable"], "")
        for r in rows
    ]
    with driving(library, tmp_path, at, ordered) as driver:
        values, errors = driver("get_multiple_points", list(driver.topics))
        assert len(values) == len(rows)
        assert errors == {}


@pytest.fixture
def service(tmp_path: Path, site: Site) -> Iterator[str]:
    """The REST interface on a real socket, with one record."""
    store = Store.open(tmp_path / "geems.sqlite")
    store.append(from_json(SAMPLE))
    health = Health(
        ready=True, site="segment13", now=NOON, speed=1.0, version="9.9", mode="advisory",
        lease_held=True, lease_holder="this one", cycles=1, failures=0, missed=0,
    )  # fmt: skip
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(store, lambda: health, site)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield url_of(listener)
    server.should_exit = True
    thread.join()
    store.close()


def test_what_the_service_decided_is_read_by_the_names_of_the_site(
    library: Path, tmp_path: Path, addresses: Mapping[str, DeviceAddress], service: str
) -> None:
    decided = from_json(SAMPLE).secured.dispatch.setpoints["bes"]
    rows = [
        ("dispatch/latest#/ders/bes/setpoint_kw", "decided", "kW", "FALSE", ""),
        ("dispatch/latest#/ders/bes/cap_kw", "cap", "kW", "FALSE", ""),
        ("health#/ready", "ready", "", "FALSE", ""),
        ("nowhere#/at/all", "nowhere", "", "FALSE", ""),
        ("713.SoC", "soc", "Pct", "FALSE", ""),
    ]
    with driving(library, tmp_path, addresses["bes"], rows, service_url=service) as driver:
        values, errors = driver("get_multiple_points", list(driver.topics))
    assert values[of("decided")] == pytest.approx(decided.p_kw)
    assert values[of("ready")] is True
    assert values[of("soc")] == 60.0
    assert "has no value now" in errors[of("cap")]
    assert "404" in errors[of("nowhere")]


def test_a_value_of_the_service_cannot_be_declared_writable(
    library: Path, tmp_path: Path, addresses: Mapping[str, DeviceAddress]
) -> None:
    rows = [("health#/ready", "ready", "", "TRUE", "")]
    with (
        pytest.raises(Failed, match=r"registry row 'ready': values of the service are read-only"),
        driving(library, tmp_path, addresses["bes"], rows),
    ):
        pass
