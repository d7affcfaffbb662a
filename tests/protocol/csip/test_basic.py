"""BASIC-001 … BASIC-012, 015 … 029: what one inverter's client does, and what its server serves.

Source, where a test names CTP 1.3: the SunSpec CSIP Conformance Test Procedures, version 1.3 with
its errata, as the public repository github.com/dsizzle83/csip-tls-test holds it (catalogue and
suite). Curves of ride-through are our own, within what IEEE Std 1547-2018 lets an inverter of
category III be set to; where each mode leads stands in tests/protocol/test_ieee2030_5_controls.py.
"""

import math
from collections.abc import Iterator

import pytest

from ems.plant.inverter import State
from ems.plant.terminal import Terminal
from ems.protocols.ieee2030_5 import identity, sep
from tests.protocol.csip.followers import SUNNY_KW, Followers
from tests.protocol.csip.utility import HIERARCHY, PIN, Utility

RECEIVED, STARTED, COMPLETED, SUPERSEDED, OTHER_PROGRAM = 1, 2, 3, 7, 14
LIMIT, PF = "opModMaxLimW", "opModFixedPFInjectW"
FACTOR = sep.PowerFactorWithExcitation(displacement=95, excitation=True, multiplier=-2)
MINUTE = 60


@pytest.fixture
def followers(utility: Utility) -> Iterator[Followers]:
    made = Followers(utility)
    yield made
    made.close()


@pytest.fixture
def site(followers: Followers) -> Followers:
    """One inverter under a system program and, going before it, one of its service point."""
    followers.utility.group(system=10, point=1)
    followers.utility.register("client", groups=("system", "point"))
    followers.follow("client")
    return followers


# --- identification and groups -------------------------------------------------------------------


def test_basic_001_a_device_is_identified_by_lfdi_sfdi_and_pin(utility: Utility) -> None:
    """CTP 1.3, BASIC-001 identification."""
    utility.register("client")
    client = utility.client("client")
    device = client.own()
    assert int(device.text("sFDI")) == identity.sfdi_of(client.lfdi)
    assert identity.has_check_digit(int(device.text("sFDI")))
    registration = client.get(device.link("RegistrationLink"))
    assert int(registration.text("pIN")) == PIN


def test_basic_002_a_device_follows_the_seven_groups_of_its_place(followers: Followers) -> None:
    """CTP 1.3, BASIC-002: three devices, seven programs by topology, each with its default."""
    followers.utility.group(**HIERARCHY)
    defaults = {
        name: followers.default(name, 1000 * primacy) for name, primacy in HIERARCHY.items()
    }
    for name in ("client", "client-1", "client-2"):
        followers.utility.register(name, groups=HIERARCHY)
        followers.follow(name)
    programs = followers.utility.client("client").programs()
    assert [int(p.text("primacy")) for p in programs] == sorted(HIERARCHY.values())
    expected = {LIMIT: defaults["SP"]}
    assert followers.sources() == dict.fromkeys(("client", "client-1", "client-2"), expected)


def test_basic_003_a_device_that_is_moved_follows_its_new_groups(followers: Followers) -> None:
    """CTP 1.3, BASIC-003: group management; here with a change while the device runs."""
    followers.utility.group(**HIERARCHY)
    defaults = {
        name: followers.default(name, 1000 * primacy) for name, primacy in HIERARCHY.items()
    }
    followers.utility.register("client", groups=("SY", "SP"))
    followers.follow("client")
    event = followers.publish("SP", 0, 60 * MINUTE, opModMaxLimW=2000)
    followers.refresh()
    assert followers.sources()["client"] == {LIMIT: event}
    board = followers.utility.board
    followers.utility.do(lambda: board.change_device("client", groups=("SY", "TF")))
    followers.refresh()
    assert followers.sources()["client"] == {LIMIT: defaults["TF"]}


# --- inverter controls ---------------------------------------------------------------------------


