"""Read a table of text, CSV or Parquet, and collect what is wrong with it.

read_table(path, faults) -> DataFrame | None     None where nothing can be read
open_text(path, faults)  -> str | None           a whole text file, gzip or not
Faults(file=...)         .add(problem), .rows(...), .raise_if_any()
"""

import gzip
import warnings
import zlib
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

_SHOWN_ROWS = 5
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_PARQUET_NAMES = (".parquet", ".pq")


class SeriesFault(Exception):
    """A series file cannot be used. Holds every fault found, not only the first."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        """One line each: the file, what is wrong, how to mend it."""
        super().__init__("\n".join(faults))


@dataclass(slots=True, kw_only=True)
class Faults:
    """Collects what is wrong with one file, each with the file's name in front."""

    file: str
    found: list[str] = field(default_factory=list)
    row_word: str = "line"
    """What a row is called in the messages: a line of text, a row of a binary table."""

    def add(self, problem: str) -> None:
        """Add one fault."""
        self.found.append(f"{self.file}: {problem}")

    def rows(self, wrong: "pd.Series[bool]", cells: "pd.Series[str]", what: str, mend: str) -> None:
        """Add one fault for all `wrong` rows, with the first line numbers and the first cell."""
        at = np.flatnonzero(wrong.to_numpy())
        if at.size == 0:
            return
        # The index of a table read here is the number of the line or row.
        lines = ", ".join(str(int(cells.index[i])) for i in at[:_SHOWN_ROWS])
        more = f" and {at.size - _SHOWN_ROWS} more" if at.size > _SHOWN_ROWS else ""
        first = str(cells.iloc[at[0]])[:40]
        word = self.row_word if at.size == 1 else f"{self.row_word}s"
        self.add(f"{word} {lines}{more}: {what} ('{first}'); {mend}")

    def raise_if_any(self) -> None:
        """Raise everything found so far.

        Raises:
            SeriesFault: something was found.
        """
        if self.found:
            raise SeriesFault(tuple(self.found))


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its first bytes or, where there are none, by its name."""
    return _first_bytes(path).startswith(_PARQUET) or path.suffix.lower() in _PARQUET_NAMES


def open_text(path: Path, faults: Faults) -> str | None:
    """The text of a file, unpacked when it is gzip; None, with the fault added, where it fails."""
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        faults.add(f"no such file in {path.parent}; check the path")
    except (OSError, EOFError, zlib.error) as fault:
        faults.add(f"cannot be read ({fault}); a packed file must hold whole gzip data")
    except UnicodeDecodeError as fault:
        faults.add(f"is not comma-separated UTF-8 text ({fault}); export it as CSV")
    return None


def read_table(path: Path, faults: Faults) -> pd.DataFrame | None:
    """A CSV, CSV.gz or Parquet file as it stands.

    Returns:
        Cells of CSV as text, of Parquet as they were written; the index is the number of the
        line or row. None, with the faults added, where nothing can be read.
    """
    table = _parquet_table(path, faults) if is_parquet(path) else _csv_table(path, faults)
    if table is None:
        return None
    table.columns = pd.Index([str(c).strip() for c in table.columns])
    twice = table.columns[table.columns.duplicated()].unique()
    if len(twice):
        faults.add(f"column {', '.join(twice)} occurs twice; give each column one name")
        return None
    if table.empty:
        faults.add("holds a header but no rows; expected rows of time_utc,value")
        # The header is still worth checking.
    return table


def csv_table(text: str, faults: Faults, *, first_line: int = 1) -> pd.DataFrame | None:
    """Comma-separated text, all cells as text, indexed by line number; blank lines left out.

    Args:
        text: Header line and rows.
        faults: Where to add what is wrong.
        first_line: Number of the header's line in the file.
    """
    try:
        with warnings.catch_warnings():
            # Cells beyond the header's are told by a warning, and dropped: decimal commas.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                StringIO(text),
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,  # else line numbers would not be the file's
                index_col=False,
            )
    except pd.errors.EmptyDataError:
        faults.add("the file is empty; expected a header line and rows of time_utc,value")
        return None
    except pd.errors.ParserWarning:
        faults.add(
            "rows have more cells than the header has names; write one cell for each name, and "
            "decimals with a point"
        )
        return None
    except (ValueError, OverflowError) as fault:  # ParserError is a ValueError
        faults.add(
            f"is not comma-separated UTF-8 text ({' '.join(str(fault).split())}); export it as CSV"
        )
        return None
    table.index = pd.RangeIndex(first_line + 1, first_line + 1 + len(table))
    table = table.fillna("")
    return table.loc[~(table == "").all(axis=1)]


def _csv_table(path: Path, faults: Faults) -> pd.DataFrame | None:
    text = open_text(path, faults)
    return None if text is None else csv_table(text, faults)


def _parquet_table(path: Path, faults: Faults) -> pd.DataFrame | None:
    faults.row_word = "row"
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        faults.add(f"no such file in {path.parent}; check the path")
        return None
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, ArithmeticError) as fault:
        reason = " ".join(str(fault).split())[:200]
        faults.add(f"is not a whole Parquet file ({reason}); write it again")
        return None
    if table.index.name is not None:  # times kept as the index
        table = table.reset_index()
    table.index = pd.RangeIndex(1, 1 + len(table))
    return table


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError:
        return b""
