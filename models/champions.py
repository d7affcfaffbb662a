"""Which artefact of a kind is used: the champion, and how it came to be that.

`champions.json` in the user's folder holds every promotion there ever was. The champion of a kind
is the last one that was not withdrawn; with none, the newest artefact that ships. A promotion
names the SHA-256 of model and manifest: an artefact that is no longer the one promoted is not
used.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.files import locked, read_plain, write_whole
from models.manifest import KINDS, is_artefact_id, is_sha256, parse
from models.register import Artefact, ArtefactFault, find, listing, newest, own_root

CHAMPIONS = "champions.json"
_FORMAT = 1


class ChampionsFault(Exception):
    """The history of champions cannot be read or must not be changed in this way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One artefact that became champion."""

    kind: str
    plant: str | None
    """The only plant it is champion of; None: of all."""
    id: str
    sha256: str
    """Of the model file."""
    manifest_sha256: str
    when: str
    """UTC, ISO 8601."""
    why: str
    withdrawn: str | None = None
    """When it was rolled back, UTC; None: it was not."""
    withdrawn_why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """The artefact to use, and all that was put aside on the way to it."""

    artefact: Artefact
    promotion: Promotion | None
    """How it became champion; None: it is what ships."""
    notes: tuple[str, ...]
    """Why something that was promoted is not used, one sentence each."""


def champion(kind: str, user_root: Path | None = None, *, plant: str | None = None) -> Champion:
    """The artefact of a kind to use now.

    Tries what was promoted for the plant, then what was promoted for all, then what ships.
    Whatever is missing or is no longer what was promoted is passed over, with a note.

    Args:
        kind: One of `KINDS`.
        user_root: The user's folder; None: only what ships.
        plant: Name of the plant; None: the champion of all plants.

    Raises:
        ArtefactFault: no artefact of the kind that ships can be used either.
    """
    notes: list[str] = []
    for promotion in _candidates(kind, plant, user_root, notes):
        try:
            found = find(promotion.id, user_root)
        except ArtefactFault as fault:
            notes.append(f"champion '{promotion.id}' of {kind} is refused: {fault.in_short}")
            continue
        trouble = _differs(found, promotion)
        if not trouble:
            return Champion(artefact=found, promotion=promotion, notes=tuple(notes))
        notes.append(f"champion '{promotion.id}' of {kind} is refused: {trouble}")
    return Champion(artefact=_shipped(kind, notes), promotion=None, notes=tuple(notes))


class Champions:
    """The champions of one kind, plant by plant; where nothing was promoted, looked for once.

    Each look reads and checks all artefacts there are, 5 ms.
    """

    def __init__(self, kind: str, user_root: Path | None = None) -> None:
        """Look for nothing yet; the arguments are those of `champion`."""
        self._kind, self._root = kind, user_root
        self._shipped: Champion | None = None

    def of(self, plant: str | None = None) -> Champion:
        """The artefact to use for a plant now.

        Raises:
            ArtefactFault: there is none.
            ChampionsFault: what was promoted cannot be read.
        """
        if self._shipped is not None and not history(self._root):
            return self._shipped
        found = champion(self._kind, self._root, plant=plant)
        self._shipped = found if found.promotion is None and not found.notes else None
        return found


def history(user_root: Path | None) -> tuple[Promotion, ...]:
    """Every promotion, oldest first; none where there is no file.

    Raises:
        ChampionsFault: the file cannot be read, or is not one of ours.
    """
    root = own_root(user_root)
    if root is None:
        return ()
    try:
        text = read_plain(root / CHAMPIONS)
    except FileNotFoundError:
        return ()
    except OSError as fault:
        raise ChampionsFault(_broken(root, fault.strerror or str(fault))) from fault
    try:
        return _parsed(parse(text))
    except (ValueError, TypeError, KeyError) as fault:
        raise ChampionsFault(_broken(root, str(fault))) from fault


def promote(
    challenger: Artefact,
    user_root: Path | None,
    *,
    over: Artefact,
    why: str,
    when: datetime,
    plant: str | None = None,
) -> Promotion:
    """Make an artefact the champion of its kind, in the place of the one it won against.

    Args:
        challenger: The artefact that won.
        user_root: The user's folder; it is made where it is missing.
        over: The champion it won against; if that is no longer the champion, nothing changes.
        why: What it won by, one sentence.
        when: Now, aware.
        plant: The only plant it shall be champion of.

    Raises:
        ChampionsFault: another champion came first, the challenger changed, is of another kind,
            or the folder cannot be written.
        ArtefactFault: the challenger can no longer be read.
    """
    root = _writable(user_root)
    if challenger.kind != over.kind:
        raise ChampionsFault(
            f"'{challenger.id}' is of kind {challenger.kind}, the champion of kind {over.kind}"
        )
    with _changing(root) as past:
        now = champion(challenger.kind, root, plant=plant).artefact
        if (now.id, now.sha256) != (over.id, over.sha256):
            raise ChampionsFault(
                f"'{now.id}' has become champion of {now.kind} meanwhile; '{challenger.id}' won "
                f"against '{over.id}': judge it again, against the new one"
            )
        found = find(challenger.id, root)
        promotion = Promotion(
            kind=found.kind,
            plant=plant,
            id=found.id,
            sha256=found.sha256,
            manifest_sha256=found.manifest_sha256,
            when=_utc(when),
            why=why,
        )
        trouble = _differs(challenger, promotion)
        if trouble:
            raise ChampionsFault(f"'{challenger.id}' is not what was judged: {trouble}")
        _write(root, (*past, promotion))
    return promotion


def rollback(
    kind: str, user_root: Path | None, *, why: str, when: datetime, plant: str | None = None
) -> Promotion:
    """Withdraw the last promotion of a kind; the one before it, or what ships, is used again.

    Returns:
        What was withdrawn; it stays in the history.

    Raises:
        ChampionsFault: nothing was promoted, or the folder cannot be written.
    """
    root = _writable(user_root)
    with _changing(root) as past:
        at = _in_force(past, kind, plant)
        if at is None:
            whom = f"{kind} of plant {plant}" if plant else kind
            raise ChampionsFault(
                f"no promoted champion of {whom} in {root / CHAMPIONS}: what ships is in use"
            )
        gone = replace(past[at], withdrawn=_utc(when), withdrawn_why=why)
        _write(root, (*past[:at], gone, *past[at + 1 :]))
    return gone


def promoted(user_root: Path | None) -> tuple[Promotion, ...]:
    """Promotions in force, one for each kind and plant.

    Raises:
        ChampionsFault: as `history` says.
    """
    past = history(user_root)
    whom = dict.fromkeys((p.kind, p.plant) for p in past)
    found = (_in_force(past, kind, plant) for kind, plant in whom)
    return tuple(past[at] for at in found if at is not None)


def _candidates(
    kind: str, plant: str | None, user_root: Path | None, notes: list[str]
) -> Iterator[Promotion]:
    """What was promoted: for the plant, then for all."""
    try:
        past = history(user_root)
    except ChampionsFault as fault:
        notes.append(f"no promoted champion of {kind} is used: {fault}")
        return
    for whom in dict.fromkeys((plant, None)):
        at = _in_force(past, kind, whom)
        if at is not None:
            yield past[at]


def _in_force(past: Sequence[Promotion], kind: str, plant: str | None) -> int | None:
    """Place of the last promotion of a kind and plant that was not withdrawn."""
    for at in reversed(range(len(past))):
        if (past[at].kind, past[at].plant, past[at].withdrawn) == (kind, plant, None):
            return at
    return None


def _differs(found: Artefact, promotion: Promotion) -> str:
    """Why an artefact is not the one promoted; empty when it is."""
    if found.kind != promotion.kind:
        return f"it is of kind {found.kind} now"
    for what, now, then in (
        ("model", found.sha256, promotion.sha256),
        ("manifest", found.manifest_sha256, promotion.manifest_sha256),
    ):
        if now != then:
            return (
                f"its {what} has SHA-256 {now[:12]}…, promoted was {then[:12]}…; promote it again, "
                f"or put the promoted one back"
            )
    return ""


def _shipped(kind: str, notes: list[str]) -> Artefact:
    entries = listing()
    # One of another kind stands in nobody's way here.
    broken = [e for e in entries if isinstance(e, ArtefactFault) and _may_be(e, kind)]
    notes.extend(fault.in_short for fault in broken)
    sound = tuple(e for e in entries if isinstance(e, Artefact) and e.kind == kind)
    if not sound:
        raise ArtefactFault(
            kind,
            expected=f"an artefact of kind {kind} that ships",
            actual="; ".join(notes) or "none",
            mend="reinstall the package",
            in_short="; ".join(notes)
            or f"no artefact of kind {kind} is there; reinstall the package",
        )
    return newest(sound)


def _may_be(fault: ArtefactFault, kind: str) -> bool:
    """Whether an artefact that cannot be used may be of a kind, so that it is missed there."""
    told = fault.kind or (fault.artefact_id if fault.artefact_id in KINDS else kind)
    return told == kind


def _writable(user_root: Path | None) -> Path:
    root = own_root(user_root)
    if root is None:
        raise ChampionsFault(
            "champions are kept in a folder of your own, not with the artefacts that ship: name one"
        )
    return root


@contextmanager
def _changing(root: Path) -> Iterator[tuple[Promotion, ...]]:
    """The history, held against other writers until the block ends."""
    try:
        with locked(root):
            yield history(root)
    except OSError as fault:
        raise ChampionsFault(
            f"{root} cannot be written ({fault.strerror}); check who owns it, and the disk"
        ) from fault


def _write(root: Path, promotions: Sequence[Promotion]) -> None:
    document = {"format": _FORMAT, "promotions": [asdict(p) for p in promotions]}
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    write_whole(root / CHAMPIONS, text.encode())


def _parsed(document: Any) -> tuple[Promotion, ...]:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r}, known is {_FORMAT}")
    return tuple(_promotion(entry) for entry in document["promotions"])


def _promotion(entry: Any) -> Promotion:
    promotion = Promotion(**entry)
    texts = (promotion.kind, promotion.id, promotion.when, promotion.why, promotion.withdrawn_why)
    perhaps = (promotion.plant, promotion.withdrawn)
    if not all(isinstance(t, str) for t in texts) or not all(
        t is None or isinstance(t, str) for t in perhaps
    ):
        raise TypeError(f"a promotion with a value that is no text: {entry}")
    if not is_artefact_id(promotion.id):
        raise ValueError(f"a promotion of {promotion.id!r}, which is no id")
    if not (is_sha256(promotion.sha256) and is_sha256(promotion.manifest_sha256)):
        raise ValueError(f"a promotion of '{promotion.id}' without checksums")
    return promotion


def _broken(root: Path, what: str) -> str:
    return (
        f"{root / CHAMPIONS} cannot be read ({what}); put a sound copy back, or delete it to "
        f"return to the artefacts that ship"
    )


def _utc(when: datetime) -> str:
    if when.tzinfo is None:
        raise ValueError("a time without zone")
    return when.astimezone(UTC).isoformat(timespec="seconds")
