"""The register believes only what its checksum proves."""

import json
import re
import shutil
from pathlib import Path

import pytest

from models import Artefact, ArtefactFault, artefact, listing

SHIPPED = artefact("paper_lstm")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a copy of the artefact that ships."""
    shutil.copytree(SHIPPED.path.parent, tmp_path / "paper_lstm")
    return tmp_path


def refused(root: Path, artefact_id: str = "paper_lstm") -> ArtefactFault:
    with pytest.raises(ArtefactFault) as caught:
        artefact(artefact_id, root)
    assert caught.value.artefact_id == artefact_id
    assert caught.value.mend in str(caught.value)
    return caught.value


def test_the_shipped_artefact_loads_with_its_manifest_and_card() -> None:
    assert SHIPPED.manifest["id"] == "paper_lstm"
    assert SHIPPED.content == SHIPPED.path.read_bytes()
    assert len(SHIPPED.manifest["scores"]) == 4
    card = SHIPPED.card.read_text(encoding="utf-8")
    assert "CC-BY 4.0" in card
    assert "NOAA SURFRAD" in card
    assert "loses to plain persistence" in card
    assert SHIPPED.manifest["sha256"] in card


def test_nothing_of_the_machine_it_was_trained_on_is_in_the_artefact() -> None:
    for file in SHIPPED.path.parent.iterdir():
        content = file.read_bytes()
        assert not re.search(rb"/(home|root|tmp|work|usr|var)/", content), file.name


def test_a_changed_model_is_refused_with_both_checksums(root: Path) -> None:
    model = root / "paper_lstm" / "model.tflite"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    fault = refused(root)
    assert SHIPPED.manifest["sha256"] in fault.expected
    assert "SHA-256" in fault.actual
    assert "train the artefact again" in fault.mend


@pytest.mark.parametrize("name", ["model.tflite", "manifest.json"])
def test_a_missing_file_is_named(root: Path, name: str) -> None:
    (root / "paper_lstm" / name).unlink()
    assert name in refused(root).expected


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"sha256": 3}'])
def test_a_manifest_without_checksum_is_refused(root: Path, text: str) -> None:
    (root / "paper_lstm" / "manifest.json").write_text(text, encoding="utf-8")
    assert "sha256" in refused(root).expected


def test_an_unknown_artefact_is_refused(root: Path) -> None:
    refused(root, "better_lstm")


@pytest.mark.parametrize("name", ["../paper_lstm", "", "Paper", "a/b", "."])
def test_an_id_is_no_path(root: Path, name: str) -> None:
    assert "small letters" in refused(root, name).expected


def test_the_listing_shows_a_broken_artefact_beside_the_sound_ones(root: Path) -> None:
    shutil.copytree(root / "paper_lstm", root / "broken")
    (root / "broken" / "model.tflite").write_bytes(b"")
    (root / "__pycache__").mkdir()
    broken, sound = listing(root)
    assert isinstance(broken, ArtefactFault)
    assert broken.artefact_id == "broken"
    assert isinstance(sound, Artefact)
    assert sound.id == "paper_lstm"


def test_all_shipped_artefacts_are_sound() -> None:
    assert SHIPPED.id in [a.id for a in listing() if isinstance(a, Artefact)]
    assert not [a for a in listing() if isinstance(a, ArtefactFault)]


def test_the_manifest_is_plain_json_with_parity_vectors() -> None:
    manifest = json.loads((SHIPPED.path.parent / "manifest.json").read_text(encoding="utf-8"))
    assert len(manifest["parity"]["inputs"]) == len(manifest["parity"]["outputs"]) >= 16
