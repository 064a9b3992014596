"""The splits of a data set as training sees them, and how a stratified slice is cut."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from levelfield import randomness
from levelfield.data.ragged_images import Ragged
from levelfield.data.sources.decode import BadImageError, decode
from levelfield.data.sources.readers.contract import Pixels, Records, Source, SubsetRecords
from levelfield.data.store.resize import Fit
from levelfield.errors import UserError


def stratified(labels: Tensor, index: Tensor, count: int, *, seed: int, stream: str) -> Tensor:
    """Positions (sorted, int64) of `count` of the samples, each class in its share, drawn by (seed, index).

    Classes get the whole part of their share, and those with the largest remainders one more (ties: lower class).
    `labels` and `index` are int64 (N,); `index` is the identity of each sample.
    """
    total = len(labels)
    classes = int(labels.max()) + 1
    sizes = torch.bincount(labels, minlength=classes)
    exact = sizes.to(torch.float64) * (count / total)
    take = exact.floor().to(torch.int64)
    largest = torch.argsort(exact - take, descending=True, stable=True)
    take[largest[: count - int(take.sum())]] += 1
    draw = randomness.bits(seed, stream, 0, index)[:, 0]
    chosen = []
    for label in range(classes):
        members = torch.nonzero(labels == label)[:, 0]
        chosen.append(members[torch.argsort(draw[members], stable=True)[: int(take[label])]])
    return torch.sort(torch.cat(chosen)).values


UNUSED_VALIDATION: Final = "its own validation images are not used: validation is cut from train"


def with_test(source: Source) -> Source:
    """`source` with a test split: its own, else a stratified, fixed fifth of the images, which its notes then say."""
    if "test" in source.splits:
        return source
    note = "no test split was given: a fixed, stratified fifth of the images is the test set"
    return Source(source.classes, cut_test(source.splits["train"], 0.2), (*source.notes, note))


def cut_test(records: Records, share: float) -> dict[str, Records]:
    """Train and test of records without given splits: a fixed, stratified `share` is the test set."""
    rows = torch.arange(len(records))
    count = max(1, round(share * len(records)))
    test = stratified(torch.from_numpy(records.labels), rows, count, seed=0, stream="test").numpy()
    return {"train": SubsetRecords(records, np.setdiff1d(rows.numpy(), test)), "test": SubsetRecords(records, test)}


class PixelSource(Protocol):
    """Where the images of a split come from: rows of a whole tensor, or decoded on reading."""

    @property
    def side_px(self) -> int:
        """Their side; of images of their own sizes the largest."""
        ...

    def take(self, rows: Tensor) -> Tensor | Ragged:
        """uint8 (B, 3, side_px, side_px) for int64 rows (B,), or a ragged batch."""
        ...

    def whole(self) -> Tensor | None:
        """All rows as one uint8 tensor (N, 3, side_px, side_px), or None where there is no such thing."""
        ...

    def nbytes(self, count: int) -> int:
        """About how many bytes `count` images are."""
        ...


class MemoryPixels:
    """Images in memory: uint8 (N, 3, S, S)."""

    def __init__(self, images: Tensor) -> None:
        self._images = images

    @property
    def side_px(self) -> int:
        return int(self._images.shape[-1])

    def take(self, rows: Tensor) -> Tensor:
        return self._images.index_select(0, rows)

    def whole(self) -> Tensor:
        return self._images

    def nbytes(self, count: int) -> int:
        return count * 3 * self.side_px**2


class MappedPixels:
    """Images in a memory-mapped .npy file of uint8 (N, 3, S, S); opened anew in every process that it is sent to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _images(self) -> Tensor:
        # Copy-on-write: torch wants writable memory, and the file must never change.
        return torch.from_numpy(np.load(self.path, mmap_mode="c"))

    def __getstate__(self) -> dict[str, Path]:
        return {"path": self.path}

    @property
    def side_px(self) -> int:
        return int(self._images.shape[-1])

    def take(self, rows: Tensor) -> Tensor:
        return self._images.index_select(0, rows)

    def whole(self) -> Tensor:
        return self._images

    def nbytes(self, count: int) -> int:
        return count * 3 * self.side_px**2


