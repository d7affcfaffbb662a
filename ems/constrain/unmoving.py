"""What is said of DERs that cannot be moved, and that break a limit by what they may do."""

import math
from collections.abc import Mapping, Sequence

from ems.constrain.cases import Sun
from ems.constrain.interval import Trial
from ems.domain import Bes, Pv, Quality, RowKind, Site, Snapshot, Unmoved, Violation

MOST_NAMED = 3


def unmoved_words(
    site: Site,
    pins: Mapping[str, Unmoved],
    snapshot: Snapshot,
    names: Sequence[str],
    limit: Violation,
    trial: Trial,
) -> str:
    """`pv does not answer and may do anything: at full sun it would lift B13 to 1.15 pu`.

    Args:
        site: what is installed.
        pins: what the DERs that cannot be moved may do.
        snapshot: tells which of them are silent.
        names: of those that break the limit.
        limit: how far it is broken with the others at their best.
        trial: where that was seen.
    """
    what, they = ("does not answer", "it") if len(names) == 1 else ("do not answer", "they")
    if any(snapshot.ders[name].quality is Quality.GOOD for name in names):
        what = "cannot be moved"
    sun = _sun(site, names, limit, trial)
    return f"{_named(names)} {what} and {_may(site, pins, names)}: {sun}{they} {_would(limit)}"


def _named(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMED:
        return f"{names[0]}, {names[1]} and {len(names) - 2} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _may(site: Site, pins: Mapping[str, Unmoved], names: Sequence[str]) -> str:
    """What some DERs may do together."""
    ders = {d.name: d for d in site.ders}
    low_kw, high_kw = 0.0, 0.0
    whole = True
    for name in names:
        der, pin = ders[name], pins[name]
        caps = [kw for kw in (pin.high.cap_kw, der.rated_kw) if kw is not None]
        most_kw = min(caps) if isinstance(der, Pv) else pin.high.p_kw
        least_kw = 0.0 if isinstance(der, Pv) else pin.low.p_kw
        whole &= most_kw >= der.rated_kw
        whole &= least_kw <= (-der.rated_kw if isinstance(der, Bes) else 0.0)
        low_kw, high_kw = low_kw + least_kw, high_kw + most_kw
    if whole:
        return "may do anything"
    if low_kw == high_kw:
        return f"may give {high_kw:.0f} kW"
    return f"may give anything from {low_kw:.0f} to {high_kw:.0f} kW"


def _sun(site: Site, names: Sequence[str], limit: Violation, trial: Trial) -> str:
    """`at full sun ` where the limit breaks while one of some plants stands in it."""
    case = next((case for case in trial.cases if case.name == limit.case), None)
    if case is None or case.sun is not Sun.CAP:
        return ""
    sunny = any(pv.name in names and pv.name not in case.dark for pv in site.pvs)
    return "at full sun " if sunny else ""


def _would(limit: Violation) -> str:
    if not math.isfinite(limit.value):
        return "would leave the load flow without a solution"
    if limit.kind is RowKind.LOADING:
        return f"would load {limit.place.replace('.', ' ', 1)} to {limit.value:.0f} %"
    bus = limit.place.rpartition(".")[0] or limit.place
    named = f"bus {bus}" if bus[:1].isdigit() else bus
    verb = "lift" if limit.kind is RowKind.V_MAX else "pull"
    down = "" if limit.kind is RowKind.V_MAX else "down "
    return f"would {verb} {named} {down}to {limit.value:.2f} pu"
