"""What stands between a feeder file somebody wrote and the engine that would execute it.

First its text is read: a feeder file may describe a feeder and solve it; it may not write,
reach outside its folder or load native code. Then it is compiled once in a process of its
own (`feeders.probe`), which may crash or hang. Only then is it compiled here.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from feeders.errors import FeederFault
from feeders.probe import complaint
from feeders.redirects import (
    candidates,
    commands_known,
    meanings,
    options_known,
    target_of,
    text_of,
)
from feeders.statements import Statement, Word, statements

SHOWN_FAULTS = 20
"""More than this in one message is not read."""


def _set_of(names: str) -> frozenset[str]:
    return frozenset(names.split())


DESCRIBING = _set_of(
    "new edit more m ~ select solve enable disable compile redirect set open close clear clearall "
    "calcvoltagebases setkvbase buildy makebuslist reprocessbuses init reset allocateloads "
    "batchedit buscoords latlongcoords giscoords setbusxy addbusmarker clearbusmarkers get ? "
    "summary sample voltages currents powers losses // help"
)
"""Commands that describe or solve."""
ON_OBJECTS = frozenset({"new", "edit", "select", "batchedit"})
CONTINUING = frozenset({"more", "m", "~"})
DERS = ("generator", "storage", "pvsystem")
CAN_LOAD_CODE = ("capcontrol", *DERS)
"""Classes whose properties name native code."""
NATIVE = ("usermodel", "userdata", "shaftmodel", "shaftdata", "dynadll", "dynadata")
"""Properties that name native code to load, or what to hand it."""
WRITING_OPTIONS = _set_of(
    "datapath casename recorder log demandinterval editor dssvisualizationtool overloadreport "
    "voltexceptionreport diverbose querylog tracecontrol registryupdate numactors activeactor "
    "parallel"
)
"""Options of `Set` that name where to write, have the engine write, or start more of it."""
OFF = frozenset({"no", "n", "false", "f", "off", ""})

_BEFORE = r"(?:^|[\s,=()\[\]{}\"'|:;])"
_END = r"(?:$|[\s,=()\[\]{}\"'|/\\])"
OUTSIDE = re.compile(
    # An RPN division, `(1 2 /)`, is a slash that nothing follows.
    rf"{_BEFORE}[/\\][^\s,=()\[\]{{}}\"'|]|{_BEFORE}~[/\\]|{_BEFORE}[A-Za-z]:[/\\]"
    rf"|(?:{_BEFORE}|[/\\])\.\.{_END}"
)
"""An absolute path, a home directory, a drive, or a `..` component."""
VARIABLE = re.compile(_BEFORE + "@")
ODD_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

_admitted: set[str] = set()
"""Digests of folders that were found harmless by this process."""


def admit(copy: Path, entry: Path, *, own_ders: bool = False) -> None:
    """Let a feeder file through to the engine, or say why not.

    Args:
        copy: the file to compile, in a private copy of its folder.
        entry: the same file where its author keeps it; named in messages.
        own_ders: whether it may hold generators, storage and PV of its own.

    Raises:
        FeederFault: the file does what a feeder file may not (all of it is told), or the
            engine crashes, hangs or writes when it compiles the file.
    """
    digest = f"{_digest(copy)} {own_ders}"
    if digest in _admitted:
        return
    faults = list(_faults(copy, entry, own_ders))
    if faults:
        more = len(faults) - SHOWN_FAULTS
        tail = [f"and {more} more"] if more > 0 else []
        raise FeederFault("; ".join(faults[:SHOWN_FAULTS] + tail))
    trouble = complaint(copy)
    if trouble:
        raise FeederFault(f"{entry}: {trouble}")
    _admitted.add(digest)


def reaches_outside(statement: Statement) -> bool:
    """Whether a statement names a path outside the feeder's folder, or hides one."""
    return bool(OUTSIDE.search(statement.text) or VARIABLE.search(statement.text))


def _digest(copy: Path) -> str:
    digest = hashlib.sha256(copy.name.encode())
    for path in sorted(p for p in copy.parent.rglob("*") if p.is_file()):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(copy.parent)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


# --- reading ---------------------------------------------------------------------------


