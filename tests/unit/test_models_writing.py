"""An artefact is written by one training at a time, whole, and over nothing."""

import errno
import os
from pathlib import Path

import pytest

from models.register import MANIFEST
from models.writing import FolderFault, held, write_artefact

FILES = {"model.tflite": b"weights", "card.md": b"# mine\n"}


def full(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_second_training_is_refused_for_as_long_as_the_first_one_runs(tmp_path: Path) -> None:
    out = tmp_path / "models" / "mine"
    with held(out):
        with pytest.raises(FolderFault, match="another training writes to"), held(out):
            pass
        assert out.is_dir()
    with held(out):
        pass


def test_what_a_killed_training_left_locks_nobody_out(tmp_path: Path) -> None:
    (tmp_path / ".training").write_bytes(b"")
    with held(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_folders_that_stay_empty_go_again_and_those_there_were_stay(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    with pytest.raises(ZeroDivisionError), held(there / "models" / "mine"):
        raise ZeroDivisionError
    assert list(there.iterdir()) == []
    with held(there):
        pass
    assert there.is_dir()


def test_what_was_written_meanwhile_is_all_that_stays(tmp_path: Path) -> None:
    out = tmp_path / "models" / "mine"
    with held(out):
        write_artefact(out, FILES, b"{}")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {**FILES, MANIFEST: b"{}"}


def test_a_folder_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file" / "x", tmp_path / "file"):
        with pytest.raises(FolderFault, match="cannot be written: "), held(out):
            pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(FolderFault, match="No space left on device"), held(tmp_path / "mine"):
        pytest.fail("it began")
    assert list(tmp_path.iterdir()) == []


def test_an_artefact_that_is_there_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(FolderFault, match="holds an artefact"), held(tmp_path):
        pytest.fail("it began")


def test_an_artefact_that_appeared_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("theirs")
    (tmp_path / "model.tflite").write_text("theirs")
    with pytest.raises(FolderFault, match="holds an artefact"):
        write_artefact(tmp_path, FILES, b"{}")
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {MANIFEST: "theirs", "model.tflite": "theirs"}


def test_a_disk_that_is_full_in_the_end_is_told_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.write_bytes

    def write(path: Path, content: bytes) -> int:
        return full() if path.name == "card.md" else whole(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(FolderFault, match="No space left on device"):
        write_artefact(tmp_path, FILES, b"{}")
    assert list(tmp_path.iterdir()) == []
