"""Which of a device's mirrored readings count, and what they say together.

A client may mirror the same quantity several times: by direction of flow, phase by phase, as a
mean and as extremes, at its own terminals and where the premises are connected. What cannot be
told apart is refused: a guess would be dispatched on.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ems.errors import DeviceError
from ems.gateways.ieee2030_5.port import Reading

W, VAR, V, HZ = 38, 63, 29, 33
"""UomType (IEC 61968-9)."""
NAMES = {W: "W", VAR: "var", V: "V", HZ: "Hz"}
FORWARD, REVERSE = 1, 19
"""FlowDirectionType: delivered to the customer, received from them."""
PRESENT = {12: 0, 0: 1, 2: 2}
"""DataQualifierType of what it does now, the best first: as measured, not told, average. Extremes
and deviations are not."""
POWERS = {37: 0, 0: 0, 8: 1}
"""KindType likewise: power, not told, demand. Energy and currency are not."""
DOUBTFUL = 0x02 | 0x04 | 0x08 | 0x10 | 0x40
"""qualityFlags: edited by hand, estimated, interpolated, questionable, forecast."""
PREMISES, DER, DC = 0x02, 0x08, 0x20
"""roleFlags of the usage point: where the premises are connected, of a DER, behind the inverter."""
WHOLE = frozenset({0, 224})
"""PhaseCode: not told, and ABC."""
LETTER = {128: "A", 129: "A", 64: "B", 65: "B", 32: "C", 33: "C"}
"""PhaseCode of one phase, alone or to neutral."""
ALIKE = 0.01
"""Two views of the same power, taken a moment apart, differ by no more [1]."""
PLAUSIBLE = (0.5, 1.5)
"""A voltage outside is one of another kind than its reference, phase to phase or to neutral
[pu]."""
NEAR_NOMINAL = (0.8, 1.2)
"""Within it a voltage shows of which kind it is: no two kinds can both be [pu]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What readings say together."""

    value: float
    """Power as an injection, in the unit itself."""
    time: int
    """When the oldest of them was measured, or came if that is earlier [s]."""


def since(reading: Reading, at: int) -> int:
    """When a reading is of; a clock that is ahead makes it no fresher [s]."""
    return min(reading.time, reading.received, at)


def power(
    readings: Iterable[Reading], uom: int, *, phases: int | None, at: int, fresh_s: float
) -> Measured | None:
    """Active or reactive power; None where it is not mirrored.

    Args:
        readings: of a device.
        uom: `W` or `VAR`.
        phases: of the DER; None: it is the load's meter.
        at: the present [s].
        fresh_s: older readings count only where there are no others [s].

    Raises:
        DeviceError: what it mirrors is not of this DER, is doubtful, or can mean several things.
    """
    mirrored = [
        r
        for r in readings
        if r.uom == uom
        and math.isfinite(r.value)
        and r.qualifier in PRESENT
        and r.kind in POWERS
        and not r.role & DC
    ]
    if not mirrored:
        return None
    sound = [r for r in _of_role(mirrored, NAMES[uom], meter=phases is None) if _sound(r)]
    if not sound:
        raise DeviceError(
            f"its readings of {NAMES[uom]} are marked estimated, questionable or forecast "
            "(qualityFlags)"
        )
    newest = max(sound, key=lambda r: since(r, at))
    if at - since(newest, at) > fresh_s:
        return Measured(value=newest.value, time=since(newest, at))
    fresh = [r for r in sound if at - since(r, at) <= fresh_s]
    best = min(_rank(r) for r in fresh)
    counted = [r for r in fresh if _rank(r) == best]
    silent = [r for r in sound if r not in fresh and any(_other_direction(r, c) for c in counted)]
    return Measured(
        value=sum(_net(one, NAMES[uom]) for one in _by_phase(counted, NAMES[uom], phases)),
        # A register for one direction says nothing without that for the other.
        time=min(since(r, at) for r in (*counted, *silent)),
    )


def newest(readings: Iterable[Reading], uom: int, at: int) -> list[Reading]:
    """The readings of voltage or frequency that count: of all phases, else one of each."""
    of_it = [
        r
        for r in readings
        if r.uom == uom and r.qualifier in PRESENT and math.isfinite(r.value) and _sound(r)
    ]
    latest: dict[int, Reading] = {}
    for reading in sorted(of_it, key=lambda r: since(r, at)):
        latest[reading.phase] = reading
    whole = [r for phase, r in latest.items() if phase in WHOLE]
    if whole:
        return [max(whole, key=lambda r: since(r, at))]
    # Phases alone, to neutral, to each other: never two of these together.
    for kind in (0, 1, None):
        some = [
            r for phase, r in latest.items() if (phase % 2 if phase in LETTER else None) == kind
        ]
        if some:
            return some
    return []


class Voltages:
    """Whether each device's voltage is meant as its reference is: found once, and kept.

    A voltage near nominal shows whether it and its reference are both from phase to phase (or both
    to neutral), or one of each. A deep sag afterwards is then a sag, and no other kind.
    """

    def __init__(self) -> None:
        self._scale: dict[tuple[str, int, float], float] = {}

    def per_unit(self, der: str, phase: int, v: float, v_ref: float) -> float | None:
        """Of the reference; None while nothing has shown what kind it is of [pu]."""
        key = (der, phase, v_ref)
        scale = self._scale.get(key)
        low, high = PLAUSIBLE
        if scale is not None and v * scale / v_ref <= high:
            return v * scale / v_ref
        # Never found, or found while it was far off nominal: no network is that high.
        low, high = NEAR_NOMINAL
        kinds = (1.0, math.sqrt(3.0), 1.0 / math.sqrt(3.0))
        found = next((s for s in kinds if low <= v * s / v_ref <= high), None)
        if found is None:
            return None
        self._scale[key] = found
        return v * found / v_ref


def _sound(reading: Reading) -> bool:
    return not reading.quality & DOUBTFUL


def _rank(reading: Reading) -> tuple[int, int]:
    return POWERS[reading.kind], PRESENT[reading.qualifier]


def _other_direction(one: Reading, of: Reading) -> bool:
    """Whether two readings are the registers of one meter for the two directions of flow."""
    return {one.flow, of.flow} == {FORWARD, REVERSE} and (_rank(one), one.phase, one.role) == (
        _rank(of), of.phase, of.role
    )  # fmt: skip


def _of_role(readings: Sequence[Reading], name: str, *, meter: bool) -> Sequence[Reading]:
    """Those of the usage points that are meant."""
    premises = [r for r in readings if r.role & PREMISES]
    others = [r for r in readings if not r.role & PREMISES]
    if meter:
        # A plain meter may call itself anything; the site file says that it is the load's.
        return premises or [r for r in others if not r.role & DER] or others
    if not others:
        raise DeviceError(
            f"its readings of {name} are the premises' (roleFlags isPremisesAggregationPoint); "
            "let it mirror the DER's own in a usage point with isDER"
        )
    return [r for r in others if r.role & DER] or others


def _by_phase(readings: Sequence[Reading], name: str, phases: int | None) -> list[list[Reading]]:
    """All phases together, or phase by phase."""
    whole = [r for r in readings if r.phase in WHOLE]
    if whole:
        return [whole]
    by_letter: dict[str, list[Reading]] = {}
    for reading in readings:
        by_letter.setdefault(LETTER.get(reading.phase, ""), []).append(reading)
    told = sorted(by_letter)
    if "" in told or len(told) < (phases or 3):
        codes = ", ".join(str(p) for p in sorted({r.phase for r in readings}))
        raise DeviceError(
            f"it mirrors {name} of some phases only (phase code {codes}); let it mirror every "
            "phase, or all together (phase code 0 or 224)"
        )
    return [by_letter[letter] for letter in told]


def _net(readings: Sequence[Reading], name: str) -> float:
    """What is injected in one phase, of registers for one or both directions."""
    forward = _one([r for r in readings if r.flow == FORWARD], name)
    reverse = _one([r for r in readings if r.flow == REVERSE], name)
    if forward is None and reverse is None:
        signed = _one(readings, name)
        return 0.0 if signed is None else signed
    if forward is None or reverse is None:
        return reverse if reverse is not None else -(forward or 0.0)
    if forward >= 0.0 and reverse >= 0.0:
        return reverse - forward
    # Signed in both directions: the same power seen from both sides.
    if not _alike(reverse, -forward):
        raise DeviceError(
            f"its {name} by direction contradict each other: {forward:g} delivered (flowDirection "
            f"1) and {reverse:g} received (19); let it mirror one signed reading, or two without "
            "sign"
        )
    return reverse


def _one(readings: Sequence[Reading], name: str) -> float | None:
    """The newest of several readings of the same, which must agree."""
    if not readings:
        return None
    last = max(readings, key=lambda r: (min(r.time, r.received), r.received))
    for other in readings:
        if not _alike(other.value, last.value):
            raise DeviceError(
                f"it mirrors two readings of {name} that nothing tells apart: {other.value:g} and "
                f"{last.value:g} (flowDirection {last.flow}, phase code {last.phase}); let one of "
                "them go, or tell them apart by roleFlags, dataQualifier or phase"
            )
    return last.value


def _alike(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=ALIKE, abs_tol=1.0)
