"""The IEEE 2030.5 server on real sockets: TLS, connections, notifications, threads, its end."""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ems.clock import SteppedClock
from ems.derms.board import Board, Conflict
from ems.derms.certificates import Pki, make_pki
from ems.derms.keeping import MemoryKeeper
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings
from ems.errors import BadInput, PortInUse
from ems.protocols.ieee2030_5 import sep
from tests.protocol.csip.utility import ANSWER_S, MEDIA, NAMESPACE, START, Listener, Utility, tls

SOON_S = 0.3
"""A limit that a test waits for [s]."""
Start = Callable[..., Utility]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(
        tmp_path_factory.mktemp("pki"),
        ["alice", "bob"],
        aggregators=["aggregator"],
        administrators=["boss"],
    )


@pytest.fixture
def start(pki: Pki) -> Iterator[Start]:
    """Starts a server with Alice and Bob, and one program for both."""
    with ExitStack() as stack:

        def started(**settings: Any) -> Utility:
            chosen = replace(
                ServerSettings(
                    port=0,
                    cert_file=pki.server.cert_file,
                    key_file=pki.server.key_file,
                    ca_file=pki.ca_file,
                ),
                **settings,
            )
            clock, keeper = SteppedClock(START), MemoryKeeper()
            board = Board(keeper, clock)
            board.add_program("feeder", primacy=1)
            for name in ("alice", "bob"):
                lfdi = pki.device[name].lfdi
                board.add_device(name, lfdi=lfdi, pin=111115, groups=["feeder"])
            utility = Utility(
                pki=pki,
                clock=clock,
                board=board,
                settings=chosen,
                server=DermsServer(chosen, board),
                keeper=keeper,
            )
            utility.server.start()
            stack.callback(utility.close)
            return utility

        yield started


def _line(utility: Utility, name: str = "alice", **more: Any) -> ssl.SSLSocket:
    """A connection of a device, for whatever bytes a test wants to send."""
    plain = socket.create_connection(utility.server.address, timeout=ANSWER_S)
    context = tls(utility.pki, utility.issued(name))
    made = context.wrap_socket(plain, server_hostname="localhost", **more)
    utility.open.callback(made.close)
    return made


def _control(utility: Utility, start: int = 0, duration: int = 60, limit: int = 5000) -> str:
    base = sep.DERControlBase(opModMaxLimW=limit)
    return utility.do(
        lambda: utility.board.publish(
            "feeder", base=base, start=utility.now + start, duration=duration
        )
    ).mrid


