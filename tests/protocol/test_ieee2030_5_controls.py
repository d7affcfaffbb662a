"""Every control and curve of IEEE 2030.5, from a server over TLS to what the inverter does.

Time stands still for the protocol and goes by for the inverter: a control is published, the client
reads and answers it, and then the inverter lives through the seconds that it takes.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ems.clock import SteppedClock
from ems.domain import Bes, Pv
from ems.enddevice.application import ControlInForce
from ems.enddevice.client import EndDeviceClient
from ems.enddevice.session import Session, tls
from ems.plant.fleet import ders_of
from ems.plant.ieee2030_5 import SimulatedDer
from ems.plant.inverter import State
from ems.plant.terminal import NOMINAL, Terminal
from ems.protocols.ieee2030_5 import modes, sep, values
from ems.protocols.loop_thread import LoopThread
from tests.ieee2030_5 import Utility, serving

R = TypeVar("R", bound=sep.Resource)
SUNNY_KW = 80.0
RATED_KW, Q_MAX_KVAR = 100.0, 50.0
RECEIVED, STARTED, CANCELLED = 1, 2, 6
NOT_APPLICABLE, INVALID = 252, 253
HOUR = 3600
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def utility(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Utility]:
    folder: Path = tmp_path_factory.mktemp("pki")
    clock = SteppedClock(NOON)
    with serving(folder, clock, ["pv", "bes"], {"program": 1}, poll_s=60) as serves:
        yield serves


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread("clients")
    yield thread
    thread.close()


class Device(SimulatedDer):
    """A DER that says when it has been told something."""

    def __init__(self, der: Pv | Bes, told: Callable[[], None]) -> None:
        super().__init__(der)
        self._told = told

    def apply(self, control: ControlInForce) -> None:
        super().apply(control)
        self._told()


@dataclass(slots=True, kw_only=True)
class Inverter:
    """One inverter, its client, and its server."""

    utility: Utility
    loop: LoopThread
    client: EndDeviceClient
    device: SimulatedDer
    lfdi: str
    task: "asyncio.Task[None]"
    session: Session

    def end(self) -> None:
        """Disconnect."""

        async def ending() -> None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            await self.session.close()

        self.loop.run(ending())

    def told(self) -> None:
        """Let a minute go by for the protocol, so that it reports."""
        clock = self.utility.clock
        assert isinstance(clock, SteppedClock)
        clock.move_to(clock.now() + timedelta(seconds=61))
        self._look()

    def filed(self, kind: type[R], name: str) -> R:
        """Await a document of the device at the server."""
        found = self.utility.heard(
            lambda: self.utility.do(lambda: self.utility.board.filed(self.lfdi, name)),
            lambda found: found is not None,
        )
        assert found is not None
        assert isinstance(found[0], kind)
        return found[0]

    def heard_of_alarms(self, count: int) -> Sequence[tuple[int, str]]:
        """Await so many log events."""
        board = self.utility.board
        return self.utility.heard(
            lambda: self.utility.do(lambda: board.logs(self.lfdi)), lambda said: len(said) >= count
        )

    def _look(self) -> None:
        self.loop.loop.call_soon_threadsafe(self.client.poll_now)

    def ordered(self, *statuses: int, **base: Any) -> str:
        """Publish a control for an hour, and await what is answered; its mRID."""
        board, now = self.utility.board, self.utility.now
        control = self.utility.do(
            lambda: board.publish(
                "program", base=sep.DERControlBase(**base), start=now, duration=HOUR
            )
        )
        self._look()
        self.utility.heard(
            lambda: self.utility.answers(control.mrid).get(self.lfdi),
            lambda said: said == list(statuses or (RECEIVED, STARTED)),
        )
        return control.mrid

    def cancelled(self, mrid: str) -> None:
        self.utility.do(lambda: self.utility.board.cancel("program", mrid))
        self._look()
        self.utility.heard(
            lambda: self.utility.answers(mrid)[self.lfdi], lambda said: said[-1] == CANCELLED
        )

    def by_default(self, holds: Callable[[SimulatedDer], bool], base: Any, **settings: int) -> None:
        """Set the program's default control, and await that the device takes it."""
        board = self.utility.board
        change = partial(board.set_default, "program", base, **settings)  # type: ignore[arg-type]  # by name
        self.utility.do(change)
        self._look()
        self.utility.heard(lambda: self.device, holds)

    def curve(self, mode: str, *points: Any, **of: Any) -> sep.Link:
        """A curve of a mode on the server, by its link."""
        number = len(self.utility.board.curves())
        made = self.utility.do(
            lambda: self.utility.board.add_curve(
                f"curve{number}", type=modes.CURVE_TYPES.index(mode), points=points, **of
            )
        )
        return sep.Link(href=made.href)

    def live(self, seconds: int, at: Terminal = NOMINAL) -> None:
        """Let the inverter live, under a grid."""

        async def living() -> None:
            for _ in range(seconds):
                self.device.step(SUNNY_KW, at)

        self.loop.run(living())

    @property
    def p_kw(self) -> float:
        return self.device.inverter.p_kw

    @property
    def q_kvar(self) -> float:
        return self.device.inverter.q_kvar

    def state(self) -> State:
        return self.device.inverter.state


