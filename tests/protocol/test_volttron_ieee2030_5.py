"""The VOLTTRON driver on an end device of the IEEE 2030.5 server, over real TLS."""

import csv
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ems.derms.certificates import Pki, make_pki
from tests.derms_process import Caller, Serving, serving, write_file
from tests.protocol.test_volttron import (
    PYTHON,
    Driver,
    Failed,
    _answer,
    library,  # noqa: F401 - a fixture
    of,
)

DEVICE = """
[[ieee2030_5.device]]
name = "bes"
lfdi = "{lfdi}"
der = [{{ rated_kw = 5, rated_charge_kw = 4, rated_kwh = 10, modes = ["fixed_w", "max_lim_w"] }}]
"""
ROWS = (
    ("2030.5/b120_WRtg", "rating", "W", "FALSE", ""),
    ("2030.5/b802_SoC", "soc", "Pct", "FALSE", ""),
    ("2030.5/b124_WChaMax", "charge", "W", "TRUE", ""),
    ("2030.5/b704_WMaxLimPct", "limit", "Pct", "TRUE", ""),
    ("2030.5/DERStatus.stateOfChargeStatus.value", "soc_by_element", "Pct", "FALSE", ""),
)
STATUS = (
    "<DERStatus><readingTime>1</readingTime><stateOfChargeStatus><dateTime>1</dateTime>"
    "<value>6250</value></stateOfChargeStatus></DERStatus>"
)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"), ["bes"], administrators=["operator"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Serving]:
    rest = DEVICE.format(lfdi=pki.device["bes"].lfdi)
    with serving(write_file(tmp_path_factory.mktemp("derms"), pki, rest), pki) as served:
        yield served


@pytest.fixture
def device(server: Serving, pki: Pki) -> Iterator[Caller]:
    with server.caller(pki.device["bes"]) as caller:
        yield caller


@contextmanager
def driving(
    library: Path,  # noqa: F811 - the fixture's value
    folder: Path,
    server: Serving,
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
    operator = server.pki.administrator["operator"]
    config = {
        "server_url": server.announced["url"].removesuffix("/dcap"),
        "end_device": "bes",
        "ca_file": str(server.pki.ca_file),
        "cert_file": str(operator.cert_file),
        "key_file": str(operator.key_file),
        "timeout": 20.0,  # for a loaded machine
    } | more
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


def test_a_scrape_reads_what_the_device_put_and_says_what_it_did_not_tell(
    library: Path,  # noqa: F811 - the fixture's value
    tmp_path: Path,
    server: Serving,
    device: Caller,
) -> None:
    assert device.send("PUT", "/edev/1/der/1/ders", STATUS).status in (201, 204)
    rows = (*ROWS, ("2030.5/b113_PhV", "voltage", "V", "FALSE", ""))
    with driving(library, tmp_path, server, rows) as driver:
        values, errors = driver("get_multiple_points", list(driver.topics))
        assert values[of("rating")] == 5000.0
        assert values[of("soc")] == values[of("soc_by_element")] == 62.5
        assert "has told no b113_PhV" in errors[of("voltage")]
        assert driver("get_point", of("soc")) == 62.5


def test_a_setpoint_becomes_a_control_of_the_device_and_is_reverted(
    library: Path,  # noqa: F811 - the fixture's value
    tmp_path: Path,
    server: Serving,
    device: Caller,
) -> None:
    with driving(library, tmp_path, server) as driver:
        assert driver("set_point", of("charge"), 1000.7) == pytest.approx(1000.4)
        assert driver("set_point", of("limit"), 65.157) == 65.15
        program = device.get("/derp").texts("DERProgram/DERControlListLink")
        assert len(program) == 1
        controls = device.get("/derp/1/actderc?l=10")
        standing = [
            i for i, s in enumerate(controls.texts("DERControl/EventStatus/currentStatus"))
            if s == "1"
        ]  # fmt: skip
        assert len(standing) == 1  # what was set before is cancelled
        assert controls.texts("DERControl/DERControlBase/opModFixedW")[standing[0]] == "-2501"
        assert "6515" in controls.texts("DERControl/DERControlBase/opModMaxLimW")
        driver("revert_all")
        assert "1" not in device.get("/derp/1/derc?l=10").texts(
            "DERControl/EventStatus/currentStatus"
        )


@pytest.mark.parametrize(
    ("point", "value", "said"),
    [
        ("rating", 1, "read-only in the registry"),
        ("charge", 5000, "beyond what can be asked"),
        ("limit", "much", "not a number"),
        ("limit", -1, "beyond what can be asked"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_nothing_is_published(
    library: Path,  # noqa: F811 - the fixture's value
    tmp_path: Path,
    server: Serving,
    point: str,
    value: Any,
    said: str,
) -> None:
    with driving(library, tmp_path, server) as driver, pytest.raises(Failed, match=said):
        driver("set_point", of(point), value)


def test_a_device_that_may_not_administer_reads_nothing(
    library: Path,  # noqa: F811 - the fixture's value
    tmp_path: Path,
    server: Serving,
    pki: Pki,
) -> None:
    own = pki.device["bes"]
    other = {"cert_file": str(own.cert_file), "key_file": str(own.key_file)}
    with (
        driving(library, tmp_path, server, **other) as driver,
        pytest.raises(Failed, match="no administrator"),
    ):
        driver("get_point", of("rating"))


def test_a_registry_row_without_a_server_and_a_server_without_a_device_are_told(
    library: Path,  # noqa: F811 - the fixture's value
    tmp_path: Path,
    server: Serving,
) -> None:
    with (
        pytest.raises(Failed, match="needs server_url in driver_config"),
        driving(library, tmp_path, server, server_url=None, device_address="127.0.0.1") as driver,
    ):
        driver("get_point", of("rating"))
    with (
        pytest.raises(Failed, match="server_url needs end_device"),
        driving(library, tmp_path, server, end_device=None) as driver,
    ):
        driver("get_point", of("rating"))


def test_the_registry_of_the_server_works_as_it_is(
    library: Path,  # noqa: F811 - the fixture's value
    tmp_path: Path,
    server: Serving,
    pki: Pki,
) -> None:
    with server.caller(pki.administrator["operator"]) as admin:
        text = admin.get("/admin/v1/points/bes/registry.csv").body.decode()
    rows = [
        (r["Reference Point Name"], r["Volttron Point Name"], r["Units"], r["Writable"], "")
        for r in csv.DictReader(text.splitlines())
    ]
    assert ("2030.5/b124_WChaMax", "b124_WChaMax", "W", "TRUE", "") in rows
    with driving(library, tmp_path, server, rows) as driver:
        values, errors = driver("get_multiple_points", list(driver.topics))
        assert len(values) + len(errors) == len(rows)
        assert values[of("b120_WHRtg")] == 10_000.0
