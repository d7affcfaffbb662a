"""The register of trained artefacts: found by id, believed only when every checksum agrees.

Each artefact is a folder: `manifest.json` (see `models.manifest`), the files the manifest names
with their SHA-256, and `card.md`. There are two roots, the artefacts that ship and a user's
folder. An id belongs to one artefact: what ships cannot be replaced from a user's folder.

Nothing is computed here, and no file that can run code (`.keras`, `.h5`, pickles) is ever read.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from models.files import read_plain
from models.manifest import (
    FIRST_VERSION,
    KINDS,
    RUNS_CODE,
    is_artefact_id,
    parse,
    problems,
    version_order,
)

__all__ = ["Artefact", "ArtefactFault", "artefact", "everything", "find", "is_artefact_id"]

MANIFEST = "manifest.json"
MODEL = "model.tflite"
CARD = "card.md"

_RETRAIN = "reinstall the package, or train the artefact again"
_MOST_NAMED = 20  # a folder full of checkpoints needs no longer list


class ArtefactFault(Exception):
    """An artefact is missing, incomplete or not what its manifest says."""

    def __init__(
        self,
        artefact_id: str,
        *,
        expected: str,
        actual: str,
        mend: str,
        in_short: str = "",
        kind: str = "",
    ) -> None:
        self.artefact_id = artefact_id
        self.expected = expected
        self.actual = actual
        self.mend = mend
        told = f"artefact '{artefact_id}': expected {expected}, found {actual}; {mend}"
        self.in_short = in_short or told
        """The same in one short sentence, without checksums: for notes and alarms."""
        self.kind = kind
        """What it would forecast, one of `KINDS`; empty where that is not known."""
        super().__init__(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A trained model whose checksums were right when it was read."""

    id: str
    path: Path
    """The model file. Use `content`: the file may have changed since it was checked."""
    manifest: Mapping[str, Any]
    """What `manifest.json` says: training data, metrics, parity vectors."""
    content: bytes
    """The bytes that were checked."""
    manifest_sha256: str = ""
    """SHA-256 of `manifest.json` as it was read."""

    @property
    def kind(self) -> str:
        """What it forecasts, one of `KINDS`."""
        return _kind(self.manifest)

    @property
    def version(self) -> int | str:
        """Ascending within a kind: a whole number or a date."""
        version: int | str = self.manifest.get("version", FIRST_VERSION)
        return version

    @property
    def sha256(self) -> str:
        """SHA-256 of the model file."""
        return str(self.manifest["sha256"])

    @property
    def card(self) -> Path:
        """Description for people, Markdown."""
        return self.path.parent / CARD

    @property
    def is_shipped(self) -> bool:
        """Whether it is one of the artefacts that come with the package."""
        return _is_shipped(self.path.parent.parent)


def artefact(artefact_id: str, root: Path | None = None) -> Artefact:
    """Load and check one artefact of one root.

    Args:
        artefact_id: Name of its folder: small letters, digits and underscores.
        root: Folder that holds the artefacts; the ones that ship when not given.

    Raises:
        ArtefactFault: no such artefact, a file is missing, or a checksum differs.
    """
    if not is_artefact_id(artefact_id):
        raise ArtefactFault(
            artefact_id,
            expected="an id of small letters, digits and underscores",
            actual="this",
            mend="correct the id",
        )
    root = root or shipped_root()
    folder = root / artefact_id
    follow = _is_shipped(root)
    if not os.path.lexists(folder):
        raise _unknown(artefact_id, _ids(root))
    if folder.is_symlink() and not follow:
        raise ArtefactFault(
            artefact_id,
            expected="a folder",
            actual="a symbolic link",
            mend="copy the artefact into the folder of the models",
        )
    text = _read(artefact_id, folder / MANIFEST, follow=follow)
    manifest = _manifest(artefact_id, text)
    model = folder / manifest.get("file", MODEL)
    try:
        content = _checked(artefact_id, model, manifest["sha256"], follow=follow)
        for name, checksum in manifest.get("files", {}).items():
            _checked(artefact_id, folder / name, checksum, follow=follow)
    except ArtefactFault as fault:
        fault.kind = _kind(manifest)
        raise
    return Artefact(
        id=artefact_id,
        path=model,
        manifest=manifest,
        content=content,
        manifest_sha256=hashlib.sha256(text).hexdigest(),
    )


def listing(root: Path | None = None) -> tuple[Artefact | ArtefactFault, ...]:
    """All artefacts of one root by id; one that cannot be used stands there as its fault."""
    found: list[Artefact | ArtefactFault] = []
    for name in _ids(root or shipped_root()):
        try:
            found.append(artefact(name, root))
        except ArtefactFault as fault:
            found.append(fault)
    return tuple(found)


