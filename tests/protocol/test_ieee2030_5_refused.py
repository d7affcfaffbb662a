"""What the IEEE 2030.5 server refuses, over real TLS: it stays up, and says what and why."""

import contextlib
import logging
import random
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.derms.app import ROUTES
from ems.derms.board import FILED, Board
from ems.derms.certificates import Issued, Pki, make_pki
from ems.derms.server import DermsServer
from ems.derms.settings import ServerSettings
from ems.protocols.ieee2030_5 import sep
from tests.protocol.csip.utility import Listener, tls

CCM8 = "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"
GCM = "ECDHE-ECDSA-AES128-GCM-SHA256"
NET_S = 30.0
"""An answer that has not come by then never will [s]."""
MOST_BODY = 4096
JUNK_REQUESTS = 10_000
NAMESPACE = b'xmlns="urn:ieee:std:2030.5:ns"'
STATUS = b"<DERStatus %s><readingTime>1800000000</readingTime></DERStatus>" % NAMESPACE


@dataclass(frozen=True, kw_only=True)
class Served:
    server: DermsServer
    pki: Pki

    def context(self, issued: Issued | None, cipher: str = CCM8) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers(cipher)
        made.load_verify_locations(self.pki.ca_file)
        if issued is not None:
            made.load_cert_chain(issued.cert_file, issued.key_file)
        return made

    def plain(self) -> socket.socket:
        return socket.create_connection(self.server.address, timeout=NET_S)

    def link(self, made: ssl.SSLContext) -> ssl.SSLSocket:
        return made.wrap_socket(self.plain(), server_hostname="127.0.0.1")

    def ask(
        self, method: str, path: str, body: bytes = b"", *, of: str = "a", headers: str = ""
    ) -> tuple[int, bytes]:
        """One request on a connection of its own, as a device of ours."""
        with self.link(self.context(self.pki.device[of])) as link:
            if body:
                headers += f"Content-Type: application/sep+xml\r\nContent-Length: {len(body)}\r\n"
            head = f"{method} {path} HTTP/1.1\r\nHost: derms\r\n{headers}Connection: close\r\n\r\n"
            with contextlib.suppress(OSError):  # it may answer, and close, before all is sent
                link.sendall(head.encode() + body)
            return status_and_body(until_closed(link))

    def told(self, what: str, why: str) -> None:
        """The server has taken down a refusal of this kind, with words that say why."""
        reasons = [each.why for each in self.server.refusals.last if each.what == what]
        assert any(why in reason.lower() for reason in reasons), reasons

    def still_serves(self) -> None:
        assert self.ask("GET", "/dcap")[0] == 200


def until_closed(link: socket.socket) -> bytes:
    read = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while chunk := link.recv(65536):
            read += chunk
    return read


