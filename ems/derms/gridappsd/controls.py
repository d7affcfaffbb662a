"""Controls, events and default controls of the old file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ems.derms.gridappsd.made import Made, Names
from ems.derms.gridappsd.reading import Path, Section
from ems.settings.ieee2030_5 import CURVE_MODES

_CURVE_KEYS = {theirs: ours for ours, theirs in CURVE_MODES.items()}
_HUNDREDTHS = 0.01
"""Percentages and times of the standard count in hundredths."""
_MILLI = 0.001
"""Kilo from the plain unit; and the parameters of the droop count in thousandths."""
_KILOWATTS = {
    "opModTargetW": "target_kw",
    "opModTargetVar": "target_kvar",
    "opModImpLimW": "import_limit_kw",
    "opModExpLimW": "export_limit_kw",
    "opModGenLimW": "generation_limit_kw",
    "opModLoadLimW": "load_limit_kw",
}
_DROOP = {
    "dBOF": ("dbof_hz", _MILLI),
    "dBUF": ("dbuf_hz", _MILLI),
    "kOF": ("kof", _MILLI),
    "kUF": ("kuf", _MILLI),
    "openLoopTms": ("open_loop_tms_s", _HUNDREDTHS),
}
_SHARES = {1: "set_max_w", 2: "set_max_var", 3: "stat_var_avail"}
"""DERUnitRefType of a FixedVar."""
_ANSWERS = ("received", "events", "customer")
"""Bits 0 to 2 of responseRequired."""
_ENTER_SERVICE = {
    "setESDelay": "delay_s",
    "setESHighFreq": "high_hz",
    "setESHighVolt": "high_v_pct",
    "setESLowFreq": "low_hz",
    "setESLowVolt": "low_v_pct",
    "setESRampTms": "ramp_tms_s",
    "setESRandomDelay": "random_delay_s",
}
"""All count in hundredths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRead:
    """A control as it was written; it may be a default, an event, or both."""

    section: Section
    description: str
    base: Made
    """What it asks for."""

    def settings(self, program: Made) -> None:
        """Set what a default control has beside what it asks for."""
        for theirs, ours in (
            ("setGradW", "set_grad_w_pct_per_s"),
            ("setSoftGradW", "set_soft_grad_w_pct_per_s"),
        ):
            number = self.section.number(theirs)
            where = self.section.where(theirs)
            program.put(ours, None if number is None else number * _HUNDREDTHS, where)
        service = Made(self.section.at)
        for theirs, ours in _ENTER_SERVICE.items():
            number = self.section.number(theirs)
            where = self.section.where(theirs)
            service.put(ours, None if number is None else number * _HUNDREDTHS, where)
        program.put("enter_service", service or None, service.at)


def control(section: Section, curves: "CurveNames") -> ControlRead:
    """A control, as far as it is the same for defaults and events."""
    inside = section.section("base", "DERControlBase")
    made = Made(section.at if inside is None else inside.at)
    if inside is not None:
        _base(inside, made, curves)
    description = section.text("description") or ""
    return ControlRead(section=section, description=description, base=made)


class CurveNames:
    """Curves by description, by index, and by the type they are for."""

    def __init__(self, names: Names, made: Sequence[Made | None]) -> None:
        self._names, self._made = names, made

    def named(self, value: Any) -> str | None:
        """Our name of a curve that is called by description, by index or by href."""
        if isinstance(value, Mapping):
            value = str(value.get("href", "")).rstrip("/").replace("_", "/").rpartition("/")[2]
            value = int(value) if value.isdigit() else None
        if isinstance(value, int) and not isinstance(value, bool):
            found = self._made[value] if 0 <= value < len(self._made) else None
            return None if found is None else str(found["name"])
        return self._names.get(value) if isinstance(value, str) else None


