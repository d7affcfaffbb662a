"""Fifty OpenDER inverters under one IEEE 2030.5 server: events from their publication to their end.

Certificates, TLS and processes are real. One run is in real time, with `geems plant` as a user
runs it; where events are cancelled and superseded, both sides live by a clock twenty times as fast.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ems.clock import ScaledClock, WallClock
from ems.plant.fleet import ders_of
from ems.plant.ieee2030_5.fleet import ClientFleet, credentials_of
from ems.protocols.ieee2030_5 import sep
from tests.ieee2030_5 import Utility, serving

DEVICES = 50
NAMES = [f"device-{n}" for n in range(1, DEVICES + 1)]
RECEIVED, STARTED, COMPLETED, CANCELLED, SUPERSEDED, OTHER_PROGRAM = 1, 2, 3, 6, 7, 14
SPEED = 20.0
"""Simulated seconds per real second: fifty devices that ask once a simulated minute stay far below
what one core serves."""
MINUTE = 60


@contextmanager
def plant(url: str, certs: Path, *options: str) -> Iterator[dict[str, Any]]:
    """`geems plant` with fifty clients; its document once all are registered."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ems.cli", "plant", "--protocol", "ieee2030_5", "--json",
         "--ders", str(DEVICES), "--server", url, "--certs", str(certs), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        yield json.loads("".join(lines) or "{}")
        process.terminate()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "Traceback" not in err
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=60)


def test_fifty_inverters_receive_start_and_complete_an_event_that_comes_in_20_s(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, WallClock(), NAMES, {"program": 1}, poll_s=5) as utility:
        record = tmp_path / "record.csv"
        with plant(utility.url, tmp_path, "--record", str(record)) as document:
            devices = document["devices"]
            lfdis = {issued.lfdi for issued in utility.pki.device.values()}
            assert {device["lfdi"] for device in devices} == lfdis

            start = utility.now + 20
            event = utility.do(
                lambda: utility.board.publish(
                    "program", base=sep.DERControlBase(opModMaxLimW=3000), start=start, duration=20
                )
            )
            utility.answered(event.mrid, DEVICES, RECEIVED, STARTED, COMPLETED)

        said = utility.do(lambda: utility.board.responses(event.mrid))
        assert {a.time for a in said if a.status == STARTED} == {start}
        assert {a.time for a in said if a.status == COMPLETED} == {start + 20}
        rows = [line.split(",") for line in record.read_text().splitlines()[1:]]
        during = [r for r in rows if start + 18 <= _seconds(r[0]) < start + 20]
        sunny = [float(r[3]) for r in during if r[2].startswith("pv")]
        assert sunny
        assert max(sunny) == pytest.approx(30.0, abs=0.1)  # 30 % of 100 kW, by its ramp of 15 s


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.fixture
def utility(tmp_path: Path) -> Iterator[Utility]:
    clock = ScaledClock(datetime(2026, 6, 1, 12, tzinfo=UTC), SPEED)
    programs = {"system": 10, "feeder": 5}
    with serving(tmp_path, clock, NAMES, programs, poll_s=MINUTE) as serves:
        ders = ders_of(DEVICES, {"pv": 2, "bes": 1})
        credentials = credentials_of(tmp_path, [der.name for der in ders])
        fleet = ClientFleet(ders, credentials, serves.pki.ca_file, serves.url, clock=clock)
        fleet.start()
        try:
            yield serves
        finally:
            fleet.stop()


def publish(utility: Utility, program: str, start: int, duration: int, limit: int) -> str:
    base = sep.DERControlBase(opModMaxLimW=limit)
    return utility.do(
        lambda: utility.board.publish(program, base=base, start=start, duration=duration)
    ).mrid


def test_a_cancelled_event_is_answered_by_6_whether_it_has_started_or_not(
    utility: Utility,
) -> None:
    running = publish(utility, "feeder", utility.now, 30 * MINUTE, 5000)
    waiting = publish(utility, "feeder", utility.now + 60 * MINUTE, 10 * MINUTE, 4000)
    utility.answered(running, DEVICES, RECEIVED, STARTED)
    utility.answered(waiting, DEVICES, RECEIVED)

    utility.do(lambda: utility.board.cancel("feeder", running))
    utility.do(lambda: utility.board.cancel("feeder", waiting))

    utility.answered(running, DEVICES, RECEIVED, STARTED, CANCELLED)
    utility.answered(waiting, DEVICES, RECEIVED, CANCELLED)


def test_a_newer_event_supersedes_the_older_one_and_is_followed_to_its_end(
    utility: Utility,
) -> None:
    older = publish(utility, "feeder", utility.now, 60 * MINUTE, 5000)
    utility.answered(older, DEVICES, RECEIVED, STARTED)

    newer = publish(utility, "feeder", utility.now + 2 * MINUTE, MINUTE, 4000)

    utility.answered(older, DEVICES, RECEIVED, STARTED, SUPERSEDED)
    utility.answered(newer, DEVICES, RECEIVED, STARTED, COMPLETED)


def test_another_program_goes_first_by_its_primacy(utility: Utility) -> None:
    aborted = publish(utility, "system", utility.now + 2 * MINUTE, 10 * MINUTE, 5000)
    first = publish(utility, "feeder", utility.now + 3 * MINUTE, MINUTE, 4000)

    utility.answered(aborted, DEVICES, RECEIVED, OTHER_PROGRAM)
    utility.answered(first, DEVICES, RECEIVED, STARTED, COMPLETED)
