"""What several keys of a site file must be together.

A rule looks only at values in which nothing else is wrong, so one slip is told once, and
all slips are told together.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from ems import tariff
from ems.domain.address import ANSWER_MARGIN_S, lacking
from ems.settings.devices import out_of_reach
from ems.settings.faults import nearest_key
from ems.settings.hosts import is_loopback
from ems.settings.schema import DERS, Settings, model_of
from ems.settings.sources import Location
from ems.settings.tables import PRESETS

Finding = tuple[Location, str]
"""Where, and what is wrong."""

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

WRITE_ROUNDS = 4
"""Rounds of writes in a cycle that may each wait for an answer: what relieves, what loads, and both
again where a device did not follow [1]."""
RENEWED_AT = 0.5
"""Share of a control's time that is left when `ems.gateways.ieee2030_5` renews it [1]."""


class Sound:
    """The values of a site file in which nothing was found wrong, defaults filled in."""

    def __init__(self, values: Mapping[str, Any], bad: set[Location]) -> None:
        """Take the merged tables, as read, but for the locations already found wrong."""
        self._values: dict[Location, Any] = {}
        self._bad = bad
        self._take((), values, Settings)

    def get(self, *location: str | int) -> Any:
        """The value at a location, or None where it is missing or wrong."""
        return self._values.get(location)

    def whole(self, *location: str | int) -> Any:
        """The table at a location, as read, or None where anything in it is wrong."""
        broken = any(at[: len(location)] == location for at in self._bad)
        return None if broken else self._values.get(location)

    def tables(self, name: str) -> Iterator[Location]:
        """Locations of a table: one, or one for each of an array of tables."""
        if name in DERS:
            for i in range(len(self._values.get((name,), ()))):
                yield (name, i)
        else:
            yield (name,)

    def _take(self, above: Location, table: Mapping[str, Any], model: type[BaseModel]) -> None:
        for key, field in model.model_fields.items():
            here = (*above, key)
            if here in self._bad:
                continue
            inner = model_of(field.annotation)
            value = table.get(key)
            if value is None:
                value = {} if inner is not None and key not in DERS else field.get_default()
            self._values[here] = value
            if inner is None:
                continue
            if isinstance(value, Mapping):
                self._take(here, value, inner)
            else:
                for i, item in enumerate(value):
                    if isinstance(item, Mapping):
                        self._take((*here, i), item, inner)


def findings(sound: Sound) -> Iterator[Finding]:
    """Everything that is wrong between keys."""
    for rule in _RULES:
        yield from rule(sound)


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
                    f"{_text(at)} has s_max_kva, which is quadratic, and HiGHS is asked for linear "
                    'problems only; write "auto" or "ipopt"'
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
            problem = f"{wanted:g} % is above soc_max_pct of {_text(at)} ({highest:g})"
            yield ("dispatch", "terminal_soc"), problem
            return


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
                yield (*at, "name"), f'"{name}" is the name of {_text(seen[name.lower()])} too'
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
                problem = f"{where} unit {unit} is the device of {_text(seen[same])} too"
                yield (*at, "device"), problem
            seen.setdefault(same, at)


def _end_devices(sound: Sound) -> Iterator[Finding]:
    """DERs that are clients of our server: there is one, it knows them, each is another."""
    known = None if sound.whole("ieee2030_5") is None else _registered(sound)
    seen: dict[str, Location] = {}
    for table in (*DERS, "load"):
        for at in sound.tables(table):
            name = sound.get(*at, "device", "enddevice")
            if sound.get(*at, "device", "protocol") != "ieee2030_5" or name is None:
                continue
            here = (*at, "device", "enddevice")
            if sound.get("ieee2030_5") in (None, {}):
                problem = "needs the table [ieee2030_5]: the server that its client asks"
                yield (*at, "device", "protocol"), problem
            elif known is not None and name not in known:
                near = nearest_key(name, known)
                mend = f'did you mean "{near}"?' if near else f"there are: {', '.join(known)}"
                yield here, f'no [[ieee2030_5.device]] is called "{name}"; {mend}'
            if name in seen:
                yield here, f'"{name}" is the end device of {_text(seen[name])} too'
            seen.setdefault(name, at)
    if seen:
        yield from _end_device_rates(sound)
        yield from _end_device_answers(sound)


