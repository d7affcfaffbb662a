"""Values that must stand in some order to one another."""

import math
from collections.abc import Iterator

from ems.settings.rules.sound import Finding, Sound, text_of
from ems.settings.tables import PRESETS

_BOUND_PAIRS = (
    # table, smaller key, larger key, may they be equal
    ("load", "min_kw", "max_kw", True),
    ("pv", "reversion_kw", "rated_kw", True),
    ("pv", "rated_kw", "s_max_kva", True),
    ("bes", "rated_kw", "s_max_kva", True),
    ("bes", "soc_min_pct", "soc_max_pct", False),
    ("dg", "min_kw", "rated_kw", True),
    ("dg", "reversion_kw", "rated_kw", True),
    ("control", "poll_s", "stale_after_s", False),
    # A command is refreshed with a poll, once the device has answered it.
    ("control", "poll_s", "keep_alive_s", True),
)

REFRESHES = 3
"""Refreshes that must fit into the reversion time: the one that is due, one that is lost, and one
interval until the others have made room for a device that will fall back."""
LONGEST_CYCLE_S = 60
"""While a cycle has the devices nothing is refreshed: time for three dispatches that run into the
default limit of the solver [s]."""


def _ordered(sound: Sound) -> Iterator[Finding]:
    for table, low_key, high_key, may_equal in _BOUND_PAIRS:
        for at in sound.tables(table):
            low, high = sound.get(*at, low_key), sound.get(*at, high_key)
            if low is None or high is None or low < high or (may_equal and low == high):
                continue
            relation = "at most" if may_equal else "below"
            yield (*at, low_key), f"must be {relation} {high_key} ({high:g}), got {low:g}"


def _voltages(sound: Sound) -> Iterator[Finding]:
    preset = sound.get("limits", "preset")
    if preset is None:
        return
    lowest, highest = PRESETS[preset]
    low = sound.get("limits", "v_min_pu") or lowest
    high = sound.get("limits", "v_max_pu") or highest
    if low >= high:
        key = "v_min_pu" if sound.get("limits", "v_min_pu") is not None else "v_max_pu"
        yield ("limits", key), f"lowest voltage {low:g} pu is not below the highest, {high:g} pu"
    briefly = (("momentary_v_min_pu", low, min), ("momentary_v_max_pu", high, max))
    for key, lasting, wider in briefly:
        momentary = sound.get("limits", key)
        if momentary is not None and wider(momentary, lasting) != momentary:
            problem = f"is narrower than what is asked at any time, {lasting:g} pu"
            yield ("limits", key), f"{problem}; got {momentary:g}"


def _reversion(sound: Sound) -> Iterator[Finding]:
    every, after = sound.get("control", "keep_alive_s"), sound.get("control", "reversion_s")
    if every is None or after is None:
        return
    least = math.ceil(REFRESHES * every + LONGEST_CYCLE_S)
    if after < least:
        problem = (
            f"must be at least {least} ({REFRESHES} times keep_alive_s ({every:g}) and "
            f"{LONGEST_CYCLE_S} s for a cycle), got {after}"
        )
        yield ("control", "reversion_s"), problem


def _generator_reversion(sound: Sound) -> Iterator[Finding]:
    for at in sound.tables("dg"):
        least, value = sound.get(*at, "min_kw"), sound.get(*at, "reversion_kw")
        if least is not None and value is not None and 0 < value < least:
            problem = f"must be 0 (off) or at least min_kw ({least:g}), got {value:g}"
            yield (*at, "reversion_kw"), problem


def _solver(sound: Sound) -> Iterator[Finding]:
    if sound.get("control", "solver") != "highs":
        return
    for table in ("pv", "bes"):
        for at in sound.tables(table):
            if sound.get(*at, "s_max_kva") is not None:
                problem = (
                    f"{text_of(at)} has s_max_kva, which is quadratic, and HiGHS is asked for "
                    'linear problems only; write "auto" or "ipopt"'
                )
                yield ("control", "solver"), problem
                return


def _terminal_soc(sound: Sound) -> Iterator[Finding]:
    wanted = sound.get("dispatch", "terminal_soc")
    if not isinstance(wanted, int | float):
        return
    for at in sound.tables("bes"):
        highest = sound.get(*at, "soc_max_pct")
        if highest is not None and wanted > highest:
            problem = f"{wanted:g} % is above soc_max_pct of {text_of(at)} ({highest:g})"
            yield ("dispatch", "terminal_soc"), problem
            return


RULES = (
    _ordered,
    _voltages,
    _reversion,
    _generator_reversion,
    _solver,
    _terminal_soc,
)
