"""Devices of the old file, and their DERs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from ems.derms.gridappsd.made import Made, Names
from ems.derms.gridappsd.reading import Path, Section
from ems.protocols.ieee2030_5.identity import pin_fault
from ems.protocols.ieee2030_5.modes import BITS
from ems.settings.ieee2030_5 import CATEGORIES, DER_TYPES, MODES

_MODES = {theirs.removesuffix("Mode"): ours for ours, theirs in MODES.items()}
_TYPES = {number: name for name, number in DER_TYPES.items()}
_OTHER_WORDS = {
    "simple_residential_loads": "simple_misc_loads",
    "other_generation_systems": "other_generation_system",
    "other_storage_systems": "other_storage_system",
}
"""Categories by the names that server has for them."""
_OLDER = {"smart_inverter": "virtual_or_mixed_der", "generation_systems": "other_generation_system"}
"""Categories of the edition of 2013 that the one of 2018 no longer has."""
_MANAGER = "aggregator"
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{1,8}")
_FLAGS = re.compile(r"[01]{9,32}")

_KILO = 0.001
_RATINGS = {
    "rtgMaxW": ("rated_kw", _KILO),
    "rtgMaxVA": ("rated_kva", _KILO),
    "rtgMaxVar": ("rated_kvar", _KILO),
    "rtgMaxVarNeg": ("rated_absorb_kvar", _KILO),
    "rtgMaxChargeRateW": ("rated_charge_kw", _KILO),
    "rtgMaxDischargeRateW": ("rated_discharge_kw", _KILO),
    "rtgMaxWh": ("rated_kwh", _KILO),
    "rtgMaxA": ("rated_a", 1.0),
    "rtgVNom": ("rated_v", 1.0),
    "rtgMinV": ("min_v", 1.0),
    "rtgMaxV": ("max_v", 1.0),
    "rtgMinPFOverExcited": ("min_pf_over", 1.0),
    "rtgMinPFUnderExcited": ("min_pf_under", 1.0),
    "rtgMaxAh": ("rated_ah", 1.0),
    "rtgMaxChargeRateVA": ("rated_charge_kva", _KILO),
    "rtgMaxDischargeRateVA": ("rated_discharge_kva", _KILO),
    "rtgOverExcitedW": ("over_excited_kw", _KILO),
    "rtgOverExcitedPF": ("over_excited_pf", 1.0),
    "rtgUnderExcitedW": ("under_excited_kw", _KILO),
    "rtgUnderExcitedPF": ("under_excited_pf", 1.0),
    "rtgReactiveSusceptance": ("reactive_susceptance_s", 1.0),
    "setMaxW": ("set_max_kw", _KILO),
    "setGradW": ("set_grad_w_pct_per_s", 0.01),
}
"""Nameplate and settings: our key, and the scale to our unit."""
_PERFORMANCE = {
    "rtgNormalCategory": ("normal_category", ("A", "B")),
    "rtgAbnormalCategory": ("abnormal_category", ("I", "II", "III")),
}
"""Categories of IEEE 1547-2018, from 1; 0 says nothing."""
_OWN_WORD = ("mfID", "mfModel", "mfSerNum", "mfHwVer", "swVer")
"""What a device tells of itself, and no table of ours tells for it."""


class Assignments:
    """What a device is assigned to, by the names of the old file."""

    def __init__(self, programs: Names, groups: Mapping[str, Made], groups_of: Names) -> None:
        self._programs, self._groups, self._groups_of = programs, groups, groups_of

    def of(self, section: Section) -> Iterator[str]:
        """Names of ours of the programs and groups a device, or a DER of it, names."""
        for at, name in section.names("fsas"):
            if (group := self._groups_of.get(name)) is not None and name in self._groups:
                yield group
            else:
                section.told.left_out(at, f'no group of the file is called "{name}"')
        for key in ("programs", "program"):
            for at, name in section.names(key):
                if (program := self._programs.get(name)) is not None:
                    yield program
                else:
                    section.told.left_out(at, f'no program of the file is called "{name}"')

    def within(self, groups: Sequence[str]) -> set[str]:
        """The programs that come with these groups."""
        ours = {self._groups_of.get(theirs): made for theirs, made in self._groups.items()}
        return {p for group in groups if group in ours for p in ours[group]["programs"]}


class Certificates:
    """Where that server keeps what LFDIs are taken from."""

    def __init__(self, repository: FilePath, *, of_file: bool) -> None:
        self._repository, self._of_file = repository, of_file

    def of(self, device: str) -> str:
        """The file from which a device's LFDI is taken."""
        if self._of_file:
            return str(self._repository / "combined" / f"{device}-combined.pem")
        return str(self._repository / "certs" / f"{device}.crt")


def devices(
    root: Section, names: Names, assignments: Assignments, certificates: Certificates
) -> Iterator[Made]:
    """Each device in its order."""
    shared = {s.text("description") or "": s for s in root.sections("ders")}
    for section in root.sections("devices"):
        made = Made(section.at)
        theirs = section.text("id") or f"device {section.at[-1]}"
        if theirs in names:
            section.told.left_out(section.where("id"), f'"{theirs}" stands twice')
            continue
        made.put("name", names.add(theirs, section.where("id"), section.told))
        lfdi = section.text("lfdi", "lFDI")
        if lfdi is not None:
            made.put("lfdi", lfdi.replace("-", "").upper(), section.where("lfdi", "lFDI"))
        else:
            made.put("cert_file", certificates.of(theirs))
        made.put("pin", _pin(section), section.where("pin"))
        made.put("category", _categories(section))
        made.put("enabled", section.truth("enabled"), section.where("enabled"))
        _rates(section, made)
        ders = [*_ders(section, shared)]
        groups = [*assignments.of(section), *(g for der in ders for g in assignments.of(der))]
        inside = assignments.within(groups)
        made.put("groups", [g for g in dict.fromkeys(groups) if g not in inside] or None)
        made.put("der", [d for d in (_der(der, section) for der in ders) if d] or None)
        for key in ("hostname", "ip"):
            if section.take(key) is not None:
                why = "a device is known by its certificate, wherever it connects from"
                section.told.needless(section.where(key), why)
        section.tell_the_rest()
        yield made


