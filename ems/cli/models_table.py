"""Models and verdicts as tables for people."""

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ems.cli.tables import _cell, _table

_SHORT = 8  # digits of a SHA-256 that tell models apart at a glance

_BESIDE_ID = 60  # characters that the other columns need

FIGURES = {
    "nrmse_pct": ("nRMSE", 1),
    "skill_pct": ("skill", 1),
    "pinball_pct": ("pinball", 2),
    "coverage80_pct": ("in 80 % band", 1),
}
"""Figures of a model: key of its metrics, title, decimals; all in percent."""


def print_models(document: Mapping[str, Any]) -> None:
    """All models, how good they are, and what is wrong."""
    console = Console()
    sound = [entry for entry in document["artefacts"] if entry["verified"]]
    console.print(_overview(document["artefacts"]), "")
    if any(entry["metrics"] for entry in sound):
        console.print(_figures(sound), "")
    for entry in document["artefacts"]:
        if not entry["verified"]:
            _say(console, f"[red]! {escape(entry['fault'])}[/red]")
    for note in document["notes"]:
        _say(console, f"[red]! {escape(note)}[/red]")
    for file in document["never_loaded"]:
        _say(console, f"never loaded, since such a file can run code: {escape(file)}")
    own = document["folder"]
    _say(
        console, escape(f"your own: {own}" if own else "this folder holds what ships: no own ones")
    )


def print_model(document: Mapping[str, Any]) -> None:
    """One model, its card, and what became of it."""
    console = Console()
    console.print(_overview([document]), "")
    if document["metrics"]:
        console.print(_figures([document]), "")
    _say(console, f"SHA-256 {document['sha256']}")
    for site, span in document["training_window"].items():
        _say(console, escape(f"trained on {site}, {span['first']} to {span['last']}"))
    for name, version in document["versions"].items():
        _say(console, escape(f"with {name} {version}"))
    for promotion in document["promotions"]:
        told = f"{promotion['when']} promoted: {promotion['why']}"
        if promotion["withdrawn"]:
            told += f" Withdrawn {promotion['withdrawn']}: {promotion['withdrawn_why']}."
        _say(console, escape(told))
    for verdict in document["verdicts"]:
        _say(console, escape(f"{verdict['when']} judged: {verdict['sentence']}"))
    if document["card"] is not None:
        _say(console, "\n" + escape(document["card"]))


def print_verdict(verdict: Mapping[str, Any]) -> None:
    """Both models on the same intervals, and who won."""
    table = _table(f"{verdict['challenger']['id']} against {verdict['champion']['id']}")
    for title in ("series", "model"):
        table.add_column(title, overflow="fold")
    keys = ("nrmse_pct", "pinball_pct", "coverage80_pct")
    for key in keys:
        table.add_column(f"{FIGURES[key][0]}, %", justify="right", no_wrap=True)
    console = Console()
    for trial in verdict.get("trials", ()):
        name = escape(trial["name"])
        for side in ("champion", "challenger"):
            cells = (_cell(trial[side][key], FIGURES[key][1]) for key in keys)
            table.add_row(name, escape(verdict[side]["id"]), *cells)
            name = ""
    if table.row_count:
        console.print(table)
    for trial in verdict.get("trials", ()):
        _say(
            console,
            f"{escape(trial['name'])}: {trial['days']} days, {trial['first']} to {trial['last']}, "
            f"{trial['intervals']} intervals; {trial['left_out']} left out, of the first days or "
            f"seen in training at this place",
        )
    _say(console, escape(verdict["sentence"]))
    outcome = "promoted" if verdict["won"] else "not promoted: it must win on data new to both"
    _say(console, f"{escape(verdict['challenger']['id'])}: {outcome}")


def _overview(entries: list[Mapping[str, Any]] | list[dict[str, Any]]) -> Table:
    table = _by_id("Models")
    for title in ("kind", "version", "SHA-256", "trained to"):
        table.add_column(title, no_wrap=True)
    table.add_column("checked")
    for entry in entries:
        if not entry["verified"]:
            table.add_row(_whole(entry["id"]), *["–"] * 4, "[red]REFUSED[/red]")
            continue
        last = [span["last"] for span in entry["training_window"].values()]
        table.add_row(
            _whole(entry["id"]),
            entry["kind"],
            str(entry["version"]),
            entry["sha256"][:_SHORT],
            max(last, default="not told"),
            f"[green]ok[/green]{escape(_in_use(entry))}",
        )
    return table


def _by_id(title: str) -> Table:
    """A table whose first column is of ids: other columns give way to it."""
    table = _table(title)
    table.show_edge, table.padding = False, (0, 1, 0, 0)
    table.add_column("id", no_wrap=True)
    return table


def _whole(artefact_id: str) -> str:
    """An id that people copy, broken only where nothing else would have room."""
    most = max(Console().width - _BESIDE_ID, 8)
    return "\n".join(escape(part) for part in wrap(artefact_id, most))


def _in_use(entry: Mapping[str, Any]) -> str:
    """Whose model it is, and where it is the champion."""
    said = ["", *(["own"] if entry["from"] == "own" else [])]
    said += ["champion"] if entry["champion"] else []
    said += [f"champion of {plant}" for plant in entry["champion_of_plants"]]
    return ", ".join(said)


def _figures(entries: list[Mapping[str, Any]] | list[dict[str, Any]]) -> Table:
    table = _by_id("How good, on data that training never saw, percent")
    for title in ("site", "data"):
        table.add_column(title)
    for title, _ in FIGURES.values():
        table.add_column(title, justify="right")
    for entry in entries:
        name = _whole(entry["id"])
        for site, data, figures in _rows(entry["metrics"]):
            cells = (_cell(figures.get(key), decimals) for key, (_, decimals) in FIGURES.items())
            table.add_row(name, escape(site), escape(data), *cells)
            name = ""
    return table


def _rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Site, resolution where told, figures."""
    for site, figures in metrics.items():
        nested = {key: inner for key, inner in figures.items() if isinstance(inner, dict)}
        flat = {key: number for key, number in figures.items() if key not in nested}
        if flat:
            yield site, "", flat
        for data, inner in nested.items():
            yield site, data, inner


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)