def in_force(site: Followers, **base: object) -> str:
    """A control of the service point, started and answered."""
    event = site.publish("point", 0, 60 * MINUTE, **base)
    site.refresh()
    assert site.answers(event) == {"client": [RECEIVED, STARTED]}
    return event


def test_basic_004_voltage_ride_through_of_four_curves_in_one_control(site: Followers) -> None:
    """CTP 1.3, BASIC-004."""
    of = {"y_ref_type": 4, "x_multiplier": -2, "y_multiplier": -2}
    in_force(
        site,
        opModLVRTMustTrip=site.curve(
            "opModLVRTMustTrip", (200, 0), (200, 4500), (3000, 4500), (3000, 8500), **of
        ),
        opModLVRTMomentaryCessation=site.curve(
            "opModLVRTMomentaryCessation", (100, 0), (100, 6500), **of
        ),
        opModHVRTMustTrip=site.curve(
            "opModHVRTMustTrip", (16, 13_000), (16, 12_000), (500, 12_000), (500, 11_500), **of
        ),
        opModHVRTMomentaryCessation=site.curve(
            "opModHVRTMomentaryCessation", (100, 12_000), (100, 11_000), **of
        ),
    )
    site.live(28, Terminal(v_pu=0.6))
    assert site.state("client") is State.CEASED
    site.live(4, Terminal(v_pu=0.6))
    assert site.state("client") is State.TRIPPED


def test_basic_005_frequency_ride_through_of_two_curves_in_one_control(site: Followers) -> None:
    """CTP 1.3, BASIC-005."""
    of = {"x_multiplier": -2, "y_multiplier": -2}
    in_force(
        site,
        opModLFRTMustTrip=site.curve("opModLFRTMustTrip", (20_000, 5000), (20_000, 5800), **of),
        opModHFRTMustTrip=site.curve("opModHFRTMustTrip", (19_000, 6150), (19_000, 6600), **of),
    )
    site.live(188, Terminal(hz=61.6))
    assert site.state("client") is not State.TRIPPED
    site.live(4, Terminal(hz=61.6))
    assert site.state("client") is State.TRIPPED


def test_basic_006_volt_var(site: Followers) -> None:
    """CTP 1.3, BASIC-006: its curve, of the vars available."""
    points = [(92, 60), (98, 0), (102, 0), (108, -60)]
    in_force(site, opModVoltVar=site.curve("opModVoltVar", *points, y_ref_type=3))
    site.live(60, Terminal(v_pu=1.08))
    assert site.ders["client"].inverter.q_kvar == pytest.approx(-30.0, abs=0.1)


def test_basic_007_ramp_rates_of_the_default_control(site: Followers) -> None:
    """CTP 1.3, BASIC-007: setGradW and setSoftGradW, which are never scheduled (CSIP 5.2.4)."""
    site.default("point", 10_000, setGradW=100, setSoftGradW=500)
    site.refresh()
    told = site.ders["client"].settings(site.utility.now)
    assert (told.setGradW, told.setSoftGradW) == (100, 500)
    in_force(site, opModMaxLimW=5000)
    site.live(20)
    assert site.ders["client"].inverter.p_kw == pytest.approx(60.0, abs=1.1)  # 1 % a second


def test_basic_008_fixed_power_factor(site: Followers) -> None:
    """CTP 1.3, BASIC-008: 0.95 while injecting."""
    in_force(site, opModFixedPFInjectW=FACTOR)
    site.live(60)
    expected = -SUNNY_KW * math.tan(math.acos(0.95))
    assert site.ders["client"].inverter.q_kvar == pytest.approx(expected, abs=0.05)


def test_basic_009_disconnect(site: Followers) -> None:
    """CTP 1.3, BASIC-009: opModConnect and opModEnergize in one control."""
    in_force(site, opModConnect=False, opModEnergize=False)
    site.live(2)
    assert site.ders["client"].inverter.p_kw == 0.0
    assert site.state("client") is State.TRIPPED


def test_basic_010_limit_of_active_power(site: Followers) -> None:
    """CTP 1.3, BASIC-010: 60 %."""
    in_force(site, opModMaxLimW=6000)
    site.live(30)
    assert site.ders["client"].inverter.p_kw == pytest.approx(60.0)


