"""The columns of a file of series: which there must be, which there may be, what they may hold."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ems.domain import Site
from ems.errors import Fault

Floats = NDArray[np.float64]

TIME_UTC = "time_utc"
"""Times of this column are UTC where they name no zone."""
TIME_NAMES = (TIME_UTC, "time", "timestamp", "datetime", "start")
LOAD = "load"
SHARE = "available_pu"
"""Available power over the rating, for every plant without a column of its own."""
UNIT = "_kw"
"""May end the name of a column, for that is its unit."""
OTHER_UNITS = ("_mwh", "_kwh", "_wh", "_mw", "_w")
HEADROOM = 1.25
"""Up to here a value over the site file's rating or largest load is taken for it: modules are
often larger than their inverter, which then stops at its rating [1]."""
THOUSAND = (200.0, 5000.0)
"""A value that many times too large is told as a slip of a factor 1000 [1]."""
HUNDREDTHS = (20.0, 100.0 * HEADROOM)
"""A share that large is told as a percentage [1]."""
LEAST = 1 / THOUSAND[0]
"""Highest value over the rating, or the largest load, below which the column is most likely in MW:
the dullest day offers more, with clouds that let a twentieth of the light through [1]."""


OWN_USE = 0.01
"""Share of a plant's rating that a meter may show below zero at night: what inverters use then, and
its own offset [1]."""


def columns_of(names: Sequence[str], site: Site) -> dict[str, str]:
    """Column of each plant and of the load, where the file has one."""
    found = {}
    for wanted in (*(pv.name for pv in site.pvs), LOAD):
        for name in (wanted + UNIT, wanted):
            if name in names and name not in TIME_NAMES:
                found[wanted] = name
        if wanted not in found and wanted != LOAD and SHARE in names:
            found[wanted] = SHARE
    return found


def column_faults(file: str, names: Sequence[str], site: Site) -> Iterator[Fault]:
    """Columns that are missing, unknown, or there twice."""
    wanted = [*(pv.name for pv in site.pvs), LOAD]
    known = [*wanted, SHARE, *(name + UNIT for name in wanted)]
    used = columns_of(names, site)
    for name in sorted({n for n in names if list(names).count(n) > 1}):
        yield Fault(place=f"{file}: column {name}", problem="is there twice; keep one")
    for name in (w for w in wanted if w in names and w + UNIT in names):
        problem = f"is there as {name + UNIT} too, and only one can be meant; keep one"
        yield Fault(place=f"{file}: column {name}", problem=problem)
    unknown = [n for n in dict.fromkeys(names) if n not in known and n not in TIME_NAMES]
    missing = [w for w in wanted if w not in used]
    meant = {n: _meant(n, missing) for n in unknown}
    strange = [n for n in unknown if meant[n] is None and n.removesuffix(UNIT) not in site.names]
    lacking = [w for w in missing if w not in meant.values()]
    pair = (strange[0], lacking[0]) if len(strange) == len(lacking) == 1 else None
    for name in unknown:
        problem = _unknown(name, meant[name], site)
        if pair and name == pair[0]:
            problem = f"unknown column, and there is no {pair[1]}; did you mean {pair[1]}?"
        yield Fault(place=f"{file}: column {name}", problem=problem)
    stamps = [n for n in names if n in TIME_NAMES]
    if len(stamps) != 1:
        found = f"{len(stamps)} time columns: {', '.join(stamps)}" if stamps else "no time column"
        yield Fault(place=file, problem=f"has {found}; one is needed: {TIME_UTC} or time")
    # A misspelt column is told already, with the one that is missing as its mend.
    for name in lacking if pair is None else ():
        what = "consumption of the segment [kW]"
        if name != LOAD:
            what = f"power the sun offers [kW], or {SHARE} for all plants,"
        yield Fault(place=file, problem=f"has no column {name}: {what} is needed")


def _meant(name: str, missing: Sequence[str]) -> str | None:
    """The column that is not there and was most likely meant."""
    stem = _stem(name)
    by_case = {wanted.lower(): wanted for wanted in missing}
    if stem in by_case:
        return by_case[stem]
    close = get_close_matches(stem, list(by_case), n=1, cutoff=0.6)
    return by_case[close[0]] if close else None


def _stem(name: str) -> str:
    """A column's name without its unit."""
    for unit in (*OTHER_UNITS, UNIT):
        if name.lower().endswith(unit):
            return name.lower().removesuffix(unit)
    return name.lower()


