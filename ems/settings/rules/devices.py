"""DERs and their devices: at least one, each with a name and an address of its own."""

from collections.abc import Iterator
from typing import Any

from ems.domain.address import lacking
from ems.settings.registers import out_of_reach
from ems.settings.rules.sound import Finding, Sound, text_of
from ems.settings.schema import DERS
from ems.settings.sources import Location


def _some_der(sound: Sound) -> Iterator[Finding]:
    if all(sound.get(array) == [] for array in DERS):
        yield (), "holds no DER; add a [[pv]], [[bes]] or [[dg]]"


def _unique_names(sound: Sound) -> Iterator[Finding]:
    seen: dict[str, Location] = {}
    for array in DERS:
        for at in sound.tables(array):
            name = sound.get(*at, "name")
            if name is None:
                continue
            if name.lower() == "load":
                yield (*at, "name"), '"load" is the name of the load meter; choose another'
            elif name.lower() in seen:
                yield (*at, "name"), f'"{name}" is the name of {text_of(seen[name.lower()])} too'
            else:
                seen[name.lower()] = at


def _unique_devices(sound: Sound) -> Iterator[Finding]:
    seen: dict[tuple[Any, ...], Location] = {}
    for table in (*DERS, "load"):
        for at in sound.tables(table):
            keys = ("host", "path", "port", "unit")
            host, path, port, unit = (sound.get(*at, "device", key) for key in keys)
            if (host is None) == (path is None) or port is None or unit is None:
                continue
            where = path if host is None else f"{host}:{port}"
            same = (where.lower().replace("localhost:", "127.0.0.1:") if host else path, unit)
            if same in seen:
                problem = f"{where} unit {unit} is the device of {text_of(seen[same])} too"
                yield (*at, "device"), problem
            seen.setdefault(same, at)


def _register_maps(sound: Sound) -> Iterator[Finding]:
    for kind in (*DERS, "load"):
        for at in sound.tables(kind):
            names = sound.whole(*at, "device", "registers")
            if names:
                reactive = bool(sound.get(*at, "q_max_kvar"))
                for name in lacking(kind, names, reactive=reactive):
                    mend = " or set q_max_kvar = 0" if name == "q_set_kvar" else ""
                    yield (*at, "device", "registers", name), f"missing: name its register{mend}"
                rated_kw, q_kvar = sound.get(*at, "rated_kw"), sound.get(*at, "q_max_kvar") or 0.0
                if rated_kw and kind in DERS:
                    for place, problem in out_of_reach(kind, names, rated_kw, q_kvar):
                        yield (*at, "device", "registers", *place), problem


RULES = (
    _some_der,
    _unique_names,
    _unique_devices,
    _register_maps,
)
