"""The engine's library, loaded so that threads may come later.

Whenever a thread first calls it, the library's runtime reads the environment, at the address at
which it was when the library was loaded. Once a variable is added, by whatever part of the process,
the C library may have moved the environment and freed what was there: reading it ends the process.
So the library is loaded while the environment is a copy that nobody ever moves or frees. Who has
loaded it before, by importing `opendssdirect` ahead of `feeders`, has it without.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile


@contextmanager
def _lasting_environment() -> Iterator[None]:
    """Let the C library's environment be a copy meanwhile; it outlives all threads."""
    if sys.platform != "linux":  # elsewhere the engine finds it in other ways
        yield
        return
    at = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "environ")
    before = at.value
    copy = _copied(before)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(copy))  # for good
    at.value = ctypes.addressof(copy)
    try:
        yield
    finally:
        # Where a variable was added meanwhile, the C library has made another one of the copy.
        if at.value == ctypes.addressof(copy):
            at.value = before


def _copied(address: int | None) -> "ctypes.Array[ctypes.c_char_p]":
    """The strings of an environment, and the null pointer at its end."""
    found = ctypes.cast(address or 0, ctypes.POINTER(ctypes.c_char_p))
    strings = takewhile(lambda s: s is not None, (found[i] for i in count())) if found else ()
    kept = [*strings, None]
    return (ctypes.c_char_p * len(kept))(*kept)


with _lasting_environment():
    import dss_python_backend  # noqa: F401 - loads it, and next to nothing else

import opendssdirect as engine  # noqa: E402 - which would load it too

__all__ = ["engine"]
