"""How a command ends: one JSON document or a table, a clear message, an exit code."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from enum import IntEnum
from itertools import takewhile
from typing import Any, TypeVar

import click

from ems.errors import BadInput, Fault, GeemsError, PortInUse

F = TypeVar("F", bound=Callable[..., Any])

_JSON = "--json"


class Exit(IntEnum):
    """Exit codes, the contract that scripts rely on."""

    OK = 0
    FAULT = 1
    BAD_INPUT = 2
    DEGRADED = 3
    INTERRUPTED = 130
    """As a shell tells it of a program that SIGINT ended."""


def json_option(command: F) -> F:
    """`--json`: one JSON document on standard output, all else on standard error."""
    return click.option(
        _JSON,
        "as_json",
        is_flag=True,
        help="Print one JSON document on standard output.",
    )(command)


def remember_json(ctx: click.Context, arguments: Iterable[str]) -> None:
    """Know that a document is wanted before anything is parsed: parsing may be what fails."""
    ctx.find_root().meta[_JSON] = _JSON in takewhile("--".__ne__, arguments)


def site_argument(command: F) -> F:
    """`SITE`: the site file, by default the one in the working directory."""
    return click.argument(
        "site", default="site.toml", type=click.Path(dir_okay=False, path_type=str)
    )(command)


def print_json(document: Any) -> None:
    """The one document of a command."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=str))


def report(error: Exception) -> Exit:
    """Say what went wrong, in the form the caller asked for.

    Returns:
        The exit code.
    """
    code, faults = _told(error)
    print_faults(faults)
    if not is_ours(error):
        click.echo("This is a defect of geems; `geems --debug …` shows where.", err=True)
    return code


def document_usage(error: click.ClickException) -> None:
    """With `--json`, the document of a wrong call; click itself tells standard error."""
    param = error.param if isinstance(error, click.BadParameter) else None
    place = "" if param is None else str(param.opts[0] if param.opts else param.name)
    if isinstance(param, click.Argument):
        place = param.human_readable_name
    _document([Fault(place=place, problem=error.format_message())])


def interrupted(more: str = "") -> Exit:
    """Say that the user ended it before its time, and what that leaves behind.

    Returns:
        The exit code.
    """
    print_faults([Fault(place="", problem="; ".join(filter(None, ("interrupted", more))))])
    return Exit.INTERRUPTED


def print_faults(faults: Iterable[Fault]) -> None:
    """Faults on standard error, one line each; with `--json` as a document as well."""
    faults = list(faults)
    _document(faults)
    for fault in faults:
        click.echo(str(fault) if fault.place else fault.problem, err=True)


def _document(faults: Iterable[Fault]) -> None:
    ctx = click.get_current_context(silent=True)
    if ctx is not None and ctx.find_root().meta.get(_JSON):
        print_json({"ok": False, "faults": [asdict(fault) for fault in faults]})


def _told(error: Exception) -> tuple[Exit, list[Fault]]:
    """Exit code and faults of an exception.

    `feeders` and `forecasting` know nothing of ems, so their exceptions are told by name:
    importing them here would cost the time that `--help` has not.
    """
    text = str(error)
    if isinstance(error, BadInput):
        return Exit.BAD_INPUT, list(error.faults)
    if isinstance(error, PortInUse):
        return Exit.BAD_INPUT, [Fault(place="", problem=text)]
    kind = f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}"
    if kind == "feeders.FeederFault":
        return Exit.BAD_INPUT, [Fault(place="feeder", problem=text)]
    if kind == "forecasting.SeriesFault":
        return Exit.BAD_INPUT, [_of_file(line) for line in text.splitlines()]
    if is_ours(error):
        return Exit.FAULT, [Fault(place="", problem=text)]
    return Exit.FAULT, [Fault(place="", problem=f"{type(error).__name__}: {text}")]


def _of_file(line: str) -> Fault:
    """A line `FILE: PROBLEM`, as `forecasting` tells what is wrong with a series."""
    found = re.fullmatch(r"([^:]*\.\w+(?:: '[^']*')?): (.+)", line)
    place, problem = found.groups() if found else ("", line)
    return Fault(place=place, problem=problem)


def is_ours(error: Exception) -> bool:
    """True for an exception that was raised on purpose, with a message for its reader."""
    package = type(error).__module__.partition(".")[0]
    return isinstance(error, GeemsError) or package in ("feeders", "forecasting", "models")
