"""Single values of an end device by name, as a historian or a building platform wants them.

Names are of three kinds: those of SunSpec's models (`b120_WRtg`: model 120, point WRtg; the names
VOLTTRON's IEEE 2030.5 registry uses), elements of what a device put (`DERStatus.readingTime`), and
mirrored readings by what the device calls them (`MirrorMeterReading.PhaseCurrentAvg`). Control
points can be set: that publishes a DERControl to this device alone.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from ems.derms.board import FILED, Board, Control, Device, NotFound
from ems.derms.point_names import CONTROLS, POINTS, Asked, Read
from ems.errors import BadInput
from ems.protocols.ieee2030_5 import identity, sep, values
from ems.protocols.ieee2030_5.schema.base import Element

PREFIX = "point-"
"""Programs of control points are called after their device."""
PRIMACY = 1
"""Of these programs: above those of a utility, below what is asked at home."""
HELD_S = 24 * 3600
"""How long a point that was set holds, unless another duration is given [s]."""
_MOST_DESCRIPTION = 32
_ABOVE_PEN = 1 << 32
"""Least step of an mRID that leaves the enterprise number at its end alone."""
Value = float | int | str | bool


def get_point(board: Board, device: Device, name: str) -> Value:
    """The value now.

    Raises:
        NotFound: there is no such point, or the device has not told it.
    """
    if name in CONTROLS:
        found = _held(board, device, CONTROLS[name])
    elif name in POINTS:
        found = _read(board, device, name)
    else:
        found = dict(_told(board, device)).get(name)
        if found is None and not _is_element(name):
            raise NotFound(f"there is no point {name!r}; the registry has them all")
    if found is None:
        raise NotFound(f"device {device.name!r} has told no {name}")
    return found


def scrape_all(board: Board, device: Device) -> dict[str, Value]:
    """All points that have a value now, by name."""
    found = {name: _read(board, device, name) for name in POINTS}
    found |= {name: _held(board, device, asked) for name, asked in CONTROLS.items()}
    told: dict[str, Value | None] = dict(_told(board, device))
    return {name: value for name, value in (found | told).items() if value is not None}


def registry(board: Board, device: Device) -> str:
    """The points of a device as VOLTTRON's registry, CSV."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ("Reference Point Name", "Point Name", "Volttron Point Name", "Units", "Writable",
         "Default Value", "Notes")
    )  # fmt: skip
    for name, read in POINTS.items():
        rows.writerow((f"2030.5/{name}", name, name, read.units, "FALSE", "", read.notes))
    for name, asked in CONTROLS.items():
        rows.writerow((f"2030.5/{name}", name, name, asked.units, "TRUE", "", asked.notes))
    for name, _ in _told(board, device):
        called = name.replace(".", "_").replace(" ", "_").replace("/", "_")
        rows.writerow((f"2030.5/{name}", name, called, "", "FALSE", "", "IEEE 2030.5"))
    return text.getvalue()


def set_point(
    board: Board, device: Device, name: str, value: Value | None, *, duration_s: int = HELD_S
) -> Value | None:
    """Publish a control to this device that holds this point, beside those set before.

    Args:
        board: what is served.
        device: whose point it is.
        name: of a control point.
        value: in the point's unit; None: it is not asked any more.
        duration_s: how long all points of the device hold from now on [s].

    Returns:
        What is asked then: never more than `value`.

    Raises:
        NotFound: there is no such point.
        BadInput: it cannot be set, or not to this value.
    """
    if name not in CONTROLS:
        if name in POINTS or _is_element(name):
            raise BadInput.at(name, "can only be read; control points can be set")
        raise NotFound(f"there is no point {name!r}; the registry has them all")
    if duration_s <= 0:
        raise BadInput.at("duration_s", f"{duration_s} is no time; it must be above 0")
    asked = CONTROLS[name]
    element = None if value is None else _element(board, device, name, value)
    earlier = _all_standing(board, device)
    base = earlier[-1].base.model_copy() if earlier else sep.DERControlBase()
    setattr(base, asked.mode, element)
    if not earlier and not _asks(base):
        return None
    program = _program(board, device)
    if _asks(base):
        mrid = _mrid_after(earlier, board.now())
        board.publish(program, base=base, start=board.now(), duration=duration_s, mrid=mrid)
    # What is not asked any more must not come back from an earlier control, now or when this ends.
    for control in earlier:
        board.cancel(program, control.mrid)
    return _held(board, device, asked)


