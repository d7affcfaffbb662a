"""Devices in a process of their own, for the load on an IEEE 2030.5 server: plain sockets and TLS.

argv: what to do, port, folder of certificates, first and last device, seconds, requests per second.
Prints one JSON document. It knows no code of the server.
"""

import contextlib
import json
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
CIPHER = "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"
LIST = b"GET /derp/1/derc?l=10 HTTP/1.1\r\nHost: derms\r\nAccept: application/sep+xml\r\n\r\n"
PUT = (
    b"PUT /edev/%d/der/1/ders HTTP/1.1\r\nHost: derms\r\n"
    b"Content-Type: application/sep+xml\r\nContent-Length: %d\r\n\r\n"
)
STATUS = (
    b'<DERStatus xmlns="urn:ieee:std:2030.5:ns"><genConnectStatus><dateTime>%d</dateTime>'
    b"<value>07</value></genConnectStatus><readingTime>%d</readingTime></DERStatus>"
)


def context(folder: Path, device: int) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHER)
    made.load_verify_locations(folder / "root.pem")
    made.load_cert_chain(folder / f"devices/{device}.pem", folder / f"devices/{device}.key")
    return made


def connected(made: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    plain = socket.create_connection((HOST, port), timeout=30)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made.wrap_socket(plain, server_hostname=HOST)


def answer(link: ssl.SSLSocket) -> tuple[int, bytes]:
    """Status and body of one answer."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += _more(link)
    head, _, body = read.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += _more(link)
    return int(head.split()[1]), body


def _more(link: ssl.SSLSocket) -> bytes:
    chunk = link.recv(65536)
    if not chunk:
        raise ConnectionError("the server closed the connection")
    return chunk


def sessions(port: int, folder: Path, devices: range, seconds: float, _: float) -> dict[str, Any]:
    """New sessions: a full handshake, both certificates verified, one answer."""
    made = context(folder, devices[0])
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        with connected(made, port) as link:
            assert not link.session_reused
            link.sendall(b"GET /tm HTTP/1.1\r\nHost: derms\r\n\r\n")
            status, _body = answer(link)
            assert status == 200, status
        count += 1
    return {"count": count, "seconds": time.perf_counter() - begin}


def gets(port: int, folder: Path, devices: range, seconds: float, _: float) -> dict[str, Any]:
    """A list of ten controls again and again, on connections that stay; no pipelining."""
    links = [connected(context(folder, device), port) for device in devices]
    links[0].sendall(LIST)
    status, first = answer(links[0])
    assert status == 200, first
    assert first.count(b"<DERControl ") + first.count(b"<DERControl>") == 10, first
    begin, count = time.perf_counter(), 0
    for link in links:
        link.sendall(LIST)
    while time.perf_counter() - begin < seconds:
        for link in select.select(links, (), (), seconds)[0]:
            status, body = answer(link)
            assert status == 200, status
            assert len(body) == len(first), (len(body), len(first))
            link.sendall(LIST)
            count += 1
    return {"count": count, "seconds": time.perf_counter() - begin}


def paced(port: int, folder: Path, devices: range, seconds: float, rate: float) -> dict[str, Any]:
    """Every device on a connection of its own, one after the other at an even pace.

    A latency counts from the moment its request was due: what waits for another is late, too.
    """
    begin = time.perf_counter()
    links = {device: connected(context(folder, device), port) for device in devices}
    print(json.dumps({"connected_s": time.perf_counter() - begin}), flush=True)
    sys.stdin.readline()  # until all processes are connected
    late: list[float] = []
    begin = time.perf_counter()
    for n, (device, request) in enumerate(_turns(devices, int(seconds * rate))):
        due = begin + n / rate
        with contextlib.suppress(ValueError):
            time.sleep(due - time.perf_counter())
        links[device].sendall(request)
        status, body = answer(links[device])
        assert status in (200, 204), (status, body)
        late.append(time.perf_counter() - due)
    return {"late": late, "seconds": time.perf_counter() - begin}


def _turns(devices: range, count: int) -> Iterator[tuple[int, bytes]]:
    """Of five requests three ask for the controls, one for the device, one reports its status."""
    for n in range(count):
        device = devices[n % len(devices)]
        if n % 5 == 3:
            yield device, b"GET /edev/%d HTTP/1.1\r\nHost: derms\r\n\r\n" % device
        elif n % 5 == 4:
            now = int(time.time())
            body = STATUS % (now, now)
            yield device, PUT % (device, len(body)) + body
        else:
            yield device, LIST


DO: dict[str, Callable[..., dict[str, Any]]] = {"sessions": sessions, "gets": gets, "paced": paced}

if __name__ == "__main__":
    what, port, folder, first, last, seconds, rate = sys.argv[1:]
    devices = range(int(first), int(last) + 1)
    done = DO[what](int(port), Path(folder), devices, float(seconds), float(rate))
    print(json.dumps(done), flush=True)
