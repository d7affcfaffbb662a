"""One writer per device on this machine, whatever site files and databases the others use.

The lease of a site lives in its database; a copied site file has another. So the process that first
writes to a device locks its address, and the kernel takes the lock back when that process ends.
The locks are single bytes of one empty file (POSIX record locks), one for each address.
"""

import fcntl
import hashlib
import logging
import os
import struct
import tempfile
import threading
from pathlib import Path

from ems.domain import DeviceAddress

log = logging.getLogger(__name__)

LOCKS = Path(tempfile.gettempdir()) / "geems-writers.lock"
"""The same for all users of the machine."""
NAMESPACE = Path("/proc/self/ns/net")
"""The same address in another network is another device."""
_FLOCK = "hhqqi"
"""struct flock of fcntl(2): type, whence, start, length, process."""

_guard = threading.Lock()
_file: list[int] = []
"""Descriptor of the file: closing any would give all locks of the process back."""


def claim(address: DeviceAddress) -> str:
    """Become the process that writes to a device.

    Returns:
        Why not: who does; empty where it is this one.
    """
    file = _opened()
    if file is None:
        return ""
    at = _byte_of(address)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
    except OSError:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0)
        process = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))[-1]
        return f"process {process} of this machine commands this device; end that one first"
    return ""


def give_back(address: DeviceAddress) -> None:
    """Let another process write."""
    file = _opened()
    if file is not None:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, _byte_of(address))


def _byte_of(address: DeviceAddress) -> int:
    """Where its lock lies: two addresses share one once in 2^60."""
    namespace = NAMESPACE.stat().st_ino if NAMESPACE.exists() else 0
    name = str(address).lower().replace("localhost:", "127.0.0.1:")
    digest = hashlib.sha256(f"{namespace} {name}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 4


def _opened() -> int | None:
    """The file, opened once; None where this user may not."""
    with _guard:
        if not _file:
            try:
                _file.append(_open())
            except OSError as fault:
                log.warning("other writers on this machine are not seen: %s", fault)
                _file.append(-1)
        return _file[0] if _file[0] >= 0 else None


def _open() -> int:
    try:  # without O_CREAT first: the kernel refuses that on files of others in /tmp
        return os.open(LOCKS, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        file = os.open(LOCKS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        os.fchmod(file, 0o666)  # whatever the umask: every user's GEEMS must see it
        return file