def status_and_body(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"), ["a", "b", "stranger"])


@pytest.fixture
def served(pki: Pki) -> Iterator[Served]:
    board = Board()
    board.add_program("p", primacy=1)
    board.set_default("p", sep.DERControlBase(opModConnect=True))
    for name in ("a", "b"):
        board.add_device(name, lfdi=pki.device[name].lfdi, groups=("p",))
    server = DermsServer(
        ServerSettings(
            port=0,
            cert_file=pki.server.cert_file,
            key_file=pki.server.key_file,
            ca_file=pki.ca_file,
            max_body_bytes=MOST_BODY,
            handshake_s=0.5,
            request_s=0.5,
        ),
        board,
    )
    server.start()
    yield Served(server=server, pki=pki)
    server.stop()


def refused_at_the_door(served: Served, made: ssl.SSLContext, why: str) -> None:
    """Nothing is served, and the handshake is taken down as refused."""
    read = b""
    with contextlib.suppress(ssl.SSLError, ConnectionError), served.link(made) as link:
        link.sendall(b"GET /dcap HTTP/1.1\r\nHost: derms\r\n\r\n")
        read = link.recv(65536)
    assert not read
    served.still_serves()
    served.told("handshake", why)


# --- at the door ---------------------------------------------------------------------


def test_a_client_without_a_certificate_is_refused(served: Served) -> None:
    refused_at_the_door(served, served.context(None), "did not return a certificate")


@pytest.mark.parametrize(
    ("what", "alert"),
    [
        ("no certificate", "handshake failure"),
        ("another authority", "unknown ca"),
        ("gcm", "handshake failure"),
        ("tls 1.3", "protocol version"),
    ],
)
def test_who_is_refused_at_the_door_is_told_why_by_an_alert(
    served: Served, tmp_path: Path, what: str, alert: str
) -> None:
    own = served.pki.device["a"]
    made = served.context(own, GCM if what == "gcm" else CCM8)
    if what == "no certificate":
        made = served.context(None)
    elif what == "another authority":
        made = served.context(make_pki(tmp_path, ["a"]).device["a"])
    elif what == "tls 1.3":
        made.maximum_version = made.minimum_version = ssl.TLSVersion.TLSv1_3
    with pytest.raises(ssl.SSLError) as raised, served.link(made) as link:
        link.recv(1)
    assert alert in str(raised.value).replace("_", " ").lower()


def test_a_certificate_of_another_authority_is_refused(served: Served, tmp_path: Path) -> None:
    other = make_pki(tmp_path, ["a"])
    refused_at_the_door(served, served.context(other.device["a"]), "certificate refused")


def test_a_certificate_that_signed_itself_under_our_names_is_refused(
    served: Served, tmp_path: Path
) -> None:
    """The other authority bears the same names: it is the key that counts."""
    other = make_pki(tmp_path, ["a"]).device["a"]
    chain = other.cert_file.read_bytes().partition(b"-----END CERTIFICATE-----\n")
    ours = (served.pki.folder / "intermediate.pem").read_bytes()
    other.cert_file.write_bytes(chain[0] + chain[1] + ours)
    refused_at_the_door(served, served.context(other), "certificate refused")


def test_an_expired_certificate_is_refused(served: Served) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = make_pki(served.pki.folder, ["expired"], not_after=yesterday).device["expired"]
    refused_at_the_door(served, served.context(expired), "expired")


def test_a_client_that_knows_gcm_only_is_refused(served: Served) -> None:
    made = served.context(served.pki.device["a"], GCM)
    refused_at_the_door(served, made, "no shared cipher")


def test_where_gcm_is_allowed_too_both_are_served(pki: Pki) -> None:
    own = pki.server
    files = ServerSettings(
        port=0, cert_file=own.cert_file, key_file=own.key_file, ca_file=pki.ca_file, cipher="compat"
    )
    server = DermsServer(files, Board())
    server.start()
    try:
        served = Served(server=server, pki=pki)
        for cipher in (CCM8, GCM):
            with served.link(served.context(pki.device["a"], cipher)) as link:
                link.sendall(b"GET /dcap HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
                assert status_and_body(until_closed(link))[0] == 200
    finally:
        server.stop()


def test_a_client_that_knows_tls_1_3_only_is_refused(served: Served) -> None:
    made = served.context(served.pki.device["a"])
    made.maximum_version = made.minimum_version = ssl.TLSVersion.TLSv1_3
    refused_at_the_door(served, made, "unsupported protocol")


def test_plain_http_is_refused(served: Served) -> None:
    with served.plain() as link:
        link.sendall(b"GET /dcap HTTP/1.1\r\nHost: derms\r\n\r\n")
        assert b"DeviceCapability" not in until_closed(link)
    served.still_serves()
    served.told("handshake", "http request")


# --- what is another's ---------------------------------------------------------------


def others_paths() -> list[str]:
    """Every path below a device, device 2 being another's."""
    below = [route.pattern for route in ROUTES if route.pattern.startswith("/edev/#")]
    return sorted({"/edev/2" + path.removeprefix("/edev/#").replace("#", "1") for path in below})


@pytest.mark.parametrize("path", others_paths())
def test_another_devices_resource_is_refused_and_nobody_learns_whether_it_exists(
    served: Served, path: str
) -> None:
    assert served.ask("GET", path)[0] == 403
    assert served.ask("GET", path.replace("2", "77", 1))[0] == 403
    served.told("403", path)
    assert served.ask("GET", "/edev/1")[0] == 200


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_another_devices_resource_cannot_be_changed(served: Served, method: str) -> None:
    board, lfdi = served.server.board, served.pki.device["b"].lfdi
    before = served.server.call(lambda: board.device("b"))
    for path in others_paths():
        sound = SOUND.get(f"{method} {path.replace('/edev/2', '/edev/1')}", STATUS)
        body = b"" if method == "DELETE" else sound.replace(b"LFDI<", lfdi.encode() + b"<")
        assert served.ask(method, path, body)[0] in (403, 405), path
    kept = served.server.call(
        lambda: (
            board.device("b"),
            [board.document(lfdi, kind, der) for kind in FILED for der in (0, 1)],
            list(board.logs(lfdi)),
            list(board.subscriptions(2)),
        )
    )
    assert kept == (before, [None] * 2 * len(FILED), [], [])


def test_a_certificate_of_ours_that_is_not_registered_reads_nobodys_resources(
    served: Served,
) -> None:
    assert served.ask("GET", "/edev/1", of="stranger")[0] == 403
    assert served.ask("GET", "/derp/1/derc", of="stranger")[0] == 403
    served.told("403", "not registered")


# --- who is notified -----------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_only_who_subscribed_is_notified(served: Served, host: str) -> None:
    """A listener with another certificate, though of our authorities, learns nothing."""
    listeners = {
        name: Listener(tls(served.pki, served.pki.device[name], server=True)) for name in ("a", "b")
    }
    try:
        for listener in listeners.values():
            uri = listener.uri.replace("localhost", host)
            body = SOUND["POST /edev/1/sub"].replace(b"https://127.0.0.1:1/", uri.encode())
            assert served.ask("POST", "/edev/1/sub", body)[0] == 201
        base = sep.DERControlBase(opModConnect=True)
        served.server.call(
            lambda: served.server.board.publish("p", base=base, start=0, duration=2**31 - 1)
        )
        assert b"DERControl" in listeners["a"].next().body
        assert listeners["b"].told.empty()
    finally:
        for listener in listeners.values():
            listener.close()


# --- what is too much ----------------------------------------------------------------


def test_a_body_that_says_it_is_too_long_is_refused_unread(served: Served) -> None:
    assert served.ask("PUT", "/edev/1/der/1/ders", b" " * (MOST_BODY + 1))[0] == 413
    served.told("413", str(MOST_BODY))
    served.still_serves()


def test_a_body_that_does_not_say_how_long_it_is_is_refused_while_it_comes(
    served: Served,
) -> None:
    headers = "Content-Type: application/sep+xml\r\nTransfer-Encoding: chunked\r\n"
    with served.link(served.context(served.pki.device["a"])) as link:
        link.sendall(f"PUT /edev/1/der/1/ders HTTP/1.1\r\nHost: d\r\n{headers}\r\n".encode())
        with contextlib.suppress(OSError):
            for _ in range(1000):
                link.sendall(b"400\r\n" + b" " * 1024 + b"\r\n")
        assert b" 413 " in until_closed(link)[:20]
    served.still_serves()


def test_headers_without_end_are_refused(served: Served) -> None:
    with served.link(served.context(served.pki.device["a"])) as link:
        with contextlib.suppress(OSError):
            link.sendall(b"GET /dcap HTTP/1.1\r\n")
            for n in range(100_000):
                link.sendall(b"X-%d: y\r\n" % n)
        until_closed(link)
    served.told("http", "too long")
    served.still_serves()


def laughs() -> bytes:
    names = "abcdefghij"
    entities = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {names[i]} "{f"&{names[i - 1]};" * 10}">' for i in range(1, len(names))
    )
    return f"<!DOCTYPE x [{entities}]>".encode() + STATUS.replace(b"1800000000", b"&j;")


@pytest.mark.parametrize(
    "body",
    [
        laughs(),
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + STATUS.replace(b"18", b"&f;"),
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">' + STATUS,
        b"<" * 2000,
        b"<a>" * 1000,
        b"<DERStatus %s>" % NAMESPACE + b"<x>" * 1300,
        b"\xff\xfe" + STATUS.decode().encode("utf-16-le"),
        b'<?xml version="1.0" encoding="utf-7"?>' + STATUS,
    ],
    ids=["laughs", "file", "dtd", "brackets", "nested", "nested within", "utf-16", "utf-7"],
)  # fmt: skip
def test_xml_that_would_expand_or_reach_out_or_never_ends_is_refused(
    served: Served, body: bytes
) -> None:
    status, answer = served.ask("PUT", "/edev/1/der/1/ders", body)
    assert status == 400
    assert b"root:" not in answer
    served.still_serves()


# --- what is nonsense ----------------------------------------------------------------

SOUND = {
    "PUT /edev/1/der/1/ders": STATUS,
    "PUT /edev/1/der/1/derg": b"<DERSettings %s><setGradW>0</setGradW><setMaxW><multiplier>0"
    b"</multiplier><value>5000</value></setMaxW><updatedTime>0</updatedTime></DERSettings>"
    % NAMESPACE,
    "PUT /edev/1/der/1/dercap": b"<DERCapability %s><modesSupported>00100000</modesSupported>"
    b"<rtgMaxW><multiplier>0</multiplier><value>5000</value></rtgMaxW><type>4</type>"
    b"</DERCapability>" % NAMESPACE,
    "PUT /edev/1/der/1/dera": b"<DERAvailability %s><readingTime>0</readingTime><statWAvail>"
    b"<multiplier>0</multiplier><value>9</value></statWAvail></DERAvailability>" % NAMESPACE,
    "PUT /edev/1/di": b"<DeviceInformation %s><lFDI>LFDI</lFDI><mfDate>0</mfDate><mfHwVer>1"
    b"</mfHwVer><mfID>1</mfID><mfModel>m</mfModel><mfSerNum>s</mfSerNum><primaryPower>1"
    b"</primaryPower><secondaryPower>0</secondaryPower><swActTime>0</swActTime><swVer>1</swVer>"
    b"</DeviceInformation>" % NAMESPACE,
    "PUT /edev/1/ps": b"<PowerStatus %s><batteryStatus>1</batteryStatus><changedTime>0"
    b"</changedTime><currentPowerSource>1</currentPowerSource></PowerStatus>" % NAMESPACE,
    "POST /edev/1/lel": b"<LogEvent %s><createdDateTime>0</createdDateTime><functionSet>11"
    b"</functionSet><logEventCode>0</logEventCode><logEventID>0</logEventID><logEventPEN>1"
    b"</logEventPEN><profileID>2</profileID></LogEvent>" % NAMESPACE,
    "POST /edev/1/sub": b"<Subscription %s><subscribedResource>/derp/1/derc</subscribedResource>"
    b"<encoding>0</encoding><level>+S1</level><limit>1</limit><notificationURI>https://127.0.0.1:1/"
    b"</notificationURI></Subscription>" % NAMESPACE,
    "POST /mup": b"<MirrorUsagePoint %s><mRID>01</mRID><roleFlags>49</roleFlags>"
    b"<serviceCategoryKind>0</serviceCategoryKind><status>1</status><deviceLFDI>LFDI</deviceLFDI>"
    b"</MirrorUsagePoint>" % NAMESPACE,
    "POST /mup/1": b"<MirrorMeterReading %s><mRID>02</mRID><Reading><value>7</value></Reading>"
    b"<ReadingType><uom>38</uom></ReadingType></MirrorMeterReading>" % NAMESPACE,
    "POST /rsps/1/r": b"<DERControlResponse %s><createdDateTime>0</createdDateTime><endDeviceLFDI>"
    b"LFDI</endDeviceLFDI><status>1</status><subject>0C</subject></DERControlResponse>" % NAMESPACE,
}
"""What the server takes; only then are mutations of it worth sending."""


@pytest.fixture(scope="module")
def standing(pki: Pki) -> Iterator[tuple[Served, ssl.SSLSocket]]:
    """A server that lives through a whole test of random documents, and one connection to it."""
    board = Board()
    board.add_program("p", primacy=1)
    board.publish(
        "p", base=sep.DERControlBase(opModConnect=True), start=0, duration=2**31 - 1, mrid="0C"
    )
    board.add_device("a", lfdi=pki.device["a"].lfdi, groups=("p",))
    files = ServerSettings(
        port=0,
        cert_file=pki.server.cert_file,
        key_file=pki.server.key_file,
        ca_file=pki.ca_file,
        registration="open",
    )
    server = DermsServer(files, board)
    server.start()
    served = Served(server=server, pki=pki)
    with served.link(served.context(pki.device["a"])) as link:
        yield served, link
    server.stop()


def one_answer(link: ssl.SSLSocket, *, body: bool = True) -> int:
    read = b""
    while b"\r\n\r\n" not in read:
        read += link.recv(65536) or pytest.fail("closed without an answer")
    head, _, got = read.partition(b"\r\n\r\n")
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    length = next((int(value) for name, _, value in lines if name == b"content-length"), 0)
    while body and len(got) < length:
        got += link.recv(65536) or pytest.fail("closed within an answer")
    return int(head.split()[1])


def status_of(served: Served, link: ssl.SSLSocket, place: str, body: bytes) -> int:
    body = body.replace(b"LFDI<", served.pki.device["a"].lfdi.encode() + b"<")
    head = f"{place} HTTP/1.1\r\nHost: d\r\nContent-Type: application/sep+xml\r\n"
    link.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return one_answer(link)


def test_the_documents_that_will_be_malformed_are_sound(
    standing: tuple[Served, ssl.SSLSocket],
) -> None:
    taken = {place: status_of(*standing, place, body) for place, body in SOUND.items()}
    assert {place: status for place, status in taken.items() if status not in (201, 204)} == {}


@settings(max_examples=500)
@given(
    place=st.sampled_from([*SOUND]),
    document=st.none() | st.sampled_from([*SOUND.values()]),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 12),
            st.binary(max_size=6) | st.integers().map(lambda n: str(n).encode()),
        ),
        max_size=6,
    ),
)
def test_malformed_documents_are_answered_and_never_break_the_server(
    standing: tuple[Served, ssl.SSLSocket],
    place: str,
    document: bytes | None,
    edits: list[tuple[float, int, bytes]],
) -> None:
    body = SOUND[place] if document is None else document
    for at, length, put in edits:
        begin = int(at * len(body))
        body = body[:begin] + put + body[begin + length :]
    assert status_of(*standing, place, body) in {201, 204, 400, 403, 404, 405}


