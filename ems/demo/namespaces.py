"""Network namespaces for a demonstration: cables that nobody else can touch.

They have no names: open files hold them, so they vanish with the process however it ends, and
with them the interfaces inside.
"""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ems.errors import BadInput, Fault, GeemsError

T = TypeVar("T")
CLONE_NEWNET = 0x4000_0000
"""linux/sched.h."""
OWN = Path("/proc/thread-self/ns/net")
PROGRAMS = {"ip": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux"}
"""Programs, and the Debian packages that have them."""
RIGHTS = (
    "run it as root, or as `unshare -Ur geems demo --field goose` where user namespaces are allowed"
)


CAPABILITIES = {
    10: "CAP_NET_BIND_SERVICE",
    12: "CAP_NET_ADMIN",
    13: "CAP_NET_RAW",
    21: "CAP_SYS_ADMIN",
}
"""linux/capability.h: the RTU's port is 502, cables are made, GOOSE is raw Ethernet, and network
namespaces are made and entered."""
STATUS = Path("/proc/self/status")


def missing_rights() -> list[str]:
    """Which of the rights that a demonstration needs this process does not have."""
    lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    effective = next((int(x.split()[1], 16) for x in lines if x.startswith("CapEff:")), 0)
    return [name for bit, name in CAPABILITIES.items() if not effective >> bit & 1]


def check_possible(place: str) -> None:
    """Refuse where this machine lacks something.

    Args:
        place: what was asked for, for messages.

    Raises:
        BadInput: everything that is missing, each with its mend.
    """
    if not sys.platform.startswith("linux"):
        raise BadInput.at(place, "needs network namespaces, which only Linux has; run it there")
    faults = [
        Fault(place=place, problem=f"needs the program {p}: install {package}")
        for p, package in PROGRAMS.items()
        if shutil.which(p) is None
    ]
    lacking = missing_rights()
    if lacking:
        problem = f"lacks {', '.join(lacking)}: {RIGHTS}"
        faults.append(Fault(place=place, problem=problem))
    try:
        if not lacking:
            Namespace().close()
    except PermissionError:  # all rights are there, and a filter of system calls is too
        faults.append(Fault(place=place, problem=RIGHTS))
    except OSError as fault:
        problem = f"this kernel makes no network namespace ({fault.strerror}); use another machine"
        faults.append(Fault(place=place, problem=problem))
    if faults:
        raise BadInput(faults)


class Namespace:
    """One network of its own; its loopback interface is down."""

    def __init__(self) -> None:
        """Make it.

        Raises:
            OSError: the kernel refuses.
        """
        made: list[int | OSError] = []
        # A thread leaves its network alone, and the process stays where it is.
        thread = threading.Thread(target=lambda: made.append(_made()))
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        self._file = made[0]

    @property
    def path(self) -> str:
        """Where other programs find it, as long as this process holds it."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What starts a program in it, which ends when the thread that started it does."""
        return "nsenter", f"--net={self.path}", "setpriv", "--pdeathsig", "TERM"

    def run(self, *command: str) -> None:
        """Run a program in it to its end.

        Raises:
            GeemsError: it fails.
        """
        done = subprocess.run(  # noqa: S603 - our own commands, no shell
            [*self.prefix, *command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise GeemsError(f"`{' '.join(command)}` fails: {(done.stderr or done.stdout).strip()}")

    def call(self, work: Callable[[], T]) -> T:
        """Do some work in a thread that opens its sockets here, as do the threads it starts.

        The thread ends with the work: going back would need rights over where it came from.
        """
        with ThreadPoolExecutor(1, initializer=_enter, initargs=(self._file,)) as here:
            return here.submit(work).result()

    def close(self) -> None:
        """Let go; it vanishes with the last program in it. May be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def cable(one: Namespace, other: Namespace, name: str, addresses: Sequence[str] = ()) -> None:
    """Join two namespaces by a cable, each end an interface of this name.

    Args:
        one: where one end lies.
        other: where the other end lies.
        name: of the interfaces.
        addresses: of the two ends with their prefix lengths; none for raw Ethernet.

    Raises:
        GeemsError: the kernel refuses.
    """
    one.run(
        *("ip", "link", "add", name, "type", "veth"),
        *("peer", "name", name, "netns", other.path),
    )
    for end, address in zip((one, other), addresses, strict=False):
        end.run("ip", "address", "add", address, "dev", name)
    for end in (one, other):
        end.run("ip", "link", "set", name, "up")


def _made() -> int | OSError:
    """A new namespace as an open file, made by the calling thread, which stays in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        return _error()
    try:
        return os.open(OWN, os.O_RDONLY)
    except OSError as fault:
        return fault


def _enter(file: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(file, CLONE_NEWNET):
        raise _error()


def _error() -> OSError:
    number = ctypes.get_errno() or errno.EPERM
    return OSError(number, os.strerror(number))