def _faults(copy: Path, entry: Path, own_ders: bool) -> Iterator[str]:
    """Faults of the file and of all files it has the engine execute."""
    folder = copy.parent
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    waiting, seen = [copy], {copy}
    leads: dict[Path, list[Path]] = {}
    while waiting:
        path = waiting.pop(0)
        shown = entry.parent / path.relative_to(folder)
        text = text_of(path)
        odd_one = ODD_CHARACTERS.search(text.replace("\r\n", "\n"))
        if odd_one:
            line = text.count("\n", 0, odd_one.start()) + 1
            yield f"{shown}:{line}: holds a control character; save it as plain text"
        reading = _Reading(own_ders)
        for statement in statements(text):
            for problem in reading.problems(statement):
                yield f"{shown}:{statement.line}: {problem}"
            target = target_of(statement)
            if target is None:
                continue
            found = candidates(target, files)
            if not found and not OUTSIDE.search(statement.text):
                yield f"{shown}:{statement.line}: no file {_short(target)} in the feeder's folder"
            exact = [p for p in (path.parent / target, folder / target) if p in found][:1]
            leads.setdefault(path, []).extend(exact)
            if exact and _reaches(exact[0], path, leads):
                yield f"{shown}:{statement.line}: redirects to itself; take this line out"
            waiting += [p for p in found if p not in seen]
            seen.update(found)


def _reaches(start: Path, end: Path, leads: dict[Path, list[Path]]) -> bool:
    waiting, seen = [start], set[Path]()
    while waiting:
        path = waiting.pop()
        if path == end:
            return True
        if path not in seen:
            seen.add(path)
            waiting += leads.get(path, [])
    return False


class _Reading:
    """Judges the statements of one file in their order."""

    def __init__(self, own_ders: bool) -> None:
        self._own_ders = own_ders
        self._class = ""
        """Class of the object that `~` would go on with; empty where that is not known."""

    def problems(self, statement: Statement) -> Iterator[str]:
        if OUTSIDE.search(statement.text):
            yield "names a path outside the feeder's folder; put the file beside it"
        if VARIABLE.search(statement.text):
            yield "uses a variable (`@…`); write its value out"
        first = statement.words[0]
        if first.name:  # Class.name.property=value
            self._class = first.name.partition(".")[0] if "." in first.name else self._class
            yield from self._of_object(statement.words, 0)
            return
        commands = meanings(first.value, commands_known())
        forbidden = [c for c in commands if c not in DESCRIBING]
        if not commands:
            yield f"{_short(first.value)} is no command of a feeder file; correct it or take it out"
        elif forbidden and len(commands) > 1:
            yield f"`{first.value}` is short for several commands; write the command in full"
        elif forbidden:
            yield (
                f"`{forbidden[0]}` is not for a feeder file; take this line out: "
                "a feeder file may describe, not write"
            )
        elif {"set", "solve"} & set(commands):
            self._class = ""  # `Set Class=…` chooses another one
            yield from _option_problems(statement)
        elif ON_OBJECTS & set(commands):
            yield from self._object_named(statement)
        elif CONTINUING & set(commands):
            yield from self._of_object(statement.words, 1)
        else:
            self._class = ""

    def _object_named(self, statement: Statement) -> Iterator[str]:
        command, *rest = (w.value for w in statement.words)
        target = rest[0].strip() if rest else ""
        kind, dot, name = target.partition(".")
        self._class = kind.strip().lower()
        if not dot or not self._class:
            self._class = ""
            yield f"`{_plain(command)}` names no class; write `{_plain(command)} CLASS.NAME …`"
        ders = [d for d in DERS if self._class and d.startswith(self._class)]
        if ders and not self._own_ders:
            yield (
                f"holds {ders[0]}.{_plain(name)}; DERs stand in the site file: make it one there "
                "([[pv]], [[bes]] or [[dg]]) and take it out here"
            )
        yield from self._of_object(statement.words, 2)

    def _of_object(self, words: tuple[Word, ...], skip: int) -> Iterator[str]:
        """Properties that name native code, by any beginning of their names or by position."""
        may_load = not self._class or any(c.startswith(self._class) for c in CAN_LOAD_CODE)
        for word in words[skip:]:
            name = word.name.rpartition(".")[2].strip()
            if len(name) >= (1 if may_load else 2) and any(n.startswith(name) for n in NATIVE):
                yield f"`{_plain(name)}` loads native code into GEEMS; take it out"
            elif not name and may_load:
                yield (
                    f"{_short(word.value)} has no name before it; write PROPERTY=VALUE, "
                    "with New CLASS.NAME on a line before"
                )


def _option_problems(statement: Statement) -> Iterator[str]:
    for word in statement.words[1:]:
        if not word.name:
            yield f"{_short(word.value)} has no option before it; write OPTION=VALUE"
            continue
        writing = WRITING_OPTIONS & set(meanings(word.name, options_known()))
        if writing and word.value.strip().lower() not in OFF:
            yield (
                f"option `{_plain(word.name)}` has the engine write; take it out: "
                "a feeder file may describe, not write"
            )


def _short(text: str) -> str:
    return f"`{_plain(text)}`"


def _plain(text: str) -> str:
    """Little of a file that may be no feeder file at all, and printable."""
    kept = "".join(c if c.isprintable() else "?" for c in text.strip())
    return kept if len(kept) <= 24 else kept[:23] + "…"