def connected(utility: Utility, loop: LoopThread, name: str, der: Pv | Bes) -> Inverter:
    issued = utility.pki.device[name]
    context = tls(issued.cert_file, issued.key_file, utility.pki.ca_file, check_name=True)
    device = Device(der, utility.wake)

    async def start() -> Inverter:
        session = Session(utility.url, context)
        client = EndDeviceClient(session, issued.lfdi, device, clock=utility.clock, pin=111115)
        task = asyncio.create_task(client.run())
        await client.read.wait()
        return Inverter(
            utility=utility, loop=loop, client=client, device=device, lfdi=issued.lfdi,
            task=task, session=session,
        )  # fmt: skip

    made = loop.run(start())
    made.live(2)
    return made


@pytest.fixture
def made(utility: Utility, loop: LoopThread) -> Iterator[Callable[[str], Inverter]]:
    """Connects an inverter, and takes it and its controls away again."""
    pv, _, bes = ders_of(3, {"pv": 2, "bes": 1})
    ders = {"pv": pv, "bes": bes}
    running: list[Inverter] = []

    def make(name: str) -> Inverter:
        der = ders[name]
        assert isinstance(der, Pv | Bes)
        running.append(connected(utility, loop, name, der))
        return running[-1]

    yield make
    for inverter in running:
        inverter.end()
    utility.do(lambda: utility.board.set_default("program", None))
    for control in utility.do(lambda: utility.board.controls("program")):
        utility.do(partial(utility.board.cancel, "program", control.mrid))


@pytest.fixture
def pv(made: Callable[[str], Inverter]) -> Inverter:
    return made("pv")


@pytest.fixture
def bes(made: Callable[[str], Inverter]) -> Inverter:
    return made("bes")


def power_factor(hundredths: int, *, absorbs: bool) -> sep.PowerFactorWithExcitation:
    return sep.PowerFactorWithExcitation(displacement=hundredths, excitation=absorbs, multiplier=-2)


def volts(v_pu: float) -> Terminal:
    return Terminal(v_pu=v_pu)


def hertz(hz: float) -> Terminal:
    return Terminal(hz=hz)


# --- active power --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "p_kw"),
    [
        ({"opModMaxLimW": 5000}, 50.0),
        ({"opModMaxLimW": 9500}, SUNNY_KW),  # a limit above what the sun offers
        ({"opModMaxLimW": 0}, 0.0),
        ({"opModFixedW": 6000}, 60.0),
        ({"opModFixedW": 9500}, SUNNY_KW),
        ({"opModTargetW": sep.ActivePower(multiplier=3, value=40)}, 40.0),
        ({"opModFixedW": 6000, "opModMaxLimW": 4500}, 45.0),
    ],
)
def test_a_pv_plant_holds_limits_and_setpoints_until_they_are_cancelled(
    pv: Inverter, asked: dict[str, Any], p_kw: float
) -> None:
    assert pv.p_kw == pytest.approx(SUNNY_KW)
    event = pv.ordered(**asked)
    pv.live(30)
    assert pv.p_kw == pytest.approx(p_kw)
    pv.cancelled(event)
    pv.live(30)
    assert pv.p_kw == pytest.approx(SUNNY_KW)