def test_basic_011_volt_watt(site: Followers) -> None:
    """CTP 1.3, BASIC-011: its curve, of setMaxW."""
    curve = site.curve("opModVoltWatt", (106, 100), (110, 20), y_ref_type=1)
    in_force(site, opModVoltWatt=curve)
    site.live(90, Terminal(v_pu=1.08))
    assert site.ders["client"].inverter.p_kw == pytest.approx(60.0, abs=0.1)


@pytest.mark.parametrize("by_curve", [True, False])
def test_basic_012_frequency_watt(site: Followers, *, by_curve: bool) -> None:
    """CTP 1.3, BASIC-012: by a curve from 60.0 to 60.5 Hz, or by the parameters of a droop."""
    if by_curve:
        curve = site.curve("opModFreqWatt", (6000, 100), (6050, 0), x_multiplier=-2, y_ref_type=1)
        in_force(site, opModFreqWatt=curve)
    else:
        droop = sep.FreqDroop(dBOF=36, dBUF=36, kOF=50, kUF=50, openLoopTms=500)
        in_force(site, opModFreqDroop=droop)
    site.live(60, Terminal(hz=60.25))
    expected = 50.0 if by_curve else SUNNY_KW - 100 * (0.25 - 0.036) / 3.0
    assert site.ders["client"].inverter.p_kw == pytest.approx(expected, abs=0.1)


def test_basic_015_watt_power_factor(site: Followers) -> None:
    """CTP 1.3, BASIC-015: an advanced control by its curve."""
    points = [(0, 100, True), (50, 98, True), (100, 95, True)]
    in_force(site, opModWattPF=site.curve("opModWattPF", *points, y_multiplier=-2))
    site.live(60)
    expected = -SUNNY_KW * math.tan(math.acos(0.98 - 0.03 * 0.6))
    assert site.ders["client"].inverter.q_kvar == pytest.approx(expected, abs=0.05)


# --- events and defaults -------------------------------------------------------------------------


def test_basic_016_the_default_of_the_program_that_goes_first(site: Followers) -> None:
    """CTP 1.3, BASIC-016: two programs, two defaults, no control."""
    site.default("system", 3000)
    first = site.default("point", 6000)
    site.refresh()
    assert site.sources()["client"] == {LIMIT: first}


@pytest.mark.parametrize("with_default", [False, True])
def test_basic_017_018_one_control_with_and_without_a_default(
    site: Followers, *, with_default: bool
) -> None:
    """CTP 1.3, BASIC-017 and BASIC-018."""
    before = {LIMIT: site.default("point", 9000)} if with_default else {}
    event = site.publish("point", 30, 180, opModMaxLimW=4500)
    site.refresh()
    assert site.sources()["client"] == before
    site.pass_s(30)
    assert site.sources()["client"] == {LIMIT: event}
    site.pass_s(180)
    assert site.sources()["client"] == before
    assert site.answers(event) == {"client": [RECEIVED, STARTED, COMPLETED]}


@pytest.mark.parametrize("second", ["point", "system"])
def test_basic_019_020_two_controls_one_after_the_other(site: Followers, second: str) -> None:
    """CTP 1.3, BASIC-019 (one program) and BASIC-020 (two): the default holds in between."""
    default = site.default("point", 9000)
    site.default("system", 8000)
    one = site.publish("point", 30, 60, opModMaxLimW=4000)
    two = site.publish(second, 120, 60, opModMaxLimW=3000)
    site.refresh()
    held = []
    for wait_s in (30, 60, 30, 60):
        site.pass_s(wait_s)
        held.append(site.sources()["client"][LIMIT])
    assert held == [one, default, two, default]
    for event in (one, two):
        assert site.answers(event) == {"client": [RECEIVED, STARTED, COMPLETED]}


OVERLAPS = {
    "together": ((30, 180), (30, 180)),
    "the first one later": ((30, 180), (60, 180)),
    "ends staggered": ((30, 240), (60, 120)),
}
"""Start and duration of the system's control, and of the service point's [s]."""


