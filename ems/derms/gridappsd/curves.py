"""Curves of the old file."""

from collections.abc import Iterator, Mapping

from ems.derms.gridappsd.made import Made, Names
from ems.derms.gridappsd.reading import Section
from ems.settings.ieee2030_5 import CURVE_MODES

_TYPES = {theirs: ours for ours, theirs in CURVE_MODES.items()}
_BY_NUMBER = dict(enumerate(CURVE_MODES))
"""The fifteen, in the order of DERCurveType."""
_REFERENCES = (
    *("none", "set_max_w", "set_max_var", "stat_var_avail", "set_effective_v"),
    *("set_max_charge_w", "set_max_discharge_w", "stat_w_avail"),
)
"""DERUnitRefType, 0 to 7."""
_HUNDREDTHS = {
    "openLoopTms": "open_loop_tms_s",
    "rampDecTms": "ramp_dec_pct_per_s",
    "rampIncTms": "ramp_inc_pct_per_s",
    "rampPT1Tms": "ramp_pt1_tms_s",
    "vRef": "v_ref_pct",
    "autonomousVRefTimeConstant": "autonomous_vref_tms_s",
}
"""Keys that count in hundredths of a second, of a percent, or of a percent per second."""


def curves(root: Section, names: Names) -> Iterator[Made | None]:
    """Each curve in its order; None for one that has to be left out."""
    for section in root.sections("curves"):
        yield _curve(section, names)


def _curve(section: Section, names: Names) -> Made | None:
    made = Made(section.at)
    description = section.text("description") or f"Curve {section.at[-1]}"
    kind = _type(section)
    points = _ascending(section, _points(section))
    x_power = int(section.number("xMultiplier") or 0)
    y_power = int(section.number("yMultiplier") or 0)
    if kind is None or not points:
        if kind is not None:
            section.told.left_out(section.at, f'"{description}" has no CurveData that is sound')
        for key in section.values:
            section.take(key)  # told as a whole
        return None
    made.put("name", names.add(description, section.where("description"), section.told))
    made.put("type", kind, section.where("curveType"))
    scaled = [[_scaled(x, x_power), _scaled(y, y_power)] for x, y, _ in points]
    made.put("points", scaled, section.where("CurveData"))
    if kind == "watt_pf":
        made.put("excitation", ["under" if absorbs else "over" for _, _, absorbs in points])
    elif any(absorbs is not None for _, _, absorbs in points):
        section.told.left_out(section.where("CurveData"), "excitation belongs to opModWattPF only")
    _rest(section, made, kind)
    made.put("mrid", section.text("mRID", "mrid"), section.where("mRID", "mrid"))
    made.put("description", description[:32])
    section.tell_the_rest()
    return made


def _type(section: Section) -> str | None:
    value = section.take("curveType")
    found = _BY_NUMBER.get(value) if isinstance(value, int) else _TYPES.get(str(value))
    if found is None:
        known = ", ".join(_TYPES)
        section.told.left_out(
            section.where("curveType"), f"{value!r} is no curve type; 0 to 14, or {known}"
        )
    return found


def _points(section: Section) -> list[tuple[float, float, bool | None]]:
    """The points; none where one is unsound: without it, it would be another curve."""
    points, sound = [], True
    for each in section.sections("CurveData"):
        x, y = each.number("xvalue"), each.number("yvalue")
        side = each.take("excitation", "exitation")
        each.tell_the_rest()
        if x is None or y is None:
            each.told.left_out(each.at, "a point needs xvalue and yvalue")
            sound = False
        else:
            points.append((x, y, None if side is None else bool(side)))
    return points if sound else []


def _ascending(
    section: Section, points: list[tuple[float, float, bool | None]]
) -> list[tuple[float, float, bool | None]]:
    """The same points, x by x: a curve is read from its first point to its last."""
    ordered = sorted(points, key=lambda point: point[0])
    if ordered != points:
        section.told.changed(section.where("CurveData"), "the points are put in the order of x")
    return ordered


def _scaled(value: float, power: int) -> float:
    # Dividing keeps 5995 · 10⁻² at 59.95, which multiplying by 0.01 does not.
    return value * 10.0**power if power >= 0 else value / 10.0**-power


def _rest(section: Section, made: Made, kind: str) -> None:
    reference = section.number("yRefType")
    if reference is not None:
        if reference in range(len(_REFERENCES)):
            made.put("y_ref", _REFERENCES[int(reference)], section.where("yRefType"))
        else:
            section.told.left_out(section.where("yRefType"), f"{reference:g} lies not within 0…7")
    of_volt_var: Mapping[str, str] = {
        "autonomousVRefEnable": "autonomous_vref",
        "autonomousVRefTimeConstant": "autonomous_vref_tms_s",
        "vRef": "v_ref_pct",
    }
    enabled = section.truth("autonomousVRefEnable")
    made.put("autonomous_vref", enabled, section.where("autonomousVRefEnable"))
    for theirs, ours in _HUNDREDTHS.items():
        number = section.number(theirs)
        made.put(ours, None if number is None else number / 100, section.where(theirs))
    if kind != "volt_var":
        for theirs, ours in of_volt_var.items():
            if made.pop(ours, None) is not None:
                section.told.left_out(section.where(theirs), "belongs to opModVoltVar only")
    if section.take("creationTime") is not None:
        why = "a curve is as old as its first start here"
        section.told.needless(section.where("creationTime"), why)
