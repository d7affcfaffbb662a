"""Which artefact is used: what won last and is still what won; else what ships, never silently."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from models import Artefact, ArtefactFault, ChampionsFault, artefact, champion, find
from models.champions import CHAMPIONS, Promotion, history, promote, promoted, rollback
from models.register import shipped_root
from models.verdicts import VERDICTS, keep_verdict, last_verdict, verdicts
from tests.artefacts import write_artefact

SHIPPED = artefact("paper_lstm")
KIND = "paper_lstm"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A user's folder with two retrained models."""
    for name in ("summer", "winter"):
        write_artefact(tmp_path / "models", name)
    return tmp_path / "models"


def crown(root: Path, name: str, *, plant: str | None = None) -> Promotion:
    over = champion(KIND, root, plant=plant).artefact
    return promote(find(name, root), root, over=over, why="It won.", when=NOW, plant=plant)


def in_use(root: Path | None, plant: str | None = None) -> str:
    return champion(KIND, root, plant=plant).artefact.id


def withdraw(root: Path, plant: str | None = None) -> str:
    return rollback(KIND, root, why="It disappointed.", when=NOW, plant=plant).id


# --- promotion and rollback ----------------------------------------------------------


@pytest.mark.parametrize("folder", [None, "empty", "missing"])
def test_without_promotions_what_ships_is_champion_and_nothing_is_noted(
    tmp_path: Path, folder: str | None
) -> None:
    (tmp_path / "empty").mkdir()
    found = champion(KIND, None if folder is None else tmp_path / folder)
    assert (found.artefact, found.promotion, found.notes) == (SHIPPED, None, ())
    assert not (tmp_path / "missing").exists()


def test_a_promoted_model_is_champion_and_the_history_says_why(root: Path) -> None:
    made = crown(root, "summer")
    found = champion(KIND, root)
    assert found.artefact == artefact("summer", root)
    assert (found.promotion, found.notes) == (made, ())
    assert history(root) == (made,)
    assert (made.sha256, made.why) == (found.artefact.sha256, "It won.")
    assert made.when == "2026-07-01T12:00:00+00:00"


def test_rollback_returns_to_the_one_before_and_at_last_to_what_ships(root: Path) -> None:
    crown(root, "summer")
    crown(root, "winter")
    assert (withdraw(root), in_use(root)) == ("winter", "summer")
    assert (withdraw(root), in_use(root)) == ("summer", "paper_lstm")
    with pytest.raises(ChampionsFault, match="what ships is in use"):
        withdraw(root)


def test_what_was_rolled_back_stays_in_the_history_and_may_win_again(root: Path) -> None:
    crown(root, "summer")
    withdraw(root)
    crown(root, "summer")
    first, second = history(root)
    assert (first.withdrawn, first.withdrawn_why) == (first.when, "It disappointed.")
    assert (second.withdrawn, in_use(root)) == (None, "summer")


def test_a_plant_may_have_a_champion_of_its_own(root: Path) -> None:
    crown(root, "summer")
    crown(root, "winter", plant="pv2")
    assert (in_use(root), in_use(root, "pv1"), in_use(root, "pv2")) == (
        "summer",
        "summer",
        "winter",
    )
    assert [(p.id, p.plant) for p in promoted(root)] == [("summer", None), ("winter", "pv2")]
    withdraw(root, plant="pv2")
    assert in_use(root, "pv2") == "summer"


def test_a_model_that_ships_may_be_promoted_again(root: Path) -> None:
    crown(root, "summer")
    crown(root, "paper_lstm")
    assert champion(KIND, root).artefact.is_shipped
    assert len(history(root)) == 2


def test_times_are_kept_in_utc_and_a_time_without_zone_is_refused(root: Path) -> None:
    over, new = champion(KIND, root).artefact, find("summer", root)
    with pytest.raises(ValueError, match="zone"):
        promote(new, root, over=over, why="", when=datetime(2026, 7, 1))  # noqa: DTZ001
    here = NOW.astimezone(timezone(timedelta(hours=2)))
    assert promote(new, root, over=over, why="", when=here).when == "2026-07-01T12:00:00+00:00"


# --- what must not be promoted -------------------------------------------------------


def test_who_won_against_a_champion_that_is_none_any_more_must_win_again(root: Path) -> None:
    beaten = champion(KIND, root).artefact
    crown(root, "summer")
    with pytest.raises(ChampionsFault, match="'summer' has become champion"):
        promote(find("winter", root), root, over=beaten, why="", when=NOW)
    assert in_use(root) == "summer"


def test_a_model_that_changed_after_it_was_judged_is_not_promoted(root: Path) -> None:
    judged = find("summer", root)
    write_artefact(root, "summer", b"trained again")
    with pytest.raises(ChampionsFault, match="not what was judged"):
        promote(judged, root, over=champion(KIND, root).artefact, why="", when=NOW)
    assert history(root) == ()


def test_a_model_that_is_gone_is_not_promoted(root: Path) -> None:
    judged = find("summer", root)
    shutil.rmtree(root / "summer")
    with pytest.raises(ArtefactFault):
        promote(judged, root, over=champion(KIND, root).artefact, why="", when=NOW)


