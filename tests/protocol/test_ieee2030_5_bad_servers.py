"""The IEEE 2030.5 client and servers that answer nonsense, dribble, or change their minds."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ems.clock import WallClock
from ems.derms.certificates import Pki, make_pki
from ems.domain import Pv
from ems.enddevice.application import ControlInForce, DerApplication
from ems.enddevice.client import EndDeviceClient
from ems.enddevice.session import Lost, Session
from ems.gateways.ieee2030_5.site_as_der import SiteAsDer
from ems.gateways.ieee2030_5.utility import Utility, UtilityAddress
from ems.plant.fleet import ders_of
from ems.plant.ieee2030_5 import SimulatedDer
from ems.plant.ieee2030_5.fleet import ClientFleet, credentials_of
from ems.protocols.ieee2030_5 import codec, modes, sep
from ems.protocols.loop_thread import LoopThread
from tests.ieee2030_5 import serving
from tests.sites import segment

T = TypeVar("T")
LFDI = "AB" * 20
PATIENCE_S = 60.0
"""For a loaded machine; what is awaited happens within seconds [s]."""
EVENT = "AA" * 16
FOREVER = 4_294_967_295
"""The longest pollRate that can be written [s]."""


def control(start: int, base: sep.DERControlBase | None = None) -> sep.DERControl:
    return sep.DERControl(
        href="/derp/1/derc/1",
        mRID=EVENT,
        replyTo="/rsp",
        responseRequired="03",
        creationTime=start,
        EventStatus_=sep.EventStatus(currentStatus=1, dateTime=start, potentiallySuperseded=False),
        interval=sep.DateTimeInterval(start=start, duration=3600),
        DERControlBase_=base or sep.DERControlBase(opModMaxLimW=2500),
    )


def device(programs: str = "/fsa") -> sep.EndDevice:
    return sep.EndDevice(
        href="/edev/1",
        lFDI=LFDI,
        sFDI=1,
        changedTime=0,
        postRate=1,
        FunctionSetAssignmentsListLink=sep.ListLink(href=programs, all_=1),
    )


@dataclass
class Scripted:
    """A server over plain HTTP that answers what a test wants it to."""

    poll_s: int = 1
    ahead_s: int = 0
    controls: list[sep.DERControl] = field(default_factory=list)
    curves: dict[str, sep.DERCurve] = field(default_factory=dict)
    """By address."""
    programs: str = "/fsa"
    headers: dict[str, str] = field(default_factory=dict)
    dribbles: bool = False
    refused: dict[str, int] = field(default_factory=dict)
    """By address, the status that every request to it gets."""
    asked: list[str] = field(default_factory=list)
    """Addresses of all that was written to them, taken or not."""
    spoilt: tuple[bytes, bytes] = (b"", b"")
    """What is written in its list of controls, and what in its place."""
    told: bool = False
    """Whether the device has resources to tell of itself."""
    default: bool = False
    """Whether the program links to a default control."""
    said: list[int] = field(default_factory=list)
    """Statuses of Responses."""
    readings: list[sep.MirrorMeterReadingList] = field(default_factory=list)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def resource(self, path: str) -> sep.Resource | None:
        found: dict[str, Callable[[], sep.Resource]] = {
            "/dcap": lambda: sep.DeviceCapability(
                href="/dcap",
                pollRate=self.poll_s,
                TimeLink=sep.Link(href="/tm"),
                EndDeviceListLink=sep.ListLink(href="/edev", all_=1),
                MirrorUsagePointListLink=sep.ListLink(href="/mup", all_=0),
            ),
            "/edev": lambda: sep.EndDeviceList(
                href="/edev", all_=1, results=1, EndDevice_=[self.device()]
            ),
            "/edev/1": self.device,
            "/edev/1/der": lambda: sep.DERList(
                href="/edev/1/der",
                all_=1,
                results=1,
                DER_=[
                    sep.DER(
                        href="/edev/1/der/1",
                        DERCapabilityLink=sep.Link(href="/dercap"),
                        DERSettingsLink=sep.Link(href="/derg"),
                        DERStatusLink=sep.Link(href="/ders"),
                    )
                ],
            ),
            "/derp/1/dderc": lambda: sep.DefaultDERControl(
                href="/derp/1/dderc",
                mRID="03",
                DERControlBase_=sep.DERControlBase(opModMaxLimW=4000),
            ),
            "/fsa": lambda: sep.FunctionSetAssignmentsList(
                href="/fsa",
                all_=1,
                results=1,
                pollRate=self.poll_s,
                FunctionSetAssignments_=[
                    sep.FunctionSetAssignments(
                        href="/fsa/1",
                        mRID="01",
                        DERProgramListLink=sep.ListLink(href="/derp", all_=1),
                    )
                ],
            ),
            "/derp": lambda: sep.DERProgramList(
                href="/derp",
                all_=1,
                results=1,
                pollRate=self.poll_s,
                DERProgram_=[
                    sep.DERProgram(
                        href="/derp/1",
                        mRID="02",
                        primacy=1,
                        DERControlListLink=sep.ListLink(href="/derp/1/derc", all_=1),
                        DefaultDERControlLink=sep.Link(href="/derp/1/dderc")
                        if self.default
                        else None,
                    )
                ],
            ),
            "/derp/1/derc": lambda: sep.DERControlList(
                href="/derp/1/derc",
                all_=len(self.controls),
                results=len(self.controls),
                DERControl_=self.controls,
            ),
            "/tm": lambda: sep.Time(
                href="/tm",
                pollRate=1,
                currentTime=int(time.time()) + self.ahead_s,
                dstEndTime=0,
                dstOffset=0,
                dstStartTime=0,
                quality=7,
                tzOffset=0,
            ),
        }
        return found[path]() if path in found else self.curves.get(path)

    def device(self) -> sep.EndDevice:
        found = device(self.programs)
        if self.told:
            found.DERListLink = sep.ListLink(href="/edev/1/der", all_=1)
        return found

    def heard(self, path: str, body: bytes) -> None:
        if path == "/rsp":
            self.said.append(int(codec.decode(body, sep.DERControlResponse).status or 0))
        if path == "/mup/1":
            self.readings.append(codec.decode(body, sep.MirrorMeterReadingList))


@contextmanager
def listening(scripted: Scripted) -> Iterator[Scripted]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None: ...

        def _answer(self, status: int, body: bytes = b"", /, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _taken(self, status: int, location: str = "") -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            scripted.asked.append(self.path)
            if self.path in scripted.refused:
                self._answer(scripted.refused[self.path])
                return
            scripted.heard(self.path, body)
            self._answer(status, location=location)

        def do_PUT(self) -> None:
            self._taken(204)

        def do_POST(self) -> None:
            self._taken(201, location="/mup/1")

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            found = scripted.resource(path)
            if found is None or path in scripted.refused:
                self._answer(scripted.refused.get(path, 404))
            elif scripted.dribbles:
                self.send_response(200)
                self.send_header("content-length", "100000")
                self.end_headers()
                while not scripted.over.wait(0.05):
                    try:
                        self.wfile.write(b" ")
                    except OSError:
                        return
            else:
                special = scripted.headers if path == "/derp/1/derc" else {}
                special = {"content_type": codec.MEDIA, **special}
                body = codec.encode(found)
                if path == "/derp/1/derc" and scripted.spoilt[0]:
                    body = body.replace(*scripted.spoilt)
                self._answer(200, body, **special)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    scripted.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield scripted
    finally:
        scripted.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Scripted]:
    with listening(Scripted()) as found:
        yield found


def awaited(what: Callable[[], T], holds: Callable[[T], object] = bool) -> T:
    deadline = time.monotonic() + PATIENCE_S
    while not holds(said := what()):
        assert time.monotonic() < deadline, said
        threading.Event().wait(0.02)
    return said


@contextmanager
def following(server: Scripted, der: DerApplication, **more: Any) -> Iterator[EndDeviceClient]:
    loop = LoopThread("client")

    async def start() -> tuple[EndDeviceClient, "asyncio.Task[None]", Session]:
        session = Session(server.url, None)
        client = EndDeviceClient(session, LFDI, der, clock=WallClock(), **more)
        return client, asyncio.create_task(client.run()), session

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await session.close()

    client, task, session = loop.run(start())
    try:
        yield client
        assert not task.done()
    finally:
        loop.run(end())
        loop.close()


def now() -> int:
    return int(time.time())


NONSENSE = {
    "a body that is not as it says": {"headers": {"content_encoding": "gzip"}},
    "an address that is none": {"programs": "http://[bad"},
    "a port that is none": {"programs": "http://localhost:99999999/fsa"},
    "control characters in an address": {"programs": "http://\x7f\u0080/"},
    "another protocol": {"programs": "gopher://localhost/"},
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_a_trouble_that_passes(server: Scripted, nonsense: dict[str, Any]) -> None:
    der = SiteAsDer(segment())
    with following(server, der) as client:
        awaited(client.read.is_set)
        for name, value in nonsense.items():
            setattr(server, name, value)
        awaited(lambda: client.trouble)
        server.headers, server.programs = {}, "/fsa"
        server.controls = [control(now())]
        awaited(lambda: server.said, lambda said: said == [1, 2])
        awaited(lambda: client.trouble, lambda trouble: not trouble)


TOLD = ("/dercap", "/derg", "/ders", "/mup")


def test_a_server_that_takes_nothing_is_followed_and_told_again(server: Scripted) -> None:
    server.told = True
    server.refused = dict.fromkeys((*TOLD, "/rsp"), 503)
    server.controls = [control(now())]
    der = SiteAsDer(segment())
    der.report(5.0, 1.0, now())
    with following(server, der) as client:
        awaited(lambda: der.asked and der.asked.value("opModMaxLimW"), lambda v: v == 2500)
        # Each is tried, whatever became of those before it, and tried again.
        awaited(lambda: [server.asked.count(at) for at in (*TOLD, "/rsp")], lambda n: min(n) > 1)
        assert "503" in awaited(lambda: client.trouble)
        server.controls = []
        awaited(lambda: der.asked and der.asked.value("opModMaxLimW"), lambda v: v is None)
        server.refused = {}
        awaited(lambda: server.said, lambda said: said[:2] == [1, 2])
        awaited(lambda: server.readings)
        awaited(lambda: client.trouble, lambda trouble: not trouble)


def test_a_control_out_of_range_is_refused_and_named_and_the_others_act(server: Scripted) -> None:
    bad = control(now()).model_copy(update={"mRID": "BB" * 16, "href": "/derp/1/derc/2"})
    bad.DERControlBase_ = sep.DERControlBase(opModMaxLimW=1234)
    server.controls = [bad, control(now())]
    server.spoilt = (b">1234<", b">12345<")
    der = SiteAsDer(segment())
    with following(server, der) as client:
        awaited(lambda: der.asked and der.asked.value("opModMaxLimW"), lambda v: v == 2500)
        awaited(lambda: server.said, lambda said: sorted(said) == [1, 2, 253])
        trouble = awaited(lambda: client.trouble)
        assert bad.mRID in trouble
        assert "opModMaxLimW" in trouble
        server.controls = [control(now())]
        awaited(lambda: client.trouble, lambda trouble: not trouble)


RISING = {
    "opModVoltVar": (2, [(92, 44), (98, 0), (102, 0), (108, -44)]),
    "opModVoltWatt": (1, [(106, 100), (110, 0)]),
    "opModWattVar": (2, [(20, 0), (50, 0), (100, -44)]),
    "opModWattPF": (0, [(20, 1), (50, 1), (100, 1)]),
    "opModFreqWatt": (1, [(60, 100), (62, 50), (64, 0)]),
}
"""Of each mode, what y is a share of, and points that an inverter follows."""


def curve(mode: str, points: list[tuple[int, int]]) -> sep.DERCurve:
    return sep.DERCurve(
        href="/dc/1",
        mRID="04",
        creationTime=0,
        curveType=modes.CURVE_TYPES.index(mode),
        xMultiplier=0,
        yMultiplier=0,
        yRefType=RISING[mode][0],
        CurveData_=[sep.CurveData(xvalue=x, yvalue=y) for x, y in points],
    )


@pytest.mark.parametrize("mode", RISING)
def test_a_curve_whose_x_falls_is_refused_and_the_others_act(server: Scripted, mode: str) -> None:
    der = SimulatedDer(Pv(name="pv", bus="b", rated_kw=100.0, q_max_kvar=50.0))
    _, points = RISING[mode]
    assert der.refuses({mode: curve(mode, points)}) is None
    server.curves = {"/dc/1": curve(mode, points[::-1])}
    bad = control(now(), sep.DERControlBase.model_validate({mode: sep.Link(href="/dc/1")}))
    server.controls = [bad]
    other = control(now()).model_copy(update={"mRID": "BB" * 16, "href": "/derp/1/derc/2"})
    with following(server, der):
        awaited(lambda: server.said, lambda said: said == [253])
        server.controls = [bad, other]
        awaited(lambda: server.said, lambda said: said == [253, 1, 2])
        assert set(der.control.ordered) == {"opModMaxLimW"}


def test_an_absurd_time_is_told_and_events_go_by_the_time_that_was_believed(
    server: Scripted,
) -> None:
    server.ahead_s = 10 * 365 * 86_400
    server.controls = [control(now())]
    with following(server, SiteAsDer(segment())) as client:
        awaited(lambda: server.said, lambda said: said == [1, 2])
        assert "not believed" in awaited(lambda: client.trouble)
        server.ahead_s = 0
        awaited(lambda: client.trouble, lambda trouble: not trouble)


def test_a_server_that_does_not_show_its_ders_is_followed(server: Scripted) -> None:
    server.told = True
    server.refused = {"/edev/1/der": 403}
    server.controls = [control(now())]
    der = SiteAsDer(segment())
    der.report(5.0, 1.0, now())
    with following(server, der) as client:
        awaited(lambda: server.said, lambda said: said == [1, 2])
        awaited(lambda: server.readings)
        assert client.trouble == ""


@pytest.mark.parametrize("status", [408, 429])
def test_a_response_that_comes_at_a_bad_time_is_kept(server: Scripted, status: int) -> None:
    server.refused = {"/rsp": status}
    server.controls = [control(now())]
    with following(server, SiteAsDer(segment())):
        awaited(lambda: server.asked.count("/rsp"), lambda count: count > 1)
        server.refused = {}
        awaited(lambda: server.said, lambda said: said == [1, 2])


@pytest.mark.parametrize("status", [400, 404])
def test_a_response_that_is_refused_is_given_up(server: Scripted, status: int) -> None:
    server.refused = {"/rsp": status}
    server.controls = [control(now())]
    with following(server, SiteAsDer(segment())):
        awaited(lambda: server.asked.count("/rsp"), lambda count: count == 2)
        server.refused = {}
        server.controls = [control(now()).model_copy(update={"mRID": "BB" * 16})]
        awaited(lambda: server.said, lambda said: 2 in said)
    assert server.asked.count("/rsp") == 2 + len(server.said)


@pytest.mark.parametrize("status", [403, 404])
def test_a_default_that_is_withheld_holds_until_its_program_no_longer_links_to_it(
    server: Scripted, status: int
) -> None:
    server.default = True
    der = SiteAsDer(segment())

    def asked() -> object:
        return der.asked and der.asked.value("opModMaxLimW")

    with following(server, der):
        awaited(asked, lambda v: v == 4000)
        server.refused = {"/derp/1/dderc": status}
        server.controls = [control(now())]  # once it is followed, the default has been withheld
        awaited(asked, lambda v: v == 2500)
        server.controls = []
        awaited(asked, lambda v: v != 2500)
        assert asked() == 4000
        server.default = False
        awaited(asked, lambda v: v is None)


def test_an_answer_that_dribbles_is_none(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ems.enddevice.session.PATIENCE_S", 0.3)
    server.dribbles = True

    async def ask() -> None:
        session = Session(server.url, None)
        try:
            await session.get("/dcap", sep.DeviceCapability)
        finally:
            await session.close()

    with pytest.raises(Lost, match=r"no whole answer in 0\.3 s"):
        asyncio.run(ask())


def test_a_server_whose_time_is_set_is_followed_at_once(server: Scripted) -> None:
    """Its programs are not read again for an hour: the clock alone says that an event begins."""
    server.poll_s = 3600
    server.controls = [control(now() + 1800)]
    with following(server, SiteAsDer(segment())):
        awaited(lambda: server.said, lambda said: said == [1])
        server.ahead_s = 2000
        awaited(lambda: server.said, lambda said: said == [1, 2])


def test_an_application_that_breaks_on_a_control_refuses_it_and_follows_the_next(
    server: Scripted,
) -> None:
    class Breaks(SiteAsDer):
        def apply(self, control: ControlInForce) -> None:
            if control.value("opModMaxLimW") == 2500:
                raise ZeroDivisionError
            super().apply(control)

    der = Breaks(segment())
    server.controls = [control(now())]
    with following(server, der):
        awaited(lambda: server.said, lambda said: said == [1, 2, 253])
        server.controls = [
            control(now(), sep.DERControlBase(opModMaxLimW=5000)).model_copy(
                update={"mRID": "BB" * 16}
            )
        ]
        awaited(lambda: der.asked and der.asked.value("opModMaxLimW"), lambda v: v == 5000)


def test_a_fault_of_the_client_itself_is_told_and_it_begins_anew(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    der = SiteAsDer(segment())
    with following(server, der) as client:
        awaited(client.read.is_set)
        with monkeypatch.context() as broken:
            broken.setattr(der, "status", lambda _now: 1 / 0)
            assert "ZeroDivisionError" in awaited(lambda: client.trouble)
        awaited(lambda: client.trouble, lambda trouble: not trouble)


def test_a_reading_is_mirrored_with_the_time_at_which_it_was_measured(server: Scripted) -> None:
    server.ahead_s = 600
    der = SiteAsDer(segment())
    der.report(5.0, 1.0, now() - 40)
    with following(server, der):
        posted = awaited(lambda: server.readings)[0]
    assert posted.MirrorMeterReading_ is not None
    [reading, _] = [m.Reading_ for m in posted.MirrorMeterReading_]
    assert reading is not None
    assert reading.timePeriod is not None
    assert reading.timePeriod.start == pytest.approx(now() + 560, abs=20)  # a loaded machine's


# --- a site that follows its utility -------------------------------------------------------------


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return make_pki(tmp_path / "pki", ("site",))


@contextmanager
def utility_of(server: Scripted, pki: Pki, passed_s: list[float]) -> Iterator[Utility]:
    issued = pki.device["site"]
    at = UtilityAddress(
        url=f"{server.url}/dcap",
        ca_file=pki.ca_file,
        cert_file=issued.cert_file,
        key_file=issued.key_file,
        lost_after_s=3.0,
    )
    utility = Utility(segment(), at, passed_s=lambda: passed_s[0])
    utility._lfdi = LFDI  # over plain HTTP no certificate is shown
    utility.start()
    try:
        yield utility
    finally:
        utility.close()


def test_a_utility_that_asks_to_be_left_alone_is_asked_and_heard_of_nevertheless(
    server: Scripted, pki: Pki
) -> None:
    server.poll_s = FOREVER
    passed_s = [0.0]
    with utility_of(server, pki, passed_s) as utility:
        awaited(utility.told, lambda told: told.endswith("followed"))
        server.controls = [control(now())]
        awaited(lambda: server.said, lambda said: said == [1, 2])


def test_a_utility_that_dribbles_counts_as_lost(
    server: Scripted, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ems.enddevice.session.PATIENCE_S", 0.5)
    passed_s = [0.0]
    with utility_of(server, pki, passed_s) as utility:
        awaited(utility.told, lambda told: told.endswith("followed"))
        server.dribbles = True
        assert "no whole answer" in awaited(utility.told, lambda told: "answer" in told)
        passed_s[0] = 3.0
        assert "has not answered for 3 s" in utility.limits().lost
        assert "has not answered for 3 s" in utility.told()


def test_following_that_breaks_off_is_told_and_begun_anew(
    server: Scripted, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:

        async def breaks(_client: EndDeviceClient) -> None:
            raise KeyError("x")

        broken.setattr(EndDeviceClient, "run", breaks)
        with utility_of(server, pki, [0.0]) as utility:
            awaited(utility.told, lambda told: "broken off: KeyError" in told)
            broken.undo()
            awaited(utility.told, lambda told: told.endswith("followed"))


# --- a fleet -------------------------------------------------------------------------------------


def test_a_curve_in_force_that_is_changed_to_nonsense_ends_its_event_and_nothing_else(
    tmp_path: Path,
) -> None:
    names = ["device-1", "device-2"]
    with serving(tmp_path, WallClock(), names, {"p": 1}, poll_s=1) as utility:
        points = [(92, 44), (98, 0), (102, 0), (108, -44)]
        drawn = utility.do(
            lambda: utility.board.add_curve("vv", type=11, points=points, y_ref_type=2)
        )
        fleet = ClientFleet(
            ders_of(2, {"pv": 1}),
            credentials_of(utility.pki.ca_file.parent, names),
            utility.pki.ca_file,
            utility.url,
            clock=WallClock(),
            poll_s=1,
        )
        fleet.start()
        try:
            base = sep.DERControlBase(opModVoltVar=sep.Link(href=drawn.href))
            made = utility.do(
                lambda: utility.board.publish(
                    "p", base=base, start=utility.board.now(), duration=600
                )
            )
            utility.answered(made.mrid, 2, 1, 2)
            nonsense = [*points[:3], (150, -44)]
            utility.do(lambda: utility.board.change_curve("vv", points=nonsense))
            utility.answered(made.mrid, 2, 1, 2, 253)
            fleet.step()
            base = sep.DERControlBase(opModMaxLimW=5000)
            other = utility.do(
                lambda: utility.board.publish(
                    "p", base=base, start=utility.board.now(), duration=600
                )
            )
            utility.answered(other.mrid, 2, 1, 2)
            assert fleet.trouble == {}
        finally:
            fleet.stop()


def test_a_client_that_ends_leaves_the_others_alone_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["device-1", "device-2"]
    with serving(tmp_path, WallClock(), names, {"p": 1}, poll_s=1) as utility:
        credentials = credentials_of(utility.pki.ca_file.parent, names)
        run = EndDeviceClient.run

        async def breaks(client: EndDeviceClient) -> None:
            if client.lfdi == credentials[0].lfdi:
                raise KeyError("x")
            await run(client)

        monkeypatch.setattr(EndDeviceClient, "run", breaks)
        fleet = ClientFleet(
            ders_of(2, {"pv": 1}),
            credentials,
            utility.pki.ca_file,
            utility.url,
            clock=WallClock(),
        )
        fleet.start()
        try:
            utility.heard(lambda: fleet.registered, lambda count: count == 1)
            fleet.step()
            assert list(fleet.trouble) == [fleet.names[0]]
            assert "KeyError" in fleet.trouble[fleet.names[0]]
        finally:
            fleet.stop()
