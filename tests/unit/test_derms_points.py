"""Points of an end device by SunSpec-style names: read, scraped, set."""

import csv
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ems.clock import SteppedClock
from ems.derms import points
from ems.derms.board import Board, Device, NotFound
from ems.derms.keeping import MemoryKeeper
from ems.derms.point_names import CONTROLS, POINTS
from ems.derms.served import Latest
from ems.errors import BadInput
from ems.protocols.ieee2030_5 import codec, sep
from ems.settings.ieee2030_5 import EndDeviceDerTable

LFDI = "A" * 40
START = datetime(2026, 6, 1, tzinfo=UTC)
VOLTTRON = (
    "b1_Md", "b1_Opt", "b1_SN", "b1_Vr", "b113_A", "b113_DCA", "b113_DCV", "b113_DCW", "b113_PF",
    "b113_WH", "b120_AhrRtg", "b120_ARtg", "b120_MaxChaRte", "b120_MaxDisChaRte", "b120_WHRtg",
    "b120_WRtg", "b121_WMax", "b122_ActWh", "b122_StorConn", "b124_WChaMax", "b403_Tmp",
    "b404_DCW", "b404_DCWh", "b802_LocRemCtl", "b802_SoC", "b802_State",
)  # fmt: skip
"""Point names of the registry that ships with VOLTTRON's IEEE 2030.5 driver."""


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(START)


@pytest.fixture
def board(clock: SteppedClock) -> Board:
    board = Board(MemoryKeeper(), clock)
    board.add_device("bes", lfdi=LFDI)
    return board


def bes(board: Board) -> Device:
    return board.device("bes")


def put(board: Board, kind: str, resource: sep.Resource, der: int = 1) -> None:
    board.file(LFDI, kind, codec.encode(resource), der)


def nameplate(board: Board) -> None:
    from ems.derms import worded

    der = EndDeviceDerTable(rated_kw=5, rated_charge_kw=4, rated_kwh=10, modes=["fixed_w"])
    put(board, "capability", worded.capability_of(der))
    put(board, "settings", worded.settings_of(der, 1))


def reading(description: str, value: float, uom: int = 0, *, phase: int = 0, time: int = 1) -> Any:
    return Latest(
        mrid=f"{description}{phase}", description=description, value=value, uom=uom, kind=0, flow=0,
        phase=phase, qualifier=0, quality=0, time=time, received=time,
    )  # fmt: skip


# --- reading -----------------------------------------------------------------------------


def test_every_point_of_volttrons_own_registry_has_its_name_here() -> None:
    assert set(VOLTTRON) <= {*POINTS, *CONTROLS}


def test_ratings_settings_and_status_are_told_in_plain_units(board: Board) -> None:
    nameplate(board)
    status = sep.DERStatus(
        readingTime=7,
        stateOfChargeStatus=sep.StateOfChargeStatus(dateTime=7, value=6250),
        inverterStatus=sep.StatusValue(dateTime=7, value=4),
    )
    put(board, "status", status)
    assert points.get_point(board, bes(board), "b120_WHRtg") == 10_000.0
    assert points.get_point(board, bes(board), "b121_WMax") == 5000.0
    assert points.get_point(board, bes(board), "b802_SoC") == 62.5
    assert points.get_point(board, bes(board), "b802_State") == 4
    assert points.get_point(board, bes(board), "b1_Opt") == LFDI


def test_a_car_that_charges_is_told_from_its_power_status(board: Board) -> None:
    info = sep.PEVInfo(
        chargingPowerNow=sep.ActivePower(multiplier=3, value=3),
        energyRequestNow=sep.RealEnergy(multiplier=0, value=1),
        maxForwardPower=sep.ActivePower(multiplier=3, value=7),
        minimumChargingDuration=1,
        targetStateOfCharge=10000,
        timeChargeIsNeeded=1,
        timeChargingStatusPEV=1,
    )
    status = sep.PowerStatus(batteryStatus=0, changedTime=1, currentPowerSource=1, PEVInfo_=info)
    board.file(LFDI, "power_status", codec.encode(status))
    assert points.get_point(board, bes(board), "b404_DCW") == 3000.0
    assert points.get_point(board, bes(board), "PowerStatus.PEVInfo.maxForwardPower") == 7000.0


def test_a_reading_is_known_by_its_name_else_by_its_unit_over_all_phases(board: Board) -> None:
    held = {
        one.mrid: one
        for one in (
            reading("PhaseCurrentAvg", 24.0),
            reading("mine", -1500.0, 38, time=5),
            reading("of a", -500.0, 38, phase=128, time=9),
            reading("voltage of a", 231.0, 29, phase=128, time=9),
        )
    }
    board._readings._latest[LFDI] = held
    told = points.scrape_all(board, bes(board))
    assert told["b113_A"] == 24.0
    assert told["b113_W"] == -1500.0
    assert told["b113_PhV"] == 231.0
    assert told["MirrorMeterReading.of a"] == -500.0


def test_every_element_that_was_put_can_be_read_by_its_name_also_of_a_second_der(
    board: Board,
) -> None:
    nameplate(board)
    second = sep.DERCapability(
        modesSupported="0", rtgMaxW=sep.ActivePower(multiplier=3, value=9), type_=80
    )
    put(board, "capability", second, der=2)
    told = points.scrape_all(board, bes(board))
    assert told["DERCapability.rtgMaxChargeRateW"] == 4000.0
    assert told["DERCapability[2].rtgMaxW"] == 9000.0
    assert told["DERSettings.updatedTime"] == 1


