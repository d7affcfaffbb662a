"""Whatever stands in a site file, it is read or told as bad input; nothing else happens."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ems.errors import BadInput
from ems.settings import TEMPLATE, load_settings
from ems.settings.faults import _keys_at, key_faults
from ems.settings.rules import Sound, findings
from ems.settings.schema import Settings
from ems.settings.sources import Location

SHIPPED = tomllib.loads(TEMPLATE.read_text(encoding="utf-8"))
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**7),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["name", "port", "x"]), st.integers(), max_size=2),
)


def places(table: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Locations of every value, tables and lists included."""
    inner = (
        table.items()
        if isinstance(table, dict)
        else enumerate(table)
        if isinstance(table, list)
        else ()
    )
    return [p for key, value in inner for p in ((*above, key), *places(value, (*above, key)))]


def changed(table: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The tables with one value replaced, or taken out where the new one is None."""
    key, *rest = at
    copy = dict(table) if isinstance(table, dict) else list(table)
    if rest:
        copy[key] = changed(copy[key], tuple(rest), value)
    elif value is None:
        del copy[key]
    else:
        copy[key] = value
    return copy


def survey(values: dict[str, Any]) -> tuple[Settings | None, list[str]]:
    """What reading these tables gives, as `ems.settings.check` does it."""
    settings = None
    faults: list[str] = []
    bad: set[Location] = set()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        found, bad = key_faults(error, "site.toml", {})
        faults += [str(fault) for fault in found]
    faults += [problem for _, problem in findings(Sound(values, bad))]
    return settings, faults


@given(at=st.sampled_from(places(SHIPPED)), value=ODD)
def test_any_one_value_replaced_is_accepted_or_told(at: tuple[Any, ...], value: Any) -> None:
    settings, faults = survey(changed(SHIPPED, at, value))
    assert settings is not None or faults
    if settings is not None and not faults:
        settings.to_site()
        settings.to_policy()
        settings.to_tariff()
        settings.addresses()


@given(at=st.sampled_from(places(SHIPPED)), key=st.text(min_size=1, max_size=8), value=ODD)
def test_any_key_added_anywhere_is_told(at: tuple[Any, ...], key: str, value: Any) -> None:
    table: Any = SHIPPED
    for step in at:
        table = table[step]
    if not isinstance(table, dict) or key in table or value is None:
        return
    settings, faults = survey(changed(SHIPPED, at, {**table, key: value}))
    if key not in _keys_at(at):
        assert settings is None
        assert any("unknown key" in fault for fault in faults)


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_told(tmp_path_factory: Any, text: str) -> None:
    path = Path(tmp_path_factory.mktemp("site")) / "site.toml"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(BadInput) as told:  # so short a text is no whole site
        load_settings(path, {})
    assert told.value.faults
