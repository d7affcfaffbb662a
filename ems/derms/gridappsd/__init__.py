"""The configuration of the GridAPPS-D IEEE 2030.5 server, turned into ours.

Its keys are those of that server's public documents and examples, over its editions. What has a
counterpart is taken over, what has none or is wrong is told; nothing is dropped without a word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ems.derms.gridappsd.controls import CurveNames
from ems.derms.gridappsd.curves import curves
from ems.derms.gridappsd.devices import Assignments, Certificates, devices
from ems.derms.gridappsd.made import Made, Names, toml
from ems.derms.gridappsd.programs import Controls, groups, programs
from ems.derms.gridappsd.reading import Finding, Kind, Section, Told, read
from ems.derms.gridappsd.server import server
from ems.settings.ieee2030_5 import Ieee20305Table

__all__ = ["Finding", "Imported", "Kind", "imported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A configuration of ours, and what became of the rest."""

    document: Mapping[str, Any]
    """It validates as the `[ieee2030_5]` table of a file."""
    findings: tuple[Finding, ...]
    """In the order of the file."""

    @property
    def toml(self) -> str:
        """The file of ours, with the findings as comments ahead."""
        told = "".join(f"# {finding}\n" for finding in self.findings)
        return f"{told}\n{toml(self.document)}" if told else toml(self.document)

    @property
    def complete(self) -> bool:
        """Nothing was left out."""
        return not any(finding.kind is Kind.LEFT_OUT for finding in self.findings)


def imported(text: str, file: str) -> Imported:
    """Turn a configuration of that server into ours.

    Args:
        text: the YAML.
        file: how it is called where it is told of.

    Raises:
        BadInput: it is no YAML, no mapping, or names a key twice.
    """
    root = read(text, file)
    made, repository = server(root)
    curve_names = Names("curve")
    listed = [*curves(root, curve_names)]
    of_curves = CurveNames(curve_names, listed)
    program_names, group_names = Names("program"), Names("group")
    listed_programs = programs(root, program_names, Controls(root, of_curves), of_curves)
    made.put("program", listed_programs or None)
    of_groups = groups(root, group_names, program_names)
    made.put("group", [*of_groups.values()] or None)
    made.put("curve", [curve for curve in listed if curve is not None] or None)
    certificates = Certificates(repository, of_file=made.get("lfdi_mode") == "file")
    assignments = Assignments(program_names, of_groups, group_names)
    of_devices = [*devices(root, Names("device"), assignments, certificates)]
    made.put("device", of_devices or None)
    _default_for_all(root, made)
    root.tell_the_rest()
    _validated(made, root.told)
    return Imported(
        document={"ieee2030_5": made},
        findings=tuple(sorted(root.told.findings, key=lambda each: each.line)),
    )


def _default_for_all(root: Section, made: Made) -> None:
    """Assign the default program to all devices where the file wants that."""
    wanted = [
        root.truth(key) is not False
        for key in ("include_default_der_on_all_devices", "include_default_der_program_on_ders")
    ]
    default = root.section("default_program")
    if default is None or not any(wanted):
        return
    program = made["program"][0]["name"]
    holding = {each["name"] for each in made.get("group", ()) if program in each["programs"]}
    for device in made.get("device", ()):
        named = device.setdefault("groups", [])
        if not {program, *holding} & set(named):
            named.append(program)


def _validated(made: Made, told: Told) -> None:
    """Leave out what our own tables refuse, until they refuse nothing more."""
    while True:
        try:
            Ieee20305Table.model_validate(made)
        except ValidationError as error:
            found = error.errors(include_url=False)
        else:
            return
        # From the back, so that the indices of what is still to go stay true.
        for each in sorted(found, key=lambda e: [str(step).zfill(6) for step in e["loc"]])[::-1]:
            why = each["msg"].removeprefix("Value error, ")
            if each["type"] == "missing":
                why = f"nothing is left of it without its {each['loc'][-1]}"
            _leave_out(made, each["loc"], why, told)


def _leave_out(made: Made, at: tuple[str | int, ...], why: str, told: Told) -> None:
    """Remove the innermost value of ours that is there; where one is missing, its table."""
    holder: Any = made
    way: list[tuple[Any, str | int]] = []
    for step in at:
        present = isinstance(holder, list) and isinstance(step, int) and step < len(holder)
        if not present and not (isinstance(holder, dict) and step in holder):
            break
        way.append((holder, step))
        holder = holder[step]
    if len(way) < len(at) and way and isinstance(holder, Made):
        source = holder.at
    else:
        source = next((h.source(str(s)) for h, s in reversed(way) if isinstance(h, Made)), made.at)
    if not way:
        raise ValueError(f"{at}: {why}")
    told.left_out(source, f"{at[-1]}: {why}" if source == made.at else why)
    # Of a plain list the whole goes: half a curve would be another curve.
    while isinstance(way[-1][0], list) and not isinstance(way[-1][0][0], Made):
        way.pop()
    holder, step = way.pop()
    del holder[step]
    if way and not holder:
        outer, key = way[-1]
        del outer[key]
