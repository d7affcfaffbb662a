"""The state that a decision is made from, stated otherwise: price, load, what was measured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ems.domain import PLAUSIBLE, Forecast, Given, Pv, Snapshot
from ems.errors import BadInput, Fault
from ems.replay.values import Change
from ems.settings.faults import unknown_key

PRICE, LOAD = "price_usd_per_kwh", "load_kw"
MEASURED, EXPECTED = "measured", "expected"
STATE = (PRICE, LOAD, MEASURED, EXPECTED)
"""What keys of the state begin with."""
OF_A_DER = ("p_kw", "q_kvar", "v_pu", "soc_pct", "cap_kw")
"""What is measured of a DER."""
OF_A_PLANT = ("expected_kw", "lower_kw", "upper_kw")
"""What is expected of a PV plant."""
OF_THE_LOAD = ("load_kw", "load_kvar", "load_lower_kw", "load_upper_kw")
"""What is expected of the load."""
OF_THE_SEGMENT = {"load_kw": "p_kw", "load_kvar": "q_kvar"}
"""What is measured of the load, and what its reading calls it."""
HEAD = "head_v_pu"
MOST_PU = 2.0
"""Voltage beyond which a measurement is a mistake [pu]."""


def stated(given: Given, change: Change) -> Given:
    """What is given, with one value of its state changed.

    Raises:
        BadInput: an unknown key, or no number.
    """
    kind, _, rest = change.key.partition(".")
    value = change.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput.at(change.place, f"expected a number, got {value!r}")
    number = float(value)
    if kind == MEASURED:
        return replace(given, snapshot=_measured(given, rest, number, change))
    if kind == EXPECTED:
        return replace(given, forecast=_expected(given.forecast, rest, number, change))
    if rest:
        raise BadInput.at(change.place, f"unknown key; did you mean {kind}?")
    if kind == PRICE:
        return replace(given, price_usd_per_kwh=number)
    return _with_load(given, number)


def _with_load(given: Given, load_kw: float) -> Given:
    """Another load, measured and expected: its band and its kvar move in proportion."""
    snapshot, forecast = given.snapshot, given.forecast
    share = load_kw / forecast.load_kw if forecast.load_kw else 1.0

    def scaled(value: float | None) -> float | None:
        return None if value is None else value * share

    load = replace(snapshot.load, p_kw=load_kw, q_kvar=scaled(snapshot.load.q_kvar))
    return replace(
        given,
        snapshot=replace(snapshot, load=load),
        forecast=replace(
            forecast,
            load_kw=load_kw,
            load_kvar=scaled(forecast.load_kvar),
            load_quantiles_kw=tuple(share * q for q in forecast.load_quantiles_kw),
            load_lower_kw=scaled(forecast.load_lower_kw),
            load_upper_kw=scaled(forecast.load_upper_kw),
        ),
    )


def _measured(given: Given, rest: str, number: float, change: Change) -> Snapshot:
    snapshot = given.snapshot
    if rest == HEAD:
        return replace(snapshot, head_v_pu=number)
    if rest in OF_THE_SEGMENT:
        of_load: dict[str, Any] = {OF_THE_SEGMENT[rest]: number}
        return replace(snapshot, load=replace(snapshot.load, **of_load))
    name, key = _parts(rest, snapshot.ders, (*OF_THE_SEGMENT, HEAD), OF_A_DER, change)
    if key == "soc_pct" and name not in {bes.name for bes in given.site.bess}:
        raise BadInput.at(change.place, f"{name} is no battery, and has no state of charge")
    other: dict[str, Any] = {key: number}
    return replace(snapshot, ders={**snapshot.ders, name: replace(snapshot.ders[name], **other)})


def _expected(forecast: Forecast, rest: str, number: float, change: Change) -> Forecast:
    if rest in OF_THE_LOAD:
        of_load: dict[str, Any] = {rest: number}
        return replace(forecast, **of_load)
    name, key = _parts(rest, forecast.pv, OF_THE_LOAD, OF_A_PLANT, change)
    other: dict[str, Any] = {key: number}
    return replace(forecast, pv={**forecast.pv, name: replace(forecast.pv[name], **other)})


def _parts(
    rest: str, names: Mapping[str, Any], plain: Sequence[str], keys: Sequence[str], change: Change
) -> tuple[str, str]:
    """Name and key of a DER's value."""
    name, _, key = rest.rpartition(".")
    if name not in names:
        raise BadInput.at(change.place, unknown_key(name or key, (*plain, *names)))
    if key not in keys:
        raise BadInput.at(change.place, unknown_key(key, keys))
    return name, key


def impossible(given: Given) -> Iterator[Fault]:
    """What of the state cannot be."""
    site, snapshot, forecast = given.site, given.snapshot, given.forecast
    most = PLAUSIBLE * site.load_max_kw
    said = "kW; 1.25 times load.max_kw"
    yield from _within("measured.load_kw", snapshot.load.p_kw, -most, most, said)
    yield from _within("load_kw", forecast.load_kw, 0.0, most, said)
    yield from _within("measured.head_v_pu", snapshot.head_v_pu, 0.0, MOST_PU, "pu")
    for der in site.ders:
        reading, most = snapshot.ders[der.name], PLAUSIBLE * der.rated_kw
        at, why = f"measured.{der.name}", "1.25 times its rating"
        yield from _within(f"{at}.p_kw", reading.p_kw, -most, most, f"kW; {why}")
        yield from _within(f"{at}.q_kvar", reading.q_kvar, -most, most, f"kvar; {why}")
        yield from _within(f"{at}.v_pu", reading.v_pu, 0.0, MOST_PU, "pu")
        yield from _within(f"{at}.soc_pct", reading.soc_pct, 0.0, 100.0, "%")
        sky = forecast.pv.get(der.name) if isinstance(der, Pv) else None
        if sky and not 0.0 <= sky.lower_kw <= sky.expected_kw <= sky.upper_kw:
            yield Fault(
                place=f"--set expected.{der.name}",
                problem="0 ≤ lower_kw ≤ expected_kw ≤ upper_kw must hold, got "
                f"{sky.lower_kw:g}, {sky.expected_kw:g}, {sky.upper_kw:g} kW",
            )
    kw = forecast.load_kw
    # A bound that is not known is the meter's band around the load.
    low, high = (kw if b is None else b for b in (forecast.load_lower_kw, forecast.load_upper_kw))
    if kw >= 0.0 and not low <= kw <= high:
        yield Fault(
            place="--set expected.load_kw",
            problem=f"load_lower_kw ≤ load_kw ≤ load_upper_kw must hold, got {low:g}, {kw:g}, "
            f"{high:g} kW; load_kw without `expected` moves all of them",
        )


def _within(key: str, value: float | None, low: float, high: float, said: str) -> Iterator[Fault]:
    if value is not None and not low <= value <= high:
        yield Fault(
            place=f"--set {key}", problem=f"expected {low:g} to {high:g} {said}, got {value:g}"
        )
