"""What all tables of a site file are alike in."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Location = tuple[str, ...]
"""Keys below the table."""


class Table(BaseModel):
    """A table of the site file: unknown keys, text for numbers, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def raise_faults(table: BaseModel, title: str, faults: Iterator[tuple[Location, str]]) -> None:
    """All faults at once, each at its key.

    Raises:
        ValidationError: there are any.
    """
    details = [
        InitErrorDetails(
            type=PydanticCustomError("value_error", "{error}", {"error": problem}),
            loc=location,
            input=_input(table, location),
        )
        for location, problem in faults
    ]
    if details:
        raise ValidationError.from_exception_data(title, details)


def _input(table: Any, location: Location) -> Any:
    for key in location:
        table = getattr(table, key, None)
    return table
