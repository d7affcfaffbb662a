"""What the devices say, made complete: every DER has a reading, of known quality.

Ladder: a good reading → the last good one with its age → what the device does by itself when
nobody has spoken to it (its reversion value). A reading that has stood still is as old as its
first. What a device that cannot be commanded may be
doing is a range, and told by `ems.unmoved`.
"""

import math
from dataclasses import replace
from datetime import datetime

from ems.domain import (
    PLAUSIBLE,
    Der,
    DerReading,
    LoadReading,
    Policy,
    Pv,
    Quality,
    Site,
    Snapshot,
    Watched,
)
from ems.errors import DeviceError
from ems.ports import Field
from ems.standstill import alike, site_v_pu, stopped
from ems.unmoved import reverted

LAST_LOAD_S = 1800.0
"""How long the last load stands in for the present one, with a wider band: two intervals [s]."""


def measure(
    site: Site,
    policy: Policy,
    field: Field,
    now: datetime,
    previous: Snapshot | None = None,
    watched: Watched | None = None,
) -> Snapshot:
    """Read every device once.

    Args:
        site: what is installed.
        policy: how old a value may be.
        field: the devices.
        now: the present.
        previous: the snapshot before this one, for values to fall back on.
        watched: what was read since; newer values to fall back on, and what stands still.
    """
    answers = field.read(now)
    heard = {d.name: plausible(d, answers.get(d.name, DeviceError("no answer"))) for d in site.ders}
    v_pu = site_v_pu(a for a in heard.values() if isinstance(a, DerReading))
    last = dict(previous.ders) if previous else {}
    runs = watched.alike if watched else {}
    last |= watched.readings if watched else {}
    ders = {}
    for der in site.ders:
        reading = _der(der, heard[der.name], last.get(der.name), policy, now)
        if der.name in runs and reading.quality is Quality.GOOD:
            run = alike(runs[der.name], reading, v_pu)
            why = stopped(run, now, v_pu, policy.stale_after_s)
            if why:
                reading = replace(reading, time=run.first.time, quality=Quality.STALE, note=why)
        ders[der.name] = reading
    load = _load(site, field.read_load(now), previous.load if previous else None, now)
    return Snapshot(time=now, ders=ders, load=load)


def plausible(der: Der, answer: DerReading | DeviceError) -> DerReading | DeviceError:
    """A reading that can be true, or why it cannot."""
    if isinstance(answer, DeviceError):
        return answer
    for name, value in (("P", answer.p_kw), ("Q", answer.q_kvar)):
        if not math.isfinite(value):
            return DeviceError(f"{name} reads {value}")
        if abs(value) > PLAUSIBLE * der.rated_kw:
            return DeviceError(f"{name} reads {value:.0f}, rated {der.rated_kw:.0f} kW")
    soc, available = answer.soc_pct, answer.available_kw
    if soc is not None and not 0.0 <= soc <= 100.0:
        answer = replace(answer, soc_pct=None)
    if available is not None and not 0.0 <= available <= PLAUSIBLE * der.rated_kw:
        answer = replace(answer, available_kw=None)
    return answer


def plausible_load(site: Site, answer: LoadReading | DeviceError) -> LoadReading | DeviceError:
    """The same of the load meter."""
    if isinstance(answer, DeviceError):
        return answer
    if not math.isfinite(answer.p_kw) or abs(answer.p_kw) > PLAUSIBLE * site.load_max_kw:
        return DeviceError(f"load reads {answer.p_kw}, expected at most {site.load_max_kw:.0f}")
    kvar = answer.q_kvar
    if kvar is not None and not abs(kvar) <= PLAUSIBLE * site.load_max_kw:  # nor is NaN
        answer = replace(answer, q_kvar=None)
    return answer


def _der(
    der: Der,
    answer: DerReading | DeviceError,
    last: DerReading | None,
    policy: Policy,
    now: datetime,
) -> DerReading:
    if isinstance(answer, DerReading):
        age = (now - answer.time).total_seconds()
        if age <= policy.stale_after_s:
            return answer
        return replace(answer, quality=Quality.STALE, note=f"measured {age:.0f} s ago")
    if last is None or not last.heard:
        return _never_heard(der, now, str(answer))
    age = (now - last.time).total_seconds()
    # One that lies ahead is of a time before the clock was set back: its age is not known.
    if abs(age) <= policy.reversion_s and last.quality is not Quality.ASSUMED:
        note = f"{answer}; last good value is {age:.0f} s old"
        return replace(last, quality=Quality.STALE, note=note)
    by_now = "by now it has fallen back by itself"
    if age < 0.0:
        by_now = "its last good value lies ahead, of a time before the clock was set back"
    return _by_itself(der, last, f"{answer}; {by_now}")


def _never_heard(der: Der, now: datetime, why: str) -> DerReading:
    """No value at all; proofs take anything that the device can do (`unmoved`)."""
    note = f"{why}; never heard, anything it can do is reckoned with"
    return DerReading(
        der=der.name, time=now, p_kw=0.0, q_kvar=0.0, heard=False, quality=Quality.ASSUMED,
        note=note,
    )  # fmt: skip


def _by_itself(der: Der, last: DerReading, why: str) -> DerReading:
    """A device whose reversion timer has run out."""
    to = reverted(der)
    p_kw = min(last.p_kw, to.p_kw) if isinstance(der, Pv) else to.p_kw
    return replace(
        last,
        p_kw=p_kw,
        q_kvar=0.0,
        cap_kw=to.cap_kw,
        available_kw=None,
        soc_pct=None,
        quality=Quality.ASSUMED,
        note=why,
    )


def _load(
    site: Site,
    answer: LoadReading | DeviceError,
    last: LoadReading | None,
    now: datetime,
) -> LoadReading:
    answer = plausible_load(site, answer)
    if isinstance(answer, LoadReading):
        return answer
    if last is not None and last.quality is not Quality.ASSUMED:
        age = (now - last.time).total_seconds()
        if abs(age) <= LAST_LOAD_S:  # as above
            note = f"{answer}; last good value is {age:.0f} s old"
            return replace(last, quality=Quality.STALE, note=note)
    note = f"{answer}; anything between the site's lowest and highest load is reckoned with"
    return LoadReading(time=now, p_kw=site.load_min_kw, quality=Quality.ASSUMED, note=note)
