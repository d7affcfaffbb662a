"""GOOSE on the wire: frames between two network namespaces, seen by tshark and by a subscriber."""

import random
import string
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ems.protocols.goose import (
    Array,
    BinaryTime,
    BitString,
    Boolean,
    Data,
    Float32,
    Float64,
    Frame,
    GooseProcess,
    Int32,
    LinkDown,
    LinkFault,
    MmsString,
    OctetString,
    RawLink,
    Station,
    Structure,
    Timestamp,
    Uint32,
    UtcTime,
    VisibleString,
    decode,
    encode,
)
from tests.goose_frames import CONTROL, START, frame, saying, values
from tests.namespaces import End, wire

pytestmark = pytest.mark.needs("ip")
Ends = tuple[End, End]


@pytest.fixture
def ends() -> Iterator[Ends]:
    with wire() as found:
        yield found


@pytest.fixture
def links(ends: Ends) -> Iterator[tuple[RawLink, RawLink]]:
    a, b = ends
    with a.inside():
        sender = RawLink(a.interface)
    with b.inside():
        receiver = RawLink(b.interface, [CONTROL.dst_mac])
    with sender, receiver:
        yield sender, receiver


@pytest.mark.parametrize("vlan_id", [5, 0, None])
def test_what_is_sent_is_received_with_its_tag(
    links: tuple[RawLink, RawLink], vlan_id: int | None
) -> None:
    sender, receiver = links
    sent = replace(frame(), vlan_id=vlan_id, vlan_priority=0 if vlan_id is None else 4)
    sender.send(encode(sent))
    found = receiver.receive(5.0)
    assert found is not None
    assert decode(found) == sent


def test_nothing_but_goose_of_others_is_received(links: tuple[RawLink, RawLink]) -> None:
    sender, receiver = links
    octets = encode(frame())
    sender.send(octets[:12] + b"\x88\xba" + octets[18:])  # sampled values
    sender.send(octets[:16] + b"\x08\x00" + octets[18:])  # IP behind a tag
    receiver.send(octets)  # its own
    sender.send(octets)
    assert receiver.receive(5.0) == octets
    assert receiver.receive() is None
    assert receiver.overrun() == 0


def test_the_address_is_that_of_the_interface(links: tuple[RawLink, RawLink]) -> None:
    assert links[0].mac != links[1].mac
    assert len(links[0].mac) == 6


def test_an_interface_that_is_not_there_is_told_beside_those_that_are() -> None:
    with pytest.raises(LinkFault, match=r"eth77: no such interface; there are .*lo"):
        RawLink("eth77")


def test_an_interface_that_is_down_is_told_with_the_mend(
    ends: Ends, links: tuple[RawLink, RawLink]
) -> None:
    a, _ = ends
    a.ip("link", "set", a.interface, "down")
    with a.inside(), pytest.raises(LinkDown, match=f"ip link set {a.interface} up"):
        links[0].send(encode(frame()))


