"""IEEE 1547 inverters from outside: what they ride through, when they trip and come back.

As in `test_inverter_curves`: settings are written by pysunspec2's client, time is simulated, and
what is expected is computed from the default settings of IEEE Std 1547-2018, category B and III.
"""

from collections.abc import Iterator

import pytest

from tests.protocol.inverters import PV, WITHIN, Bench, Open, adopt, adopted, enable, inverters


@pytest.fixture
def bench() -> Iterator[Open]:
    with inverters() as opened:
        yield opened


@pytest.fixture
def pv(bench: Open) -> Bench:
    return bench(PV)


# --- ride-through and trip -----------------------------------------------------------


@pytest.mark.parametrize(
    ("v", "hz", "rides_s", "trips_s", "alarm"),
    [
        (0.85, 60.0, 20, 22, 11),
        (0.45, 60.0, 1, 3, 11),
        (1.15, 60.0, 12, 14, 10),
        (1.25, 60.0, 0, 1, 10),
        (1.0, 58.0, 298, 301, 9),
        (1.0, 56.0, 0, 1, 9),
        (1.0, 61.5, 298, 301, 8),
        (1.0, 62.5, 0, 1, 8),
    ],
)
def test_trips_after_its_time_and_not_before(
    pv: Bench, v: float, hz: float, rides_s: int, trips_s: int, alarm: int
) -> None:
    pv.after(rides_s, v=v, hz=hz)
    assert pv.connected
    assert pv.after(trips_s - rides_s) == (0, 0)
    assert not pv.connected
    assert (pv.measured.St.value, pv.measured.InvSt.value) == (0, 6)
    assert pv.measured.Alrm.value == 1 << alarm


def test_rides_through_a_dip_at_full_power(pv: Bench) -> None:
    assert pv.after(19, v=0.89)[0] == pytest.approx(1.0, abs=WITHIN)
    assert pv.after(19, v=0.85)[0] == pytest.approx(1.0, abs=WITHIN)
    assert pv.after(5, v=1.0)[0] == pytest.approx(1.0, abs=WITHIN)
    assert pv.after(19, v=0.85)[0] == pytest.approx(1.0, abs=WITHIN)  # the timer began anew
    assert pv.connected


@pytest.mark.parametrize("v", [0.45, 1.12])
def test_ceases_for_the_moment_and_comes_back_at_once(pv: Bench, v: float) -> None:
    assert pv.after(1, v=v) == (0, 0)
    assert pv.connected
    assert pv.measured.InvSt.value == 7
    assert pv.after(1, v=1.0)[0] == pytest.approx(1.0, abs=WITHIN)
    assert pv.measured.InvSt.value == 3


@pytest.mark.parametrize(
    ("model", "x", "steps", "at", "rides_s"),
    [
        ("DERTripLV", "V", [(0, 5), (45, 5), (45, 40), (80, 40)], {"v": 0.79}, 39),
        ("DERTripLV", "V", [(0, 5), (45, 5), (45, 40), (80, 40)], {"v": 0.44}, 4),
        ("DERTripHV", "V", [(112, 5), (120, 5), (120, 0.16), (130, 0.16)], {"v": 1.15}, 4),
        ("DERTripLF", "Hz", [(50, 10), (56, 10), (56, 200), (58.2, 200)], {"hz": 58.0}, 199),
        ("DERTripLF", "Hz", [(50, 10), (56, 10), (56, 200), (58.2, 200)], {"hz": 55.5}, 9),
        ("DERTripHF", "Hz", [(61.5, 200), (63, 200), (63, 20), (66, 20)], {"hz": 62.5}, 199),
        ("DERTripHF", "Hz", [(61.5, 200), (63, 200), (63, 20), (66, 20)], {"hz": 63.5}, 19),
    ],
)
def test_trips_by_steps_that_were_written(
    pv: Bench,
    model: str,
    x: str,
    steps: list[tuple[float, float]],
    at: dict[str, float],
    rides_s: int,
) -> None:
    trip = getattr(pv.client, model)[0]
    curve = trip.Crv[1].MustTrip
    curve.ActPt.value = len(steps)
    for place, (threshold, s) in zip(curve.Pt, steps, strict=False):
        getattr(place, x).cvalue, place.Tms.cvalue = threshold, s
    trip.write()
    adopt(trip)
    assert adopted(trip)
    pv.after(rides_s, **at)
    assert pv.connected
    pv.after(2)
    assert not pv.connected