def _everything(line: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts: list[bytes] = []
    while True:
        try:
            part = line.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


# ---- TLS


def test_the_suite_is_the_standards_and_the_version_1_2(start: Start) -> None:
    line = _line(start())

    assert line.cipher()[:2] == ("ECDHE-ECDSA-AES128-CCM8", "TLSv1.2")  # type: ignore[index]


def test_a_session_is_resumed_and_still_the_same_devices(start: Start) -> None:
    utility = start()
    context = tls(utility.pki, utility.issued("alice"))

    def ask(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool, bytes]:
        plain = socket.create_connection(utility.server.address, timeout=ANSWER_S)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as line:
            line.sendall(b"GET /edev HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return line.session, bool(line.session_reused), _everything(line)

    session, _, first = ask(None)
    _, reused, second = ask(session)

    assert reused
    lfdi = utility.issued("alice").lfdi.encode()
    assert lfdi in first
    assert lfdi in second


def test_a_connection_is_kept_for_many_requests(start: Start) -> None:
    utility = start()
    client = http.client.HTTPSConnection(
        *utility.server.address, context=_unnamed(utility), timeout=ANSWER_S
    )
    client.request("GET", "/dcap")
    client.getresponse().read()
    line = client.sock
    for _ in range(20):
        client.request("GET", "/tm")
        assert client.getresponse().read().startswith(b"<Time ")

    assert client.sock is line
    client.close()


def _unnamed(utility: Utility) -> ssl.SSLContext:
    """For a client that goes to an address, not to a host of the certificate."""
    context = tls(utility.pki, utility.issued("alice"))
    context.check_hostname = False
    return context


@pytest.mark.parametrize("missing", ["cert_file", "key_file", "ca_file"])
def test_a_file_that_is_missing_is_told_before_the_start(
    start: Start, tmp_path: Path, missing: str
) -> None:
    with pytest.raises(BadInput, match="geems ieee2030-5 certs"):
        start(**{missing: tmp_path / "nowhere.pem"})


def test_a_port_that_is_taken_is_told(start: Start) -> None:
    taken = start()

    with pytest.raises(PortInUse, match=r"ieee2030_5\.port"):
        start(port=taken.server.address[1])


# ---- connections


def test_requests_sent_in_one_go_are_answered_in_order(start: Start) -> None:
    line = _line(start())
    paths = ("/dcap", "/tm", "/nothing", "/edev")
    asked = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths[:-1])
    line.sendall(f"{asked}GET /edev HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    told = _everything(line)

    places = [told.index(what) for what in (b"<DeviceCap", b"<Time ", b" 404 ", b"<EndDeviceList ")]
    assert places == sorted(places)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_long_is_refused_and_the_connection_goes_on(
    start: Start, *, chunked: bool
) -> None:
    utility = start(max_body_bytes=10_000)
    client = http.client.HTTPSConnection(
        *utility.server.address, context=_unnamed(utility), timeout=ANSWER_S
    )
    body: Any = (b"x" * 50_000 for _ in range(10)) if chunked else b"x" * 500_000
    client.request(
        "PUT", "/edev/1/der/1/derg", body, {"Content-Type": MEDIA}, encode_chunked=chunked
    )
    answer = client.getresponse()
    told = answer.read()

    assert (answer.status, b"<Error" in told) == (413, True)
    client.request("GET", "/tm")
    assert client.getresponse().status == 200
    client.close()


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(start: Start) -> None:
    line = _line(start())
    line.sendall(
        f"PUT /edev/1/der/1/ders HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA}\r\n"
        "Content-Length: 86\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n".encode()
    )
    assert line.recv(100).startswith(b"HTTP/1.1 100 ")
    line.sendall(
        f'<DERStatus xmlns="{NAMESPACE}"><readingTime>5</readingTime></DERStatus>'.encode()
    )
    line.sendall(b" " * 12)

    assert _everything(line).startswith(b"HTTP/1.1 204 ")


def test_headers_without_end_are_refused(start: Start) -> None:
    utility = start()
    line = _line(utility)
    line.sendall(b"GET /dcap HTTP/1.1\r\n" + b"X-Junk: " + b"x" * 40_000)

    assert _everything(line).startswith(b"HTTP/1.1 431 ")
    assert utility.server.health().refused["http"] == 1


@pytest.mark.parametrize("begun", [b"GET /dcap HT", b"GET /dcap HTTP/1.1\r\nX: "])
def test_a_client_that_dawdles_is_hung_up_on(start: Start, begun: bytes) -> None:
    utility = start(request_s=SOON_S)
    line = _line(utility)
    line.sendall(begun)

    assert _everything(line) == b""
    assert utility.server.health().refused["http"] == 1


def test_a_client_that_does_not_send_its_body_is_hung_up_on(start: Start) -> None:
    utility = start(request_s=SOON_S)
    line = _line(utility)
    line.sendall(
        f"PUT /edev/1/di HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA}\r\n"
        "Content-Length: 100\r\n\r\n<".encode()
    )

    assert _everything(line) == b""
    assert utility.server.health().refused["http"] == 1


def test_a_connection_on_which_nothing_is_asked_is_closed(start: Start) -> None:
    line = _line(start(idle_s=SOON_S))

    assert _everything(line) == b""


def test_one_certificate_holds_only_so_many_connections(start: Start) -> None:
    utility = start(most_per_device=2)
    ask = b"GET /tm HTTP/1.1\r\nHost: x\r\n\r\n"
    lines = [_line(utility) for _ in range(2)]
    for line in lines:
        line.sendall(ask)
        assert line.recv(9) == b"HTTP/1.1 "

    # Hung up on during the handshake or just after it, as the client happens to see it.
    with suppress(ssl.SSLError, ConnectionError):
        assert _everything(_line(utility)) == b""
    bob = _line(utility, "bob")
    bob.sendall(ask)
    assert bob.recv(9) == b"HTTP/1.1 "
    assert utility.server.health().refused["connection"] == 1


def test_the_plain_port_serves_where_to_begin_and_nothing_else(start: Start) -> None:
    utility = start(http_port=0)
    address = utility.server.http_address
    assert address is not None

    def ask(method: str, path: str) -> tuple[int, bytes]:
        client = http.client.HTTPConnection(*address, timeout=ANSWER_S)
        client.request(method, path)
        answer = client.getresponse()
        return answer.status, answer.read()

    status, body = ask("GET", "/dcap")
    assert (status, b"<EndDeviceListLink" in body) == (200, True)
    for path in ("/edev", "/tm", "/derp/1", "/admin"):
        assert ask("GET", path)[0] == 404
    assert ask("POST", "/dcap")[0] == 405


def test_a_trusted_proxy_names_the_device(start: Start) -> None:
    utility = start(trusted_proxy_header="X-Client-Cert")
    alice = utility.issued("alice")
    first = alice.cert_file.read_text().partition("-----END")[0] + "-----END CERTIFICATE-----\n"

    def ask(*told: str) -> int:
        client = http.client.HTTPConnection(*utility.server.address, timeout=ANSWER_S)
        client.putrequest("GET", "/edev/1")
        for value in told:
            client.putheader("X-Client-Cert", value)
        client.endheaders()
        return client.getresponse().status

    assert ask(alice.lfdi) == 200
    assert ask(alice.lfdi.lower() + "0" * 24) == 200
    assert ask(first.replace("\n", "%0A")) == 200
    assert ask(utility.issued("bob").lfdi) == 403
    assert ask() == 403
    assert ask("nonsense") == 403
    assert ask(alice.lfdi, utility.issued("bob").lfdi) == 403


# ---- notifications


def test_a_subscriber_is_told_what_the_list_is_now(start: Start) -> None:
    utility = start()
    alice, listener = utility.client("alice"), utility.listener("alice")
    made = alice.subscribe("/derp/1/derc", listener.uri, limit=9)
    assert made.status == 201

    mrid = _control(utility)

    told = listener.next()
    assert told.text("subscribedResource") == "/derp/1/derc"
    assert told.text("status") == "0"
    assert told.text("subscriptionURI") == made.headers["location"]
    [resource] = told.all("Resource")
    xsi = "{http://www.w3.org/2001/XMLSchema-instance}type"
    assert (resource.get(xsi), resource.get("href")) == ("DERControlList", "/derp/1/derc")
    assert told.texts("Resource/DERControl/mRID") == [mrid]


@pytest.mark.parametrize("first", ["event", "subscription"])
def test_a_subscriber_is_told_of_an_event_that_begins_by_itself(start: Start, first: str) -> None:
    utility = start()
    alice, listener = utility.client("alice"), utility.listener("alice")
    if first == "event":
        _control(utility, start=30)
    alice.subscribe("/derp/1/actderc", listener.uri, limit=9)
    if first == "subscription":
        _control(utility, start=30)
        assert listener.next().all("Resource/DERControl") == []
    utility.pass_s(30)

    assert len(listener.next().all("Resource/DERControl")) == 1


def test_changes_in_quick_succession_are_told_once_and_the_last_is_told(start: Start) -> None:
    utility = start()
    alice, listener = utility.client("alice"), utility.listener("alice")
    alice.subscribe("/derp/1/derc", listener.uri, limit=9)

    for _ in range(5):
        _control(utility, start=600)

    counts = [len(listener.next().all("Resource/DERControl"))]
    while counts[-1] < 5:
        counts.append(len(listener.next().all("Resource/DERControl")))
    assert len(counts) <= 2


def test_who_refuses_a_notification_is_not_asked_again(start: Start) -> None:
    utility = start()
    alice, listener = utility.client("alice"), utility.listener("alice")
    listener.answer = 410
    alice.subscribe("/derp/1/derc", listener.uri)
    gone = threading.Event()
    utility.board.listeners.append(lambda path: gone.set() if path == "/edev/1/sub" else None)

    _control(utility)

    listener.next()
    assert gone.wait(ANSWER_S)
    assert utility.do(utility.board.subscriptions) == ()


def test_a_notification_that_is_not_taken_is_tried_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ems.derms.notify._RETRY_S", (0.01,))
    utility = start()
    alice, listener = utility.client("alice"), utility.listener("alice")
    listener.answer = 503
    alice.subscribe("/derp/1/derc", listener.uri)

    mrid = _control(utility)
    listener.next()
    listener.answer = 204

    assert listener.next().texts("Resource/DERControl/mRID") == [mrid]


def test_what_a_subscriber_may_no_longer_see_is_told_as_deleted(start: Start) -> None:
    utility = start()
    alice, listener = utility.client("alice"), utility.listener("alice")
    alice.subscribe("/derp/1/derc", listener.uri)
    utility.do(lambda: utility.board.change_device("alice", groups=()))

    _control(utility)

    told = listener.next()
    assert (told.text("status"), told.all("Resource")) == ("4", [])


@pytest.mark.parametrize("shown", [True, False])
def test_behind_a_proxy_without_ca_file_the_system_s_authorities_tell_who_takes_notifications(
    start: Start, monkeypatch: pytest.MonkeyPatch, pki: Pki, *, shown: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.ca_file))
    own = {} if shown else {"cert_file": Path(), "key_file": Path()}
    utility = start(trusted_proxy_header="x-lfdi", ca_file=Path(), **own)
    context = tls(pki, pki.device["alice"], server=True)
    if not shown:
        context.verify_mode = ssl.CERT_NONE
    listener = Listener(context)
    utility.open.callback(listener.close)
    wanted: dict[str, Any] = {
        "path": "/derp/1/derc",
        "uri": listener.uri,
        "limit": 9,
        "level": "+S1",
    }
    utility.do(lambda: utility.board.subscribe(1, **wanted))

    mrid = _control(utility)

    assert listener.next().texts("Resource/DERControl/mRID") == [mrid]


# ---- threads, and its end


def test_other_threads_change_the_board_through_the_server(start: Start) -> None:
    utility = start()
    threads = [
        threading.Thread(target=lambda n=n: [_control(utility, start=60 * m) for m in range(n)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    listed = utility.client("alice").every("/derp/1/derc", "DERControl")
    assert listed.xml.get("all") == str(sum(range(8)))


def test_what_a_change_raises_reaches_the_thread_that_asked(start: Start) -> None:
    utility = start()

    with pytest.raises(Conflict):
        utility.do(lambda: utility.board.add_program("feeder", primacy=1))


def test_a_server_ends_while_connections_are_open_and_another_takes_over(start: Start) -> None:
    utility = start()
    alice = utility.client("alice")
    mrid = _control(utility)
    assert alice.get("/derp/1/derc").text("DERControl/mRID") == mrid
    line = _line(utility)

    utility.restart()

    assert _everything(line) == b""
    assert utility.client("alice").get("/derp/1/derc").text("DERControl/mRID") == mrid


def test_a_server_that_cannot_begin_says_so(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ServerSettings(
        port=0,
        cert_file=pki.server.cert_file,
        key_file=pki.server.key_file,
        ca_file=pki.ca_file,
    )
    server = DermsServer(settings, Board(MemoryKeeper(), SteppedClock(START)))

    async def fails(*_: object) -> None:
        raise OSError("no more sockets")

    monkeypatch.setattr(server, "_listen", fails)
    with pytest.raises(OSError, match="no more sockets"):
        server.start()
