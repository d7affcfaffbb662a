"""`--set KEY=VALUE`: what of a decision may be changed, and how it is said.

Keys of the site file keep their names, with a DER's name in the place of its number
(`limits.v_max_pu`, `pv.roof.q_max_kvar`); they are checked as the site file is. What is not in the
site file has keys of its own: `price_usd_per_kwh`, `load_kw`, and what was measured and expected.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ems.domain import Given, Setup, Site
from ems.errors import BadInput, Fault
from ems.replay.state import EXPECTED, LOAD, MEASURED, PRICE, STATE, impossible, stated
from ems.replay.values import Change
from ems.settings import Override, Settings, load_settings
from ems.settings.faults import unknown_key
from ems.settings.schema import DERS


def parsed(texts: Sequence[str]) -> tuple[tuple[Change, ...], tuple[Fault, ...]]:
    """`KEY=VALUE` as typed; values are read as TOML, and as text where they are no TOML.

    Returns:
        What shall be otherwise; and what is wrong with how it is written: no `=`, or a key twice.
        `changed` tells these with the faults it finds itself.
    """
    faults: list[Fault] = []
    found: dict[str, Change] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key or not value:
            problem = "is not KEY=VALUE; for example limits.v_max_pu=1.05"
            faults.append(Fault(place=f"--set {text}", problem=problem))
        elif key in found:
            faults.append(Fault(place=f"--set {key}", problem="is given twice"))
        else:
            found[key] = Change(key=key, value=_read(value))
    return tuple(found.values()), tuple(faults)


def _read(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def changed(
    given: Given, changes: Sequence[Change], settings: Settings, malformed: Sequence[Fault] = ()
) -> Given:
    """What is given, with the changes made.

    Args:
        given: what a cycle was decided from.
        changes: what shall be otherwise.
        settings: today's site file, whose keys these are.
        malformed: what is wrong already with how changes are written.

    Raises:
        BadInput: an unknown key, a value that cannot be, or one that no decision is made from;
            all of them.
    """
    faults = list(malformed)
    found = given
    for change in changes:
        try:
            if change.key.partition(".")[0] in STATE:
                found = stated(found, change)
            else:
                found = replace(found, setup=_with_key(found.setup, change, settings))
        except BadInput as bad:
            faults += bad.faults
    # What was recorded may be odd by itself.
    odd = list(impossible(given))
    faults += [fault for fault in impossible(found) if fault not in odd]
    if faults:
        raise BadInput(faults)
    return found


# --- keys of the site file -----------------------------------------------------------


def _override(change: Change, settings: Settings) -> Override:
    """Where a key stands in the site file."""
    kind, _, rest = change.key.partition(".")
    if kind not in Settings.model_fields:
        known = (*Settings.model_fields, *STATE)
        longer = next((key for key in known if key.startswith(f"{kind}_")), None)
        said = f"unknown key; did you mean {longer}?" if longer else unknown_key(kind, known)
        raise BadInput.at(change.place, said)
    location: tuple[str | int, ...] = tuple(change.key.split("."))
    if kind in DERS:
        names = [der.name for der in getattr(settings, kind)]
        name, _, key = rest.rpartition(".")
        if not key or name not in names:
            there = f"there are {', '.join(names)}" if names else "there is none"
            problem = f"names no {kind} of the site; {there}; write {kind}.NAME.KEY"
            raise BadInput.at(change.place, problem)
        location = (kind, names.index(name), key)
    return Override(location=location, value=change.value, origin=change.place)


def _with_key(setup: Setup, change: Change, settings: Settings) -> Setup:
    """A recorded setup with one key of the site file changed in it.

    The file may have changed since: what the key makes of today's is laid over the recorded one.
    """
    then = load_settings(settings.file, overrides=[_override(change, settings)])
    if then.to_site().names != settings.to_site().names:
        raise BadInput.at(change.place, "a record knows its devices by their names; leave them")
    if then.to_site().name != settings.to_site().name:
        raise BadInput.at(change.place, "a record knows its site by its name; leave it")
    found = replace(
        setup,
        site=_laid_over(setup.site, settings.to_site(), then.to_site()),
        policy=_laid_over(setup.policy, settings.to_policy(), then.to_policy()),
    )
    if found == setup:
        raise BadInput.at(
            change.place,
            "changes nothing: the site file says so already, or no decision is made from it; sun, "
            f"load and price are the record's: set {EXPECTED}.…, {MEASURED}.…, {LOAD} or {PRICE}",
        )
    return found


def _laid_over(recorded: Any, before: Any, after: Any) -> Any:
    """What differs between two values, laid over a third of their kind."""
    if before == after:
        return recorded
    if isinstance(after, Site):
        ders = {d.name: d for d in before.ders}, {d.name: d for d in after.ders}
        laid = tuple(
            _laid_over(d, ders[0][d.name], ders[1][d.name]) if d.name in ders[1] else d
            for d in recorded.ders
        )
        names = [f.name for f in fields(after) if f.name != "ders"]
        return replace(recorded, ders=laid, **_fields_laid_over(recorded, before, after, names))
    if is_dataclass(after) and not isinstance(after, type) and type(recorded) is type(after):
        names = [f.name for f in fields(after)]
        return replace(recorded, **_fields_laid_over(recorded, before, after, names))
    return after


def _fields_laid_over(
    recorded: Any, before: Any, after: Any, names: Sequence[str]
) -> Mapping[str, Any]:
    return {
        n: _laid_over(getattr(recorded, n), getattr(before, n), getattr(after, n)) for n in names
    }
