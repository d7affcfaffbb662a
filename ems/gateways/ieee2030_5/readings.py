"""What a device mirrors and reports, as a reading of the EMS.

Power of a DER is an injection. IEEE 2030.5 says by the flow direction which way is counted
positive: 19 (reverse) is what the customer gives, 1 (forward) what is delivered to them.
"""

from datetime import datetime, timedelta

from ems.domain import Bes, Der, DerReading, LoadReading, Pv
from ems.errors import DeviceError, Unreachable
from ems.gateways.ieee2030_5.following import holding
from ems.gateways.ieee2030_5.measured import (
    HZ,
    VAR,
    Measured,
    V,
    Voltages,
    W,
    newest,
    power,
    since,
)
from ems.gateways.ieee2030_5.orders import held
from ems.gateways.ieee2030_5.port import EndDevice
from ems.gateways.ieee2030_5.ratings import Ratings, ratings
from ems.protocols.ieee2030_5 import sep, values

CONNECTED = 1
"""Bit of ConnectStatusType."""
LOCAL = 0
"""LocalControlModeStatusType: somebody works on it."""
STATUS_HELD_S = 900.0
"""How long a DERStatus is believed at least [s]: CSIP devices post theirs every 5 min, and one or
two posts may be lost."""


def der_reading(
    der: Der,
    device: EndDevice | None,
    now: datetime,
    at: int,
    fresh_s: float,
    voltages: Voltages,
) -> DerReading | DeviceError:
    """What a DER reports; as old as the oldest of P, Q and, of a battery, its state of charge.

    Args:
        der: the device.
        device: what the server knows of it; None: it is not registered.
        now: the present.
        at: the same by the server's clock, which ages are taken from [s].
        fresh_s: how old what it tells may be; older readings are as good as none [s].
        voltages: what kind of voltage each device tells, as far as known.
    """
    if device is None:
        return DeviceError(f"{der.name}: its end device is not registered with the server")
    try:
        p, q = (
            power(device.readings, uom, phases=der.phases, at=at, fresh_s=fresh_s)
            for uom in (W, VAR)
        )
    except DeviceError as fault:
        return DeviceError(f"{der.name}: {fault}")
    if p is None or q is None:
        what = " and ".join(name for name, found in (("W", p), ("var", q)) if found is None)
        return Unreachable(f"{der.name}: {_silence(device, at)} mirrors no reading of {what}")
    times = [p.time, q.time]
    status = device.status
    soc_pct = None
    if isinstance(der, Bes) and status is not None and status.stateOfChargeStatus is not None:
        soc_pct = status.stateOfChargeStatus.value / 100.0
        told = max(status.stateOfChargeStatus.dateTime, status.readingTime)
        times.append(_came("status", told, device, at))
    measured = min(times)
    if at - measured > fresh_s:
        return Unreachable(f"{der.name}: {_old(device, at, measured)}")
    of = ratings(device)
    holds = holding(device, at).base
    ordered = held(der, holds, of) if holds is not None and of is not None else None
    hz = next(
        (r.value for r in newest(device.readings, HZ, at) if at - since(r, at) <= fresh_s), None
    )
    return DerReading(
        der=der.name,
        time=now - timedelta(seconds=at - measured),
        p_kw=p.value / 1000.0,
        q_kvar=q.value / 1000.0,
        v_pu=_per_unit(der, device, of, at, fresh_s, voltages),
        soc_pct=soc_pct,
        cap_kw=ordered.cap_kw if ordered else None,
        p_set_kw=ordered.p_kw if ordered else None,
        q_set_kvar=ordered.q_kvar if ordered else None,
        available_kw=_available_kw(der, device, p, at, fresh_s),
        rated_kw=of.max_w / 1000.0 if of else None,
        hz=hz,
        connected=_connected(der, device, at, fresh_s),
        local=is_local(device, at, fresh_s),
        note=_outdated(device, at, fresh_s),
    )


