"""The store: a data set decoded once to memory-mapped uint8, with its checksum and statistics.

    <cache>/stores/<name>-<fingerprint>-<format>/
        index.json                   classes, checksum, mean, std, counts, modes, sizes, bad images
        samples-<split>.npz          labels (N,), rows (N,), digests (N, 32) in file order; order (N,)
        images-<split>-<variant>.npy uint8 (N, 3, S, S); variant `native` (all images of one size) or a fit, `resize-64`

The index needs one pass over all images; pixels of another size come from `native` where there is one, else from the
encoded images. A store is written under temporary names and renamed, so that it is whole or absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np

from levelfield.data.cache_folder import cache_dir
from levelfield.data.sources.readers.contract import Found, Labels, Records, Source, SubsetRecords
from levelfield.data.store.content_identity import Digests

FORMAT: Final = 3
"""Raised whenever a store would be written differently; part of its folder's name, so that older ones are not read."""

NATIVE: Final = "native"

STORE_LIMIT_GIB: Final = 64.0
"""Sets whose decoded pixels would take more than this are read encoded, where their form allows it."""

OnBadImage = Literal["fail", "skip"]

Channels = tuple[float, float, float]
"""A number for each of red, green and blue."""


def six_digits(values: Iterable[float]) -> Channels:
    """Means or deviations as they are kept."""
    red, green, blue = (round(float(value), 6) for value in values)
    return red, green, blue


@dataclass(frozen=True)
class SplitIndex:
    """What one pass over a split found. `sizes` maps 'WxH' and `modes` Pillow's mode names to counts of images."""

    count: int
    per_class: list[int]
    modes: dict[str, int]
    sizes: dict[str, int]
    bad: list[tuple[str, str]]
    mean: Channels
    std: Channels

    def shapes(self) -> list[tuple[tuple[int, int], int]]:
        """((height, width), how many images have it) of each size."""
        sides = [(name.split("x"), count) for name, count in self.sizes.items()]
        return [((int(height), int(width)), count) for (width, height), count in sides]


@dataclass(frozen=True)
class Index:
    """A data set's index. `native_px` is the side of all images where they are squares of one size, else None."""

    format: int
    name: str
    form: str
    path: str | None
    classes: list[str]
    checksum: str
    native_px: int | None
    notes: list[str]
    splits: dict[str, SplitIndex]


class Samples(NamedTuple):
    """The samples of a split in file order, without the images that were left out.

    `labels`, `rows` (in the files as found) and `order` (the samples in the order that does not depend on the
    container) int64 (N,); `digests` uint8 (N, 32), see `content_identity`.
    """

    labels: Labels
    rows: Labels
    digests: Digests
    order: Labels


class Store:
    """An opened store: `index`, the samples of each split and the paths of its pixel files."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder, self.index = folder, index
        self._samples: dict[str, Samples] = {}

    def samples(self, split: str) -> Samples:
        if split not in self._samples:
            with np.load(self.folder / f"samples-{split}.npz") as arrays:
                self._samples[split] = Samples(**arrays)
        return self._samples[split]

    def records(self, source: Source, split: str) -> Records:
        """Of what `source` holds of `split` the samples, without the images that were left out."""
        return SubsetRecords(source.splits[split], self.samples(split).rows)

    def images(self, split: str, variant: str) -> Path:
        """Path of the .npy file with uint8 (N, 3, S, S)."""
        return self.folder / f"images-{split}-{variant}.npy"

    def has(self, variant: str) -> bool:
        """Whether the pixels of all splits are there in this variant."""
        return all(self.images(split, variant).is_file() for split in self.index.splits)


def stores_folder() -> Path:
    """Where the stores of all data sets lie."""
    return cache_dir() / "stores"


def folder_of(found: Found, on_bad_image: OnBadImage) -> Path:
    """The folder of the store of `found` (which may not exist yet)."""
    suffix = "" if on_bad_image == "fail" else "-skip"
    return stores_folder() / f"{found.name}-{found.fingerprint[:16]}-{FORMAT}{suffix}"


def open_store(folder: Path) -> Store | None:
    """The store in `folder`, or None where there is none of this format."""
    try:
        values = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    splits = {
        name: SplitIndex(**{**split, "mean": tuple(split["mean"]), "std": tuple(split["std"])})
        for name, split in values.pop("splits").items()
    }
    return Store(folder, Index(**values, splits=splits))


def gib(images: int, side_px: int) -> float:
    """GiB of so many RGB images as uint8."""
    return images * 3 * side_px**2 / 2**30
