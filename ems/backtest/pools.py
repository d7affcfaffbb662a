"""Where days are simulated: processes of this machine, or a Dask cluster.

Both take a task and give a future. What differs is what happens when a worker dies: here that is
told, and another process takes its place; Dask asks again by itself, and gives up on a task that
has taken several workers with it.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, Protocol

from ems.backtest.working import Answer, Task, Undone, work
from ems.errors import BadInput, GeemsError

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Days are computed side by side already; and sums come out alike on any number of cores."""
ANSWERS_S = 30.0
"""How long a scheduler may take to answer, and to have its first worker [s]."""
COUNTED_S = 5.0
"""How often a cluster's workers are counted again [s]."""


AnswerTasks = Callable[["Connection[Answer, Task]"], None]


class Pool(Protocol):
    """Workers that simulate days."""

    @property
    def slots(self) -> int:
        """How many days run side by side."""
        ...

    def submit(self, task: Task) -> "Future[Answer | None]":
        """Have a day simulated."""
        ...

    def answer(self, future: "Future[Answer | None]") -> Answer | None:
        """What became of a task that is over; None: its worker died, ask again.

        Raises:
            GeemsError: the pool is gone as a whole.
        """
        ...

    def close(self) -> None:
        """End what is under way, and the workers that this pool started."""
        ...


class LocalPool:
    """Processes of this machine, each with a pipe of its own; implements `Pool`.

    `concurrent.futures` has one pipe for all answers: a process that is killed while it writes one
    leaves the others waiting for its lock, and the reader for the rest.
    """

    def __init__(self, jobs: int) -> None:
        """Start them: what they import takes as long as the sun of the first tasks.

        Args:
            jobs: how many.
        """
        self.slots = jobs
        self._tasks: SimpleQueue[tuple[Task, Future[Answer | None]] | None] = SimpleQueue()
        self._workers: dict[int, _Worker] = {}
        self._closed = False
        self._starting = threading.Lock()
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), daemon=True)
            for number in range(jobs)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> "Future[Answer | None]":
        """Have a day simulated."""
        future: Future[Answer | None] = Future()
        self._tasks.put((task, future))
        return future

    def answer(self, future: "Future[Answer | None]") -> Answer | None:
        """What became of a task."""
        return future.result()

    def close(self) -> None:
        """End the processes at once, and the threads that wait for them."""
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)
        with self._starting:
            for worker in self._workers.values():
                worker.process.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self, number: int) -> None:
        """Hand tasks to one process, and to another one when it dies."""
        with suppress(Exception):  # told with the first task, should it fail again
            self._worker(number)
        while (asked := self._tasks.get()) is not None and not self._closed:
            task, future = asked
            try:
                future.set_result(self._asked(number, task))
            except Exception as fault:  # noqa: BLE001 - whoever waits for the future is told
                future.set_exception(fault)
        if (worker := self._workers.get(number)) is not None:
            worker.end()

    def _asked(self, number: int, task: Task) -> Answer | None:
        """A process' answer; None where it died over it, or none is to be started any more."""
        worker = self._worker(number)
        if worker is None:
            return None
        try:
            worker.pipe.send(task)
            answer: Answer = worker.pipe.recv()
        except (EOFError, OSError):
            worker.end()
            with self._starting:
                del self._workers[number]
            return None
        return answer

    def _worker(self, number: int) -> "_Worker | None":
        """The process of a thread; None: what was closed starts none."""
        with self._starting, _environment(ONE_THREAD):
            if number not in self._workers and not self._closed:
                self._workers[number] = _Worker()
            return self._workers.get(number)


class _Worker:
    """One process, and this end of its pipe."""

    def __init__(self) -> None:
        # Not forked: a child would inherit threads and locks of the engine in an unknown state.
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_Answering(), args=(theirs,), daemon=True)
        # Ctrl-C goes to all processes of a terminal. One that is still importing cannot ignore it
        # yet, so it inherits it blocked; starting the tracker, once, would unblock it again.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # so that the pipe ends with the process

    def end(self) -> None:
        """Have done with it."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Answering:
    """`answer_tasks`, as it is handed to a process: only there is the optimiser loaded."""

    def __call__(self, pipe: "Connection[Answer, Task]") -> None:
        _answer_tasks()(pipe)

    def __reduce__(self) -> tuple[Callable[[], AnswerTasks], tuple[()]]:
        return _answer_tasks, ()


def _answer_tasks() -> AnswerTasks:
    from ems.backtest.answering import answer_tasks  # noqa: PLC0415 - as said

    return answer_tasks


class DaskPool:
    """A Dask cluster; implements `Pool`."""

    def __init__(self, address: str) -> None:
        """Connect.

        Args:
            address: of the scheduler, as `tcp://host:8786`.

        Raises:
            BadInput: Dask is not installed, or nobody answers there.
        """
        try:
            import distributed  # noqa: PLC0415 - an extra, and a second to import
        except ImportError:
            problem = "Dask is not installed; pip install geems[dask]"
            raise BadInput.at("--scheduler", problem) from None
        try:
            connect: Any = distributed.Client  # it has no types
            self._client = connect(address, timeout=ANSWERS_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as fault:
            problem = f"no Dask scheduler answers at {address}: {fault}"
            raise BadInput.at("--scheduler", problem) from None
        try:
            self._client.wait_for_workers(1, timeout=ANSWERS_S)
        except TimeoutError:
            self._client.close()
            problem = f"the scheduler at {address} has no workers; start some with `dask worker`"
            raise BadInput.at("--scheduler", problem) from None
        self._executor = self._client.get_executor(pure=False)
        self._address = address
        self._counted: tuple[float, int] = (float("-inf"), 0)

    @property
    def slots(self) -> int:
        """Workers of the cluster, as of late: they may come and go."""
        when, count = self._counted
        if time.monotonic() - when > COUNTED_S:
            count = max(1, len(self._client.nthreads()))
            self._counted = time.monotonic(), count
        return count

    def submit(self, task: Task) -> "Future[Answer | None]":
        """Have a day simulated."""
        future: Future[Answer | None] = self._executor.submit(work, task)
        return future

    def answer(self, future: "Future[Answer | None]") -> Answer | None:
        """What became of a task."""
        from distributed.scheduler import KilledWorker  # noqa: PLC0415

        try:
            return future.result()
        except KilledWorker as fault:
            return Undone(why=f"workers died at it: {fault}")
        except (CancelledError, OSError) as fault:
            raise GeemsError(
                f"the Dask scheduler at {self._address} is gone ({type(fault).__name__})"
            ) from None

    def close(self) -> None:
        """Take back what is under way; the cluster stays."""
        self._executor.shutdown(wait=False)
        self._client.close()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables that processes started meanwhile inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