def test_models_of_different_kinds_never_replace_each_other(root: Path) -> None:
    write_artefact(root, "pooled", kind="pv_pooled")
    with pytest.raises(ChampionsFault, match="of kind pv_pooled"):
        promote(find("pooled", root), root, over=SHIPPED, why="", when=NOW)


@pytest.mark.parametrize("folder", [None, shipped_root()])
def test_nothing_is_written_beside_what_ships(folder: Path | None) -> None:
    with pytest.raises(ChampionsFault, match="folder of your own"):
        promote(SHIPPED, folder, over=SHIPPED, why="", when=NOW)
    assert not (shipped_root() / CHAMPIONS).exists()


# --- a champion that cannot be trusted -----------------------------------------------


def touch_model(root: Path) -> None:
    (root / "summer" / "model.tflite").write_bytes(b"another")


def touch_manifest(root: Path) -> None:
    path = root / "summer" / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace("9.1", "1.9"), encoding="utf-8")


def touch_card(root: Path) -> None:
    (root / "summer" / "card.md").write_text("# the best\n", encoding="utf-8")


def train_again(root: Path) -> None:
    write_artefact(root, "summer", b"trained again")


def change_kind(root: Path) -> None:
    write_artefact(root, "summer", kind="pv_pooled")


def remove(root: Path) -> None:
    shutil.rmtree(root / "summer")


def link(root: Path) -> None:
    (root / "summer").rename(root / "moved")
    (root / "summer").symlink_to(root / "moved")


@pytest.mark.parametrize(
    "harm", [touch_model, touch_manifest, touch_card, train_again, change_kind, remove, link]
)
def test_a_champion_that_is_not_what_was_promoted_is_noted_and_what_ships_is_used(
    root: Path, harm: Any
) -> None:
    crown(root, "summer")
    harm(root)
    found = champion(KIND, root)
    assert (found.artefact, found.promotion) == (SHIPPED, None)
    (note,) = found.notes
    assert "champion 'summer' of paper_lstm is refused" in note


def test_a_broken_champion_of_a_plant_gives_way_to_the_one_of_all(root: Path) -> None:
    crown(root, "winter")
    crown(root, "summer", plant="pv1")
    touch_model(root)
    found = champion(KIND, root, plant="pv1")
    assert found.artefact.id == "winter"
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '{"format": 2, "promotions": []}', '{"format": 1}', "NaN"),
        '{"format": 1, "promotions": [{}]}',
        '{"format": 1, "promotions": 7}',
        "../" * 9,
    ],
)
def test_a_history_that_cannot_be_read_is_noted_and_never_overwritten(
    root: Path, text: str
) -> None:
    (root / CHAMPIONS).write_text(text, encoding="utf-8")
    found = champion(KIND, root)
    assert found.artefact == SHIPPED
    assert CHAMPIONS in found.notes[0]
    with pytest.raises(ChampionsFault, match="put a sound copy back"):
        promote(find("summer", root), root, over=SHIPPED, why="", when=NOW)
    assert (root / CHAMPIONS).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "../../etc"),
        ("id", 3),
        ("sha256", "short"),
        ("manifest_sha256", None),
        ("plant", 4),
        ("withdrawn", False),
        ("why", None),
        ("more", "than known"),
    ],
)
def test_a_history_with_a_wrong_entry_is_refused(root: Path, key: str, value: Any) -> None:
    crown(root, "summer")
    document = json.loads((root / CHAMPIONS).read_text(encoding="utf-8"))
    document["promotions"][0][key] = value
    (root / CHAMPIONS).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ChampionsFault, match="cannot be read"):
        history(root)
    assert in_use(root) == "paper_lstm"


def test_a_linked_history_is_refused(root: Path, tmp_path: Path) -> None:
    crown(root, "summer")
    (root / CHAMPIONS).rename(tmp_path / "elsewhere")
    (root / CHAMPIONS).symlink_to(tmp_path / "elsewhere")
    found = champion(KIND, root)
    assert found.artefact == SHIPPED
    assert "symbolic link" in found.notes[0]


def test_the_newest_that_ships_is_champion_and_a_broken_one_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, version in (("old", 3), ("new", "2026-01-01"), ("newest", "2026-06-01")):
        write_artefact(tmp_path, name, version=version)
    monkeypatch.setattr("models.register.files", lambda _: tmp_path)
    assert in_use(None) == "newest"
    (tmp_path / "newest" / "model.tflite").write_bytes(b"another")
    found = champion(KIND)
    assert found.artefact.id == "new"
    assert "artefact 'newest'" in found.notes[0]


def test_a_kind_of_which_nothing_can_be_used_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.register.files", lambda _: tmp_path)
    with pytest.raises(ArtefactFault, match="of kind paper_lstm that ships"):
        champion(KIND)


# --- kills and rivals ----------------------------------------------------------------

_KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from models import champion, find
from models import files
from models.champions import promote

root, at = Path(sys.argv[1]), sys.argv[2]
calls = {"fsync": 0}

