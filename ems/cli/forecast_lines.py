"""What the sun of each plant was forecast by, and why by nothing better, as lines for people."""

from collections.abc import Iterator

from ems.domain import Forecast

MOST_LINES = 20
"""Plants are told together where the same is true of them; the rest is summed up."""
MOST_NAMES = 3
"""Plants named in a line."""


def forecast_lines(forecast: Forecast) -> Iterator[str]:
    """`Forecast of pv: smart_persistence (lstm not used: …)`, in the order of the plants."""
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    notes_of = forecast.notes_by_plant()
    for name, pv in forecast.pv.items():
        alike.setdefault((pv.method, notes_of[name]), []).append(name)
    groups = list(alike.items())
    for (method, notes), names in groups[:MOST_LINES]:
        why = f" ({'; '.join(notes)})" if notes else ""
        yield f"Forecast of {_listed(names)}: {method}{why}"
    others = sum(len(names) for _, names in groups[MOST_LINES:])
    if others:
        yield f"Forecast of {others} other plants: see the record, with --json"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