def test_the_old_threshold_is_none_any_more(pv: Bench) -> None:
    trip = pv.client.DERTripLV[0]
    trip.Crv[1].MustTrip.Pt[3].V.cvalue = 80
    trip.write()
    adopt(trip)
    pv.after(60, v=0.85)
    assert pv.connected


def test_no_momentary_cessation_where_the_curve_has_no_points(pv: Bench) -> None:
    trip = pv.client.DERTripHV[0]
    trip.Crv[1].MomCess.ActPt.value = 0
    trip.write()
    adopt(trip)
    assert adopted(trip)
    assert pv.after(5, v=1.15)[0] == pytest.approx(1.0, abs=WITHIN)


def test_a_trip_function_that_is_off_does_not_trip(pv: Bench) -> None:
    enable(pv.client.DERTripHF[0], on=False)
    pv.after(900, hz=61.5)
    assert pv.connected


def test_alarms_stay_until_they_are_reset(pv: Bench) -> None:
    pv.after(1, v=1.25)
    pv.after(60, v=1.0)
    assert pv.measured.Alrm.value == 1 << 10
    control = pv.client.DERCtl[0]
    control.AlarmReset.value = 1
    control.write()
    pv.after(1)
    assert pv.measured.Alrm.value == 0


# --- enter service -------------------------------------------------------------------


def test_enters_service_after_its_delay_and_ramps_up(pv: Bench) -> None:
    pv.after(1, v=1.25)
    service = pv.client.DEREnterService[0]
    assert pv.after(290, v=1.04) == (0, 0)
    service.read()
    assert service.ESDlyRemTms.value == 10
    p_pu, _ = pv.after(11)
    assert 0 < p_pu < 0.02
    assert (pv.measured.ConnSt.value, pv.measured.InvSt.value) == (1, 2)
    assert pv.after(149)[0] == pytest.approx(0.5, abs=WITHIN)
    assert pv.after(181)[0] == pytest.approx(1.0, abs=WITHIN)
    assert pv.measured.InvSt.value == 3


@pytest.mark.parametrize(("v", "hz"), [(1.055, 60), (0.91, 60), (1, 60.2), (1, 59.4)])
def test_stays_out_of_service_while_the_grid_is_not_right(pv: Bench, v: float, hz: float) -> None:
    pv.after(1, v=1.25)
    assert pv.after(900, v=v, hz=hz) == (0, 0)
    assert not pv.connected


def test_enter_service_by_settings_that_were_written(pv: Bench) -> None:
    service = pv.client.DEREnterService[0]
    service.ESDlyTms.value, service.ESRmpTms.value, service.ESVHi.cvalue = 20, 50, 106
    service.write()
    pv.after(1, v=1.25)
    pv.after(21, v=1.055)
    assert pv.connected
    assert pv.after(24)[0] == pytest.approx(0.5, abs=0.02 + WITHIN)  # a step is 2 % here
    assert pv.after(30)[0] == pytest.approx(1.0, abs=WITHIN)


def test_service_that_is_not_permitted_ends_at_once(pv: Bench) -> None:
    service = pv.client.DEREnterService[0]
    service.ES.value = 0
    service.write()
    assert pv.after(1) == (0, 0)
    assert not pv.connected
    assert pv.measured.Alrm.value == 0
    service.ES.value = 1
    service.write()
    assert pv.after(299)[0] == 0
    assert pv.after(2)[0] > 0
