"""Artefacts made up for tests of the register: nothing in them is a model."""

import hashlib
import json
from pathlib import Path
from typing import Any

SPAN = {
    "first": "2025-01-01",
    "last": "2025-06-30",
    "sha256": "ab" * 32,
    "latitude_deg": 48.1,
    "longitude_deg": 11.6,
}
"""What a made-up artefact was trained on."""


def write_artefact(root: Path, artefact_id: str, content: bytes = b"", **keys: Any) -> Path:
    """An artefact of kind `paper_lstm` that the register accepts, unless `keys` spoil it."""
    folder = root / artefact_id
    folder.mkdir(parents=True, exist_ok=True)
    content = content or artefact_id.encode()
    (folder / "model.tflite").write_bytes(content)
    (folder / "card.md").write_text(f"# {artefact_id}\n", encoding="utf-8")
    card = hashlib.sha256((folder / "card.md").read_bytes()).hexdigest()
    manifest = {
        "id": artefact_id,
        "kind": "paper_lstm",
        "version": 2,
        "file": "model.tflite",
        "sha256": hashlib.sha256(content).hexdigest(),
        "files": {"card.md": card},
        "training_window": {"Roof": SPAN},
        "metrics": {"Roof": {"nrmse_pct": 9.1, "skill_pct": 5.2}},
        "versions": {"keras": "3.15.1"},
    } | keys
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
