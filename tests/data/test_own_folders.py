"""A folder of one's own that cannot be used: the cause is told, not only what was expected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data.made_images import encode, random_images
from levelfield.data.checks.quick_look import quick_look
from levelfield.data.sources.locate import find
from levelfield.errors import UserError


def put(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode(random_images(1, seed=number)[0]))


CASES = {
    "empty": ([], "is empty"),
    "flat": (["a.png", "b.png"], "2 images lie in the folder itself: put those of each class into a folder of its own"),
    "one class": (["crow/a.png", "crow/b.png"], "has one class folder, crow: two classes or more are needed"),
    "no images": (["crow/notes.txt", "owl/notes.txt"], "has 2 class folders, and no images in them"),
    "no images in train": (["train/crow/x.txt", "train/owl/x.txt"], "train has 2 class folders, and no images in them"),
    "flat train": (["train/a.png", "test/b.png"], "1 image lies in the folder itself"),
    "a folder too high": (["birds/crow/a.png", "birds/owl/a.png"], "did you mean folder:{root}/birds?"),
    "other files": (["images.rar"], "has neither class folders nor images"),
}


@pytest.mark.parametrize("case", CASES)
def test_why_a_folder_is_no_data_set(case: str, tmp_path: Path) -> None:
    names, cause = CASES[case]
    root = tmp_path / "set"
    root.mkdir()
    put(root, *names)
    with pytest.raises(UserError) as told:
        find(f"folder:{root}")
    assert cause.format(root=root) in str(told.value)
    assert "<class>/*.jpg, or train/<class>/*.jpg" in str(told.value) or "did you mean" in str(told.value)


def test_a_folder_without_parquet_is_told_so(tmp_path: Path) -> None:
    put(tmp_path, "crow/a.png")
    with pytest.raises(UserError, match=r"holds no Parquet files\nexpected train\*\.parquet"):
        find(f"parquet:{tmp_path}")


@pytest.mark.parametrize(
    ("names", "without"),
    [
        (["crow/a.png", "owl/a.png"], "1 of 2 classes"),
        ([f"crow/{number}.png" for number in range(9)] + ["owl/a.png", "wren/a.png"], ""),
    ],
)
def test_a_class_whose_only_image_is_tested_with_is_refused(names: list[str], without: str, tmp_path: Path) -> None:
    put(tmp_path, *names)
    found = find(f"folder:{tmp_path}")
    if without:
        with pytest.raises(UserError, match=f"{without} .*without training images.*\n.*more images"):
            found.load()
    else:
        source = found.load()
        assert set(source.splits["train"].labels.tolist()) == {0, 1, 2}


def forbid(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this user not read `place`, whoever runs the test."""
    if os.geteuid() != 0:
        place.chmod(0)
        return
    for name in ("scandir", "listdir", "open"):
        usual = getattr(os, name)

        def refuse(path: object = ".", *rest: object, usual: object = usual, **more: object) -> object:
            if not isinstance(path, int) and Path(os.fspath(path)) == place:  # type: ignore[call-overload]
                raise PermissionError(13, "Permission denied", str(path))
            return usual(path, *rest, **more)  # type: ignore[operator]

        monkeypatch.setattr(os, name, refuse)
    import builtins

    opened = builtins.open

    def refuse_open(path: object, *rest: object, **more: object) -> object:
        if not isinstance(path, int) and Path(path) == place:  # type: ignore[arg-type]
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(builtins, "open", refuse_open)


@pytest.mark.parametrize("name", ["crow", "wren"])
def test_a_class_folder_that_may_not_be_read_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, *(f"{each}/{number}.png" for each in ("crow", "owl", "wren") for number in range(5)))
    forbid(tmp_path / name, monkeypatch)
    with pytest.raises(UserError, match=rf"{name} cannot be read: Permission denied\ngive yourself the right"):
        find(f"folder:{tmp_path}").load()


def test_an_image_that_may_not_be_read_counts_as_one_that_does_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, *(f"{each}/{number}.png" for each in ("crow", "owl") for number in range(5)))
    kept = quick_look(f"folder:{tmp_path}")
    assert kept.unreadable == 0
    source = find(f"folder:{tmp_path}").load()
    forbid(tmp_path / source.splits["train"].name(0), monkeypatch)
    assert quick_look(f"folder:{tmp_path}").unreadable == 1
