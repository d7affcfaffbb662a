"""Ipopt in a process of its own, with a wall-clock limit.

The process is started at the first large problem and kept. It is started as a program of its own
and not by `multiprocessing`, which would run the caller's main module again. One that is late is
ended and the next problem starts another; one that died is told as `FAILED`. It ends by itself
when the pipe to it closes, so none outlives the service.
"""

import atexit
import contextlib
import logging
import subprocess
import sys
import threading
from functools import cache
from multiprocessing.connection import Connection, Pipe

from ems.dispatch import ipopt
from ems.dispatch.program import LinearProgram, Solution
from ems.domain import SolverStatus

log = logging.getLogger(__name__)

START_LIMIT_S = 60.0
"""Time for a process to import what it needs [s]: 1 s on an idle machine."""
GRACE_S = 0.5
"""Beyond the limit that the solver keeps by itself [s]: the way there and back."""
PROGRAM = "import sys; from ems.dispatch.worker import serve; serve(int(sys.argv[1]))"
"""What the process runs."""


class Worker:
    """One solving process, started when first needed and again after it was lost."""

    def __init__(self, command: tuple[str, ...] = (sys.executable, "-c", PROGRAM)) -> None:
        """Take the program to start; it is given the number of its end of the pipe."""
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Process number while one runs."""
        return None if self._process is None else self._process.pid

    def solve(self, program: LinearProgram, wall_limit_s: float) -> Solution | SolverStatus:
        """The solution, or `TIME_LIMIT` or `FAILED` where there is none; never an exception."""
        with self._lock:
            try:
                pipe = self._pipe or self._start()
                pipe.send((program, wall_limit_s))
                if not pipe.poll(wall_limit_s + GRACE_S):
                    log.warning("the solving process is late (%.1f s); ended", wall_limit_s)
                    self._end()
                    return SolverStatus.TIME_LIMIT
                answer = pipe.recv()
            except (OSError, EOFError) as fault:
                code = self._end()
                log.warning("the solving process is lost (exit code %s): %r", code, fault)
                return SolverStatus.FAILED
            return answer if isinstance(answer, Solution) else SolverStatus.FAILED

    def close(self) -> None:
        """End the process, if one runs. A later `solve` starts another."""
        with self._lock:
            self._end()

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        self._pipe = ours
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                [*self._command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        finally:
            theirs.close()
        if not ours.poll(START_LIMIT_S):
            raise OSError(f"did not start within {START_LIMIT_S:.0f} s")
        ours.recv()  # it is ready
        return ours

    def _end(self) -> int | None:
        """End the process at once: it holds nothing that could be lost."""
        if self._pipe is not None:
            self._pipe.close()
        code = None
        if self._process is not None:
            self._process.kill()
            code = self._process.wait()
        self._pipe, self._process = None, None
        return code


@cache
def shared_worker() -> Worker:
    """The worker of this process; ended when the interpreter ends."""
    worker = Worker()
    atexit.register(worker.close)
    return worker


def serve(end_of_pipe: int) -> None:
    """The process: solves what comes through the pipe until it closes."""
    pipe = Connection(end_of_pipe)
    with contextlib.suppress(EOFError, OSError):
        pipe.send("ready")
        while True:
            program, wall_limit_s = pipe.recv()
            pipe.send(ipopt.solve(program, wall_limit_s=wall_limit_s))