def _unknown(name: str, meant: str | None, site: Site) -> str:
    if name.removesuffix(UNIT) in site.names:
        return "is no PV plant: sun and load are given, the others are decided; leave it out"
    if meant is None:
        return "unknown column; leave it out"
    if name.lower().endswith(OTHER_UNITS):
        return f"unknown column; powers are in kW: {meant}"
    return f"unknown column; did you mean {meant}?"


def numbers(column: pa.ChunkedArray) -> Floats:
    """Values of a column, NaN where there is no number, shape (row,)."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array([_number(text) for text in column.to_pylist()], dtype=np.float64)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return values
    return np.full(len(column), np.nan)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def below_zero(name: str, site: Site, used: Mapping[str, str]) -> float:
    """How far below zero values of a column may lie, and are none: of its smallest plant."""
    rated = [pv.rated_kw for pv in site.pvs if used.get(pv.name) == name]
    return OWN_USE * (1.0 if name == SHARE else min(rated, default=0.0))


def unit_faults(
    file: str, name: str, values: Floats, site: Site, used: Mapping[str, str], *, daylight: bool
) -> Iterator[Fault]:
    """Values that do not fit the site file; a factor of 1000 is named.

    Args:
        file: its name.
        name: of the column.
        values: of the period, shape (time,).
        site: what they are held against.
        used: column of each plant and of the load.
        daylight: whether the sun stands high enough in the period for PV to give anything.
    """
    if not np.isfinite(values).any():
        return  # told already
    highest = float(np.max(values, initial=0.0, where=np.isfinite(values)))
    place = f"{file}: column {name}"
    if name == SHARE:
        if highest > HEADROOM:
            what = (
                ": are these %? divide by 100" if HUNDREDTHS[0] <= highest <= HUNDREDTHS[1] else ""
            )
            problem = f"up to {highest:g}; it is power over the rating, 0 to 1{what}"
            yield Fault(place=place, problem=problem)
        elif 0.0 < highest < LEAST and daylight:
            problem = (
                f"up to {highest:.3g}; it is power over the rating, 0 to 1: are these MW over kW?"
            )
            yield Fault(place=place, problem=problem)
        return
    for whose in (w for w, column in used.items() if column == name):
        key, reference = "load.max_kw", site.load_max_kw
        if whose != LOAD:
            key = f"rated_kw of {whose}"
            reference = next(pv.rated_kw for pv in site.pvs if pv.name == whose)
        ratio = highest / reference
        mend = _too_much(ratio)
        if mend is None and 0.0 < ratio < LEAST and (daylight or whose == LOAD):
            mend = "are these MW? Values are in kW: multiply by 1000"
            mend += "" if whose == LOAD else "; where the plant was down, write 0"
        if mend is not None:
            told = f"up to {_plain(highest)}, {ratio:.3g} times {key} = {reference:g}"
            yield Fault(place=place, problem=f"{told}: {mend}")
        elif whose == LOAD and (highest == 0.0 or highest < site.load_min_kw):
            told = f"up to {_plain(highest)}" if highest else "0 in the whole period"
            least = f"load.min_kw = {site.load_min_kw:g} of the site file is the lowest there is"
            yield Fault(place=place, problem=f"{told}, and {least}: mend one of them")


def _plain(value: float) -> str:
    """A power without an exponent."""
    return f"{value:.0f}" if value >= 1000.0 else f"{value:.3g}"


def _too_much(ratio: float) -> str | None:
    """What to do about a highest value, over what it should be at most, that is too high."""
    least, most = THOUSAND
    if least <= ratio <= most:
        return "are these W? Values are in kW: divide by 1000"
    if ratio > HEADROOM:
        return "mend the column, or the site file"
    return None