@settings(max_examples=300)
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]),
    steps=st.lists(
        st.sampled_from(["edev", "derp", "derc", "der", "fsa", "mup", "rsps", "r", "dc", "1", "0"])
        | st.integers().map(str)
        | st.text(max_size=5),
        max_size=5,
    ),
    query=st.lists(
        st.tuples(st.sampled_from("slax"), st.integers().map(str) | st.text(max_size=5)), max_size=4
    ),
)
def test_odd_paths_and_queries_are_answered_and_never_break_the_server(
    standing: tuple[Served, ssl.SSLSocket],
    method: str,
    steps: list[str],
    query: list[tuple[str, str]],
) -> None:
    _, link = standing
    target = "".join(f"/{quote(step, safe='')}" for step in steps) or "/"
    if query:
        target += f"?{urlencode(query)}"
    link.sendall(f"{method} {target} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n".encode())
    # The answer to HEAD tells the length of a body that does not come.
    status = one_answer(link, body=method != "HEAD")
    assert status in {200, 204, 301, 400, 403, 404, 405}


def junk(draw: random.Random) -> bytes:
    """Octets that are no request, or a request for nothing there is."""
    kind = draw.randrange(6)
    noise = draw.randbytes(draw.randrange(1, 200))
    if kind == 0:
        return noise
    if kind == 1:
        return b"GET /" + noise.hex().encode() + b" HTTP/1.1\r\nHost: d\r\n\r\n"
    if kind == 2:
        return b"BREW /dcap HTTP/1.1\r\nHost: d\r\n\r\n"
    if kind == 3:
        return b"POST /edev HTTP/1.1\r\nHost: d\r\nContent-Length: -5\r\n\r\n"
    if kind == 4:
        return b"GET /../../etc/passwd?" + noise + b" HTTP/1.1\r\nHost: d\r\n\r\n"
    return b"PUT /edev/1/der/1/ders HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\n<x>"


