"""What judges found: every comparison of a challenger with a champion, won or lost.

`verdicts.json` in the user's folder, beside the history of champions. Lost ones are kept too: who
tries often enough wins by luck once, and the reader should see how often it was tried.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.champions import ChampionsFault
from models.files import locked, read_plain, write_whole
from models.manifest import is_sha256, parse
from models.register import Artefact, own_root

VERDICTS = "verdicts.json"
_FORMAT = 1
_TEXTS = ("kind", "when", "sentence")
_SIDES = ("champion", "challenger")


def verdicts(user_root: Path | None) -> tuple[Mapping[str, Any], ...]:
    """Every verdict, oldest first; none where there is no file.

    Raises:
        ChampionsFault: the file cannot be read, or is not one of ours.
    """
    root = own_root(user_root)
    if root is None:
        return ()
    try:
        return _parsed(parse(read_plain(root / VERDICTS)))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError) as fault:
        what = fault.strerror if isinstance(fault, OSError) else str(fault)
        raise ChampionsFault(
            f"{root / VERDICTS} cannot be read ({what}); put a sound copy back, or delete it"
        ) from fault


def keep_verdict(verdict: Mapping[str, Any], user_root: Path | None) -> None:
    """Add a verdict.

    Args:
        verdict: JSON with the keys `kind`, `when`, `won`, `sentence`, and `champion` and
            `challenger`, each with `id` and `sha256`; more keys are kept as they are.
        user_root: The user's folder; it is made where it is missing.

    Raises:
        ChampionsFault: the folder cannot be written.
        ValueError: a key is missing or of another form.
    """
    root = own_root(user_root)
    if root is None:
        raise ChampionsFault(
            "verdicts are kept in a folder of your own, not with the artefacts that ship: name one"
        )
    _checked(verdict)
    try:
        with locked(root):
            document = {"format": _FORMAT, "verdicts": [*verdicts(root), dict(verdict)]}
            text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            write_whole(root / VERDICTS, text.encode())
    except OSError as fault:
        raise ChampionsFault(
            f"{root} cannot be written ({fault.strerror}); check who owns it, and the disk"
        ) from fault


def last_verdict(
    challenger: Artefact, champion: Artefact, user_root: Path | None, *, plant: str | None = None
) -> Mapping[str, Any] | None:
    """The newest verdict on exactly these two, by the SHA-256 of their models.

    One with `misfits`, on a series that does not fit, counts for the plant it names alone.

    Args:
        challenger: The artefact that shall be promoted.
        champion: The one in use.
        user_root: The user's folder.
        plant: For which it shall count; None: for all.
    """
    sides = {"challenger": challenger.sha256, "champion": champion.sha256}
    found: Mapping[str, Any] | None = None
    for verdict in verdicts(user_root):
        if verdict.get("misfits") and (plant is None or verdict.get("plant") != plant):
            continue
        if all(verdict[side]["sha256"] == sha256 for side, sha256 in sides.items()):
            found = verdict
    return found


def _parsed(document: Any) -> tuple[Mapping[str, Any], ...]:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r}, known is {_FORMAT}")
    return tuple(_checked(entry) for entry in document["verdicts"])


def _checked(verdict: Any) -> Mapping[str, Any]:
    """A verdict with all that is read of it later.

    Raises:
        ValueError: something of it is missing.
    """
    sides = [verdict.get(side) for side in _SIDES] if isinstance(verdict, Mapping) else [None]
    named = all(
        isinstance(s, Mapping) and isinstance(s.get("id"), str) and is_sha256(s.get("sha256"))
        for s in sides
    )
    told = named and all(isinstance(verdict.get(key), str) for key in _TEXTS)
    if not told or not isinstance(verdict.get("won"), bool):
        raise ValueError(
            f"a verdict needs the texts {', '.join(_TEXTS)}, {' and '.join(_SIDES)} with id and "
            f"sha256, and whether the challenger won"
        )
    known: Mapping[str, Any] = verdict
    return known
