"""The feeders that ship with GEEMS, and how any feeder is brought to the engine.

A feeder file is a program that the engine executes: it may write files beside itself.
One that did not come with GEEMS is therefore compiled from a private copy of its folder
(`private_copy`), after `feeders.untrusted` has let it through.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from feeders.errors import FeederFault

FOLDER_LIMIT_BYTES = 64 * 2**20
"""A feeder folder larger than this is taken for a mistake (a home directory, say)."""
FOLDER_LIMIT_FILES = 2000
"""Likewise; the largest public test feeders have a few dozen."""
TEXT_SAMPLE_BYTES = 64 * 2**10
"""A NUL in the beginning of a file tells that it is no text."""
PRIVATE = "geems-feeder-"
FRESH_S = 60.0
"""A private copy younger than this may not be locked yet by its owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederCard:
    """What `feeder.toml` says of a shipped feeder."""

    name: str
    title: str
    entry: Path
    """The file to compile."""
    nominal_kv: float
    """Line-to-line voltage of the primary [kV]."""
    source: str
    """Where its numbers come from."""


def shipped() -> dict[str, FeederCard]:
    """The feeders inside the package, by name."""
    root = Path(str(resources.files("feeders")))
    cards = {}
    for toml in sorted(root.glob("*/feeder.toml")):
        data = tomllib.loads(toml.read_text(encoding="utf-8"))
        cards[toml.parent.name] = FeederCard(
            name=toml.parent.name,
            title=data["title"],
            entry=toml.parent / data["entry"],
            nominal_kv=float(data["nominal_kv"]),
            source=data["source"],
        )
    return cards


def entry_of(source: str) -> Path:
    """File to compile for `source`: the name of a shipped feeder, or a path.

    Raises:
        FeederFault: neither; names the shipped ones.
    """
    cards = shipped()
    if source in cards:
        return cards[source].entry
    path = Path(source).expanduser()
    if path.is_file():
        return path.resolve()
    raise FeederFault(
        f"feeder {source!r}: no such file, and no shipped feeder of that name; "
        f"shipped: {', '.join(cards)}; or give the path of a .dss file"
    )


@contextmanager
def private_copy(entry: Path) -> Iterator[Path]:
    """Copy of the folder of `entry` that lives for the `with` block; yields the copied file.

    Text files alone are copied: no links, nothing hidden, no program to be loaded.

    Raises:
        FeederFault: the folder is too large to be a feeder's, or `entry` is no text file.
    """
    files = [p for p in sorted(entry.parent.rglob("*")) if _is_plain(p, entry)]
    size = sum(p.stat().st_size for p in files)
    if size > FOLDER_LIMIT_BYTES or len(files) > FOLDER_LIMIT_FILES:
        raise FeederFault(
            f"{entry}: its folder holds {len(files)} files, {size / 2**20:.0f} MiB; put the "
            f"feeder's files into a folder of their own (at most {FOLDER_LIMIT_FILES} files, "
            f"{FOLDER_LIMIT_BYTES // 2**20} MiB)"
        )
    if '"' in entry.name or not _is_text(entry):
        raise FeederFault(
            f'{entry}: is not a feeder file: not a readable text file, or `"` in its name'
        )
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=PRIVATE) as folder, _held(Path(folder)):
        for path in filter(_is_text, files):
            target = Path(folder) / path.relative_to(entry.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield Path(folder) / entry.name


def _is_plain(path: Path, entry: Path) -> bool:
    inside = path.relative_to(entry.parent)
    hidden = any(part.startswith(".") for part in inside.parts)
    return path == entry or (path.is_file() and not path.is_symlink() and not hidden)


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"\0" not in file.read(TEXT_SAMPLE_BYTES)
    except OSError:  # what this user may not read is no part of the feeder
        return False


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Lock a folder, as a sign that its owner lives; the kernel drops it with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_abandoned() -> None:
    """Remove copies whose owner was killed before it could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PRIVATE}*"):
        # What goes wrong here is somebody else's folder, or somebody quicker.
        with suppress(OSError):
            about = folder.lstat()
            fresh = time.time() - about.st_mtime < FRESH_S
            if fresh or not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
                continue
            handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