def _base(inside: Section, made: Made, curves: CurveNames) -> None:
    made.put("connect", inside.truth("opModConnect"), inside.where("opModConnect"))
    made.put("energize", inside.truth("opModEnergize"), inside.where("opModEnergize"))
    for theirs, ours in (
        ("opModFixedW", "fixed_w_pct"), ("opModMaxLimW", "max_lim_w_pct"), ("rampTms", "ramp_tms_s")
    ):  # fmt: skip
        number = inside.number(theirs)
        made.put(ours, None if number is None else number * _HUNDREDTHS, inside.where(theirs))
    for theirs, ours in _KILOWATTS.items():
        number = inside.number(theirs)
        made.put(ours, None if number is None else number * _MILLI, inside.where(theirs))
    made.put("fixed_pf_absorb", _power_factor(inside, "opModFixedPFAbsorbW"))
    made.put("fixed_pf_inject", _power_factor(inside, "opModFixedPFInjectW"))
    made.put("fixed_var", _fixed_var(inside))
    made.put("freq_droop", _droop(inside))
    for theirs, ours in _CURVE_KEYS.items():
        value = inside.take(theirs)
        if value is None:
            continue
        name = curves.named(value)
        if name is None:
            inside.told.left_out(inside.where(theirs), f"{value!r} is no curve of this file")
        made.put(ours, name, inside.where(theirs))
    inside.tell_the_rest("no control mode of IEEE 2030.5")


def _power_factor(inside: Section, key: str) -> Made | None:
    made = Made(inside.where(key))
    if not isinstance(inside.values.get(key), Mapping):
        number = inside.number(key)
        if number is None:
            return None
        made.put("pf", number)
        made.put("excitation", "over")
        inside.told.changed(made.at, "says nothing of excitation; taken as over-excited")
        return made
    within = inside.section(key)
    displacement = None if within is None else within.number("displacement")
    if within is None or displacement is None:
        inside.told.left_out(made.at, "has no displacement")
        return None
    made.put("pf", displacement * 10.0 ** int(within.number("multiplier") or 0))
    # True: the DER absorbs reactive power (IEEE 2030.5-2018, PowerFactorWithExcitation).
    made.put("excitation", "under" if within.truth("excitation") else "over")
    within.tell_the_rest()
    return made


def _fixed_var(inside: Section) -> Made | None:
    within = inside.section("opModFixedVar")
    if within is None:
        return None
    made, kind, value = Made(within.at), within.number("refType"), within.number("value")
    within.tell_the_rest()
    if value is None or kind not in _SHARES:
        inside.told.left_out(made.at, "needs a value, and a refType of 1, 2 or 3")
        return None
    made.put("pct", value * _HUNDREDTHS)
    made.put("of", _SHARES[int(kind)])
    return made


def _droop(inside: Section) -> Made | None:
    within = inside.section("opModFreqDroop")
    if within is None:
        return None
    made = Made(within.at)
    for theirs, (ours, scale) in _DROOP.items():
        number = within.number(theirs)
        made.put(ours, None if number is None else number * scale, within.where(theirs))
    within.tell_the_rest()
    return made


def event(read: ControlRead, overlay: Section | None = None) -> Made | None:
    """The control as an event of a program; `overlay` is where `events` says when.

    A control without an interval never begins, as in that server: it is told and left out.
    """
    sources = [overlay, read.section] if overlay is not None else [read.section]
    made = Made(sources[0].at)
    interval = next(filter(None, (each.section("interval") for each in sources)), None)
    timed = [interval] if interval is not None else sources
    start = _first(timed, "start", "startTime")
    duration = _first(timed, "duration")
    if interval is not None:
        interval.tell_the_rest()
    if start is None or duration is None:
        read.section.told.left_out(
            made.at,
            "never begins: it has no interval with start and duration. Give it one, or publish "
            "it by the administration when it is to hold",
        )
        return None
    made.put("start", datetime.fromtimestamp(start[0], UTC), start[1])
    made.put("duration_s", int(duration[0]), duration[1])
    for theirs, ours in (
        ("randomizeStart", "random_start_s"), ("randomizeDuration", "random_duration_s")
    ):  # fmt: skip
        found = _first(sources, theirs)
        made.put(ours, None if found is None else int(found[0]), found and found[1])
    mrid = next(filter(None, (each.text("mRID", "mrid") for each in sources)), None)
    made.put("mrid", mrid)
    made.put("description", read.description[:32] or None)
    made.put("responses", next(filter(None, map(_responses, sources)), None))
    made.put("base", read.base)
    return made


def _first(sources: Sequence[Section], *keys: str) -> tuple[float, Path] | None:
    for each in sources:
        number = each.number(*keys)
        if number is not None:
            return number, each.where(*keys)
    return None


def _responses(section: Section) -> list[str] | None:
    text = section.text("responseRequired")
    if text is None:
        return None
    try:
        bits = int(text, 16)
    except ValueError:
        section.told.left_out(section.where("responseRequired"), f"{text!r} is no hexadecimal byte")
        return None
    return [name for bit, name in enumerate(_ANSWERS) if bits >> bit & 1]
