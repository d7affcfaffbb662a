"""The tariff: one that ships, one price, or periods of one's own."""

from collections.abc import Iterator, Mapping
from typing import Any

from ems import tariff
from ems.settings.faults import nearest_key
from ems.settings.rules.sound import Finding, Sound


def _tariff(sound: Sound) -> Iterator[Finding]:
    table = sound.whole("tariff")
    if table is None:
        return
    kinds = {"name": "name", "flat_usd_per_kwh": "flat_usd_per_kwh", "period": "[[tariff.period]]"}
    given = [said for key, said in kinds.items() if table.get(key) not in (None, [])]
    if len(given) != 1:
        got = f"got {' and '.join(given)}" if given else "got none"
        yield ("tariff",), f"give one of name, flat_usd_per_kwh or [[tariff.period]]; {got}"
    elif "name" in table:
        yield from _named_tariff(table)
    elif "period" in table:
        yield from _own_tariff(table)
    if not table.get("period"):
        for key in {"zone", "holidays", "season"} & table.keys():
            yield ("tariff", key), "belongs to [[tariff.period]], and there is none"


def _named_tariff(table: Mapping[str, Any]) -> Iterator[Finding]:
    name = table["name"]
    if name not in tariff.names():
        near = _nearest_tariff(name)
        mend = f'did you mean "{near}"?' if near else f"known: {', '.join(tariff.names())}"
        yield ("tariff", "name"), f'no tariff "{name}" ships with GEEMS; {mend}'
    elif tariff.is_seasonal(name) and "outside_season_usd_per_kwh" not in table:
        yield (
            ("tariff", "outside_season_usd_per_kwh"),
            f"missing: {name} is a seasonal tariff; give the price for the rest of the year",
        )


def _nearest_tariff(name: str) -> str | None:
    """The shipped tariff that was most likely meant; names may be written in part."""
    known = tariff.names()
    part = name.lower()
    holds = [full for full in known if len(part) > 1 and part in full]
    starts = {full[: len(part)]: full for full in known}
    begun = nearest_key(part, starts)
    return nearest_key(name, known) or next(iter(holds), None) or (begun and starts[begun])


def _own_tariff(table: Mapping[str, Any]) -> Iterator[Finding]:
    if "season" in table and "outside_season_usd_per_kwh" not in table:
        yield (
            ("tariff", "outside_season_usd_per_kwh"),
            "missing: the tariff has a season; give the price for the rest of the year",
        )
    for problem in tariff.window_faults(tariff.periods_of(table["period"])):
        yield ("tariff", "period"), problem


RULES = (_tariff,)