def load_reading(
    device: EndDevice | None, now: datetime, at: int, fresh_s: float
) -> LoadReading | DeviceError:
    """Consumption that a meter mirrors."""
    if device is None:
        return DeviceError("load: its end device is not registered with the server")
    try:
        p, q = (
            power(device.readings, uom, phases=None, at=at, fresh_s=fresh_s) for uom in (W, VAR)
        )
    except DeviceError as fault:
        return DeviceError(f"load: {fault}")
    if p is None:
        return Unreachable(f"load: {_silence(device, at)} mirrors no reading of W")
    measured = min(p.time, q.time if q else p.time)
    if at - measured > fresh_s:
        return Unreachable(f"load: {_old(device, at, measured)}")
    return LoadReading(
        time=now - timedelta(seconds=at - measured),
        p_kw=-p.value / 1000.0,
        q_kvar=-q.value / 1000.0 if q else None,
    )


def _old(device: EndDevice, at: int, measured: int) -> str:
    asked = "never" if device.last_seen is None else f"{at - device.last_seen} s ago"
    return f"its end device asked {asked}, and its last readings are {at - measured} s old"


def _silence(device: EndDevice, at: int) -> str:
    if device.last_seen is None:
        return f"its end device has not asked yet (every {device.poll_s:g} s it should), and"
    return f"its end device asked {at - device.last_seen} s ago, and"


def _per_unit(
    der: Der,
    device: EndDevice,
    of: Ratings | None,
    at: int,
    fresh_s: float,
    voltages: Voltages,
) -> float | None:
    """Mean of the phases."""
    if of is None or not of.v:
        return None
    fresh = [r for r in newest(device.readings, V, at) if at - since(r, at) <= fresh_s]
    found = [voltages.per_unit(der.name, r.phase, r.value, of.v) for r in fresh]
    known = [v_pu for v_pu in found if v_pu is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def _available_kw(
    der: Der, device: EndDevice, p: Measured, at: int, fresh_s: float
) -> float | None:
    """What it makes and what it says it has in reserve beyond that (statWAvail)."""
    told = device.availability
    if not isinstance(der, Pv) or told is None or told.statWAvail is None:
        return None
    if at - min(_came("availability", told.readingTime, device, at), p.time) > fresh_s:
        return None
    return (p.value + values.watts(told.statWAvail)) / 1000.0


def _connected(der: Der, device: EndDevice, at: int, fresh_s: float) -> bool | None:
    status = _believed(device, at, fresh_s)
    if status is None:
        return None
    told = status.storConnectStatus if isinstance(der, Bes) else status.genConnectStatus
    told = told or status.genConnectStatus or status.storConnectStatus
    return None if told is None else bool(int(told.value, 16) & CONNECTED)


def is_local(device: EndDevice, at: int, fresh_s: float) -> bool:
    """Whether somebody works on it, and it takes no control from afar.

    An old status is not believed for ever: a device that is still under local control does not take
    a control that is published, and its Response, or none, tells so.

    Args:
        device: what is known of it.
        at: the present [s].
        fresh_s: how old what it tells may be; a status may be `STATUS_HELD_S` at least [s].
    """
    status = _believed(device, at, fresh_s)
    return status is not None and _says_local(status)


def _says_local(status: sep.DERStatus) -> bool:
    mode = status.localControlModeStatus
    return mode is not None and mode.value == LOCAL


def _believed(device: EndDevice, at: int, fresh_s: float) -> sep.DERStatus | None:
    """Its status, where it is not too old."""
    status = device.status
    if status is None:
        return None
    told = _came("status", status.readingTime, device, at)
    return status if at - told <= max(fresh_s, STATUS_HELD_S) else None


def _outdated(device: EndDevice, at: int, fresh_s: float) -> str:
    """That it was under local control, and has not told whether it still is."""
    status = device.status
    if status is None or not _says_local(status) or is_local(device, at, fresh_s):
        return ""
    age_s = at - _came("status", status.readingTime, device, at)
    return f"its DERStatus says local control, and is {age_s} s old: not believed any more"


def _came(kind: str, told: int, device: EndDevice, at: int) -> int:
    """When a document is of: as it says, but never after it came [s]."""
    return min(told, device.received.get(kind, told), at)