@pytest.mark.parametrize(
    ("asked", "p_kw"),
    [
        ({"opModFixedW": 3000}, 30.0),  # of setMaxDischargeRateW
        ({"opModFixedW": -5000}, -50.0),  # of setMaxChargeRateW
        ({"opModTargetW": sep.ActivePower(multiplier=0, value=-20_000)}, -20.0),
        ({"opModFixedW": 8000, "opModMaxLimW": 4000}, 40.0),
        ({"opModFixedW": -8000, "opModMaxLimW": 4000}, -80.0),  # a limit of generation
    ],
)
def test_a_battery_charges_and_discharges_as_asked_and_rests_after(
    bes: Inverter, asked: dict[str, Any], p_kw: float
) -> None:
    event = bes.ordered(**asked)
    bes.live(30)
    assert bes.p_kw == pytest.approx(p_kw)
    bes.cancelled(event)
    bes.live(30)
    assert bes.p_kw == 0.0


def test_a_limit_leaves_headroom_and_the_availability_says_how_much(pv: Inverter) -> None:
    pv.ordered(opModMaxLimW=5000)
    pv.live(30)
    left = pv.device.availability(pv.utility.now)
    assert left.statWAvail is not None
    assert values.watts(left.statWAvail) == 30_000
    assert left.reservePercent == 3000


def test_ramp_times_are_kept(bes: Inverter) -> None:
    bes.ordered(opModFixedW=6000, rampTms=6000)  # 60 kW in 60 s
    bes.live(30)
    assert bes.p_kw == pytest.approx(30.0, abs=1.1)  # a second here or there
    bes.live(31)
    assert bes.p_kw == pytest.approx(60.0)


def test_the_default_gradient_holds_where_a_control_has_no_ramp_of_its_own(bes: Inverter) -> None:
    base = sep.DERControlBase(opModMaxLimW=10_000)
    bes.by_default(lambda d: d.control.default is not None, base, setGradW=100)  # 1 % a second
    bes.ordered(opModFixedW=-5000)
    bes.live(20)
    assert bes.p_kw == pytest.approx(-20.0, abs=1.1)
    bes.live(40)
    assert bes.p_kw == pytest.approx(-50.0)


# --- reactive power ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "q_kvar"),
    [
        ({"opModFixedVar": sep.FixedVar(refType=1, value=2000)}, 20.0),  # of setMaxW
        ({"opModFixedVar": sep.FixedVar(refType=2, value=-5000)}, -25.0),  # of setMaxVar
        ({"opModFixedVar": sep.FixedVar(refType=3, value=10_000)}, 50.0),  # of statVarAvail
        ({"opModTargetVar": sep.ReactivePower(multiplier=3, value=-10)}, -10.0),
        (
            {"opModFixedPFInjectW": power_factor(95, absorbs=True)},
            -SUNNY_KW * math.tan(math.acos(0.95)),
        ),
        (
            {"opModFixedPFInjectW": power_factor(95, absorbs=False)},
            SUNNY_KW * math.tan(math.acos(0.95)),
        ),
    ],
)
def test_reactive_power_follows(pv: Inverter, asked: dict[str, Any], q_kvar: float) -> None:
    event = pv.ordered(**asked)
    pv.live(60)
    assert pv.q_kvar == pytest.approx(q_kvar, abs=0.01)
    pv.cancelled(event)
    pv.live(60)
    assert pv.q_kvar == pytest.approx(0.0, abs=0.01)


def test_a_battery_has_a_power_factor_of_its_own_while_it_charges(bes: Inverter) -> None:
    bes.ordered(
        opModFixedW=-5000,
        opModFixedPFAbsorbW=power_factor(95, absorbs=True),
        opModFixedPFInjectW=power_factor(90, absorbs=False),
    )
    bes.live(60)
    assert bes.q_kvar == pytest.approx(-50.0 * math.tan(math.acos(0.95)), abs=0.01)


