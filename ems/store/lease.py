"""Who holds a lease, told so that another process can see whether the holder still lives."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One process, unmistakably: a number that is used again is told apart by its start."""

    host: str
    pid: int
    started: int
    """Start of the process [clock ticks after boot]."""
    world: str
    """Boot and process-number space in which `pid` means something."""

    @classmethod
    def this_process(cls) -> "Holder":
        """The calling process."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(), pid=pid, started=_started(pid) or 0, world=_this_world()
        )

    @classmethod
    def parse(cls, text: str) -> "Holder | None":
        """What `str` wrote; None for the name of a holder that is not a process."""
        try:
            host, pid, started, world = text.rsplit(":", 3)
            return cls(host=host, pid=int(pid), started=int(started), world=world)
        except ValueError:
            return None

    @property
    def is_dead(self) -> bool:
        """True only when it can be known here that the process has ended."""
        return self.world == _this_world() and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started}:{self.world}"


def describe(holder: str) -> str:
    """The holder, as an operator would name it."""
    process = Holder.parse(holder)
    return holder if process is None else f"process {process.pid} on {process.host}"


def _this_world() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        space = (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return ""  # no /proc: then nobody is ever known to be dead, except by time
    return f"{boot}/{''.join(c for c in space if c.isdigit())}"


def _started(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat [clock ticks after boot]; None when there is no such process."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name, field 2, may hold blanks and parentheses: count from its last parenthesis.
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(rest[18])