@pytest.mark.parametrize("case", OVERLAPS)
def test_basic_021_022_023_overlapping_controls_of_the_same_kind(
    site: Followers, case: str
) -> None:
    """CTP 1.3, BASIC-021 … 023: the service point's goes before the system's, which is aborted.

    Both are known before they start, so that the answer is 14, by the errata to AGG-007.
    """
    (start, duration), (point_start, point_duration) = OVERLAPS[case]
    default = site.default("point", 9000)
    system = site.publish("system", start, duration, opModMaxLimW=3000)
    point = site.publish("point", point_start, point_duration, opModMaxLimW=2000)
    site.refresh()
    site.pass_s(point_start)
    assert site.sources()["client"] == {LIMIT: point}
    site.pass_s(point_duration)
    assert site.sources()["client"] == {LIMIT: default}
    assert site.answers(system) == {"client": [RECEIVED, OTHER_PROGRAM]}
    assert site.answers(point) == {"client": [RECEIVED, STARTED, COMPLETED]}


@pytest.mark.parametrize("case", OVERLAPS)
def test_basic_024_025_026_overlapping_controls_of_different_kinds(
    site: Followers, case: str
) -> None:
    """CTP 1.3, BASIC-024 … 026: both are followed, side by side."""
    (start, duration), (point_start, point_duration) = OVERLAPS[case]
    system = site.publish("system", start, duration, opModFixedPFInjectW=FACTOR)
    point = site.publish("point", point_start, point_duration, opModMaxLimW=2000)
    site.refresh()
    site.pass_s(point_start)
    assert site.sources()["client"] == {PF: system, LIMIT: point}
    site.pass_s(300)
    assert site.sources()["client"] == {}
    for event in (system, point):
        assert site.answers(event) == {"client": [RECEIVED, STARTED, COMPLETED]}


# --- what the inverter reports -------------------------------------------------------------------


def test_basic_027_alarms_are_logged_when_they_come_and_when_they_go(site: Followers) -> None:
    """CTP 1.3, BASIC-027; codes of CSIP, table 14: under voltage is 4, its end 5."""
    site.live(3, Terminal(v_pu=0.3))
    site.pass_s(MINUTE)
    site.live(700)
    site.pass_s(MINUTE)
    client = site.utility.client("client")
    logged = client.every(client.own().link("LogEventListLink"), "LogEvent")
    assert sorted(map(int, logged.texts("LogEvent/logEventCode"))) == [4, 5]
    assert set(logged.texts("LogEvent/functionSet")) == {"11"}


def test_basic_028_inverter_status(site: Followers) -> None:
    """CTP 1.3, BASIC-028: nameplate, settings, status and availability at the server."""
    site.pass_s(MINUTE)
    client = site.utility.client("client")
    der = client.every(client.own().link("DERListLink"), "DER")
    status = client.get(der.link("DER/DERStatusLink"))
    assert int(status.text("inverterStatus/value")) == 4  # tracking its power point
    assert status.text("genConnectStatus/value") == "07"
    capability = client.get(der.link("DER/DERCapabilityLink"))
    assert float(capability.text("rtgMaxW/value")) * 10 ** int(
        capability.text("rtgMaxW/multiplier")
    ) == pytest.approx(100_000)
    assert client.get(der.link("DER/DERSettingsLink")).has("setMaxW")
    assert client.get(der.link("DER/DERAvailabilityLink")).has("statWAvail")


def test_basic_029_meter_readings(site: Followers) -> None:
    """CTP 1.3, BASIC-029: active and reactive power, voltage and frequency are mirrored."""
    site.pass_s(MINUTE)
    latest = site.utility.do(lambda: site.utility.board.latest(site.utility.issued("client").lfdi))
    assert {r.uom: r.value for r in latest.values()} == pytest.approx(
        {38: 80_000.0, 63: 0.0, 29: 480.0, 33: 60.0}
    )