def test_volt_var_follows_its_curve(pv: Inverter) -> None:
    points = [(92, 60), (98, 0), (102, 0), (108, -60)]  # the curve of CSIP's BASIC-006
    pv.ordered(opModVoltVar=pv.curve("opModVoltVar", *points, y_ref_type=3))
    pv.live(60, volts(1.05))
    assert pv.q_kvar == pytest.approx(-0.3 * Q_MAX_KVAR, abs=0.05)
    pv.live(60, volts(0.95))
    assert pv.q_kvar == pytest.approx(0.3 * Q_MAX_KVAR, abs=0.05)


def test_volt_var_has_its_reference_and_its_time(pv: Inverter) -> None:
    link = pv.curve(
        "opModVoltVar", (9200, 4000), (9800, 0), (10_200, 0), (10_800, -4000), y_ref_type=2,
        x_multiplier=-2, y_multiplier=-2, options={"vRef": 9700, "openLoopTms": 6000},
    )  # fmt: skip
    pv.ordered(opModVoltVar=link)
    settings = pv.device.inverter.settings.volt_var
    assert (settings.v_ref_pu, settings.response_s) == (0.97, 60.0)
    pv.live(300, volts(1.02))  # 1.05 beside the shifted reference
    assert pv.q_kvar == pytest.approx(-0.2 * Q_MAX_KVAR, abs=0.05)


def test_watt_var_follows_its_curve(pv: Inverter) -> None:
    points = [(20, 0), (50, 0), (100, -80)]
    pv.ordered(opModWattVar=pv.curve("opModWattVar", *points, y_ref_type=2))
    pv.live(60)
    assert pv.q_kvar == pytest.approx(-0.48 * Q_MAX_KVAR, abs=0.05)


def test_watt_pf_follows_its_curve(pv: Inverter) -> None:
    points = [(0, 100, False), (50, 98, True), (100, 92, True)]
    pv.ordered(opModWattPF=pv.curve("opModWattPF", *points, y_multiplier=-2))
    pv.live(60)
    factor = 0.98 - 0.06 * 0.6
    assert pv.q_kvar == pytest.approx(-SUNNY_KW * math.tan(math.acos(factor)), abs=0.05)


# --- answers to voltage and frequency ------------------------------------------------------------


def test_volt_watt_follows_its_curve(pv: Inverter) -> None:
    points = [(100, 100), (106, 100), (110, 20)]  # level ends mean nothing
    pv.ordered(opModVoltWatt=pv.curve("opModVoltWatt", *points, y_ref_type=1))
    pv.live(120, volts(1.09))
    assert pv.p_kw == pytest.approx(40.0, abs=0.05)


def test_a_frequency_watt_curve_takes_the_place_of_the_droop(pv: Inverter) -> None:
    points = [(6000, 100), (6020, 100), (6060, 20)]
    link = pv.curve("opModFreqWatt", *points, x_multiplier=-2, y_ref_type=1)
    pv.ordered(opModFreqWatt=link)
    pv.live(60, hertz(60.4))
    assert pv.p_kw == pytest.approx(60.0, abs=0.05)
    pv.live(60)
    assert pv.p_kw == pytest.approx(SUNNY_KW, abs=0.05)


def test_a_frequency_droop_is_set_by_its_parameters(pv: Inverter) -> None:
    droop = sep.FreqDroop(dBOF=100, dBUF=100, kOF=30, kUF=30, openLoopTms=500)
    pv.ordered(opModFreqDroop=droop)
    pv.live(60, hertz(60.5))
    assert pv.p_kw == pytest.approx(SUNNY_KW - 100 * 0.4 / (60 * 0.03), abs=0.1)


