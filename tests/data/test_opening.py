"""Opening data sets: the built-in digits, Parquet of one's own, the store, the cuts, and the errors."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from made_images import encode, random_images, write_parquet

from levelfield.data import ImageData, open_data
from levelfield.data.cache_folder import cache_dir
from levelfield.errors import UserError
from levelfield.spec import DataSpec


def make_set(folder: Path, order: int = 0, form: str = "PNG", shards: int = 2, size: int = 12) -> Path:
    """60 train and 20 test images of 4 classes; `order` shuffles the rows."""
    images, labels = random_images(80, size), np.arange(80) % 4
    classes = ["ant", "bee", "cat", "dog"]
    options = {"lossless": True} if form == "WEBP" else {}
    train = np.random.default_rng(order).permutation(60)
    for number, rows in enumerate(np.array_split(train, shards)):
        write_parquet(folder / f"train-{number}.parquet", [encode(images[r], form, **options) for r in rows],
                      [int(labels[r]) for r in rows], classes)  # fmt: skip
    test = range(60, 80)
    write_parquet(folder / "test.parquet", [encode(images[r], form, **options) for r in test],
                  [int(labels[r]) for r in test], classes)  # fmt: skip
    return folder


def open_(name: str, root: Path | None = None, **more: object) -> ImageData:
    return open_data(DataSpec.model_validate({"name": name, **more}), root)


@pytest.mark.parametrize("side", [16, 32])
def test_digits_need_no_data_folder(side: int) -> None:
    data = open_("digits", image_size=side)
    assert (len(data.train), len(data.test), len(data.classes)) == (1348, 449, 10)
    assert data.official is True
    images = data.test.read(torch.arange(20))
    assert images.shape == (20, 3, side, side) and images.dtype == torch.uint8
    assert images.float().std() > 50
    shares = torch.bincount(data.test.labels).float() / 449
    assert torch.allclose(shares, torch.bincount(data.train.labels).float() / 1348, atol=0.003)


def test_a_folder_below_the_data_folder_is_a_data_set(tmp_path: Path) -> None:
    make_set(tmp_path / "my-set")
    data = open_("my-set", tmp_path)
    assert (len(data.train), len(data.test), data.classes) == (60, 20, ("ant", "bee", "cat", "dog"))
    assert data.official is False
    pixels = random_images(80)
    shown = {images.numpy().tobytes() for images in data.train.read(torch.arange(60)).permute(0, 2, 3, 1)}
    assert shown == {pixels[row].tobytes() for row in range(60)}


def test_container_row_order_and_shards_change_nothing(tmp_path: Path) -> None:
    one = open_("one", make_set(tmp_path / "one").parent, validation=0.2)
    other = open_("two", make_set(tmp_path / "two", 5, "WEBP", 3).parent, validation=0.2)
    assert one.checksum == other.checksum
    assert one.mean == other.mean and one.std == other.std
    for left, right in ((one.train, other.train), (one.validation, other.validation), (one.test, other.test)):
        assert left is not None and right is not None
        assert torch.equal(left.index, right.index) and torch.equal(left.labels, right.labels)
        everything = torch.arange(len(left))
        assert torch.equal(left.read(everything), right.read(everything))


def test_one_changed_pixel_or_label_changes_the_checksum(tmp_path: Path) -> None:
    images, labels = random_images(8), [0, 1] * 4
    checksums = set()
    for name in ("same", "again", "pixel", "label"):
        pixels, numbers = images.copy(), list(labels)
        if name == "pixel":
            pixels[3, 0, 0, 0] ^= 1
        if name == "label":
            numbers[3] = 0
        for split in ("train", "test"):
            write_parquet(tmp_path / name / f"{split}.parquet", [encode(p) for p in pixels], numbers, ["a", "b"])
        checksums.add(open_(name, tmp_path).checksum)
    assert len(checksums) == 3


def test_statistics_are_those_of_the_pixels(tmp_path: Path) -> None:
    data = open_("my-set", make_set(tmp_path / "my-set").parent)
    pixels = random_images(80)[:60] / 255.0
    assert np.allclose(data.mean, pixels.mean(axis=(0, 1, 2)), atol=1e-6)
    assert np.allclose(data.std, pixels.std(axis=(0, 1, 2)), atol=1e-6)


def test_a_second_start_reads_the_store_and_not_the_files(tmp_path: Path) -> None:
    make_set(tmp_path / "my-set")
    first = open_("my-set", tmp_path, image_size=24)
    stored = sorted(path.name for path in cache_dir().rglob("images-*.npy"))
    started = time.perf_counter()
    second = open_("my-set", tmp_path, image_size=24)
    assert time.perf_counter() - started < 1.0
    assert stored == sorted(path.name for path in cache_dir().rglob("images-*.npy"))
    everything = torch.arange(60)
    assert torch.equal(first.train.read(everything), second.train.read(everything))
    assert not [path for path in (tmp_path / "my-set").iterdir() if path.suffix != ".parquet"]


def test_changed_files_are_read_anew(tmp_path: Path) -> None:
    first = open_("my-set", make_set(tmp_path / "my-set").parent)
    images = random_images(6, seed=9)
    write_parquet(tmp_path / "my-set" / "test.parquet", [encode(i) for i in images], [0] * 6, list(first.classes))
    assert len(open_("my-set", tmp_path).test) == 6


@pytest.mark.parametrize("share, expected", [(0.1, [2, 1, 2, 1]), (0.25, [4, 4, 4, 3]), (0.5, [8, 7, 8, 7])])
def test_validation_is_a_stratified_seeded_slice_of_train(tmp_path: Path, share: float, expected: list[int]) -> None:
    make_set(tmp_path / "my-set")
    data = open_("my-set", tmp_path, validation=share)
    assert data.validation is not None
    held = data.validation
    counts = torch.bincount(held.labels, minlength=4).tolist()
    assert sum(counts) == sum(expected) and max(counts) - min(counts) <= 1
    assert set(held.index.tolist()).isdisjoint(data.train.index.tolist())
    assert len(held) + len(data.train) == 60
    again = open_("my-set", tmp_path, validation=share, split_seed=1).validation
    assert again is not None and again.index.tolist() != held.index.tolist()
    assert open_("my-set", tmp_path).validation is None


def test_limits_are_stratified(tmp_path: Path) -> None:
    data = open_("my-set", make_set(tmp_path / "my-set").parent, train_limit=12, test_limit=8)
    assert torch.bincount(data.train.labels).tolist() == [3] * 4
    assert torch.bincount(data.test.labels).tolist() == [2] * 4


def test_resize_px_leaves_room_for_a_random_crop_and_crops_evaluation_to_the_centre(tmp_path: Path) -> None:
    data = open_("my-set", make_set(tmp_path / "my-set").parent, image_size=16, resize_px=20, validation=0.2)
    assert data.validation is not None
    rows = torch.arange(3)
    assert data.train.read(rows).shape[-1] == data.train.side_px == 20
    assert data.validation.read(rows).shape[-1] == data.test.read(rows).shape[-1] == data.test.side_px == 16
    whole = open_("my-set", tmp_path, image_size=20)
    assert torch.equal(data.test.read(rows), whole.test.read(rows)[..., 2:18, 2:18])


@pytest.mark.parametrize(
    "name, root, words",
    [
        ("cifar11", "data", ["unknown data set 'cifar11'", "cifar10"]),
        ("cifar10", None, ["levelfield data get cifar10", "LEVELFIELD_DATA"]),
        ("cifar10", "absent", ["does not exist", "levelfield data get cifar10", "LEVELFIELD_DATA"]),
        ("cifar10", "data", ["no cifar10 in the data folder", "levelfield data get cifar10"]),
        ("imagenet1k", "data", ["no imagenet1k", "image", "class folders"]),
        ("folder:nowhere", "data", ["no folder", "nowhere"]),
        ("mixed", "data", ["many sizes", "data.image_size"]),
        ("broken", "data", ["truncated or damaged", "train.parquet"]),
        ("unlabelled", "data", ["labels -1..0", "2 classes"]),
        ("empty", "data", ["no test images"]),
    ],
)
def test_errors_say_what_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, root: str | None, words: list[str]
) -> None:
    monkeypatch.delenv("LEVELFIELD_DATA", raising=False)
    image = encode(random_images(1)[0])
    for split in ("train", "test"):
        sizes = [encode(random_images(1, side)[0]) for side in (8, 9)]
        write_parquet(tmp_path / "data" / "mixed" / f"{split}.parquet", sizes, [0, 1], ["a", "b"])
        write_parquet(tmp_path / "data" / "broken" / f"{split}.parquet", [image] * 2, [0, 1], ["a", "b"])
        write_parquet(tmp_path / "data" / "unlabelled" / f"{split}.parquet", [image] * 2, [0, -1], ["a", "b"])
    write_parquet(tmp_path / "data" / "empty" / "train.parquet", [image] * 2, [0, 1], ["a", "b"])
    write_parquet(tmp_path / "data" / "empty" / "test.parquet", [], pa.array([], pa.int64()), ["a", "b"])
    cut = tmp_path / "data" / "broken" / "train.parquet"
    cut.write_bytes(cut.read_bytes()[:-30])
    with pytest.raises(UserError) as caught:
        open_(name, None if root is None else tmp_path / root)
    assert all(word in str(caught.value) for word in words), caught.value
    assert 1 <= len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_shared_cifars_are_the_official_ones(real_data: Path, name: str) -> None:
    data = open_(name, real_data, validation=0.1)
    assert data.official is True
    assert (len(data.train), len(data.test)) == (45_000, 10_000)
    assert data.validation is not None and len(data.validation.labels.bincount().unique()) == 1
    known = {"cifar10": (0.4914, 0.4822, 0.4465), "cifar100": (0.5071, 0.4865, 0.4409)}[name]
    assert np.allclose(data.mean, known, atol=1e-4)


def test_an_image_overwritten_in_place_makes_another_set(tmp_path: Path) -> None:
    """However deep it lies: neither its folder's time nor its name changes."""
    images = random_images(12)
    for number, image in enumerate(images):
        file = tmp_path / "pets" / ("train" if number < 8 else "test") / f"class{number % 2}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(image))
    before = open_(f"folder:{tmp_path / 'pets'}")
    target = tmp_path / "pets" / "train" / "class0" / "0.png"
    with target.open("r+b") as file:
        file.truncate()
        file.write(encode(255 - images[0]))
    after = open_(f"folder:{tmp_path / 'pets'}")
    assert before.checksum != after.checksum


def test_a_channel_without_any_deviation_becomes_zero(tmp_path: Path) -> None:
    from levelfield.data.augment import build_eval_transform
    from levelfield.spec import Augment

    images = random_images(12)
    images[..., 2] = 77
    for split, rows in (("train", range(8)), ("test", range(8, 12))):
        content = [encode(images[r]) for r in rows]
        write_parquet(tmp_path / f"{split}.parquet", content, [r % 2 for r in rows], ["a", "b"])
    data = open_(f"parquet:{tmp_path}")
    assert data.std[2] == 0
    x = build_eval_transform(Augment(), data.test.side_px, data.mean, data.std)(data.test.read(torch.arange(4)))
    assert torch.isfinite(x).all()
    assert x[:, 2].abs().max() < 1e-6 < x[:, 0].std()
