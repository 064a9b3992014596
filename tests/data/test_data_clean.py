"""`levelfield data clean` removes decoded images that nothing reads any more, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from data.made_images import encode, random_images
from levelfield.cli.app import app
from levelfield.data.cache_folder import only_one
from levelfield.data.loading.open_data import prepare
from levelfield.data.sources.locate import find
from levelfield.data.store.store import Store
from levelfield.data.store.stores_in_cache import stored_sets


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    for number in range(20):
        image = tmp_path / "birds" / ("crow" if number % 2 else "owl") / f"{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(encode(random_images(1, seed=number)[0]))
    return tmp_path / "birds"


def clean(*words: str, said: str = "") -> Result:
    return CliRunner().invoke(app, ["data", "clean", *words], input=said, catch_exceptions=False)


def decoded(images: Path) -> Store:
    return prepare(find(f"folder:{images}"))


def changed(images: Path, store: Store) -> None:
    (images / "owl" / "new.png").write_bytes(encode(random_images(1, seed=99)[0]))


def gone(images: Path, store: Store) -> None:
    shutil.rmtree(images)


def unfinished(images: Path, store: Store) -> None:
    (store.folder / "index.json").unlink()


def older(images: Path, store: Store) -> None:
    index = json.loads((store.folder / "index.json").read_text())
    (store.folder / "index.json").write_text(json.dumps(index | {"format": 1}))


STALE: dict[str, tuple[Callable[[Path, Store], None], str]] = {
    "changed": (changed, "has changed since"),
    "gone": (gone, "no data set is at"),
    "unfinished": (unfinished, "was not finished"),
    "older": (older, "another version of levelfield"),
}


@pytest.mark.parametrize("case", STALE)
def test_what_nothing_reads_is_removed_and_the_rest_stays(case: str, birds: Path) -> None:
    happens, why = STALE[case]
    digits, store = prepare(find("digits")), decoded(birds)
    assert "nothing to remove" in clean("--yes").stdout and store.folder.is_dir()
    happens(birds, store)
    images = sorted(birds.rglob("*"))
    asked = clean(said="n\n")
    assert why in asked.stdout and str(store.folder) in asked.stdout and "Remove" in asked.stderr
    assert store.folder.is_dir()
    assert "freed" in clean(said="y\n").stdout
    assert not store.folder.exists() and digits.folder.is_dir() and sorted(birds.rglob("*")) == images
    assert [each.folder for each in stored_sets()] == [digits.folder]


def test_all_takes_what_can_be_decoded_again_and_not_the_only_copy(birds: Path, tmp_path: Path) -> None:
    CliRunner().invoke(app, ["data", "import", "mine", "--from", str(birds)], catch_exceptions=False)
    digits, (mine,) = prepare(find("digits")), [each for each in stored_sets() if each.name == "mine"]
    gone(birds, Store(mine.folder, digits.index))
    answer = json.loads(clean("--all", "--json").stdout)
    assert {each["name"]: (each["chosen"], each["stale"]) for each in answer["sets"]} == {
        "digits": (True, None), "mine": (False, None),
    }  # fmt: skip
    assert answer["freed_mib"] == 0 and digits.folder.is_dir()
    assert "freed" in clean("--all", "--yes").stdout
    assert mine.folder.is_dir() and not digits.folder.exists()
    assert prepare(find("mine")).index.splits["train"].count == 16


def test_what_is_being_decoded_is_left_alone(birds: Path) -> None:
    store = decoded(birds)
    unfinished(birds, store)
    with only_one(store.folder):
        assert stored_sets() == [] and "nothing to remove" in clean("--all", "--yes").stdout
    assert store.folder.is_dir()


def test_without_a_cache_there_is_nothing_to_remove() -> None:
    assert "nothing to remove" in clean("--all").stdout
