"""Compile a feeder file where it can do no harm: in a process of its own, with limits.

`python -m feeders.probe FILE` compiles and solves like `Feeder.open`. An error the engine
reports is no trouble (it will be reported again, with its place); a crash, a hang or a file
written is.
"""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from feeders.compiling import EngineError, compile_file, freeze_controls, new_context

CPU_LIMIT_S = 20
"""Time of the processor; the largest public test feeder takes a fraction of a second."""
WALL_LIMIT_S = 30.0
"""Time on the clock: a busy machine may hold the probe up."""
MEMORY_LIMIT_BYTES = 4 * 2**30
"""Address space; importing the engine alone maps about one GiB."""
OPEN_FILES = 256

WRITES = "writes a file while it compiles; a feeder file may describe, not write"
SLOW = (
    f"is not solved within {CPU_LIMIT_S} s; take out solves over time "
    "(`Set Mode=… Number=…`), GEEMS solves snapshots itself"
)


def complaint(path: Path) -> str:
    """What is wrong with compiling a file, to be read after its name; empty when nothing is.

    Takes about half a second, at most `WALL_LIMIT_S`.
    """
    found = [os.path.abspath(p) for p in sys.path if p]  # noqa: PTH100 - import paths may be zips
    # What the engine prints is not kept; secrets of this process's environment stay here.
    environment = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ
    } | {
        "PYTHONPATH": os.pathsep.join(found),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own module; the file is an argument
            [sys.executable, "-B", "-P", "-s", "-m", "feeders.probe", str(path)],
            cwd=path.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=WALL_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return SLOW
    return _meaning(done.returncode)


def _meaning(code: int) -> str:
    if code == 0:
        return ""
    if code in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGALRM):
        return SLOW
    if code == -signal.SIGXFSZ:
        return WRITES
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return (
        f"the engine breaks down on it ({how}, in a process of its own); "
        "look for files that redirect to each other, or halve the file to find the place"
    )


def main(path: Path) -> int:
    """Compile and solve a file under limits; 0 unless the engine takes the process down."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, CPU_LIMIT_S)
    _limit(resource.RLIMIT_AS, MEMORY_LIMIT_BYTES)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    # Python ignores SIGXFSZ; here it must end the process, or a write would pass unseen.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.alarm(int(WALL_LIMIT_S))  # also when nobody is left to wait for us

    context = new_context()
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)  # no process and no thread more
    try:
        if compile_file(context, path):
            freeze_controls(context)
            context.Solution.Solve()
    except EngineError:
        pass
    # Nothing of the engine is torn down: a file may have left it in any state.
    os._exit(0)


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