@pytest.mark.parametrize(
    ("mode", "points", "at", "rides_s", "of"),
    [
        # Seconds and percent, or hundredths of a hertz; the defaults would trip sooner or later.
        ("opModLVRTMustTrip", [(2, 0), (2, 45), (40, 45), (40, 85)], volts(0.80), 40, 4),
        ("opModHVRTMustTrip", [(0, 130), (0, 120), (5, 120), (5, 115)], volts(1.16), 5, 4),
        ("opModLFRTMustTrip", [(200, 5000), (200, 5800)], hertz(57.5), 200, 0),
        ("opModHFRTMustTrip", [(190, 6150), (190, 6600)], hertz(61.7), 190, 0),
    ],
)
def test_must_trip_curves_say_when_it_trips(
    pv: Inverter, mode: str, points: list[Any], at: Terminal, rides_s: int, of: int
) -> None:
    hundredths = {"y_multiplier": -2} if "F" in mode[5:7] else {}
    # A time of 0.16 s has to be written in hundredths of a second.
    points = [(16 if t == 0 else t * 100, y) for t, y in points]
    pv.ordered(**{mode: pv.curve(mode, *points, x_multiplier=-2, y_ref_type=of, **hundredths)})
    pv.live(rides_s - 2, at)
    assert pv.state() is not State.TRIPPED
    pv.live(4, at)
    assert pv.state() is State.TRIPPED
    assert pv.p_kw == 0.0


@pytest.mark.parametrize(
    ("mode", "points", "ceases_at", "goes_on_at"),
    [
        ("opModLVRTMomentaryCessation", [(1, 0), (1, 65)], volts(0.60), volts(0.68)),
        ("opModHVRTMomentaryCessation", [(1, 115), (1, 120)], volts(1.16), volts(1.12)),
    ],
)
def test_momentary_cessation_begins_where_its_curve_does(
    pv: Inverter, mode: str, points: list[Any], ceases_at: Terminal, goes_on_at: Terminal
) -> None:
    pv.ordered(**{mode: pv.curve(mode, *points, y_ref_type=4)})
    pv.live(2, goes_on_at)
    assert pv.state() is State.RIDING_THROUGH
    assert pv.p_kw > 0.0
    pv.live(2, ceases_at)
    assert pv.state() is State.CEASED
    assert pv.p_kw == 0.0


# --- connect and energize ------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "bits"), [("opModConnect", "00"), ("opModEnergize", "01")])
def test_it_disconnects_or_de_energizes_and_comes_back_by_its_enter_service_settings(
    pv: Inverter, mode: str, bits: str
) -> None:
    event = pv.ordered(**{mode: False})
    pv.live(2)
    assert pv.p_kw == 0.0
    status = pv.device.status(pv.utility.now)
    assert status.genConnectStatus is not None
    assert status.genConnectStatus.value == bits
    pv.cancelled(event)
    pv.live(290)
    assert pv.state() is State.TRIPPED  # 300 s of right voltage and frequency first
    pv.live(12)
    assert pv.state() is State.STARTING
    pv.live(300)
    assert pv.p_kw == pytest.approx(SUNNY_KW)


def test_a_default_control_says_when_to_enter_service(pv: Inverter) -> None:
    base = sep.DERControlBase(opModMaxLimW=10_000)
    pv.by_default(
        lambda d: d.inverter.settings.enter_service.delay_s == 20.0,
        base, setESDelay=2000, setESHighVolt=10_600, setESLowFreq=5930, setSoftGradW=500,
    )  # fmt: skip
    told = pv.device.settings(pv.utility.now)
    assert (told.setESDelay, told.setESHighVolt, told.setESLowFreq) == (2000, 10_600, 5930)
    assert (told.setESRampTms, told.setSoftGradW) == (2000, 500)
    event = pv.ordered(opModEnergize=False)
    pv.live(2)
    pv.cancelled(event)
    pv.live(60)
    assert pv.p_kw == pytest.approx(SUNNY_KW)


# --- what it does not have -----------------------------------------------------------------------


