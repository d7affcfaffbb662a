"""Whether a measurement has stopped."""

from datetime import UTC, datetime, timedelta

import pytest

from ems.domain import Alike, DerReading
from ems.standstill import alike, site_v_pu, stopped

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
LONGEST_S = 120.0


def reading(seconds: float, p_kw: float = 50.0, v_pu: float | None = 1.0,
            heartbeat: int | None = None) -> DerReading:  # fmt: skip
    return DerReading(
        der="pv", time=NOON + timedelta(seconds=seconds), p_kw=p_kw, q_kvar=0.0, v_pu=v_pu,
        heartbeat=heartbeat,
    )  # fmt: skip


def run(*readings: tuple[DerReading, float]) -> Alike:
    """The run that the last of some readings belongs to; each with the site's voltage."""
    found: Alike | None = None
    for one, v_pu in readings:
        found = alike(found, one, v_pu)
    assert found is not None
    return found


def after(of: Alike, seconds: float, v_pu: float | None) -> str:
    return stopped(of, NOON + timedelta(seconds=seconds), v_pu, LONGEST_S)


def test_a_heartbeat_that_stops_says_so_itself_though_the_numbers_move() -> None:
    of = run((reading(0, heartbeat=7), 1.0), (reading(10, heartbeat=8), 1.0),
             (reading(20, p_kw=51.0, heartbeat=8), 1.0))  # fmt: skip
    assert after(of, 130, 1.0) == ""
    assert after(of, 131, 1.0) == "its heartbeat has stood still for 121 s"


def test_a_heartbeat_that_never_moved_tells_nothing() -> None:
    of = run((reading(0, heartbeat=0), 1.0), (reading(10, heartbeat=0), 1.0))
    assert after(of, 1000, 1.0) == ""


def test_a_living_heartbeat_clears_numbers_that_stand_still() -> None:
    of = run((reading(0, heartbeat=7), 1.0), (reading(300, heartbeat=8), 1.02))
    assert of.first.time == NOON + timedelta(seconds=300)


def test_the_same_numbers_while_the_grid_moves_are_no_measurement() -> None:
    of = run((reading(0), 1.0), (reading(60), 1.005))
    assert after(of, 130, 1.009) == ""
    assert after(of, 130, 1.011) == (
        "P, Q and V have been the same for 130 s, while the site's voltage moved by 0.011 pu"
    )
    assert after(run((reading(0), 1.0), (reading(60, p_kw=50.1), 1.02)), 170, 1.02) == ""


@pytest.mark.parametrize("one", [reading(0, p_kw=0.0), reading(0, v_pu=None)])
def test_an_idle_device_or_one_without_a_voltmeter_is_not_accused(one: DerReading) -> None:
    assert after(run((one, 1.0)), 1000, 1.05) == ""


def test_where_no_voltage_is_measured_it_cannot_be_known() -> None:
    assert site_v_pu([reading(0, v_pu=None)]) is None
    assert after(run((reading(0), 1.0)), 1000, None) == ""
    assert site_v_pu([reading(0, v_pu=v) for v in (1.0, 1.02, 0.0)]) == 1.01
