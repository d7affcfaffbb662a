"""A feeder file as the engine reads it: lines of words, some of them named.

Where the engine's own reading is in doubt (text after the end of a block comment, say) the
text is kept: what is read here is judged, and must be no less than what is executed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

BLANKS = re.compile(r"[ \t]*")
PLAIN = re.compile(r"(?:[^ \t,=!/]|/(?!/))*")
"""A word that is not quoted: up to a blank, a comma, an equals sign or a comment."""
CLOSING = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of a statement."""

    name: str
    """What stands before `=`, lower case; empty for a word by position."""
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One line that is executed."""

    line: int
    """Counted from 1."""
    text: str
    """The line without its comment."""
    words: tuple[Word, ...]


def statements(text: str) -> Iterator[Statement]:
    """The lines of a feeder file that are not blank or comment."""
    in_block = False
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        rest = line
        if in_block or line.startswith("/*"):
            _, end, rest = line.partition("*/")
            in_block = not end
        kept, words = _words(rest)
        if words:
            yield Statement(line=number, text=kept, words=tuple(words))


def _words(line: str) -> tuple[str, list[Word]]:
    """Text before the comment, and its words."""
    words: list[Word] = []
    name: str | None = None
    at = 0
    while True:
        at = _after_blanks(line, at)
        if at >= len(line) or _comment_at(line, at):
            break
        value, at = _word(line, at)
        at = _after_blanks(line, at)
        ends = line[at] if at < len(line) else ""
        if ends in (",", "="):
            at += 1
        if ends == "=" and name is None:
            name = value
        else:
            words.append(Word(name=(name or "").strip().lower(), value=value))
            name = None
    if name is not None:
        words.append(Word(name=name.strip().lower(), value=""))
    return line[:at], words


def _after_blanks(line: str, at: int) -> int:
    found = BLANKS.match(line, at)
    return found.end() if found else at


def _word(line: str, at: int) -> tuple[str, int]:
    """The word that begins at `at`, and where it ends."""
    if line[at] in CLOSING:
        end = line.find(CLOSING[line[at]], at + 1)
        return (line[at + 1 :], len(line)) if end < 0 else (line[at + 1 : end], end + 1)
    found = PLAIN.match(line, at)
    end = found.end() if found else at
    return line[at:end], end


def _comment_at(line: str, at: int) -> bool:
    return line[at] == "!" or line.startswith("//", at)
