"""Whatever stands in a configuration of the GridAPPS-D server: a valid file, or bad input."""

import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.derms.gridappsd import imported
from ems.errors import BadInput
from ems.settings.ieee2030_5 import Ieee20305Table

FOLDER = Path(__file__).parents[1] / "scenario" / "gridappsd"
WHOLE = [yaml.safe_load(file.read_text()) for file in sorted(FOLDER.glob("*/server.yml"))]

plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.dates()
    | st.sampled_from(["opModVoltVar", "07FFFFFF", "111111111111111111", "Good", "P", "c0"])
)
anything = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, each in inside:
        found.append((*at, key))
        if isinstance(each, dict | list):
            found += places(each, (*at, key))
    return found


@settings(max_examples=100)
@given(st.data())
def test_what_is_put_in_the_place_of_any_values_is_taken_or_told(data: st.DataObject) -> None:
    document = deepcopy(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(places(document)))
        holder = document
        for step in way:
            holder = holder[step]
        holder[last] = data.draw(anything)
    made = imported(yaml.safe_dump(document), "x.yml")
    Ieee20305Table.model_validate(tomllib.loads(made.toml)["ieee2030_5"])


@given(st.text(max_size=60) | st.text(alphabet="&*a:[]{}-<>! \n|'\"?,#%@", max_size=40))
def test_any_text_is_imported_or_refused_as_bad_input(text: str) -> None:
    try:
        made = imported(text, "x.yml")
    except BadInput:
        return
    Ieee20305Table.model_validate(made.document["ieee2030_5"])
