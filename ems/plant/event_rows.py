"""Rows of a grid event list, read from its CSV file: see `ems.plant.events`."""

import csv
import difflib
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ems.errors import BadInput, Fault

TIME, DER, VOLTAGE, FREQUENCY = "time", "der", "voltage_pu", "frequency_hz"
LONG = (TIME, DER, VOLTAGE, FREQUENCY)
ALL = "*"
"""Stands for every DER."""
RANGES = {VOLTAGE: (0.0, 2.0, "pu"), FREQUENCY: (40.0, 70.0, "Hz")}
"""Beyond these a number is a slip of the pen, not a grid."""
SHOWN = 50
"""More faults than this at once are not read."""
_WIDE = re.compile(rf"(?P<der>.+?)[ .:_/]+(?P<quantity>{VOLTAGE}|{FREQUENCY})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One row of the long form, or one DER of a row of the wide one."""

    row: int
    time: float | datetime
    der: str
    voltage_pu: float | None
    frequency_hz: float | None


@dataclass(slots=True)
class EventFaults:
    """Everything wrong with one file."""

    file: str
    found: list[Fault] = field(default_factory=list)

    def add(self, row: int, column: str, problem: str) -> None:
        """One more, and its place."""
        self.found.append(Fault(place=f"{self.file}: row {row}, column {column}", problem=problem))

    def raise_any(self) -> None:
        """Tell them, where there are any.

        Raises:
            BadInput: there are.
        """
        if not self.found:
            return
        more = len(self.found) - SHOWN
        rest = [Fault(place=self.file, problem=f"and {more} more faults")] if more > 0 else []
        raise BadInput([*self.found[:SHOWN], *rest])


def read_rows(path: Path, ders: Collection[str], faults: EventFaults) -> Iterator[EventRow]:
    """All rows that can be read, in the order of the file; what is wrong goes to `faults`.

    One by one: a day of a thousand DERs by the second has more cells than fit the memory at once.

    Raises:
        BadInput: the file cannot be read at all, or holds nothing.
    """
    rows = _rows(path)
    header_row, header = next(rows, (0, []))
    if not header:
        raise BadInput.at(str(path), f"is empty; its first line must be {','.join(LONG)}")
    names = [name.strip() for name in header]
    known = dict.fromkeys(ders)
    if [name.lower() for name in names] == list(LONG):
        events = _long(rows, known, faults)
    else:
        events = _wide(header_row, names, rows, known, faults)
    return _in_order(events, faults)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows that hold anything, with their number in the file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput.at(str(path), f"cannot be read: {error}") from error


# --- the two forms ------------------------------------------------------------------------


def _long(
    body: Iterable[tuple[int, list[str]]], ders: Collection[str], faults: EventFaults
) -> Iterator[EventRow]:
    unknown: set[str] = set()
    for number, cells in body:
        if not _is_whole(number, cells, len(LONG), faults):
            continue
        time, der, voltage, frequency = (cell.strip() for cell in cells)
        if der != ALL and der not in ders:
            if der not in unknown:
                faults.add(number, DER, _unknown(der, ders))
            unknown.add(der)
        when = _time(number, time, faults)
        v = _number(number, VOLTAGE, VOLTAGE, voltage, faults)
        hz = _number(number, FREQUENCY, FREQUENCY, frequency, faults)
        if when is not None:
            yield EventRow(row=number, time=when, der=der, voltage_pu=v, frequency_hz=hz)


def _wide(
    header_row: int,
    names: list[str],
    body: Iterable[tuple[int, list[str]]],
    ders: Collection[str],
    faults: EventFaults,
) -> Iterator[EventRow]:
    columns = _wide_columns(header_row, names, ders, faults)
    if columns is None:
        return
    for number, cells in body:
        if not _is_whole(number, cells, len(names), faults):
            continue
        when = _time(number, cells[0].strip(), faults)
        told: dict[str, dict[str, float | None]] = {}
        for (der, quantity), name, cell in zip(columns, names[1:], cells[1:], strict=True):
            value = _number(number, name, quantity, cell.strip(), faults)
            told.setdefault(der, {})[quantity] = value
        if when is None:
            continue
        for der, values in told.items():
            yield EventRow(
                row=number,
                time=when,
                der=der,
                voltage_pu=values.get(VOLTAGE),
                frequency_hz=values.get(FREQUENCY),
            )


def _wide_columns(
    row: int, names: list[str], ders: Collection[str], faults: EventFaults
) -> list[tuple[str, str]] | None:
    """DER and quantity of every column behind the time; None: not an event list at all."""
    found = [_WIDE.fullmatch(name) for name in names[1:]]
    if names[0].lower() != TIME or len(names) < 2 or not any(found):
        shown = ",".join(names)[:80]
        separated = " (separate columns by commas)" if ";" in shown or "\t" in shown else ""
        faults.add(
            row,
            names[0] or "1",
            f"the first line must be {','.join(LONG)}, or {TIME} and then "
            f"NAME.{VOLTAGE},NAME.{FREQUENCY} for each DER; got {shown}{separated}",
        )
        return None
    columns: list[tuple[str, str]] = []
    for name, match in zip(names[1:], found, strict=True):
        if match is None:
            faults.add(
                row,
                name,
                f"is no column of an event list; write NAME.{VOLTAGE} or NAME.{FREQUENCY}",
            )
            continue
        der, quantity = match["der"].strip(), match["quantity"].lower()
        if der != ALL and der not in ders:
            faults.add(row, name, _unknown(der, ders))
        columns.append((der, quantity))
    for (der, quantity), times in Counter(columns).items():
        if times > 1:
            faults.add(row, f"{der}.{quantity}", "stands there twice; keep one of the columns")
    return columns if len(columns) == len(names) - 1 else None


# --- cells ----------------------------------------------------------------------------------


def _is_whole(number: int, cells: list[str], expected: int, faults: EventFaults) -> bool:
    if len(cells) == expected:
        return True
    faults.add(
        number,
        str(min(len(cells), expected) + 1),
        f"the row has {len(cells)} cells, the first line {expected}; leave a cell blank where "
        "nothing changes, and write decimals with a point",
    )
    return False


def _time(number: int, text: str, faults: EventFaults) -> float | datetime | None:
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if 0.0 <= seconds < math.inf:
            return seconds
        faults.add(number, TIME, f"{text} is no time; seconds count from the start, from 0 on")
        return None
    try:
        when = datetime.fromisoformat(text)
        zoned = None if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        faults.add(
            number,
            TIME,
            f'"{text}" is neither seconds from the start nor a timestamp such as '
            "2026-06-01T12:00:00Z",
        )
        return None
    if zoned is None:
        faults.add(number, TIME, f"{text} has no zone; write {text}Z if it is UTC")
    return zoned


def _number(
    number: int, column: str, quantity: str, text: str, faults: EventFaults
) -> float | None:
    if not text:
        return None
    low, high, unit = RANGES[quantity]
    try:
        value = float(text)
    except ValueError:
        faults.add(number, column, f'expected a number or nothing, got "{text}"')
        return None
    if low <= value <= high:
        return value
    faults.add(number, column, f"{text} is not within {low:g} to {high:g} {unit}")
    return None


def _unknown(der: str, ders: Collection[str]) -> str:
    by_lower = {name.lower(): name for name in ders}
    close = difflib.get_close_matches(der.lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f'there is no DER "{der}"; did you mean {by_lower[close[0]]}?'
    some = ", ".join(list(ders)[:5]) + (", …" if len(ders) > 5 else "")
    return f'there is no DER "{der}"; there are {some} ({ALL} stands for all)'


def _in_order(events: Iterator[EventRow], faults: EventFaults) -> Iterator[EventRow]:
    """The events: times of one kind, ascending; nothing told twice."""
    before: EventRow | None = None
    told: dict[str, int] = {}
    """Row of every DER that was told of at the present time."""
    for event in events:
        if before is None or event.row != before.row:
            if before is not None and not _follows(before, event, faults):
                for _ in events:  # what is wrong with their cells is told as well
                    pass
                return
            if before is None or event.time != before.time:
                told.clear()
            doubled = False
        first = told.setdefault(event.der, event.row)
        if first != event.row and not doubled:
            faults.add(
                event.row, TIME, f"row {first} tells of {event.der} at the same time; join them"
            )
            doubled = True
        before = event
        yield event


def _follows(before: EventRow, event: EventRow, faults: EventFaults) -> bool:
    """Whether the times of two rows can be compared at all; tells what is wrong with them."""
    if isinstance(event.time, datetime) != isinstance(before.time, datetime):
        kinds = "seconds and timestamps in one file; write all times in one way"
        faults.add(event.row, TIME, kinds)
        return False
    if event.time < before.time:  # type: ignore[operator]  # both of one kind by now
        faults.add(event.row, TIME, f"is earlier than row {before.row}; sort the rows by time")
    return True
