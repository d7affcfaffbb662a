"""Which files a feeder file has the engine execute, and what a word of it may mean."""

from functools import cache
from pathlib import Path

from feeders.statements import Statement


def target_of(statement: Statement) -> str | None:
    """File that a statement has the engine execute, `/` between its folders."""
    first, *rest = statement.words
    runs = {"redirect", "compile"} & set(meanings(first.value, commands_known()))
    if first.name or not runs or not rest or not rest[0].value.strip():
        return None
    return rest[0].value.strip().replace("\\", "/")


def candidates(target: str, files: list[Path]) -> list[Path]:
    """Files the engine may take for `target`: it has rules of its own on folders and endings."""
    name = target.rpartition("/")[2].lower()
    return [p for p in files if p.name.lower() in (name, f"{name}.dss", f"{name}.txt")]


@cache
def commands_known() -> tuple[str, ...]:
    """Commands of the engine."""
    from feeders.compiling import command_names  # loads the engine

    return command_names()


@cache
def options_known() -> tuple[str, ...]:
    """Options of the engine's `Set`."""
    from feeders.compiling import option_names  # loads the engine

    return option_names()


def meanings(word: str, known: tuple[str, ...]) -> list[str]:
    """What the engine may take a word for: it accepts any beginning of a name."""
    word = word.strip().lower()
    return [word] if word in known else [k for k in known if word and k.startswith(word)]


def text_of(path: Path) -> str:
    """Text of a file as the engine reads it, without UTF-8's mark; one character per byte."""
    return path.read_bytes().decode("latin-1").removeprefix("\xef\xbb\xbf")
