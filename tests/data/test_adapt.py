"""Images that are already in the program: arrays and torch Datasets of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_images import encode, random_images, write_parquet
from PIL import Image
from torch.utils.data import Dataset, Subset

from levelfield.data import from_arrays, from_dataset, open_data
from levelfield.errors import UserError
from levelfield.spec import DataSpec

PIXELS = random_images(12, 8)
LABELS = [row % 3 for row in range(12)]
PLANES = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)


class Own(Dataset[tuple[object, int]]):
    classes = ("a", "b", "c")

    def __init__(self, form: str, rows: range) -> None:
        self.form, self.rows = form, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[object, int]:
        row = self.rows[number]
        image = {
            "PIL": Image.fromarray(PIXELS[row]),
            "uint8": PLANES[row],
            "float": PLANES[row].float() / 255,
            "grey": PLANES[row, :1],
            "normalised": PLANES[row].float() / 255 - 0.5,
            "flat": PLANES[row].flatten(),
            "odd sizes": Image.fromarray(PIXELS[row, : 4 + row % 2]),
            "int32": PLANES[row].to(torch.int32) * 4,
            "uint16": PIXELS[row].transpose(2, 0, 1).astype(np.uint16) * 257,
            "bool": PLANES[row] > 127,
            "mode I": Image.fromarray(PIXELS[row, :, :, 0].astype(np.int32)),
        }[self.form]
        return image, LABELS[row]


@pytest.mark.parametrize("form", ["PIL", "uint8", "float"])
def test_a_dataset_keeps_its_pixels_and_labels_and_says_which_is_which(form: str) -> None:
    data = from_dataset(Own(form, range(8)), Own(form, range(8, 12)))
    assert data.classes == ("a", "b", "c") and data.official is False
    assert sorted(data.train.rows.tolist()) == data.train.index.tolist() == list(range(8))
    assert torch.equal(data.train.read(torch.arange(8)), PLANES[:8][data.train.rows])
    assert data.test.labels.tolist() == [LABELS[8:][row] for row in data.test.rows]
    pixels = PIXELS[:8] / 255
    assert np.allclose(data.mean, pixels.mean((0, 1, 2)), atol=1e-6)
    assert np.allclose(data.std, pixels.std((0, 1, 2)), atol=1e-6)


def test_a_grey_dataset_becomes_rgb_and_sizes_can_be_fitted() -> None:
    grey = from_dataset(Own("grey", range(8)), Own("grey", range(8, 12)))
    assert torch.equal(grey.train.read(torch.arange(8)), PLANES[:8, :1].expand(-1, 3, -1, -1)[grey.train.rows])
    fitted = from_dataset(Own("odd sizes", range(8)), Own("odd sizes", range(8, 12)), image_size=16)
    assert fitted.train.read(torch.arange(2)).shape == (2, 3, 16, 16)


def test_the_same_content_has_the_same_checksum_as_from_files(tmp_path: Path) -> None:
    for split, rows in (("train", range(8)), ("test", range(8, 12))):
        images = [encode(PIXELS[row]) for row in rows]
        write_parquet(tmp_path / "own" / f"{split}.parquet", images, [LABELS[row] for row in rows], list("abc"))
    given = from_arrays((PLANES[:8], LABELS[:8]), (PLANES[8:], LABELS[8:]))
    named = open_data(DataSpec(name="own"), tmp_path)
    assert given.checksum == named.checksum
    assert torch.equal(given.train.read(torch.arange(8)), named.train.read(torch.arange(8)))  # in the same order, too
    assert torch.equal(given.train.labels, named.train.labels)


@pytest.mark.parametrize(
    "form, words",
    [
        ("normalised", "not normalised"),
        ("flat", r"give a PIL image or a tensor \(3, H, W\)"),
        ("odd sizes", "give image_size"),
        ("int32", "torch.int32 values; give uint8"),
        ("uint16", "torch.uint16 values; give uint8"),
        ("bool", "torch.bool values; give uint8"),
        ("mode I", "convert them to L or RGB"),
    ],
)
def test_datasets_that_cannot_be_used_say_why(form: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        from_dataset(Own(form, range(8)), Own(form, range(8, 12)))


@pytest.mark.parametrize(
    "images, labels, classes, words",
    [
        (PLANES.float(), LABELS, None, "float32"),
        (PIXELS, LABELS, None, r"give uint8 \(N, 3, H, W\)"),
        (PLANES[:, :, :5], LABELS, None, "give squares"),
        (PLANES, LABELS[:-1], None, "one label each"),
        (PLANES, [label - 1 for label in LABELS], None, "labels start at 0, and the lowest given is -1"),
        (PLANES, LABELS, ("a", "b"), "labels are 0..2, but there are 2 classes"),
        (PLANES, torch.tensor(LABELS) + 0.9, None, "labels are torch.float32"),
        (PLANES, torch.tensor(LABELS)[:, None], None, r"torch.int64 \(12, 1\); give one whole number each"),
        (PLANES[:0], [], None, "labels are torch.float32|no image"),
        (PLANES, ["cat"] * 12, None, "not two arrays"),
    ],
)
def test_arrays_that_cannot_be_used_say_why(
    images: object, labels: object, classes: tuple[str, ...] | None, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        from_arrays((images, labels), (PLANES, LABELS), classes)


def test_pil_images_of_a_dataset_go_through_the_one_decoder() -> None:
    clear = Image.fromarray(np.zeros((8, 8, 4), np.uint8))  # transparent black lies over white
    grey16 = Image.fromarray(np.full((8, 8), 36_000, np.uint16))
    data = from_dataset([(clear, 0), (grey16, 1)], [(clear, 0), (grey16, 1)])
    order = torch.argsort(data.train.rows)
    assert data.train.read(order).flatten(1).unique(dim=1).tolist() == [[255], [36_000 >> 8]]


@pytest.mark.parametrize("label", [0.9, torch.tensor(1.0), torch.tensor([0, 1]), "cat", None])
def test_a_label_that_is_no_whole_number_is_refused(label: object) -> None:
    with pytest.raises(UserError, match=r"label 0 is .*; give one whole number"):
        from_dataset([(PLANES[0], label)], [(PLANES[0], 0)])
    kept = from_dataset([(PLANES[0], np.int16(0)), (PLANES[1], torch.tensor([1]))], [(PLANES[0], True)])
    assert kept.train.labels[torch.argsort(kept.train.rows)].tolist() == [0, 1] and kept.test.labels.tolist() == [1]


class Named(Own):
    """As torchvision numbers a folder: only the classes that are there, in the order of their names."""

    def __init__(self, rows: range, names: str, labels: list[int]) -> None:
        super().__init__("uint8", rows)
        self.classes, self.labels = tuple(names), labels  # type: ignore[assignment]

    def __getitem__(self, number: int) -> tuple[object, int]:
        return super().__getitem__(number)[0], self.labels[number]


def test_classes_of_the_test_images_are_brought_to_the_numbers_of_train() -> None:
    train = Named(range(8), "abc", LABELS[:8])
    test = Named(range(8, 12), "ac", [0, 1, 1, 0])
    for given in (test, Subset(test, [0, 1, 2, 3])):
        for names in (None, ("first", "second", "third")):
            data = from_dataset(train, given, names)
            assert data.test.labels[torch.argsort(data.test.rows)].tolist() == [0, 2, 2, 0]
    validated = from_dataset(train, train, validation=test).validation
    assert validated is not None and sorted(validated.labels.tolist()) == [0, 0, 2, 2]
    with pytest.raises(UserError, match=r"test has other classes than train \(z\)"):
        from_dataset(train, Named(range(8, 12), "az", [0, 1, 1, 0]))


def test_what_is_done_to_the_given_array_later_changes_nothing() -> None:
    given = PLANES.numpy().copy()
    data = from_arrays((given, LABELS), (given, LABELS))
    given //= 4
    assert torch.equal(data.train.read(torch.arange(12)), PLANES[data.train.rows])
