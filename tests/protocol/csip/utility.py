"""A server on a free port, its certificates, a clock that tests move, and independent clients.

The clients know nothing of GEEMS' own codec: they speak HTTP by httpx2 over mutual TLS 1.2 with
the cipher suite of the standard, and read XML by lxml. Time is the server's, and stands still until
a test moves it: an event three minutes ahead takes no waiting.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any, TypeVar

import httpx2
from lxml import etree

from ems.clock import SteppedClock
from ems.derms.board import Board, Device
from ems.derms.certificates import Issued, Pki
from ems.derms.keeping import Keeper
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings

T = TypeVar("T")

SUITE = "ECDHE-ECDSA-AES128-CCM8"
NAMESPACE = "urn:ieee:std:2030.5:ns"
MEDIA = "application/sep+xml"
PIN = 111115
"""What the CSIP conformance test procedures register devices with."""
START = datetime(2026, 6, 1, 12, tzinfo=UTC)
DEVICES = ("client", "client-1", "client-2", "eda1", "eda2", "edb1", "edb2", "eda1x", "stranger")
ANSWER_S = 10.0
"""Longer than any answer or notification takes on a loaded machine [s]."""

HIERARCHY = {"SY": 10, "ST": 9, "SS": 8, "FD": 7, "SG": 6, "TF": 5, "SP": 4}
"""Groups of the procedures' first figure, system to service point, with their primacies."""
FLEET = {
    "eda1": ("SY", "ST", "SS", "FDA", "SGA", "TFA", "SPA1"),
    "eda2": ("SY", "ST", "SS", "FDA", "SGA", "TFA", "SPA2"),
    "edb1": ("SY", "ST", "SS", "FDB", "SGB", "TFB", "SPB1"),
    "edb2": ("SY", "ST", "SS", "FDB", "SGB", "TFB", "SPB2"),
}
"""The procedures' topology of an aggregator's devices: the groups of each, from the system down."""


def tls(
    pki: Pki, issued: Issued | None, *, ciphers: str = f"{SUITE}:@SECLEVEL=0", server: bool = False
) -> ssl.SSLContext:
    """TLS 1.2 with the standard's suite; a peer without `issued` has no certificate."""
    side = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
    context = ssl.SSLContext(side)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    context.load_verify_locations(pki.ca_file)
    if server:
        context.verify_mode = ssl.CERT_REQUIRED
    if issued is not None:
        context.load_cert_chain(issued.cert_file, issued.key_file)
    return context


def document(tag: str, inner: str) -> str:
    """What a client sends."""
    return f'<{tag} xmlns="{NAMESPACE}">{inner}</{tag}>'


def power(tag: str, value: int, multiplier: int = 0) -> str:
    """A quantity with its power of ten."""
    return f"<{tag}><multiplier>{multiplier}</multiplier><value>{value}</value></{tag}>"