def test_what_was_not_told_has_no_value_and_is_no_part_of_a_scrape(board: Board) -> None:
    assert set(points.scrape_all(board, bes(board))) == {"b1_Opt", "b1_SN"}
    with pytest.raises(NotFound, match="has told no b802_SoC"):
        points.get_point(board, bes(board), "b802_SoC")
    with pytest.raises(NotFound, match=r"has told no DERStatus\.readingTime"):
        points.get_point(board, bes(board), "DERStatus.readingTime")
    with pytest.raises(NotFound, match="there is no point 'b999_X'"):
        points.get_point(board, bes(board), "b999_X")


def test_the_registry_names_each_point_once_and_tells_which_can_be_set(board: Board) -> None:
    nameplate(board)
    rows = list(csv.DictReader(points.registry(board, bes(board)).splitlines()))
    names = [row["Volttron Point Name"] for row in rows]
    assert len(names) == len(set(names))
    assert {r["Point Name"] for r in rows if r["Writable"] == "TRUE"} == set(CONTROLS)
    assert all(r["Reference Point Name"] == f"2030.5/{r['Point Name']}" for r in rows)


# --- setting -----------------------------------------------------------------------------


def standing(board: Board) -> list[sep.DERControlBase]:
    return [
        c.base for c in board.standing("point-bes").controls if c.cancelled is None
    ]  # fmt: skip


def test_a_point_that_is_set_is_a_control_to_this_device_alone(board: Board) -> None:
    board.add_device("other", lfdi="B" * 40)
    assert points.set_point(board, bes(board), "b704_WMaxLimPct", 65.157) == 65.15
    [control] = board.controls("point-bes")
    assert control.base.opModMaxLimW == 6515
    assert control.duration == points.HELD_S
    assert [d.name for d in board.members("point-bes")] == ["bes"]


def test_points_that_are_set_one_after_the_other_hold_together(board: Board) -> None:
    nameplate(board)
    points.set_point(board, bes(board), "b704_WMaxLimPct", 60)
    points.set_point(board, bes(board), "b704_VarSet", -750)  # in the same second
    [base] = standing(board)
    assert base.opModMaxLimW == 6000
    assert base.opModTargetVar == sep.ReactivePower(multiplier=0, value=-750)
    assert points.get_point(board, bes(board), "b704_VarSet") == -750.0


def test_the_newest_of_one_second_is_in_force(board: Board, clock: SteppedClock) -> None:
    for limit in (60, 50, 40):
        points.set_point(board, bes(board), "b704_WMaxLimPct", limit)
    clock.move_to(START + timedelta(seconds=1))
    controls = board.controls("point-bes")
    active = [c for c in controls if int(board.state(c.mrid).current) == 1]
    assert [c.base.opModMaxLimW for c in active] == [4000]


def test_a_charging_power_is_a_negative_share_of_the_charge_rate_never_more(board: Board) -> None:
    nameplate(board)
    assert points.set_point(board, bes(board), "b124_WChaMax", 1000.7) == pytest.approx(1000.4)
    [base] = standing(board)
    assert base.opModFixedW == -2501
    assert points.get_point(board, bes(board), "b704_WSetPct") == -25.01


def test_a_point_that_is_taken_out_leaves_the_others_and_the_last_one_nothing(
    board: Board,
) -> None:
    points.set_point(board, bes(board), "b704_WMaxLimPct", 60)
    points.set_point(board, bes(board), "b703_ES", 0)
    assert points.set_point(board, bes(board), "b704_WMaxLimPct", None) is None
    [base] = standing(board)
    assert (base.opModEnergize, base.opModMaxLimW) == (False, None)
    points.set_point(board, bes(board), "b703_ES", None)
    assert standing(board) == []
    points.set_point(board, bes(board), "b703_ES", None)  # once more is no fault


def test_when_the_time_of_a_short_setting_is_over_no_earlier_one_comes_back(
    board: Board, clock: SteppedClock
) -> None:
    points.set_point(board, bes(board), "b704_WMaxLimPct", 60)
    clock.move_to(START + timedelta(seconds=5))
    points.set_point(board, bes(board), "b704_WMaxLimPct", 50, duration_s=60)
    clock.move_to(START + timedelta(seconds=90))
    assert all(int(board.state(c.mrid).current) != 1 or c.ends <= board.now()
               for c in board.controls("point-bes"))  # fmt: skip
    with pytest.raises(NotFound):
        points.get_point(board, bes(board), "b704_WMaxLimPct")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("b704_WMaxLimPct", 100.1, "beyond what can be asked"),
        ("b704_WMaxLimPct", -1, "beyond what can be asked"),
        ("b704_WSetPct", -101, "beyond what can be asked"),
        ("b704_WSet", 1e30, "beyond what can be asked"),
        ("b704_WMaxLimPct", float("nan"), "beyond what can be asked"),
        ("b704_WMaxLimPct", "much", "is no number"),
        ("b703_ES", 2, "neither 0 nor 1"),
        ("b124_WChaMax", 100, "has told neither setMaxChargeRateW nor rtgMaxChargeRateW"),
        ("b120_WRtg", 1, "can only be read"),
        ("DERStatus.readingTime", 1, "can only be read"),
    ],
)
def test_what_cannot_be_asked_is_told_and_nothing_is_published(
    board: Board, name: str, value: Any, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        points.set_point(board, bes(board), name, value)
    assert board.programs() == ()