def _end_device_answers(sound: Sound) -> Iterator[Finding]:
    """While a cycle waits for answers nothing is refreshed: the timers of the others outlast it."""
    after_s, every_s = (sound.get("control", key) for key in ("reversion_s", "keep_alive_s"))
    if after_s is None or every_s is None:
        return
    most_s = (after_s - every_s) / WRITE_ROUNDS
    why = (
        f"a cycle may wait {WRITE_ROUNDS} times for answers while nothing is refreshed: with "
        f"keep_alive_s = {every_s:g} and reversion_s = {after_s:g} below {most_s:g}"
    )
    poll_s, by_poll = sound.get("ieee2030_5", "poll_rate_s"), False
    for table in DERS:  # nothing is written to the load meter
        for at in sound.tables(table):
            if sound.get(*at, "device", "protocol") != "ieee2030_5":
                continue
            told = sound.whole(*at, "device") or {}
            if "timeout_s" not in told:
                by_poll = True
            elif told["timeout_s"] >= most_s:
                problem = f"{why}, got {told['timeout_s']:g}; raise control.reversion_s or lower it"
                yield (*at, "device", "timeout_s"), problem
    if by_poll and poll_s is not None and poll_s + ANSWER_MARGIN_S >= most_s:
        problem = (
            f"{why}; clients that ask every {poll_s:g} s answer within {ANSWER_MARGIN_S:g} s more; "
            f"raise control.reversion_s above "
            f"{WRITE_ROUNDS * (poll_s + ANSWER_MARGIN_S) + every_s:g}, or ask more often"
        )
        yield ("ieee2030_5", "poll_rate_s"), problem


def _registered(sound: Sound) -> list[str] | None:
    """Names of the devices that the file registers; None where others may register themselves."""
    table = sound.whole("ieee2030_5")
    if not table or table.get("registration") == "open":
        return None
    return [device["name"] for device in table.get("device", ()) if "name" in device]


def _end_device_rates(sound: Sound) -> Iterator[Finding]:
    """What clients ask and post now and then comes in time."""
    poll_s, post_s = (sound.get("ieee2030_5", f"{key}_rate_s") for key in ("poll", "post"))
    after_s, every_s = (sound.get("control", key) for key in ("reversion_s", "keep_alive_s"))
    stale_s = sound.get("control", "stale_after_s")
    if None not in (poll_s, after_s, every_s) and poll_s + every_s > RENEWED_AT * after_s:
        problem = (
            f"a control is renewed when half of reversion_s ({after_s:g}) is left, and clients "
            f"must hear of it in time: at most {RENEWED_AT * after_s - every_s:g} with keep_alive_s"
            f" = {every_s:g}, got {poll_s:g}"
        )
        yield ("ieee2030_5", "poll_rate_s"), problem
    if None not in (post_s, stale_s) and post_s >= stale_s:
        problem = f"must be below control.stale_after_s ({stale_s:g}), got {post_s:g}"
        yield ("ieee2030_5", "post_rate_s"), problem


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


def _loopback_only(sound: Sound) -> Iterator[Finding]:
    host = sound.get("web", "host")
    if host is not None and not is_loopback(host):
        problem = (
            f'"{host}" is beyond loopback, and there is no authentication yet; use "127.0.0.1" '
            "and a tunnel or a reverse proxy that asks who is there"
        )
        yield ("web", "host"), problem


def _mqtt(sound: Sound) -> Iterator[Finding]:
    host, tls = sound.get("mqtt", "host"), sound.get("mqtt", "tls")
    if host is None:
        return
    if sound.get("mqtt", "password_file") and not tls and not is_loopback(host):
        problem = "a password would cross the network in clear; set tls = true"
        yield ("mqtt", "password_file"), problem
    if sound.get("mqtt", "password_file") and not sound.get("mqtt", "username"):
        yield ("mqtt", "username"), "missing: a password needs an account"
    if not tls:
        for key in ("ca_file", "cert_file"):
            if sound.get("mqtt", key):
                yield ("mqtt", key), "has no effect without TLS; set tls = true, or leave it out"
    if bool(sound.get("mqtt", "cert_file")) != bool(sound.get("mqtt", "key_file")):
        yield ("mqtt", "cert_file"), "a certificate and its key_file go together; name both"


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


def _text(location: Location) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else str(p) for p in location)


_RULES: tuple[Callable[[Sound], Iterator[Finding]], ...] = (
    _some_der,
    _unique_names,
    _unique_devices,
    _end_devices,
    _register_maps,
    _ordered,
    _voltages,
    _reversion,
    _generator_reversion,
    _solver,
    _terminal_soc,
    _tariff,
    _loopback_only,
    _mqtt,
)
