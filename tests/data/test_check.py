"""What `check` reports: duplicates inside and across splits, labels that contradict, the verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_images import encode, random_images, write_parquet

from levelfield.data.checks.dataset_check import check_data
from levelfield.data.loading.open_data import prepare
from levelfield.data.sources.locate import find, remember


def test_duplicates_are_found_whatever_their_encoding(tmp_path: Path) -> None:
    images = random_images(10)
    train, labels = [encode(image) for image in images[:6]], [0, 1, 0, 1, 0, 1]
    train += [encode(images[0], "BMP"), encode(images[0], "WEBP", lossless=True), encode(images[1])]
    labels += [0, 0, 0]  # two more copies of image 0, and image 1 under another label
    test = [encode(image) for image in images[6:]] + [encode(images[2]), encode(images[3]), encode(images[3])]
    write_parquet(tmp_path / "own" / "train.parquet", train, labels, ["a", "b"])
    write_parquet(tmp_path / "own" / "test.parquet", test, [0, 1, 0, 1, 0, 1, 1], ["a", "b"])
    report = check_data("own", tmp_path)
    assert report.duplicates.surplus == {"train": 3, "test": 1}
    assert report.duplicates.across == 2
    assert report.duplicates.test_in_train == 3
    assert report.duplicates.conflicting == 1
    assert report.splits["train"].per_class == [6, 3]
    assert report.splits["test"].modes == {"RGB": 7}
    assert report.official is False and report.verdict == "other data: not a known official set"


def test_copies_are_named_with_their_splits(tmp_path: Path) -> None:
    images = random_images(3)
    train, test = {"owl/a": 0, "owl/b": 1, "wren/c": 1}, {"owl/d": 0, "wren/e": 2}
    for name, which in [(f"train/{name}", row) for name, row in train.items()] + [
        (f"test/{name}", row) for name, row in test.items()
    ]:
        path = tmp_path / "own" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(images[which]))
    assert check_data("own", tmp_path).copies == (
        (("train", "owl/a.png"), ("test", "owl/d.png")),
        (("train", "owl/b.png"), ("train", "wren/c.png")),
    )


def test_copies_of_files_that_are_gone_are_named_by_their_place(tmp_path: Path) -> None:
    images = random_images(3)
    for split, labels in (("train", [0, 1, 0]), ("test", [1, 0, 1])):
        shown = [encode(images[row if split == "train" else 2]) for row in range(3)]
        write_parquet(tmp_path / "own" / f"{split}.parquet", shown, labels, ["a", "b"])
    found = find("own", tmp_path)
    remember("gone", found)
    prepare(replace(found, name="gone"))
    (tmp_path / "own").rename(tmp_path / "moved")
    assert check_data("gone").copies == ((("train", "#2"), ("test", "#0"), ("test", "#1"), ("test", "#2")),)


def test_digits_are_the_official_ones_and_fresh_says_the_same() -> None:
    first, second = check_data("digits"), check_data("digits", fresh=True)
    assert first == second
    assert first.official is True
    assert first.splits["train"].sizes == {"8x8": 1348}


def test_known_duplicates_of_cifar100(real_data: Path) -> None:
    report = check_data("cifar100", real_data)
    assert report.duplicates.surplus == {"train": 14, "test": 2}
    assert report.duplicates.across == report.duplicates.test_in_train == 10
    assert report.splits["train"].per_class == [500] * 100
    assert report.official is True


@pytest.mark.parametrize("name, train, test", [("cub-20", 600, 585), ("tiny-imagenet-34", 17_000, 1_700)])
def test_the_shared_subsets_are_not_the_official_sets(real_data: Path, name: str, train: int, test: int) -> None:
    report = check_data(name, real_data)
    assert (report.splits["train"].count, report.splits["test"].count) == (train, test)
    assert report.official is False
    assert any("ImageNet" in note for note in report.notes)
    assert not report.splits["train"].bad and not report.splits["test"].bad
