"""Files of the register: read whole and plain, written whole or not at all."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_BYTES = 64 * 2**20
"""Largest file believed. Shipped artefacts are under 1 MB; an edge computer has few GB."""

LOCK = ".lock"
_LOCK_WAIT_S = 10.0  # who holds it writes one small file: some milliseconds
_LOCK_RETRY_S = 0.02


def read_plain(path: Path, *, follow: bool = False) -> bytes:
    """The bytes of a regular file.

    A link, a pipe or a device could name what nobody put there, or never end.

    Args:
        path: The file.
        follow: Whether a symbolic link is followed: some installers link packages together.

    Raises:
        OSError: there is none, it is not a regular file, or it is too large.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        handle = os.open(path, flags)
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from fault
        raise
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES // 2**20} MB", str(path))
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file: a kill at any moment leaves the old one or the new one, never a part.

    The caller holds the lock of the folder.
    """
    # Drafts of writers that were killed: while the lock is held nobody is writing one.
    for left in path.parent.glob(f".{path.name}.*.draft"):
        left.unlink(missing_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    with draft.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # else a power cut may bring the old name back
    finally:
        os.close(folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder against other writers; the kernel lets go when the process ends.

    Raises:
        OSError: the folder cannot be made or written, or somebody else kept it for 10 s.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    handle = os.open(folder / LOCK, flags, 0o666)
    try:
        _wait(handle)
        yield
    finally:
        os.close(handle)


def _wait(handle: int) -> None:
    until = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise OSError(
                    errno.EBUSY, f"another process has kept it locked for {_LOCK_WAIT_S:.0f} s"
                ) from None
            time.sleep(_LOCK_RETRY_S)
        else:
            return
