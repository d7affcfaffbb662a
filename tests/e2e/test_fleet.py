"""`geems plant --ders` as a user runs it: a real process, read by pysunspec2's own client."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sunspec2.modbus import client

GEEMS = (sys.executable, "-m", "ems.cli", "plant")
PATIENCE_S = 60.0
"""For a loaded machine; what is awaited happens within two seconds [s]."""
OFF, ON = 0, 1
UNDER_VOLTAGE = 1 << 11
"""Bits of 701.Alrm."""

EVENTS = """\
time,der,voltage_pu,frequency_hz
2,pv1,0.3,
10,pv1,1.0,
12,pv2,1.02,60.02
"""


@pytest.fixture
def events(tmp_path: Path) -> Path:
    file = tmp_path / "events.csv"
    file.write_text(EVENTS)
    return file


@contextmanager
def fleet(*arguments: str, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running fleet, and the document that tells where it answers."""
    process = subprocess.Popen(
        [*GEEMS, *arguments, "--json"],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        document = json.loads("".join(lines))
        assert "devices" in document, document
        yield process, document
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


@contextmanager
def read_by_pysunspec2(device: dict[str, Any]) -> Iterator[Any]:
    found = client.SunSpecModbusClientDeviceTCP(
        slave_id=device["unit"], ipaddr=device["host"], ipport=device["port"], timeout=10
    )
    try:
        found.scan()
        yield found
    finally:
        found.close()


def measured_once(device: dict[str, Any], holds: Callable[[Any], bool]) -> Any:
    """What model 701 says once a condition holds."""
    with read_by_pysunspec2(device) as found:
        model = found.DERMeasureAC[0]
        deadline = time.monotonic() + PATIENCE_S
        while not holds(model):
            assert time.monotonic() < deadline, f"still {model}"
            model.read()
        return model


def test_an_undervoltage_trips_one_and_the_others_go_on(tmp_path: Path, events: Path) -> None:
    arguments = ("--ders", "3", "--events", str(events), "--speed", "10", "--record", "record.csv")
    with fleet(*arguments, cwd=tmp_path) as (process, document):
        devices = {d["name"]: d for d in document["devices"]}
        assert list(devices) == ["pv1", "pv2", "bes1"]
        assert document["last_event_s"] == 12.0

        tripped = measured_once(
            devices["pv1"], lambda m: m.ConnSt.value == OFF and m.LLV.cvalue > 470
        )
        assert (tripped.W.cvalue, tripped.Var.cvalue, tripped.St.value) == (0, 0, OFF)
        assert tripped.Alrm.value == UNDER_VOLTAGE

        unharmed = measured_once(devices["pv2"], lambda m: m.LLV.cvalue > 485)
        assert (unharmed.W.cvalue, unharmed.ConnSt.value) == (80_000, ON)
        assert unharmed.LLV.cvalue == pytest.approx(1.02 * 480)
        assert unharmed.Hz.cvalue == pytest.approx(60.02)
        assert unharmed.Alrm.value == 0

        battery = measured_once(devices["bes1"], lambda _: True)
        assert (battery.W.cvalue, battery.ConnSt.value, battery.LLV.cvalue) == (0, ON, 480)

        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert out == ""  # the addresses were the one document
        assert "lived through" in err
        assert "Traceback" not in err
    with (tmp_path / "record.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) % 3 == 0  # the last second is whole
    states = {r["state"] for r in rows if r["der"] == "pv1"}
    assert {"running", "tripped"} <= states
    assert {r["state"] for r in rows if r["der"] == "bes1"} == {"running"}


def test_what_a_client_writes_one_of_the_fleet_follows(tmp_path: Path) -> None:
    with fleet("--ders", "3", "--speed", "20", cwd=tmp_path) as (_, document):
        battery = document["devices"][2]
        with read_by_pysunspec2(battery) as found:
            controls = found.DERCtlAC[0]
            controls.WSetEna.value = 1
            controls.WSetMod.value = 1
            controls.WSet.cvalue = -40_000
            controls.write()
        assert measured_once(battery, lambda m: m.W.cvalue < 0).W.cvalue == -40_000


def test_ports_follow_the_first_and_seconds_end_it(tmp_path: Path, free_port: int) -> None:
    done = subprocess.run(
        [*GEEMS, "--ders", "1", "--base-port", str(free_port), "--seconds", "30", "--speed", "max"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"pv1: 127.0.0.1:{free_port}\n"
    assert "lived through 30 s" in done.stderr


def test_a_bad_event_list_is_told_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("time,der,voltage_pu,frequency_hz\n5,pv9,0.9,\n3,pv1,9,\n")
    done = subprocess.run(
        [*GEEMS, "--ders", "3", "--events", "events.csv", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert [fault["place"] for fault in document["faults"]] == [
        "events.csv: row 2, column der",
        "events.csv: row 3, column voltage_pu",
        "events.csv: row 3, column time",
    ]
    assert "serving" not in done.stderr