def _pin(section: Section) -> int | None:
    value = section.number("pin")
    if value is None:
        return None
    problem = pin_fault(int(value))
    if problem:
        why = f"{problem}. A client refuses a server whose PIN is not its own: change both"
        section.told.left_out(section.where("pin"), why)
        return None
    return int(value)


def _rates(section: Section, made: Made) -> None:
    for keys, ours in (
        (("poll_rate", "pollRate"), "poll_rate_s"), (("post_rate", "postRate"), "post_rate_s")
    ):  # fmt: skip
        rate = section.number(*keys)
        made.put(ours, None if rate is None else int(rate), section.where(*keys))


def _categories(section: Section) -> list[str] | None:
    keys = ("device_categories", "deviceCategory", "device_category_type")
    value, at = section.take(*keys), section.where(*keys)
    found = []
    for each in value if isinstance(value, list) else [] if value is None else [value]:
        name = _category(each)
        if name is None and str(each).lower() == _MANAGER:
            why = "has no category here: name it as `aggregator` of the devices it manages"
            section.told.changed(at, why)
        elif name is None:
            section.told.left_out(at, f"{each!r} is no category of IEEE 2030.5-2018")
        else:
            found.append(name)
            if str(each).lower() in _OLDER:
                section.told.changed(at, f"{each} is of the edition of 2013; taken as {name}")
    return found or None


def _category(each: Any) -> str | None:
    if isinstance(each, int) and not isinstance(each, bool):
        return CATEGORIES[each] if 0 <= each < len(CATEGORIES) else None
    name = str(each).lower()
    name = _OTHER_WORDS.get(name, _OLDER.get(name, name))
    return name if name in CATEGORIES else None


def _ders(section: Section, shared: Mapping[str, Section]) -> Iterator[Section]:
    """The DERs of a device; one that is named only is that of the list of all."""
    value = section.take("ders")
    for i, each in enumerate(value if isinstance(value, list) else []):
        at: Path = (*section.at, "ders", i)
        theirs = each.get("description") if isinstance(each, Mapping) else each
        alone = not isinstance(each, Mapping) or set(each) == {"description"}
        if alone and isinstance(theirs, str) and theirs in shared:
            yield Section(shared[theirs].values, at, section.told)
        elif isinstance(each, Mapping):
            yield Section(each, at, section.told)
        elif each is not None:
            section.told.left_out(at, f"{each!r} is no DER of the file")


def _der(section: Section, device: Section) -> Made | None:
    made = Made(section.at)
    plate = device.section("nameplate")
    inner = section.section("capabilities")
    sources = [section, *filter(None, (inner, plate))]
    section.take("description", "program", "programs", "fsas")
    for each in sources:
        for theirs, (ours, scale) in _RATINGS.items():
            number = each.number(theirs)
            if number is not None and ours not in made:
                made.put(ours, abs(number) * scale, each.where(theirs))
        for theirs, (ours, names) in _PERFORMANCE.items():
            number = each.number(theirs)
            if number in range(1, len(names) + 1):
                made.put(ours, names[int(number or 0) - 1], each.where(theirs))
            elif number:
                why = f"{number:g} is no category; 1 to {len(names)}, or 0 for none"
                each.told.left_out(each.where(theirs), why)
        for theirs in _OWN_WORD:
            if each.take(theirs) is not None:
                why = "the device tells it by its own DeviceInformation"
                each.told.left_out(each.where(theirs), why)
        if "type" not in made:
            made.put("type", _type(each), each.where("type"))
        if "modes" not in made:
            made.put("modes", _supported(each), each.where("modesSupported"))
        each.tell_the_rest()
    if "rated_kw" not in made:
        why = "has no rtgMaxW; what it can do is known once the device has told it"
        section.told.left_out(section.at, why)
        return None
    return made


def _type(section: Section) -> str | None:
    value = section.number("type")
    if value is None:
        return None
    if value not in _TYPES:
        section.told.left_out(section.where("type"), f"{value:g} is no type of DER")
    return _TYPES.get(int(value))


def _supported(section: Section) -> list[str] | None:
    """Modes of `modesSupported`: hexadecimal as in the standard, or that server's row of flags."""
    text = section.text("modesSupported")
    at = section.where("modesSupported")
    if text is None:
        return None
    if _FLAGS.fullmatch(text):
        bits = {bit for bit, flag in enumerate(text) if flag == "1"}
    elif _HEXADECIMAL.fullmatch(text):
        bits = {bit for bit in range(32) if int(text, 16) >> bit & 1}
    else:
        why = f'"{text}" is neither up to 8 hexadecimal digits nor a row of flags'
        section.told.left_out(at, why)
        return None
    modes = [_MODES[BITS[bit].removesuffix("Mode")] for bit in sorted(bits) if bit < len(BITS)]
    if _FLAGS.fullmatch(text):
        why = f"{len(text)} digits are no HexBinary32; read as flags from bit 0: {', '.join(modes)}"
        section.told.changed(at, why)
    if reserved := sorted(bit for bit in bits if bit >= len(BITS)):
        section.told.left_out(at, f"bits {', '.join(map(str, reserved))} stand for no mode")
    return modes