# --- what was told -------------------------------------------------------------------


def _read(board: Board, device: Device, name: str) -> Value | None:
    read = POINTS[name]
    if name == "b404_DCWh":
        return _available_wh(board, device)
    if read.kind:
        filed = board.filed(device.lfdi, read.kind)
        return None if filed is None else _value_at(filed[0], read.path)
    if read.path in ("lfdi", "sfdi"):
        return str(getattr(device, read.path))
    return _reading(board, device, read)


def _reading(board: Board, device: Device, read: Read) -> float | None:
    """By the name it has, else the newest of its unit that is of all phases."""
    names = read.path.lower().split("|")
    latest = sorted(board.latest(device.lfdi).values(), key=lambda one: one.time)
    named = [one for one in latest if one.description.lower() in names]
    alike = [one for one in latest if read.uom and one.uom == read.uom]
    whole = [one for one in alike if one.phase == 0] or alike
    found = named or whole
    return found[-1].value if found else None


def _available_wh(board: Board, device: Device) -> float | None:
    """How long it can give what it is set to, times that (SunSpec 404 has it so)."""
    filed, settings = board.filed(device.lfdi, "availability"), board.filed(device.lfdi, "settings")
    if filed is None or settings is None:
        return None
    duration_s, power_w = (
        _value_at(filed[0], "availabilityDuration"),
        _value_at(settings[0], "setMaxDischargeRateW") or _value_at(settings[0], "setMaxW"),
    )
    if not isinstance(duration_s, int | float) or not isinstance(power_w, int | float):
        return None
    return duration_s / 3600 * power_w


def _value_at(resource: Element, path: str) -> Value | None:
    found: Any = resource
    for step in path.split("."):
        found = getattr(found, step, None) if hasattr(found, step) else getattr(
            found, f"{step}_", None
        )  # fmt: skip
        if found is None:
            return None
    return _plain(path.rpartition(".")[2], resource, path, found)


def _plain(name: str, resource: Element, path: str, found: Any) -> Value | None:
    if hasattr(found, "multiplier") and hasattr(found, "value"):
        return float(values.number(found))
    if hasattr(found, "multiplier") and hasattr(found, "displacement"):
        return float(values.displacement(found))
    is_share = isinstance(resource, sep.DERStatus) and path.startswith("stateOfCharge")
    if (is_share and name == "value") or name.lower().endswith("percent"):
        return int(found) / 100
    return found if isinstance(found, bool | int | float | str) else None


def _told(board: Board, device: Device) -> Iterator[tuple[str, Value]]:
    """Every element that the device put, and every mirrored reading, by name."""
    for number in board.ders(device.lfdi):
        for kind, resource in FILED.items():
            filed = board.filed(device.lfdi, kind, number)
            of_der = board.document(device.lfdi, kind, number) is not None
            if filed is None or (number > 1 and not of_der):
                continue
            which = f"[{number}]" if number > 1 else ""
            for path in _paths(filed[0]):
                value = _value_at(filed[0], path)
                if value is not None:
                    yield f"{resource.__name__}{which}.{path}", value
    for latest in board.latest(device.lfdi).values():
        yield f"MirrorMeterReading.{latest.description or latest.mrid}", latest.value


def _paths(element: Element, above: str = "") -> Iterator[str]:
    for field in type(element).model_fields:
        value = getattr(element, field)
        path = f"{above}{field.removesuffix('_')}"
        if isinstance(value, Element) and not hasattr(value, "multiplier"):
            yield from _paths(value, f"{path}.")
        elif value is not None and field != "href":
            yield path


def _is_element(name: str) -> bool:
    names = {resource.__name__ for resource in FILED.values()} | {"MirrorMeterReading"}
    return name.partition(".")[0].partition("[")[0] in names


# --- what is asked -------------------------------------------------------------------