CAPABILITY = document(
    "DERCapability",
    f"<modesSupported>00900040</modesSupported>{power('rtgMaxVA', 6000)}"
    f"{power('rtgMaxVar', 2500)}{power('rtgMaxW', 5000)}<type>4</type>",
)
"""A photovoltaic inverter of 5 kW with fixed var, maximum power and volt-var."""
SETTINGS = document(
    "DERSettings",
    f"<setGradW>27</setGradW>{power('setMaxVA', 5500)}{power('setMaxVar', 2000)}"
    f"{power('setMaxW', 4500)}<updatedTime>1780315200</updatedTime>",
)
STATUS = document(
    "DERStatus",
    "<genConnectStatus><dateTime>1780315200</dateTime><value>07</value></genConnectStatus>"
    "<inverterStatus><dateTime>1780315200</dateTime><value>3</value></inverterStatus>"
    "<readingTime>1780315200</readingTime>",
)
AVAILABILITY = document(
    "DERAvailability",
    f"<readingTime>1780315200</readingTime>{power('statWAvail', 4200)}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """An answer, as an independent reader sees it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def xml(self) -> Any:
        """The document; its media type and namespace are checked on the way."""
        assert self.headers["content-type"].partition(";")[0] == MEDIA
        root = etree.fromstring(self.body)
        assert etree.QName(root).namespace == NAMESPACE
        return root

    def texts(self, path: str) -> list[str]:
        """Texts of the elements at a path, for example `EndDevice/sFDI`."""
        return [str(found.text or "") for found in self.all(path)]

    def text(self, path: str) -> str:
        """Text of the one element at a path."""
        [found] = self.texts(path)
        return found

    def all(self, path: str) -> list[Any]:
        """The elements at a path."""
        return list(self.xml.iterfind("/".join(f"{{{NAMESPACE}}}{p}" for p in path.split("/"))))

    def has(self, path: str) -> bool:
        return bool(self.all(path))

    @property
    def href(self) -> str:
        """Where the document is."""
        return str(self.xml.get("href"))

    @property
    def location(self) -> str:
        """Where what was made can be found."""
        return self.headers["location"]

    def link(self, path: str) -> str:
        """Where the link at a path points."""
        [found] = self.all(path)
        return str(found.get("href"))

    def links(self, path: str) -> list[str]:
        return [str(found.get("href")) for found in self.all(path)]

    def items(self, tag: str) -> list[Any]:
        """Items of a list, whose counts are checked on the way."""
        found = self.all(tag)
        assert int(self.xml.get("results")) == len(found)
        return found


class Client:
    """One peer on one connection."""

    def __init__(self, url: str, context: ssl.SSLContext, issued: Issued | None) -> None:
        self.issued = issued
        self.http = httpx2.Client(
            base_url=url, verify=context, timeout=ANSWER_S, headers={"Accept": MEDIA}
        )

    @property
    def lfdi(self) -> str:
        assert self.issued is not None
        return self.issued.lfdi

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> Got:
        told = {"Content-Type": MEDIA, **headers} if body else headers
        made = self.http.request(method, path, content=body.encode() or None, headers=told)
        return Got(status=made.status_code, headers=dict(made.headers), body=made.content)

    def get(self, path: str) -> Got:
        got = self.ask("GET", path)
        assert got.status == 200, (path, got.status, got.body)
        return got

    def every(self, path: str, tag: str) -> Got:
        """A whole list: as many as it says it has."""
        count = self.get(path).xml.get("all")
        got = self.get(f"{path}?l={count}")
        assert len(got.items(tag)) == int(count)
        return got

    def put(self, path: str, body: str) -> Got:
        return self.ask("PUT", path, body)

    def post(self, path: str, body: str) -> Got:
        return self.ask("POST", path, body)

    def own(self) -> Got:
        """The EndDevice that is this client's own, found as clients do, by its LFDI."""
        return self.device_of(self.lfdi)

    def device_of(self, lfdi: str) -> Got:
        """The EndDevice of an LFDI, found in the list that the device capability links to."""
        edev = self.get("/dcap").link("EndDeviceListLink")
        listed = self.every(edev, "EndDevice")
        [href] = [
            device.get("href")
            for device in listed.all("EndDevice")
            if device.findtext(f"{{{NAMESPACE}}}lFDI") == lfdi
        ]
        return self.get(str(href))

    def programs(self, device: Got | None = None) -> list[Got]:
        """The programs of a device, in the order of its assignments and their lists."""
        assigned = (device or self.own()).link("FunctionSetAssignmentsListLink")
        made: list[Got] = []
        for fsa in self.every(assigned, "FunctionSetAssignments").links("FunctionSetAssignments"):
            listed = self.get(fsa).link("DERProgramListLink")
            hrefs = self.every(listed, "DERProgram").links("DERProgram")
            made += [self.get(href) for href in hrefs]
        return made

    def respond(self, control: Any, status: int, time: int, lfdi: str = "") -> Got:
        """A Response to a DERControl, sent to where it asks for."""
        mrid = control.findtext(f"{{{NAMESPACE}}}mRID")
        return self.post(
            control.get("replyTo"),
            f'<DERControlResponse xmlns="{NAMESPACE}"><createdDateTime>{time}</createdDateTime>'
            f"<endDeviceLFDI>{lfdi or self.lfdi}</endDeviceLFDI><status>{status}</status>"
            f"<subject>{mrid}</subject></DERControlResponse>",
        )

    def subscribe(self, path: str, uri: str, *, limit: int = 1, device: Got | None = None) -> Got:
        return self.post(
            (device or self.own()).link("SubscriptionListLink"),
            f'<Subscription xmlns="{NAMESPACE}"><subscribedResource>{path}</subscribedResource>'
            f"<encoding>0</encoding><level>+S1</level><limit>{limit}</limit>"
            f"<notificationURI>{uri}</notificationURI></Subscription>",
        )


class Listener:
    """Where notifications arrive: HTTPS with mutual TLS, as the standard has it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.told: Queue[Got] = Queue()
        self.answer = 201
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(listener.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()
                listener.told.put(Got(status=0, headers=headers, body=body))

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        # The interval is how long closing takes.
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def uri(self) -> str:
        return f"https://localhost:{self._server.server_address[1]}/ntfy"

    def next(self) -> Got:
        """The next notification."""
        return self.told.get(timeout=ANSWER_S)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(slots=True, kw_only=True)
class Utility:
    """The server under test, with what belongs to it."""

    pki: Pki
    clock: SteppedClock
    board: Board
    settings: ServerSettings
    server: DermsServer
    keeper: Keeper
    open: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        host, port = self.server.address
        return f"https://{host}:{port}"

    @property
    def now(self) -> int:
        """[s]."""
        return int(self.clock.now().timestamp())

    def pass_s(self, seconds: float) -> None:
        """Let the server's time pass."""
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))

    def do(self, change: Callable[[], T]) -> T:
        """A change of the board, where it may be made: on the server's loop."""
        return self.server.call(change)

    def issued(self, name: str) -> Issued:
        found = {**self.pki.device, **self.pki.aggregator, **self.pki.administrator}
        return found[name]

    def client(self, name: str) -> Client:
        """A new connection of one who has this certificate."""
        issued = self.issued(name)
        made = Client(self.url, tls(self.pki, issued), issued)
        self.open.callback(made.http.close)
        return made

    def register(self, name: str, **known: Any) -> Device:
        """Out of band, with the PIN of the procedures."""
        lfdi = self.issued(name).lfdi
        return self.do(lambda: self.board.add_device(name, lfdi=lfdi, **{"pin": PIN, **known}))

    def listener(self, name: str) -> Listener:
        made = Listener(tls(self.pki, self.issued(name), server=True))
        self.open.callback(made.close)
        return made

    def group(self, **primacies: int) -> None:
        """Programs of these names, each with its primacy."""
        for name, primacy in primacies.items():
            self.do(partial(self.board.add_program, name, primacy=primacy))

    def fleet(self) -> None:
        """The aggregator, its four devices, and a program at every node above them."""
        nodes = dict.fromkeys(node for path in FLEET.values() for node in path)
        levels = {node: 10 - level for path in FLEET.values() for level, node in enumerate(path)}
        self.group(**{node: levels[node] for node in nodes})
        self.register("aggregator")
        for name, path in FLEET.items():
            self.register(name, aggregator=self.issued("aggregator").lfdi, groups=path)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what follows an answer of ours at the server's end; nobody tells us of it."""
        end = time.monotonic() + ANSWER_S
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)

    def close(self) -> None:
        self.open.close()
        self.server.stop()

    def restart(self) -> None:
        """Stop, and start anew from what was kept."""
        self.server.stop()
        self.board = Board(self.keeper, self.clock)
        self.server = DermsServer(self.settings, self.board)
        self.server.start()


Start = Callable[..., Utility]
"""Starts a server with settings of its own."""


def canonical(element: etree._Element) -> list[tuple[str, str]]:
    """Elements and texts, in their order; spaces between elements say nothing."""
    return [(str(found.tag), (found.text or "").strip()) for found in element.iter()]
