"""The register of trained artefacts: found by id, believed only when the checksum agrees.

Each artefact is a folder: `manifest.json`, the files the manifest names with their SHA-256,
and `card.md`. Nothing is computed here, and no `.keras` file is ever read: those can run code.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
MODEL = "model.tflite"
CARD = "card.md"

_ID = re.compile(r"[a-z0-9][a-z0-9_]*")
_RETRAIN = "reinstall the package, or train the artefact again"


class ArtefactFault(Exception):
    """An artefact is missing, incomplete or not what its manifest says."""

    def __init__(self, artefact_id: str, *, expected: str, actual: str, mend: str) -> None:
        self.artefact_id = artefact_id
        self.expected = expected
        self.actual = actual
        self.mend = mend
        super().__init__(f"artefact '{artefact_id}': expected {expected}, found {actual}; {mend}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A trained model whose checksum was right when it was read."""

    id: str
    path: Path
    """The model file. Use `content`: the file may have changed since it was checked."""
    manifest: Mapping[str, Any]
    """What `manifest.json` says: training data, metrics, parity vectors."""
    content: bytes
    """The bytes that were checked."""

    @property
    def card(self) -> Path:
        """Description for people, Markdown."""
        return self.path.parent / CARD


def artefact(artefact_id: str, root: Path | None = None) -> Artefact:
    """Load and check one artefact.

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
    folder = (root or _shipped()) / artefact_id
    manifest = _manifest(artefact_id, folder)
    content = _read(artefact_id, folder / MODEL)
    digest = hashlib.sha256(content).hexdigest()
    wanted = manifest["sha256"]
    if digest != wanted:
        raise ArtefactFault(
            artefact_id,
            expected=f"{MODEL} with SHA-256 {wanted}",
            actual=f"SHA-256 {digest}",
            mend=f"the file was changed after training: {_RETRAIN}",
        )
    return Artefact(id=artefact_id, path=folder / MODEL, manifest=manifest, content=content)


def is_artefact_id(name: str) -> bool:
    """Whether a name may be the id of an artefact; in particular, it is no path."""
    return _ID.fullmatch(name) is not None


def listing(root: Path | None = None) -> tuple[Artefact | ArtefactFault, ...]:
    """All artefacts by id; one that cannot be used stands there as its fault."""
    folder = root or _shipped()
    found: list[Artefact | ArtefactFault] = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (entry / MANIFEST).is_file() and is_artefact_id(entry.name):
            try:
                found.append(artefact(entry.name, folder))
            except ArtefactFault as fault:
                found.append(fault)
    return tuple(found)


def _shipped() -> Path:
    """Folder of the artefacts that ship, in the tree or where a wheel put them."""
    return Path(str(files("models")))


def _read(artefact_id: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise ArtefactFault(
            artefact_id,
            expected=f"the file {path.name}",
            actual=f"none that can be read ({fault.strerror})",
            mend=_RETRAIN,
        ) from fault


def _manifest(artefact_id: str, folder: Path) -> Mapping[str, Any]:
    text = _read(artefact_id, folder / MANIFEST)
    expected = f"a {MANIFEST} with the key 'sha256' of {MODEL}"
    try:
        manifest = json.loads(text)
    except ValueError as fault:
        raise ArtefactFault(
            artefact_id, expected=expected, actual=f"no JSON ({fault})", mend=_RETRAIN
        ) from fault
    if not isinstance(manifest, dict) or not isinstance(manifest.get("sha256"), str):
        raise ArtefactFault(artefact_id, expected=expected, actual="JSON without it", mend=_RETRAIN)
    return manifest