def test_what_the_model_lacks_is_not_among_its_modes(pv: Inverter, bes: Inverter) -> None:
    lacks = {"opModHFRTMayTrip", "opModHVRTMayTrip", "opModLFRTMayTrip", "opModLVRTMayTrip"}
    for inverter, more in ((pv, {"opModFixedPFAbsorbW", "chargeMode"}), (bes, set())):
        told = modes.modes_of(inverter.filed(sep.DERCapability, "capability").modesSupported)
        assert told == set(modes.BITS) - lacks - more


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"opModFixedPFAbsorbW": power_factor(95, absorbs=True)}, NOT_APPLICABLE),
        ({"opModGenLimW": sep.ActivePower(multiplier=3, value=1)}, NOT_APPLICABLE),
        ({"opModFixedW": -1000}, INVALID),  # a PV plant cannot charge
        ({"opModFixedVar": sep.FixedVar(refType=4, value=1)}, INVALID),
        ({"opModFixedVar": sep.FixedVar(refType=1, value=6000)}, INVALID),  # 60 kvar of 50
        ({"opModFixedPFInjectW": power_factor(50, absorbs=True)}, INVALID),
        ({"opModTargetW": sep.ActivePower(multiplier=3, value=101)}, INVALID),
        ({"opModFreqDroop": sep.FreqDroop(dBOF=5, dBUF=5, kOF=30, kUF=30, openLoopTms=500)},
         INVALID),
    ],
)  # fmt: skip
def test_what_it_cannot_follow_is_refused_and_nothing_moves(
    pv: Inverter, asked: dict[str, Any], status: int
) -> None:
    pv.ordered(status, **asked)
    pv.live(30)
    assert pv.p_kw == pytest.approx(SUNNY_KW)
    assert pv.q_kvar == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("mode", "points", "of", "status"),
    [
        ("opModLVRTMayTrip", [(1, 50), (10, 70)], {"y_ref_type": 4}, NOT_APPLICABLE),
        ("opModVoltVar", [(92, -60), (108, 60)], {"y_ref_type": 3}, INVALID),  # it rises
        ("opModVoltVar", [(92, 60), (108, -60)], {"y_ref_type": 5}, INVALID),
        ("opModVoltWatt", [(90, 100), (95, 0)], {"y_ref_type": 1}, INVALID),
        ("opModWattVar", [(0, 0), (100, 10)], {"y_ref_type": 2}, INVALID),  # two points
        ("opModWattPF", [(0, 100), (100, 50)], {"y_multiplier": -2}, INVALID),
        ("opModLVRTMustTrip", [(2, 0), (30, 88)], {"y_ref_type": 4}, INVALID),  # no staircase
        ("opModVoltWatt", [(106, 100), (110, 20)],
         {"y_ref_type": 1, "options": {"rampDecTms": 100}}, INVALID),
    ],
)  # fmt: skip
def test_a_curve_it_cannot_follow_is_refused(
    pv: Inverter, mode: str, points: list[Any], of: dict[str, Any], status: int
) -> None:
    before = pv.device.inverter.settings
    pv.ordered(status, **{mode: pv.curve(mode, *points, **of)})
    assert pv.device.inverter.settings == before


# --- what it reports -----------------------------------------------------------------------------


def test_a_trip_is_told_at_once_and_so_is_its_end(pv: Inverter) -> None:
    logged = len(pv.utility.do(lambda: pv.utility.board.logs(pv.lfdi)))
    pv.live(3, volts(0.3))
    assert pv.state() is State.TRIPPED
    pv.told()
    pv.heard_of_alarms(logged + 1)
    pv.live(700)
    assert pv.state() is not State.TRIPPED
    pv.told()
    logs = pv.heard_of_alarms(logged + 2)
    assert "<logEventCode>4<" in logs[-2][1]  # under voltage
    assert "<logEventCode>5<" in logs[-1][1]  # and back to normal


def test_readings_and_state_of_charge_are_mirrored(bes: Inverter) -> None:
    bes.ordered(opModFixedW=5000)
    bes.live(30)
    bes.told()
    board = bes.utility.board
    latest = bes.utility.heard(
        lambda: {r.uom: r.value for r in bes.utility.do(lambda: board.latest(bes.lfdi)).values()},
        lambda found: found.get(38) == 50_000.0,
    )
    assert latest[29] == pytest.approx(480.0)
    assert latest[33] == pytest.approx(60.0)
    assert latest[63] == 0.0
    # Told on its own, before or after the readings.
    status = bes.utility.heard(
        lambda: bes.filed(sep.DERStatus, "status"),
        lambda found: (
            found.stateOfChargeStatus is not None and found.stateOfChargeStatus.value < 5000
        ),
    )
    assert status.stateOfChargeStatus is not None
    assert status.stateOfChargeStatus.value == pytest.approx(4980, abs=5)
    assert status.storageModeStatus is not None
    assert status.storageModeStatus.value == 1
