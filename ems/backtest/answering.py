"""A process of a pool: one task after the other, from a pipe.

What a day is simulated with is loaded here, with the process, while who started it still makes the
first task. Not later: Pyomo makes a lock when it is loaded, and one that is made once the process
knows how it was started is missed when the process is killed.
"""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from typing import Any

import ems.backtest.day  # noqa: F401 - as above
from ems.backtest.working import Answer, Task, work


def answer_tasks(pipe: "Connection[Answer, Task]") -> None:
    """Answer as long as somebody asks."""
    # Ctrl-C is for the process that started this one; and this one does not outlive it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    while True:
        pipe.send(work(pipe.recv()))


def _end_with(sentinel: Any) -> None:
    wait([sentinel])
    os._exit(1)
