"""Lines of a feeder file that only report: passed over, and told.

Public feeders end in `Show Voltages` and `Plot Profile`. In the private copy that is compiled
such a line becomes a comment, so nothing is shown or written and all line numbers stay.
"""

from collections.abc import Callable
from pathlib import Path

from feeders.redirects import candidates, target_of, text_of
from feeders.statements import Statement, statements

REPORTS = ("show", "plot", "visualize", "export", "fileedit", "interpolate")
"""Commands that tell about a feeder and change nothing of it. Written out in full: a short form
is left to `feeders.untrusted`."""


def pass_over(copy: Path, entry: Path, outside: Callable[[Statement], bool]) -> tuple[str, ...]:
    """Comment the reports out of a private copy.

    Args:
        copy: the file to compile, in a private copy of its folder.
        entry: the same file where its author keeps it; named in the answer.
        outside: tells of a statement that names a path outside the folder: it stays, to be
            refused with its place.

    Returns:
        `FILE:LINE: command` of each.
    """
    folder, told = copy.parent, []
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    waiting, seen = [copy], {copy}
    while waiting:
        path = waiting.pop(0)
        text = text_of(path)
        lines = text.split("\n")
        said = list(statements(text))
        found = [s for s in said if _reports(s, lines) and not outside(s)]
        for statement in found:
            at = statement.line - 1
            lines[at] = "!" + lines[at]
            shown = entry.parent / path.relative_to(folder)
            told.append(f"{shown}:{statement.line}: {statement.words[0].value.lower()}")
        if found:
            path.write_bytes("\n".join(lines).encode("latin-1"))
        for statement in said:
            target = target_of(statement)
            more = candidates(target, files) if target else []
            waiting += [p for p in more if p not in seen]
            seen.update(more)
    return tuple(told)


def _reports(statement: Statement, lines: list[str]) -> bool:
    """Whether a line is a report from its first letter on; not the rest of a block comment."""
    first = statement.words[0]
    word = first.value.lower()
    line = lines[statement.line - 1].lstrip(" \t").lower()
    return not first.name and word in REPORTS and line.startswith(word)
