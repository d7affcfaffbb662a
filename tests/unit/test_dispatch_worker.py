"""Large problems are solved in another process: kept, ended when late, replaced when lost."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psutil
import pytest

from ems.dispatch import dispatch, ipopt, solver
from ems.dispatch.program import LinearProgram, Solution, Sparse
from ems.dispatch.worker import Worker, shared_worker
from ems.domain import SolverStatus
from tests.sites import PRICE_USD_PER_KWH, segment, sky, snapshot

PIPE = "import sys; from multiprocessing.connection import Connection as C; c = C(int(sys.argv[1]))"
"""What a process that stands in for the real one begins with."""


def stand_in(*lines: str) -> Worker:
    return Worker((sys.executable, "-c", "\n".join([PIPE, *lines])))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def program() -> LinearProgram:
    """min −x − 2y  subject to  x + y ≤ 1, both in [0, 1]."""
    return LinearProgram(
        c=np.array([-1.0, -2.0]), a=Sparse.of(np.ones((1, 2))),
        row_lo=np.array([-np.inf]), row_hi=np.array([1.0]), x_lo=np.zeros(2), x_hi=np.ones(2),
    )  # fmt: skip


def test_it_answers_as_the_solver_here_would_and_stays_for_the_next(
    worker: Worker, program: LinearProgram
) -> None:
    there = worker.solve(program, 20.0)
    here = ipopt.solve(program)
    assert isinstance(there, Solution)
    assert there.x.tolist() == here.x.tolist()
    assert there.row_dual.tolist() == here.row_dual.tolist()
    first = worker.pid
    assert isinstance(worker.solve(program, 20.0), Solution)
    assert worker.pid == first != os.getpid()


def test_one_that_was_killed_is_told_as_failed_and_replaced(
    worker: Worker, program: LinearProgram
) -> None:
    assert isinstance(worker.solve(program, 20.0), Solution)
    assert worker.pid is not None
    lost = psutil.Process(worker.pid)
    lost.kill()
    psutil.wait_procs([lost], timeout=10)
    assert worker.solve(program, 20.0) is SolverStatus.FAILED
    assert isinstance(worker.solve(program, 20.0), Solution)
    assert worker.pid != lost.pid


def test_one_that_is_late_is_ended(program: LinearProgram) -> None:
    late = stand_in("c.send('ready'); c.recv_bytes()", "import time; time.sleep(600)")
    assert late.solve(program, 0.0) is SolverStatus.TIME_LIMIT
    assert late.pid is None


def test_one_that_cannot_start_is_told_as_failed(program: LinearProgram) -> None:
    assert stand_in("sys.exit(3)").solve(program, 5.0) is SolverStatus.FAILED
    assert Worker(("/no/such/program",)).solve(program, 5.0) is SolverStatus.FAILED


def test_one_that_answers_something_else_is_told_as_failed(program: LinearProgram) -> None:
    odd = stand_in("c.send('ready'); c.recv_bytes(); c.send('what?'); c.recv()")
    assert odd.solve(program, 20.0) is SolverStatus.FAILED
    odd.close()


def test_closing_ends_the_process(program: LinearProgram) -> None:
    closing = stand_in("c.send('ready'); c.recv_bytes(); c.send(0); c.recv()")
    closing.solve(program, 20.0)
    assert closing.pid is not None
    process = psutil.Process(closing.pid)
    closing.close()
    assert not process.is_running()
    closing.close()  # twice is no fault


def test_a_large_dispatch_is_solved_there_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    site = replace(segment(), solver="ipopt")
    state = (snapshot(site), sky(10_000.0, 10_000.0))
    here = dispatch(site, *state, PRICE_USD_PER_KWH)
    monkeypatch.setattr(solver, "LARGE_NONZEROS", 0)
    there = dispatch(site, *state, PRICE_USD_PER_KWH)
    assert shared_worker().pid is not None
    shared_worker().close()
    assert replace(there, solve_s=0.0) == replace(here, solve_s=0.0)
