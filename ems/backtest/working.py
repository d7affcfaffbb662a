"""What a worker does: one day, from plain arguments to the bytes of a file.

It reads no file and writes none, so it may run on another machine. A process simulates one day at a
time, however many threads ask it to: what it keeps open between days is not made to be shared.
"""

import atexit
import hashlib
import io
import shutil
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ems.backtest.case import Case, DayInput, DayResult, DayState
from ems.backtest.keeping import packed
from ems.backtest.study import versions
from feeders import shipped
from feeders.catalogue import private_copy

SimulateDay = Callable[[Case, DayInput, DayState], DayResult]
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """A day that is to be simulated."""

    case: Case
    feeder: "FeederFiles | None"
    """None: the feeder ships with GEEMS."""
    given: DayInput
    start: bytes | None
    """State before it, as `DayState.to_bytes` writes it; None: the site's initial state."""
    study: str
    """Digest of the study it is part of."""
    simulate: SimulateDay
    versions: Mapping[str, str]
    """Of the process that asks."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Done:
    """A day simulated."""

    data: bytes
    """Of its file."""
    end: bytes
    """State it left."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """A day that could not be simulated, and why."""

    why: str
    strange: bool = False
    """True where the worker has other versions than the one who asked."""


Answer = Done | Undone


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederFiles:
    """A user's feeder, as it can be sent to another machine."""

    entry: str
    """Name of the file to compile."""
    zipped: bytes
    """Its folder."""


def usual_day(case: Case, given: DayInput, start: DayState) -> DayResult:
    """`simulate_day`; who only asks for days does not load the optimiser."""
    from ems.backtest.day import simulate_day  # noqa: PLC0415 - as said

    return simulate_day(case, given, start)


def feeder_files(source: str) -> FeederFiles | None:
    """Files of a feeder; None where it ships with GEEMS.

    Raises:
        FeederFault: the folder is too large to be a feeder's, or holds no text.
    """
    if source in shipped():
        return None
    sink = io.BytesIO()
    with (
        private_copy(Path(source)) as copy,
        zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as files,
    ):
        for path in sorted(p for p in copy.parent.rglob("*") if p.is_file()):
            files.writestr(
                # Without the time it was copied, which would make each copy another feeder.
                zipfile.ZipInfo(str(path.relative_to(copy.parent))),
                path.read_bytes(),
                zipfile.ZIP_DEFLATED,
            )
    return FeederFiles(entry=Path(source).name, zipped=sink.getvalue())


def work(task: Task) -> Done | Undone:
    """Simulate a day; whatever goes wrong is told, and stops nobody else's day."""
    mine = versions()
    if dict(task.versions) != mine:
        asked = {k: v for k, v in task.versions.items() if mine.get(k) != v}
        have = ", ".join(f"{k} {mine.get(k)} in place of {v}" for k, v in asked.items())
        return Undone(why=f"a worker has {have}; results would differ", strange=True)
    began = time.perf_counter()
    with _one_at_a_time:
        try:
            return _simulated(task, began)
        except Exception as fault:  # noqa: BLE001 - the other days go on; this one is listed
            frames = traceback.extract_tb(fault.__traceback__)
            where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
            return Undone(why=f"{type(fault).__name__}: {fault}{where}")


def _simulated(task: Task, began: float) -> Done:
    case = task.case
    if task.feeder is not None:
        case = replace(case, feeder=str(_laid_out(task.feeder)))
    start = DayState.at_start(case) if task.start is None else DayState.from_bytes(task.start)
    result = task.simulate(case, task.given, start)
    end = result.state.to_bytes()
    return Done(
        data=packed(result.rows, task.study, start, end),
        end=end,
        seconds=time.perf_counter() - began,
    )


@lru_cache(maxsize=64)
def _laid_out(feeder: FeederFiles) -> Path:
    """The file to compile, in a folder that lasts as long as this process."""
    folder = _feeders() / hashlib.sha256(feeder.zipped).hexdigest()[:16]
    with zipfile.ZipFile(io.BytesIO(feeder.zipped)) as files:
        files.extractall(folder)
    return folder / feeder.entry


@lru_cache(maxsize=1)
def _feeders() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="geems-backtest-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