class EncodedPixels:
    """Images that stay encoded and are decoded and fitted whenever they are read."""

    def __init__(self, records: Records, fit: Fit) -> None:
        self.records, self.fit = records, fit

    @property
    def side_px(self) -> int:
        return self.fit.side_px

    def take(self, rows: Tensor) -> Tensor:
        out = np.empty((len(rows), 3, self.side_px, self.side_px), dtype=np.uint8)
        for place, row in enumerate(rows.tolist()):
            out[place] = self.fit.apply(decode_again(self.records, row)).transpose(2, 0, 1)
        return torch.from_numpy(out)

    def whole(self) -> None:
        return None

    def nbytes(self, count: int) -> int:
        return count * 3 * self.side_px**2


def decode_again(records: Records, row: int) -> Pixels:
    """The pixels of an image that was decoded when the set was indexed. Raises UserError where it is bad by now."""
    try:
        return decode(records.item(row))[0]
    except (BadImageError, OSError) as error:
        raise UserError(
            f"{records.name(row)} could be decoded before and cannot now: {error}\n"
            "the file has changed since the set was indexed; run `levelfield data check`"
        ) from None


@dataclass(frozen=True)
class Split:
    """Some samples of a data set, in a fixed order that does not depend on the container they came in.

    `labels` int64 (N,). `index` int64 (N,): the identity of each sample within its original split, used as
    `sample_index` for randomness and in predictions. `rows` int64 (N,): their rows in `pixels`.
    `crop_px`: the centre crop of evaluation splits stored larger than the network's input, else None.
    """

    name: str
    pixels: PixelSource
    rows: Tensor
    labels: Tensor
    index: Tensor
    crop_px: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def side_px(self) -> int:
        """Height and width of what `read` returns."""
        return self.crop_px or self.pixels.side_px

    @property
    def nbytes(self) -> int:
        """Bytes of all images as `read` returns them (about, where they have sizes of their own)."""
        return self.pixels.nbytes(len(self)) if self.crop_px is None else len(self) * 3 * self.crop_px**2

    def read(self, positions: Tensor) -> Tensor:
        """uint8 (B, 3, side_px, side_px) of the samples at int64 `positions` (B,) in this split."""
        images = self.batch(positions)
        assert isinstance(images, Tensor), "images of their own sizes are read by `batch`"
        return images

    def batch(self, positions: Tensor) -> Tensor | Ragged:
        """As `read`; a ragged batch where the images have sizes of their own (for a random resized crop)."""
        images = self.pixels.take(self.rows[positions])
        return images if isinstance(images, Ragged) else centre_crop(images, self.crop_px)

    def subset(self, positions: Tensor, name: str | None = None, crop_px: int | None = None) -> Split:
        """The samples at `positions`, in that order."""
        return Split(
            name or self.name,
            self.pixels,
            self.rows[positions],
            self.labels[positions],
            self.index[positions],
            crop_px if crop_px is not None else self.crop_px,
        )


def centre_crop(images: Tensor, crop_px: int | None) -> Tensor:
    """The centre (B, 3, crop_px, crop_px) of (B, 3, S, S); unchanged for None."""
    if crop_px is None or crop_px == images.shape[-1]:
        return images
    start = (images.shape[-1] - crop_px) // 2
    return images[..., start : start + crop_px, start : start + crop_px].contiguous()


@dataclass(frozen=True)
class ImageData:
    """A data set ready for training.

    `checksum`: of the content, over train and test, independent of container and row order. `official`: True where it
    is that of a known set, False where the content is another one ("other data"), None where the set is known but no
    checksum of it is on record. `mean` and `std`: per channel over the whole train split at its own size, each image
    counting alike, in [0, 1] units. `notes`: known leaks and other things that belong beside every result.
    """

    name: str
    classes: tuple[str, ...]
    checksum: str
    official: bool | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    notes: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split


def hold_out(train: Split, share: float, seed: int, crop_px: int | None = None) -> tuple[Split, Split | None]:
    """Train without, and the stratified slice that is, the validation `share` of it; None for a share of 0.

    Raises UserError for a share that is no image.
    """
    if share == 0:
        return train, None
    count = round(share * len(train))
    if count == 0:
        raise UserError(f"validation {share} of {len(train)} train images is no image; raise it or set it to 0")
    held = stratified(train.labels, train.index, count, seed=seed, stream="validation")
    rest = torch.ones(len(train), dtype=torch.bool)
    rest[held] = False
    return train.subset(torch.nonzero(rest)[:, 0]), train.subset(held, "validation", crop_px)
