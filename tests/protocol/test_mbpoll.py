"""A Modbus master from the distribution reads and writes the plant's devices."""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping

import pytest

from ems.domain import DeviceAddress
from ems.plant import LOAD, Plant
from ems.protocols.sunspec import model

pytestmark = pytest.mark.needs("mbpoll")
Poll = Callable[..., str]


@pytest.fixture
def poll(addresses: Mapping[str, DeviceAddress]) -> Poll:
    program = shutil.which("mbpoll") or ""

    def run(name: str, *options: str) -> str:
        address = addresses[name]
        values = [o for o in options if not o.startswith("-")]
        flags = [o for o in options if o.startswith("-")]
        done = subprocess.run(
            [
                program, "-m", "tcp", "-p", str(address.port), "-a", str(address.unit), "-0", "-1",
                *flags, address.host, *values,
            ],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    return run


def start_of(*before: int) -> int:
    """Address of the model that comes after `before` in a chain."""
    return 40_002 + sum(model(m).length for m in before)


def test_the_marker_stands_at_40000(poll: Poll) -> None:
    out = poll("pv", "-r40000", "-c2", "-t4:hex")
    assert re.findall(r"0x([0-9A-F]{4})", out) == ["5375", "6E53"]


def test_the_load_is_read(poll: Poll, plant: Plant) -> None:
    meter = start_of(1)
    out = poll(LOAD, f"-r{meter + model(203).points['W'].offset}", "-c1", "-t4")
    value = re.search(r"\[\d+\]:\s+(\d+)", out)
    assert value
    assert int(value[1]) == pytest.approx(plant.truth().load_kw, abs=1)


def test_a_cap_is_written(poll: Poll, plant: Plant) -> None:
    controls = start_of(1, 701, 702)
    first = controls + model(704).points["WMaxLimPctEna"].offset
    out = poll("pv", f"-r{first}", "-t4", "1", "4321")
    assert "Written 2 references" in out
    plant.advance_to(plant.now)
    assert plant.truth().p_kw["pv"] == pytest.approx(4321)


def test_a_read_only_register_is_refused(poll: Poll) -> None:
    measured = start_of(1)
    out = poll("pv", f"-r{measured + model(701).points['W'].offset}", "-t4", "1")
    assert "Illegal data address" in out


def test_a_value_out_of_range_is_refused_as_such(poll: Poll, plant: Plant) -> None:
    first = start_of(1, 701, 702) + model(704).points["WMaxLimPctEna"].offset
    out = poll("pv", f"-r{first}", "-t4", "1", "10001")
    assert "Illegal data value" in out
    plant.advance_to(plant.now)
    assert plant.truth().p_kw["pv"] > 1, "the first of the two registers was not applied either"


@pytest.mark.parametrize("half", [0, 1])
def test_half_a_point_of_two_registers_is_refused(poll: Poll, half: int) -> None:
    timer = start_of(1, 701, 702) + model(704).points["WMaxLimPctRvrtTms"].offset
    assert "Illegal data address" in poll("pv", f"-r{timer + half}", "-t4", "60")
    assert "Written 2 references" in poll("pv", f"-r{timer}", "-t4", "0", "60")


def test_a_register_beyond_the_chain_is_refused(poll: Poll) -> None:
    assert "Illegal data address" in poll("pv", "-r41500", "-c2", "-t4")