@pytest.mark.needs("setpriv")
def test_without_the_right_to_raw_ethernet_the_mend_is_told() -> None:
    program = "from ems.protocols.goose import RawLink; RawLink('lo')"
    rightless = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
    done = subprocess.run(
        [*rightless, sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "lo: raw Ethernet needs the capability CAP_NET_RAW" in done.stderr
    assert "AmbientCapabilities=CAP_NET_RAW" in done.stderr
    assert "setcap cap_net_raw+ep" in done.stderr


def test_a_station_that_cannot_open_its_interface_does_not_start() -> None:
    process = GooseProcess(Station(interface="eth77", publishes=(CONTROL,)))
    with pytest.raises(LinkFault, match="eth77: no such interface"):
        process.start()
    assert process.pid is None


def test_a_station_in_a_namespace_that_is_not_there_does_not_start(
    capfd: pytest.CaptureFixture[str],
) -> None:
    process = GooseProcess(Station(interface="eth0"), prefix=("ip", "netns", "exec", "nowhere"))
    with pytest.raises(LinkFault, match="the GOOSE process is gone"):
        process.start()
    assert "nowhere" in capfd.readouterr().err


FIELDS = (
    "_ws.malformed", "_ws.expert.message", "eth.dst", "vlan.id", "vlan.priority", "goose.appid",
    "goose.gocbRef", "goose.timeAllowedtoLive", "goose.datSet", "goose.goID", "goose.t",
    "goose.stNum", "goose.sqNum", "goose.simulation", "goose.confRev", "goose.ndsCom",
    "goose.numDatSetEntries", "goose.float_value", "goose.floating_point", "goose.integer",
    "goose.boolean", "goose.bit_string", "goose.utc_time",
)  # fmt: skip


def passes(link: RawLink, st_num: int, sq_num: int) -> None:
    """Wait until this frame has passed."""
    seen = (0, 0)
    while seen < (st_num, sq_num):
        octets = link.receive(5.0)
        assert octets is not None
        message = decode(octets).message
        seen = message.st_num, message.sq_num


@pytest.mark.needs("tshark")
def test_tshark_reads_every_frame_as_it_was_meant(ends: Ends) -> None:
    a, b = ends
    shown = [part for field in FIELDS for part in ("-e", field)]
    listen = [*b.prefix, "tshark", "-l", "-n", "-i", b.interface, "-Y", "goose", "-T", "fields"]
    often = replace(CONTROL, max_time_ms=32)  # tshark need not wait long for a repetition
    with b.inside():
        beside = RawLink(b.interface, [CONTROL.dst_mac])
    with (
        beside,
        subprocess.Popen(
            [*listen, *shown], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as tshark,
        GooseProcess(Station(interface=a.interface, publishes=(often,)), prefix=a.prefix) as us,
    ):
        assert tshark.stdout is not None
        us.publish(CONTROL.gocb_ref, values(0.0), START)
        seen = [tshark.stdout.readline()]  # a repetition: it listens
        for i in range(1, 6):
            when = START + timedelta(seconds=i)
            us.publish(CONTROL.gocb_ref, values(i + 0.5, local=i % 2 == 1), when)
            passes(beside, i + 1, 3)
        while "\t6\t3\t" not in seen[-1]:
            seen.append(tshark.stdout.readline())
            assert seen[-1], "tshark ended"
        tshark.terminate()
    rows = [dict(zip(FIELDS, line.rstrip("\n").split("\t"), strict=True)) for line in seen]
    assert len(rows) >= 20
    for row in rows:
        state = int(row["goose.stNum"])
        kw = state - 0.5 if state > 1 else 0.0
        assert row == {
            "_ws.malformed": "",
            "_ws.expert.message": "",
            "eth.dst": "01:0c:cd:01:00:01",
            "vlan.id": "5",
            "vlan.priority": "4",
            "goose.appid": "0x0001",
            "goose.gocbRef": CONTROL.gocb_ref,
            "goose.timeAllowedtoLive": row["goose.timeAllowedtoLive"],
            "goose.datSet": CONTROL.dat_set,
            "goose.goID": CONTROL.go_id,
            "goose.t": f"Jun  3, 2024 20:00:{state - 1:02}.000000000 UTC",
            "goose.stNum": str(state),
            "goose.sqNum": row["goose.sqNum"],
            "goose.simulation": "0",
            "goose.confRev": "7",
            "goose.ndsCom": "0",
            "goose.numDatSetEntries": "5",
            "goose.float_value": f"{kw:g}",
            "goose.floating_point": "08" + struct.pack(">f", kw).hex(),
            "goose.integer": "1",
            "goose.boolean": str(int(state > 1 and state % 2 == 0)),
            "goose.bit_string": "0000,0000",
            "goose.utc_time": "Jun  3, 2024 20:00:00.000000000 UTC",
        }
    counted = {(int(row["goose.stNum"]), int(row["goose.sqNum"])) for row in rows}
    assert counted >= {(state, number) for state in range(2, 7) for number in range(4)}


@pytest.mark.needs("tshark")
def test_tshark_finds_nothing_malformed_in_a_thousand_frames_of_all_kinds(tmp_path: Path) -> None:
    rng = random.Random(1)
    capture = tmp_path / "goose.pcap"
    with capture.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i in range(1000):
            octets = encode(anything(rng))
            file.write(struct.pack("<IIII", i, 0, len(octets), len(octets)) + octets)
    shown = ["-T", "fields", "-e", "_ws.malformed", "-e", "_ws.expert.message"]
    counted = ["-e", "goose.numDatSetEntries", "-e", "goose.allData"]
    done = subprocess.run(
        ["tshark", "-n", "-r", str(capture), "-Y", "goose", *shown, *counted],  # noqa: S607
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(rows) == 1000
    for malformed, complaint, entries, found in rows:
        assert (malformed, complaint) == ("", "")
        assert entries == found


def anything(rng: random.Random) -> Frame:
    """A frame of all kinds of values, in any number and order."""
    leaves: tuple[Callable[[], Data], ...] = (
        lambda: Boolean(rng.random() < 0.5),
        lambda: Int32(rng.randrange(-(1 << 31), 1 << 31)),
        lambda: Uint32(rng.getrandbits(rng.randrange(1, 33))),
        lambda: Float32(rng.gauss(0, 1e6)),
        lambda: Float64(rng.gauss(0, 1e6)),
        lambda: BitString(rng.getrandbits(13), 13),
        lambda: OctetString(rng.randbytes(8)),
        lambda: VisibleString("".join(rng.choices(string.ascii_letters, k=rng.randrange(1, 20)))),
        lambda: MmsString("Umspannwerk"),
        lambda: Timestamp(UtcTime(rng.getrandbits(31), rng.getrandbits(24), rng.getrandbits(8))),
        lambda: BinaryTime(rng.randbytes(6)),
    )

    def some(deep: int) -> tuple[Data, ...]:
        return tuple(one(deep) for _ in range(rng.randrange(1, 9)))

    def one(deep: int) -> Data:
        kind = rng.randrange(len(leaves) + 2 * (deep > 0))
        if kind < len(leaves):
            return leaves[kind]()
        return Structure(some(deep - 1)) if kind == len(leaves) else Array(some(0))

    state, number = rng.getrandbits(rng.randrange(1, 33)), rng.getrandbits(rng.randrange(1, 33))
    simulation = rng.random() < 0.2
    told = saying(
        frame(), st_num=state, sq_num=number, all_data=some(2), simulation=simulation,
        time_allowed_to_live_ms=rng.getrandbits(31),
    )  # fmt: skip
    return replace(told, simulation=simulation)
