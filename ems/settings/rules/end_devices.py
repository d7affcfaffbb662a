"""DERs that are clients of our own IEEE 2030.5 server."""

from collections.abc import Iterator

from ems.domain.address import ANSWER_MARGIN_S
from ems.settings.faults import nearest_key
from ems.settings.rules.sound import Finding, Sound, text_of
from ems.settings.schema import DERS
from ems.settings.sources import Location

WRITE_ROUNDS = 4
"""Rounds of writes in a cycle that may each wait for an answer: what relieves, what loads, and both
again where a device did not follow [1]."""
RENEWED_AT = 0.5
"""Share of a control's time that is left when `ems.gateways.ieee2030_5` renews it [1]."""


def _end_devices(sound: Sound) -> Iterator[Finding]:
    """DERs that are clients of our server: there is one, it knows them, each is another."""
    known = None if sound.whole("ieee2030_5") is None else _registered(sound)
    seen: dict[str, Location] = {}
    for table in (*DERS, "load"):
        for at in sound.tables(table):
            name = sound.get(*at, "device", "enddevice")
            if sound.get(*at, "device", "protocol") != "ieee2030_5" or name is None:
                continue
            here = (*at, "device", "enddevice")
            if sound.get("ieee2030_5") in (None, {}):
                problem = "needs the table [ieee2030_5]: the server that its client asks"
                yield (*at, "device", "protocol"), problem
            elif known is not None and name not in known:
                near = nearest_key(name, known)
                mend = f'did you mean "{near}"?' if near else f"there are: {', '.join(known)}"
                yield here, f'no [[ieee2030_5.device]] is called "{name}"; {mend}'
            if name in seen:
                yield here, f'"{name}" is the end device of {text_of(seen[name])} too'
            seen.setdefault(name, at)
    if seen:
        yield from _end_device_rates(sound)
        yield from _end_device_answers(sound)


def _end_device_answers(sound: Sound) -> Iterator[Finding]:
    """While a cycle waits for answers nothing is refreshed: the timers of the others outlast it."""
    after_s, every_s = (sound.get("control", key) for key in ("reversion_s", "keep_alive_s"))
    if after_s is None or every_s is None:
        return
    most_s = (after_s - every_s) / WRITE_ROUNDS
    why = (
        f"a cycle may wait {WRITE_ROUNDS} times for answers while nothing is refreshed: with "
        f"keep_alive_s = {every_s:g} and reversion_s = {after_s:g} below {most_s:g}"
    )
    poll_s, by_poll = sound.get("ieee2030_5", "poll_rate_s"), False
    for table in DERS:  # nothing is written to the load meter
        for at in sound.tables(table):
            if sound.get(*at, "device", "protocol") != "ieee2030_5":
                continue
            told = sound.whole(*at, "device") or {}
            if "timeout_s" not in told:
                by_poll = True
            elif told["timeout_s"] >= most_s:
                problem = f"{why}, got {told['timeout_s']:g}; raise control.reversion_s or lower it"
                yield (*at, "device", "timeout_s"), problem
    if by_poll and poll_s is not None and poll_s + ANSWER_MARGIN_S >= most_s:
        problem = (
            f"{why}; clients that ask every {poll_s:g} s answer within {ANSWER_MARGIN_S:g} s more; "
            f"raise control.reversion_s above "
            f"{WRITE_ROUNDS * (poll_s + ANSWER_MARGIN_S) + every_s:g}, or ask more often"
        )
        yield ("ieee2030_5", "poll_rate_s"), problem


def _registered(sound: Sound) -> list[str] | None:
    """Names of the devices that the file registers; None where others may register themselves."""
    table = sound.whole("ieee2030_5")
    if not table or table.get("registration") == "open":
        return None
    return [device["name"] for device in table.get("device", ()) if "name" in device]


def _end_device_rates(sound: Sound) -> Iterator[Finding]:
    """What clients ask and post now and then comes in time."""
    poll_s, post_s = (sound.get("ieee2030_5", f"{key}_rate_s") for key in ("poll", "post"))
    after_s, every_s = (sound.get("control", key) for key in ("reversion_s", "keep_alive_s"))
    stale_s = sound.get("control", "stale_after_s")
    if None not in (poll_s, after_s, every_s) and poll_s + every_s > RENEWED_AT * after_s:
        problem = (
            f"a control is renewed when half of reversion_s ({after_s:g}) is left, and clients "
            f"must hear of it in time: at most {RENEWED_AT * after_s - every_s:g} with keep_alive_s"
            f" = {every_s:g}, got {poll_s:g}"
        )
        yield ("ieee2030_5", "poll_rate_s"), problem
    if None not in (post_s, stale_s) and post_s >= stale_s:
        problem = f"must be below control.stale_after_s ({stale_s:g}), got {post_s:g}"
        yield ("ieee2030_5", "post_rate_s"), problem


RULES = (_end_devices,)
