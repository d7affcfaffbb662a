"""How a benchmark tells its figures: a table to read, and JSON to compare."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / ".bench"


def median_ms(seconds: Sequence[float]) -> float:
    return 1e3 * statistics.median(seconds)


def tell(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows as a table and write `.bench/NAME.json`."""
    FOLDER.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    document = {"bench": name, "machine": machine, "rows": [dict(r) for r in rows]}
    (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    titles = list(rows[0])
    cells = [titles] + [[_cell(r[t]) for t in titles] for r in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(titles))]
    print(f"\n{name}")
    for row in cells:
        print("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
