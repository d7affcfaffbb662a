"""Writing a trained artefact: its folder is held while it is trained, its manifest comes last."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from models.files import write_whole
from models.register import MANIFEST

_HELD = ".training"
_ROOM = b"\0" * 2**20
"""More than any artefact that ships takes, so that a full disk shows before hours of work."""


class FolderFault(Exception):
    """An artefact cannot be written there."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder against other trainings, once it is known that it can be written.

    The kernel lets go when the process ends, however it does. Folders that are missing are made;
    those of them that are empty in the end go again.

    Raises:
        FolderFault: it cannot be made or written, holds an artefact, or another training holds it.
    """
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    with contextlib.ExitStack() as until_the_end:
        for path in reversed(missing):  # left the other way round: what is inside goes first
            until_the_end.callback(_drop_empty, path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            until_the_end.enter_context(_locked(folder))
        except OSError as fault:
            raise _unwritable(folder, fault) from fault
        _refuse_artefact(folder)
        yield


def write_artefact(folder: Path, files: Mapping[str, bytes], manifest: bytes) -> None:
    """Write the files of an artefact and last its manifest, without which it is none.

    Raises:
        FolderFault: it cannot be written, or an artefact has appeared there meanwhile; then
            nothing is left of what was written.
    """
    _refuse_artefact(folder)
    new = [folder / name for name in files if not os.path.lexists(folder / name)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        _refuse_artefact(folder)
        write_whole(folder / MANIFEST, manifest)
    except (OSError, FolderFault) as fault:
        for path in new:
            path.unlink(missing_ok=True)
        if isinstance(fault, OSError):
            raise _unwritable(folder, fault) from fault
        raise


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A file of the folder, locked and once filled.

    Raises:
        FolderFault: somebody else has locked it.
        OSError: it cannot be made or filled.
    """
    path = folder / _HELD
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _contested(folder) from None
        # Whoever held it before drops the file at the end: then this one locks nobody out.
        if not os.path.lexists(path) or not os.path.samestat(os.fstat(handle), os.lstat(path)):
            raise _contested(folder)
        try:
            _write_some(handle)
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _contested(folder: Path) -> FolderFault:
    return FolderFault(
        f"another training writes to {folder}; wait for its end, or name another folder"
    )


def _drop_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it holds something by now
        folder.rmdir()


def _write_some(handle: int) -> None:
    left = _ROOM
    while left:
        left = left[os.write(handle, left) :]
    os.fsync(handle)
    os.ftruncate(handle, 0)


def _refuse_artefact(folder: Path) -> None:
    if os.path.lexists(folder / MANIFEST):
        raise FolderFault(
            f"{folder} holds an artefact, which may serve; name another folder, or remove it"
        )


def _unwritable(folder: Path, fault: OSError) -> FolderFault:
    why = fault.strerror or str(fault)
    return FolderFault(f"{folder} cannot be written: {why}; mend that, or name another folder")
