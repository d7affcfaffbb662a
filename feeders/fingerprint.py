"""A short mark of a feeder file: two that read the same to the engine have the same one."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from feeders.catalogue import entry_of
from feeders.redirects import candidates, target_of, text_of
from feeders.statements import statements

DIGITS = 16
"""Of the digest that are shown: 64 bits, for a mark that tells versions apart and proves nothing
to an adversary."""


def fingerprint(source: str) -> str:
    """Name of a feeder, and the digest of all that the engine reads of its files.

    Comments and blank lines do not count; files that a statement names do, whatever they hold.

    Args:
        source: name of a shipped feeder, or path of an OpenDSS file.

    Raises:
        FeederFault: there is no such feeder.
    """
    entry = entry_of(source)
    digest = hashlib.sha256()
    for name, content in _read(entry):
        digest.update(f"\0{name}\0{len(content)}\0".encode())
        digest.update(content)
    return f"{entry.stem} {digest.hexdigest()[:DIGITS]}"


def _read(entry: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file: of those executed their statements, then data they name."""
    folder = entry.parent
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p != entry]
    waiting, executed, said = [entry], {entry}, ""
    while waiting:
        path = waiting.pop(0)
        lines = list(statements(text_of(path)))
        text = "\n".join(line.text.strip() for line in lines)
        said += text.lower()
        yield str(path.relative_to(folder)), text.encode()
        for line in lines:
            target = target_of(line)
            more = candidates(target, files) if target else []
            waiting += [p for p in more if p not in executed]
            executed.update(more)
    for path in files:
        if path not in executed and path.name.lower() in said:
            yield str(path.relative_to(folder)), path.read_bytes()
