"""A million damaged and invented frames: none ends the subscriber, none gives it a wrong value.

GOOSE carries no check sum of its own, so a frame whose values were changed in place says
something else and nobody can tell; Ethernet's check sequence keeps such frames away. Everything
else is told: a value that was not touched arrives as it was sent, or does not arrive.
"""

import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from ems.protocols.goose import (
    Accepted,
    Frame,
    Int32,
    MalformedFrame,
    Reason,
    Standing,
    Subscription,
    decode,
    encode,
)
from ems.protocols.goose.ber import head
from ems.protocols.goose.recurring import FrameReader
from tests.goose_frames import CONTROL, frame, saying, values

FRAMES = 1_000_000
SHARES = 4
"""Each with a seed of its own, so the frames are the same on any number of processors."""
SEED = 20240603
TELLING = (0x00, 0x01, 0x7F, 0x80, 0x81, 0x82, 0x83, 0xA1, 0xA2, 0xFE, 0xFF)
"""Octets that mean something to a reader of lengths and tags."""


def kinds_of_frames() -> list[Frame]:
    untagged = Frame(dst=CONTROL.dst_mac, src=frame().src, appid=1, message=frame(6).message)
    wide = saying(frame(6, 300), all_data=(*values(6.0)[:3], Int32(-70_000), values()[4]))
    return [frame(6), frame(6, 70_000), untagged, wide, saying(frame(6), simulation=True)]


def contents(octets: bytes) -> dict[int, int]:
    """Which entry of the data set an octet of a value's content belongs to."""
    at = octets.index(0x61, 12)
    _, at, end = head(octets, at, len(octets))
    while octets[at] != 0xAB:
        at = head(octets, at, end)[2]
    _, at, end = head(octets, at, end)
    found: dict[int, int] = {}

    def walk(at: int, end: int, entry: int | None) -> None:
        count = 0
        while at < end:
            tag, start, stop = head(octets, at, end)
            which = count if entry is None else entry
            if tag in {0xA1, 0xA2}:
                walk(start, stop, which)
            else:
                found.update(dict.fromkeys(range(start, stop), which))
            at, count = stop, count + 1

    walk(at, end, None)
    return found


def damaged(base: bytes, rng: random.Random) -> bytes:
    """A frame with something wrong, or altogether invented."""
    kind = rng.getrandbits(4)
    size = len(base)
    at = int(rng.random() * size)
    if kind < 4:  # octets changed in place
        found = bytearray(base)
        found[at] = rng.getrandbits(8)
        for _ in range(kind):
            found[int(rng.random() * size)] = rng.getrandbits(8)
        return bytes(found)
    if kind < 6:
        return base[:at] + bytes((base[at] ^ 1 << rng.getrandbits(3),)) + base[at + 1 :]
    if kind < 9:
        return base[:at] + bytes((TELLING[int(rng.random() * len(TELLING))],)) + base[at + 1 :]
    if kind == 9:
        return base[:at]
    if kind == 10:
        return base + rng.randbytes(1 + rng.getrandbits(3))
    if kind == 11:
        return base[:at] + base[at + 1 + rng.getrandbits(2) :]
    if kind == 12:
        return base[:at] + rng.randbytes(1 + rng.getrandbits(2)) + base[at:]
    if kind == 13:  # a head that is right and anything behind it
        return base[:26] + rng.randbytes(size - 26)
    return invented(base, rng)


def invented(base: bytes, rng: random.Random) -> bytes:
    """All lengths around the values are right; the values are tags and lengths at random."""
    soup = b""
    for _ in range(rng.getrandbits(3)):
        content = rng.randbytes(rng.getrandbits(3))
        tag = 0x80 | rng.getrandbits(5) if rng.getrandbits(2) else 0xA1 + rng.getrandbits(1)
        length = len(content) if rng.getrandbits(3) else rng.getrandbits(8)
        soup += bytes((tag, length)) + content
    data = base.index(b"\xab", base.index(b"measured", 60))
    start = base.index(0x61, 12)
    message = base[start + 2 : data - 3] + bytes((0x8A, 1, rng.getrandbits(3)))
    message += b"\xab\x81" + bytes((len(soup),)) + soup
    pdu = b"\x61\x82" + len(message).to_bytes(2) + message
    return base[: start - 6] + (8 + len(pdu)).to_bytes(2) + bytes(4) + pdu


def told_of(share: int) -> Counter[str]:
    """What became of one share of the frames; every one of them is checked here."""
    rng = random.Random(SEED + share)
    good = frame(5)
    bases = [(encode(f), f.message.all_data) for f in kinds_of_frames()]
    known = [contents(octets) for octets, _ in bases]
    subscription, reader = Subscription(CONTROL), FrameReader()
    outcomes: Counter[str] = Counter()
    now = 0.0
    for turn in range(FRAMES // SHARES):
        now += 100.0  # what went before is forgotten
        which = turn % len(bases)
        base, sent = bases[which]
        octets = damaged(base, rng)
        try:
            found = reader.read(octets)
        except MalformedFrame:
            outcomes["malformed"] += 1
            continue
        assert found == decode(octets), "what was read before changes nothing"
        said = encode(found)
        assert said == octets or decode(said) == found
        subscription.receive(good, now)
        answer = subscription.receive(found, now + 0.5)
        held = subscription.values(now + 0.5)
        if isinstance(answer, Accepted):
            outcomes["accepted"] += 1
            touched = {
                known[which].get(i)
                for i, (was, is_) in enumerate(zip(base, octets, strict=False))
                if was != is_
            }
            assert held == answer.message.all_data
            assert not CONTROL.mismatches(held)
            if len(base) != len(octets):
                touched = set()
            for entry, (value, before) in enumerate(zip(held, sent, strict=True)):
                assert value == before or entry in touched
        else:
            outcomes[answer.reason.name] += 1
            suspicious = subscription.standing(now + 0.5) is Standing.SUSPICIOUS
            assert held == (None if suspicious else good.message.all_data)
    return outcomes


def test_a_million_frames_end_nothing_and_give_no_wrong_value() -> None:
    # Started anew, not forked: the process of the tests has threads.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as shares:
        outcomes = sum(shares.map(told_of, range(SHARES)), Counter[str]())
    assert sum(outcomes.values()) == FRAMES
    assert outcomes["accepted"] > 1000, "damage to values in place is not what is refused"
    told_apart = {r.name for r in Reason} & set(outcomes)
    assert len(told_apart) > 8, f"the frames are too much alike: {outcomes}"
