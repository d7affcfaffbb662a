"""Analog → table of measurements, and values that were measured.

Sign: a power at a terminal is positive into the element, so consumption is positive and an
inverter that generates measures negative.
"""

import cmath
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feeders.cim.topology import PHASE, Topology
from feeders.errors import FeederFault

POWER = "VA"
"""Measurement type of a complex power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CimMeasurement:
    """One analogue measurement that the file describes."""

    mrid: str
    name: str
    kind: str
    """Measurement type: `VA`, `PNV` (voltage), `A`, `SoC`, …"""
    phases: tuple[str, ...]
    """Phases it covers."""
    equipment: str
    """mRID of the element it is taken at."""
    bus: str
    """Bus of its terminal; empty where it has none."""


def measurements(t: Topology) -> Iterator[CimMeasurement]:
    """The analogue measurements at elements of the feeder."""
    r = t.reading
    here = {x.uri for x in t.equipment(*{o.kind for o in r.document.objects.values()})}
    for x in r.document.of_kind("Analog"):
        if not here.intersection(x.links.get("Measurement.PowerSystemResource", ())):
            r.target(x, "Measurement.PowerSystemResource")
            continue
        owner = r.target(x, "Measurement.PowerSystemResource")
        terminal = r.target(x, "Measurement.Terminal", needed=False)
        stands = t.end(terminal) if terminal is not None else None
        yield CimMeasurement(
            mrid=x.mrid,
            name=x.name,
            kind=x.literals.get("Measurement.measurementType", ("",))[0],
            phases=tuple(PHASE.findall(r.code(x, "Measurement.phases"))),
            equipment=owner.mrid if owner is not None else "",
            bus=stands.bus if stands is not None else "",
        )


def read_values(path: Path) -> dict[str, complex]:
    """Measured complex powers by measurement mRID, from a JSON file [W + j var].

    Two forms are taken: `{"MRID": {"p_w": 1200, "q_var": 300}, …}`, and an output message of a
    GridAPPS-D simulation, `{"message": {"measurements": {"MRID": {"magnitude": …, "angle": …}}}}`
    with the angle in degrees. Entries of neither form (tap positions, say) are left out.

    Raises:
        FeederFault: no such file, no JSON, no measurement in it, or a value that is no number.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FeederFault(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise FeederFault(f"{path}: is not JSON ({error}); save the measurements again") from error
    entries = _entries(data)
    found, faults = {}, []
    for mrid, entry in entries.items():
        value = _power_of(entry)
        if value is None:
            continue
        if not cmath.isfinite(value):
            faults.append(f"{path}: {str(mrid)[:60]!r}: a value is not a finite number")
        found[str(mrid)] = value
    if faults:
        raise FeederFault("; ".join(faults[:20]))
    if not found:
        raise FeederFault(
            f'{path}: holds no measured power; give {{"MRID": {{"p_w": …, "q_var": …}}}} '
            "or a simulation output with magnitude and angle"
        )
    return found


def _entries(data: Any) -> Mapping[str, Any]:
    for key in ("message", "measurements"):
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            data = data[key]
    if isinstance(data, Mapping):
        return data
    if isinstance(data, list):
        return {str(x.get("measurement_mrid")): x for x in data if isinstance(x, Mapping)}
    return {}


def _power_of(entry: Any) -> complex | None:
    if not isinstance(entry, Mapping):
        return None
    if "p_w" in entry:
        return complex(_number(entry["p_w"]), _number(entry.get("q_var", 0.0)))
    if "magnitude" in entry and "angle" in entry:
        angle = math.radians(_number(entry["angle"]))
        magnitude = _number(entry["magnitude"])
        return magnitude * complex(math.cos(angle), math.sin(angle)) if _ok(angle) else math.nan
    return None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.nan


def _ok(value: float) -> bool:
    return math.isfinite(value)