def dying(name, real, nth):
    def call(*args, **named):
        calls[name] = calls.get(name, 0) + 1
        if calls[name] == nth:
            os._exit(9)
        return real(*args, **named)
    return call

if at == "before the draft is safe":
    os.fsync = dying("fsync", os.fsync, 1)
elif at == "before it takes the name":
    Path.replace = dying("replace", Path.replace, 1)
elif at == "before the folder is safe":
    os.fsync = dying("fsync", os.fsync, 2)
over = champion("paper_lstm", root).artefact
promote(find("winter", root), root, over=over, why="", when=datetime.now(UTC))
"""


@pytest.mark.parametrize(
    ("at", "left"),
    [
        ("before the draft is safe", "summer"),
        ("before it takes the name", "summer"),
        ("before the folder is safe", "winter"),
    ],
)
def test_a_kill_in_the_middle_leaves_the_old_champion_or_the_new(
    root: Path, at: str, left: str
) -> None:
    crown(root, "summer")
    before = (root / CHAMPIONS).read_bytes()
    done = subprocess.run([sys.executable, "-c", _KILLED, str(root), at], check=False)
    assert done.returncode == 9
    found = champion(KIND, root)
    assert (found.artefact.id, found.notes) == (left, ())
    assert ((root / CHAMPIONS).read_bytes() == before) == (left == "summer")
    if left == "summer":
        crown(root, "winter")  # the dead one's lock is free
    assert in_use(root) == "winter"
    assert not list(root.glob("*.draft")) + list(root.glob(".*.draft"))


_RIVAL = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from models import ChampionsFault, artefact, find
from models.champions import promote

root = Path(sys.argv[1])
sys.stdin.readline()
try:
    over = artefact("paper_lstm")
    promote(find(sys.argv[2], root), root, over=over, why="", when=datetime.now(UTC))
except ChampionsFault as fault:
    print("late" if "judge it again" in str(fault) else fault)
else:
    print("won")
"""


def test_of_rivals_that_all_beat_the_same_champion_the_first_is_promoted(root: Path) -> None:
    names = [f"rival{i}" for i in range(6)]
    for name in names:
        write_artefact(root, name)
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", _RIVAL, str(root), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for rival in rivals:  # all at once
        assert rival.stdin
        rival.stdin.write("\n")
        rival.stdin.flush()
    said = [rival.communicate()[0].strip() for rival in rivals]
    assert sorted(said) == ["late"] * 5 + ["won"]
    assert [p.id for p in history(root)] == [names[said.index("won")]]


def test_promotions_for_different_plants_at_once_are_all_kept(root: Path) -> None:
    plants = [f"pv{i}" for i in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda plant: crown(root, "summer", plant=plant), plants))
    assert sorted(str(p.plant) for p in history(root)) == sorted(plants)


def test_a_lock_that_is_never_given_back_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models import files

    monkeypatch.setattr(files, "_LOCK_WAIT_S", 0.0)
    over = champion(KIND, root).artefact
    with files.locked(root), pytest.raises(ChampionsFault, match="kept it locked"):
        promote(find("summer", root), root, over=over, why="", when=NOW)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ChampionsFault, match="cannot be written"):
        promote(SHIPPED, tmp_path / "file" / "models", over=SHIPPED, why="", when=NOW)


# --- verdicts ------------------------------------------------------------------------


def said(challenger: Artefact, champion: Artefact, *, won: bool) -> dict[str, Any]:
    return {
        "kind": KIND,
        "when": "2026-07-01T12:00:00+00:00",
        "won": won,
        "sentence": "As it was.",
        "champion": {"id": champion.id, "sha256": champion.sha256},
        "challenger": {"id": challenger.id, "sha256": challenger.sha256},
        "figures": [1.5],
    }


def test_every_verdict_is_kept_and_the_newest_on_exactly_these_two_counts(root: Path) -> None:
    summer, winter = find("summer", root), find("winter", root)
    told = [
        said(summer, SHIPPED, won=False),
        said(summer, SHIPPED, won=True),
        said(winter, SHIPPED, won=False),
    ]
    for verdict in told:
        keep_verdict(verdict, root)
    assert list(verdicts(root)) == told
    assert last_verdict(summer, SHIPPED, root) == told[1]
    assert last_verdict(summer, winter, root) is None
    write_artefact(root, "summer", b"trained again")
    assert last_verdict(find("summer", root), SHIPPED, root) is None


@pytest.mark.parametrize("key", ["kind", "when", "won", "sentence", "champion", "challenger"])
def test_a_verdict_that_does_not_say_enough_is_refused(root: Path, key: str) -> None:
    verdict = said(find("summer", root), SHIPPED, won=True)
    keep_verdict(verdict, root)
    text = (root / VERDICTS).read_text(encoding="utf-8")
    del verdict[key]
    with pytest.raises(ValueError, match="a verdict needs"):
        keep_verdict(verdict, root)
    assert (root / VERDICTS).read_text(encoding="utf-8") == text
    (root / VERDICTS).write_text(text.replace(f'"{key}"', '"other"'), encoding="utf-8")
    with pytest.raises(ChampionsFault, match="cannot be read"):
        verdicts(root)