def test_ten_thousand_junk_requests_are_counted_and_the_log_stays_readable(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    draw = random.Random(20305)
    made = served.context(served.pki.device["a"])
    with caplog.at_level(logging.DEBUG):
        sent, session = 0, None
        while sent < JUNK_REQUESTS:
            with made.wrap_socket(
                served.plain(), server_hostname="127.0.0.1", session=session
            ) as link:
                session = link.session
                with contextlib.suppress(OSError):
                    # Junk may end a connection: as many as fit one go out together.
                    link.sendall(b"".join(junk(draw) for _ in range(10)))
                    link.shutdown(socket.SHUT_WR)
                sent += 10
                until_closed(link)
    served.still_serves()
    counts = served.server.health().refused
    assert counts["http"] > 0
    assert sum(counts.values()) >= JUNK_REQUESTS / 10
    assert len(caplog.records) < 200, "a stranger must not fill the disk"
    assert served.server.health().connections <= 2


# --- what never ends -----------------------------------------------------------------


def test_who_never_finishes_a_request_is_cut_off_and_others_are_served_meanwhile(
    served: Served,
) -> None:
    made = served.context(served.pki.device["b"])
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(served.link(made)) for _ in range(20)]
        for link in slow:
            link.sendall(b"PUT /edev/2/der/1/ders HTTP/1.1\r\nHost: d\r\nContent-Le")
        served.still_serves()
        for link in slow:
            until_closed(link)  # ends: the socket's own timeout would raise
    served.told("http", "too slow")
    served.still_serves()


def test_who_never_finishes_a_body_is_cut_off(served: Served) -> None:
    with served.link(served.context(served.pki.device["a"])) as link:
        head = "PUT /edev/1/der/1/ders HTTP/1.1\r\nHost: d\r\nContent-Type: application/sep+xml\r\n"
        link.sendall(f"{head}Content-Length: 100\r\n\r\n<DER".encode())
        until_closed(link)
    served.told("http", "too slow")
    served.still_serves()


def test_who_never_finishes_a_handshake_is_cut_off(served: Served) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(served.plain()) for _ in range(20)]
        for link in slow:
            link.sendall(b"\x16\x03\x01\x02\x00")
        served.still_serves()
        for link in slow:
            until_closed(link)
    served.still_serves()
