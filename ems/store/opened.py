"""Who has a database open: known by the locks that SQLite holds for as long as it has."""

import fcntl
import os
import struct
from pathlib import Path

_FLOCK = "hhqqi"
"""struct flock of fcntl(2): type, whence, start, length, process."""


def opened_by(database: Path) -> int:
    """Number of another process that has a database open; 0: none on this machine has.

    In write-ahead mode whoever has read from it holds a lock in the file beside it, also while it
    does nothing (https://www.sqlite.org/walformat.html#locks). Of a process in another space of
    process numbers the number is told by the kernel as it stands here; where it stands for nothing
    here, as -1.

    This process must not have it open: closing a file gives its own locks back.
    """
    for path in (Path(f"{database}-shm"), database):
        try:
            with path.open("rb+") as file:
                asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                found = fcntl.fcntl(file, fcntl.F_GETLK, asked)
        except OSError:
            continue
        kind, *_, process = struct.unpack(_FLOCK, found)
        if kind != fcntl.F_UNLCK:
            return int(process) or -1
    return 0
