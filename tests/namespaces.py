"""Two network namespaces joined by a wire, for frames that must not leave the test."""

import contextlib
import ctypes
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

CLONE_NEWNET = 0x4000_0000
"""From Linux's sched.h; Python names it from 3.12 on."""
CARRIER_LIMIT_S = 20.0
"""Far longer than the kernel takes [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a wire."""

    namespace: str
    interface: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What starts a program at this end."""
        return ("ip", "netns", "exec", self.namespace)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread at this end: sockets opened here stay here."""
        libc = ctypes.CDLL(None, use_errno=True)
        with (
            open("/proc/thread-self/ns/net", "rb") as home,  # noqa: PTH123
            open(f"/run/netns/{self.namespace}", "rb") as away,  # noqa: PTH123
        ):
            if libc.setns(away.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {self.namespace}")
            try:
                yield
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)

    def ip(self, *words: str) -> str:
        """Run `ip` at this end; what it says."""
        return run("-n", self.namespace, *words)

    def wait_until_it_carries(self) -> None:
        """Frames sent before the kernel has noticed the carrier are dropped."""
        deadline = time.monotonic() + CARRIER_LIMIT_S
        while "state UP" not in self.ip("link", "show", "dev", self.interface):
            assert time.monotonic() < deadline, f"{self.interface} does not come up"


def run(*words: str) -> str:
    done = subprocess.run(["ip", *words], check=True, capture_output=True, text=True)  # noqa: S607
    return done.stdout


@contextlib.contextmanager
def wire() -> Iterator[tuple[End, End]]:
    """A wire between two namespaces; skips the test where there is no right to make them."""
    mine = os.getpid()
    ends = tuple(End(namespace=f"geems-{mine}-{x}", interface=f"ge{x}") for x in "ab")
    a, b = ends
    with contextlib.ExitStack() as undo:
        for end in ends:
            try:
                run("netns", "add", end.namespace)
            except subprocess.CalledProcessError as fault:
                told = fault.stderr.strip()
                pytest.skip(f"needs CAP_NET_ADMIN for network namespaces, run as root: {told}")
            undo.callback(run, "netns", "del", end.namespace)
        run(
            "link", "add", a.interface, "netns", a.namespace, "type", "veth",
            "peer", "name", b.interface, "netns", b.namespace,
        )  # fmt: skip
        for end in ends:
            end.ip("link", "set", end.interface, "up")
        for end in ends:
            end.wait_until_it_carries()
        yield a, b