def _held(board: Board, device: Device, asked: Asked) -> Value | None:
    """What the standing control of the points asks; None: nothing."""
    standing = _all_standing(board, device)
    element = getattr(standing[-1].base, asked.mode) if standing else None
    if element is None or isinstance(element, bool):
        return None if element is None else element
    if asked.mode == "opModFixedVar":
        return float(element.value) / 100
    if asked.mode == "opModFixedPFInjectW":
        return -values.displacement(element) if element.excitation else values.displacement(element)
    if hasattr(element, "multiplier"):
        return float(values.number(element))
    if asked.of:
        rated = _rated(board, device, asked)
        return None if rated is None else asked.sign * float(element) / values.FULL * rated
    return float(element) / 100


def _all_standing(board: Board, device: Device) -> list[Control]:
    """Controls of the device's points that are in force, in the order of their publication."""
    name = f"{PREFIX}{device.name}"
    if all(name != program.name for program in board.programs()):
        return []
    standing = (c for c in board.standing(name).controls if c.cancelled is None)
    return sorted(standing, key=lambda c: c.number)


def _mrid_after(earlier: Sequence[Control], now: int) -> str:
    """Of two controls made in one second the greater mRID is the newer one; empty: any will do."""
    if not earlier or earlier[-1].created < now:
        return ""
    return f"{(int(earlier[-1].mrid, 16) + _ABOVE_PEN) % (1 << 128):032X}"


def _program(board: Board, device: Device) -> str:
    """The program of the device's points, made when it is first needed."""
    name = f"{PREFIX}{device.name}"
    if all(name != program.name for program in board.programs()):
        mrid = identity.mrid("points", device.lfdi, pen=board.pen)
        board.add_program(name, primacy=PRIMACY, mrid=mrid, description=name[:_MOST_DESCRIPTION])
    if name not in device.groups:
        board.change_device(device.name, groups=(*device.groups, name))
    return name


def _element(board: Board, device: Device, name: str, value: Value) -> Any:
    """A value as DERControlBase has it, rounded towards zero."""
    asked = CONTROLS[name]
    if asked.mode in ("opModConnect", "opModEnergize"):
        if value not in (0, 1):
            raise BadInput.at(name, f"{value!r} is neither 0 nor 1")
        return bool(value)
    try:
        number = float(value)
    except ValueError:
        raise BadInput.at(name, f"{value!r} is no number") from None
    if asked.mode in ("opModTargetW", "opModTargetVar"):
        made = values.active_power if asked.mode == "opModTargetW" else values.reactive_power
        return _checked(name, value, lambda: made(number, "down"))
    if asked.mode == "opModFixedPFInjectW":
        return _checked(
            name,
            value,
            lambda: values.power_factor_with_excitation(abs(number), absorbs_vars=number < 0),
        )
    rated = _rated(board, device, asked) if asked.of else 100.0
    if rated is None:
        raise BadInput.at(
            name, f"{device.name} has told neither {asked.of.replace('/', ' nor ')}; set a share"
        )
    share = asked.sign * number / rated
    least = 0.0 if asked.mode == "opModMaxLimW" else -1.0
    if not least <= share <= 1.0:
        raise BadInput.at(name, f"{value} is beyond what can be asked, {least:.0%} to 100%")
    if asked.mode == "opModMaxLimW":
        return values.percent(share, "down")
    if asked.mode == "opModFixedVar":
        return values.fixed_var(share)
    return values.signed_percent(share, "down")


def _checked(name: str, value: Value, make: Any) -> Any:
    try:
        return make()
    except ValueError:
        raise BadInput.at(name, f"{value!r} is beyond what can be asked") from None


def _rated(board: Board, device: Device, asked: Asked) -> float | None:
    """What a share is of: the setting, else the rating [W]; None: the device has told neither."""
    setting, _, rating = asked.of.partition("/")
    for kind, element in (("settings", setting), ("capability", rating)):
        filed = board.filed(device.lfdi, kind)
        found = None if filed is None else _value_at(filed[0], element)
        if isinstance(found, int | float) and found > 0:
            return float(found)
    return None


def _asks(base: sep.DERControlBase) -> bool:
    return any(getattr(base, name) is not None for name in type(base).model_fields)
