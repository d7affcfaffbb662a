"""The register believes only what its checksum proves."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models import Artefact, ArtefactFault, artefact, everything, files, find, listing
from models.manifest import version_order
from models.register import newest, refused_files, shipped_root
from tests.artefacts import write_artefact

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


def test_of_an_unknown_artefact_the_known_ones_are_named_and_nothing_is_to_be_reinstalled(
    root: Path,
) -> None:
    fault = refused(root, "better_lstm")
    assert (fault.actual, fault.mend) == ("none", "there are paper_lstm")
    with pytest.raises(ArtefactFault) as caught:
        find("nonsense", root)
    shipped = ", ".join(a.id for a in listing() if isinstance(a, Artefact))
    assert caught.value.mend == f"there are {shipped}"


def test_of_a_folder_that_holds_no_artefact_the_missing_file_is_told(root: Path) -> None:
    (root / "empty").mkdir()
    fault = refused(root, "empty")
    assert fault.expected == "the file manifest.json"
    assert "reinstall the package, or train the artefact again" in fault.mend


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


def test_shipped_artefacts_say_kind_version_window_metrics_and_libraries() -> None:
    for shipped in listing():
        assert isinstance(shipped, Artefact)
        assert {"kind", "version", "training_window", "metrics", "versions"} <= set(
            shipped.manifest
        )
        assert shipped.is_shipped


def test_shipped_artefacts_of_a_kind_differ_in_version() -> None:
    known = [(a.kind, a.version) for a in listing() if isinstance(a, Artefact)]
    assert len(known) == len(set(known))


def test_the_register_needs_no_library() -> None:
    code = (
        "import models, models.verdicts, sys; print(sorted({'numpy', 'pandas'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- every file is checked -----------------------------------------------------------


@pytest.mark.parametrize(
    "name", [f.name for f in SHIPPED.path.parent.iterdir() if f.name != "manifest.json"]
)
def test_every_shipped_file_is_refused_once_it_was_touched(root: Path, name: str) -> None:
    file = root / "paper_lstm" / name
    file.write_bytes(file.read_bytes() + b" ")
    assert name in refused(root).expected


def test_a_file_named_in_the_manifest_must_be_there(root: Path) -> None:
    (root / "paper_lstm" / "card.md").unlink()
    assert "card.md" in refused(root).expected


@pytest.mark.parametrize(
    "name",
    [
        *("../paper_lstm/model.tflite", "/etc/passwd", "a/b.tflite", "..", ".", "", ".m.tflite"),
        *("model.tflite\n", "manifest.json", "a\\b.tflite", "\0.tflite", 7, None, ["model.tflite"]),
    ],
)
def test_a_manifest_names_files_of_its_own_folder_only(tmp_path: Path, name: Any) -> None:
    write_artefact(tmp_path, "mine", file=name)
    assert "no plain file name" in refused(tmp_path, "mine").actual
    if isinstance(name, str):
        write_artefact(tmp_path, "mine", files={name: "ab" * 32})
        assert "no plain file name" in refused(tmp_path, "mine").actual


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.pkl", "m.pickle", "M.KERAS", "m.joblib"])
def test_files_that_can_run_code_are_never_loaded(tmp_path: Path, name: str) -> None:
    folder = write_artefact(tmp_path, "mine", file=name)
    os.mkfifo(folder / name)  # would hang if it were opened
    assert "can run code and are never loaded" in refused(tmp_path, "mine").actual


def test_other_endings_are_refused_too(tmp_path: Path) -> None:
    write_artefact(tmp_path, "mine", file="model.bin")
    assert "ends in none of .tflite, .json" in refused(tmp_path, "mine").actual


def test_files_that_can_run_code_are_named_where_they_lie(tmp_path: Path) -> None:
    folder = write_artefact(tmp_path / "models", "mine")
    (folder / "checkpoint.keras").write_bytes(b"")
    (tmp_path / "models" / "loose.h5").write_bytes(b"")
    assert refused_files(tmp_path / "models") == ("models/loose.h5", "models/mine/checkpoint.keras")
    assert artefact("mine", tmp_path / "models").id == "mine"  # beside them, it is sound
    assert refused_files() == ()


# --- links and devices ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.tflite", "manifest.json", "card.md"])
def test_a_link_in_a_users_folder_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    file = root / "paper_lstm" / name
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in refused(root).actual


def test_a_linked_folder_is_refused(root: Path) -> None:
    (root / "linked").symlink_to(root / "paper_lstm")
    assert "symbolic link" in refused(root, "linked").actual


def test_what_ships_may_be_linked_since_some_installers_link(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "paper_lstm" / "model.tflite").unlink()
    (root / "paper_lstm" / "model.tflite").symlink_to(SHIPPED.path)
    monkeypatch.setattr("models.register.files", lambda _: root)
    assert artefact("paper_lstm").sha256 == SHIPPED.sha256


@pytest.mark.parametrize("name", ["model.tflite", "manifest.json"])
def test_a_pipe_is_refused_and_does_not_hang(root: Path, name: str) -> None:
    (root / "paper_lstm" / name).unlink()
    os.mkfifo(root / "paper_lstm" / name)
    assert "not a regular file" in refused(root).actual


def test_a_file_of_absurd_size_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    assert "larger than" in refused(root).actual


# --- the manifest --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("id", "other", "its folder is 'mine'"),
        ("kind", "oracle", "none of paper_lstm, pv_pooled, pv_day_ahead"),
        ("kind", None, "none of"),
        ("kind", ["paper_lstm"], "none of"),
        ("version", 0, "'version' 0"),
        ("version", True, "'version' True"),
        ("version", 1.5, "'version' 1.5"),
        ("version", "2026-02-30", "'version'"),
        ("version", "newest", "'version'"),
        ("sha256", "AB" * 32, "'sha256'"),
        ("sha256", None, "'sha256'"),
        ("files", ["card.md"], "'files'"),
        ("files", {"card.md": 3}, "'files'"),
        ("training_window", [], "'training_window'"),
        ("training_window", {"Roof": {"first": "2025-01-02"}}, "'first' and 'last'"),
        ("training_window", {"Roof": {"first": "2025-01-02", "last": "2025-01-01"}}, "in order"),
        ("training_window", {"Roof": None}, "'Roof'"),
        ("metrics", {"Roof": {"nrmse_pct": "good"}}, "'metrics' of 'Roof'"),
        ("metrics", {"Roof": {"5min": {"nrmse_pct": None}}}, "'metrics' of 'Roof'"),
        ("metrics", {"Roof": 3}, "'metrics' of 'Roof'"),
        ("versions", {"keras": 3}, "'versions'"),
    ],
)
def test_a_wrong_key_of_the_manifest_is_named(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    write_artefact(tmp_path, "mine", **{key: value})
    assert said in refused(tmp_path, "mine").actual


def test_everything_wrong_with_a_manifest_is_told_at_once(tmp_path: Path) -> None:
    write_artefact(tmp_path, "mine", kind="oracle", version=0, sha256="", file="../x")
    found = refused(tmp_path, "mine").actual
    assert all(key in found for key in ("'kind'", "'version'", "'sha256'", "'file'"))


@pytest.mark.parametrize("text", ['{"metrics": NaN}', '{"version": -Infinity}', "[" * 100_000])
def test_what_is_no_json_is_refused(root: Path, text: str) -> None:
    (root / "paper_lstm" / "manifest.json").write_text(text, encoding="utf-8")
    assert "no JSON" in refused(root).actual


def test_a_number_beyond_all_numbers_is_refused(tmp_path: Path) -> None:
    folder = write_artefact(tmp_path, "mine")
    text = (folder / "manifest.json").read_text(encoding="utf-8").replace("9.1", "1e999")
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    assert "'metrics'" in refused(tmp_path, "mine").actual


def test_a_manifest_from_before_there_were_kinds_is_of_the_paper(tmp_path: Path) -> None:
    folder = write_artefact(tmp_path, "mine")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del manifest["kind"], manifest["version"], manifest["file"]
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = artefact("mine", tmp_path)
    assert (found.kind, found.version) == ("paper_lstm", 1)


def test_versions_ascend_numbers_before_dates(tmp_path: Path) -> None:
    versions: list[int | str] = [
        1,
        2,
        10,
        "2025-12-31",
        "2026-01-01",
        "2026-01-01.2",
        "2026-01-01.10",
    ]
    assert sorted(versions, key=version_order) == versions
    for i, version in enumerate(reversed(versions)):
        write_artefact(tmp_path, f"m{i}", version=version)
    found = tuple(a for a in listing(tmp_path) if isinstance(a, Artefact))
    assert newest(found).version == "2026-01-01.10"


# --- two roots -----------------------------------------------------------------------


def test_both_roots_are_found_shipped_first(tmp_path: Path) -> None:
    write_artefact(tmp_path, "a_better_one")
    entries = [e for e in everything(tmp_path) if isinstance(e, Artefact)]
    assert [e.id for e in entries][-1] == "a_better_one"
    assert [e.is_shipped for e in entries] == [True] * (len(entries) - 1) + [False]
    assert find("a_better_one", tmp_path).path.parent.parent == tmp_path


def test_no_folder_of_ones_own_is_no_fault(tmp_path: Path) -> None:
    assert everything(tmp_path / "none") == everything() == everything(shipped_root())


def test_what_ships_cannot_be_replaced_from_a_users_folder(root: Path) -> None:
    *_, twin = everything(root)
    assert isinstance(twin, ArtefactFault)
    assert "rename the folder" in str(twin)
    assert find("paper_lstm", root).is_shipped
