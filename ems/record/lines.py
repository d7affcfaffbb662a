"""The one JSON form records and setups are kept in: a line each.

The form is exact: a record read back holds bit-identical numbers, so that a cycle can be replayed
from it.
"""

import json
from typing import Any, cast

from ems.domain import CycleRecord, Setup
from ems.errors import BadInput
from ems.record.codec import Misfit, codec_of


def to_json(record: CycleRecord) -> str:
    """One line of JSON; `from_json` gives back an equal record."""
    encoded = codec_of(CycleRecord).encode(record)
    return json.dumps(encoded, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def from_json(text: str | bytes) -> CycleRecord:
    """The record that `to_json` wrote.

    A field that an older version did not write takes its default.

    Raises:
        BadInput: the text is no JSON, or no record; names the place in it.
    """
    return cast(CycleRecord, _decoded(CycleRecord, text, "cycle record"))


def setup_to_json(setup: Setup) -> str:
    """One line of JSON, the same for equal setups; `setup_from_json` gives back an equal one."""
    encoded = codec_of(Setup).encode(setup)
    return json.dumps(encoded, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def setup_from_json(text: str) -> Setup:
    """The setup that `setup_to_json` wrote.

    Raises:
        BadInput: as `from_json`.
    """
    return cast(Setup, _decoded(Setup, text, "cycle setup"))


def _decoded(kind: Any, text: str | bytes, what: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput.at(what, f"not JSON: {error}") from error
    try:
        return codec_of(kind).decode(value)
    except Misfit as misfit:
        raise BadInput.at(f"{what}: {misfit.place}", misfit.problem) from misfit