def find(artefact_id: str, user_root: Path | None = None) -> Artefact:
    """Load and check one artefact of either root; what ships comes first.

    Raises:
        ArtefactFault: as `artefact` says.
    """
    user_root = own_root(user_root)
    shipped = _ids(shipped_root())
    if user_root is None or artefact_id in shipped:
        return artefact(artefact_id)
    if is_artefact_id(artefact_id) and not os.path.lexists(user_root / artefact_id):
        raise _unknown(artefact_id, [*shipped, *_ids(user_root)])
    return artefact(artefact_id, user_root)


def everything(user_root: Path | None = None) -> tuple[Artefact | ArtefactFault, ...]:
    """All artefacts: those that ship, then the user's; each that cannot be used as its fault.

    A user's artefact with an id that ships is a fault: nobody could tell the two apart.
    """
    shipped = listing()
    user_root = own_root(user_root)
    if user_root is None:
        return shipped
    taken = set(_ids(shipped_root()))
    return shipped + tuple(
        entry if _id(entry) not in taken else _shadowing(_id(entry), user_root)
        for entry in listing(user_root)
    )


def refused_files(user_root: Path | None = None) -> tuple[str, ...]:
    """Files beside the artefacts that could run code when loaded: named, and never opened."""
    own = own_root(user_root)
    roots = [shipped_root(), *([own] if own else [])]
    found = [
        str(file.relative_to(root.parent))
        for root in roots
        for file in (*root.glob("*"), *root.glob("*/*"))
        if file.suffix.lower() in RUNS_CODE
    ]
    return tuple(sorted(found)[:_MOST_NAMED])


def newest(artefacts: tuple[Artefact, ...]) -> Artefact:
    """The one of the highest version; by id where versions agree."""
    return max(artefacts, key=lambda a: (version_order(a.version), a.id))


def shipped_root() -> Path:
    """Folder of the artefacts that ship, in the tree or where a wheel put them."""
    return Path(str(files("models")))


def own_root(user_root: Path | None) -> Path | None:
    """The user's folder; None where there is none, or where it is the one that ships."""
    return None if user_root is None or _is_shipped(user_root) else user_root


def _is_shipped(root: Path) -> bool:
    return root.resolve() == shipped_root().resolve()


def _kind(manifest: Mapping[str, Any]) -> str:
    # Manifests written before there were kinds are of the only kind there was.
    return str(manifest.get("kind", KINDS[0]))


def _id(entry: Artefact | ArtefactFault) -> str:
    return entry.id if isinstance(entry, Artefact) else entry.artefact_id


def _ids(root: Path) -> list[str]:
    """Folders that hold a manifest and may be artefacts."""
    try:
        entries = sorted(root.iterdir())
    except OSError:  # there need not be a folder of one's own
        return []
    return [e.name for e in entries if is_artefact_id(e.name) and os.path.lexists(e / MANIFEST)]


def _unknown(artefact_id: str, known: Sequence[str]) -> ArtefactFault:
    """Nobody damaged it: the id is another one's, or its folder is elsewhere."""
    return ArtefactFault(
        artefact_id,
        expected="an artefact of this id",
        actual="none",
        mend=f"there are {', '.join(dict.fromkeys(known))}" if known else "there are none at all",
    )


def _shadowing(artefact_id: str, user_root: Path) -> ArtefactFault:
    return ArtefactFault(
        artefact_id,
        expected="an id of its own",
        actual=f"the id of an artefact that ships, in {user_root}",
        mend="rename the folder, and the key 'id' in its manifest",
    )


def _read(artefact_id: str, path: Path, *, follow: bool) -> bytes:
    try:
        return read_plain(path, follow=follow)
    except OSError as fault:
        raise ArtefactFault(
            artefact_id,
            expected=f"the file {path.name}",
            actual=f"none that can be read ({fault.strerror})",
            mend=_RETRAIN,
        ) from fault


def _checked(artefact_id: str, path: Path, wanted: str, *, follow: bool) -> bytes:
    content = _read(artefact_id, path, follow=follow)
    digest = hashlib.sha256(content).hexdigest()
    if digest != wanted:
        raise ArtefactFault(
            artefact_id,
            expected=f"{path.name} with SHA-256 {wanted}",
            actual=f"SHA-256 {digest}",
            mend=f"the file was changed after training: {_RETRAIN}",
            in_short=(
                f"artefact '{artefact_id}': {path.name} was changed after training; {_RETRAIN}"
            ),
        )
    return content


def _manifest(artefact_id: str, text: bytes) -> Mapping[str, Any]:
    expected = f"a {MANIFEST} with the keys 'id', 'kind', 'version' and 'sha256' of {MODEL}"
    try:
        manifest = parse(text)
    except ValueError as fault:
        raise ArtefactFault(
            artefact_id, expected=expected, actual=f"no JSON ({fault})", mend=_RETRAIN
        ) from fault
    wrong = problems(manifest, artefact_id, MODEL)
    if wrong:
        raise ArtefactFault(artefact_id, expected=expected, actual="; ".join(wrong), mend=_RETRAIN)
    known: Mapping[str, Any] = manifest
    return known
