"""The splits of a data set as training sees them, and how validation is cut from train."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from levelfield.data.ragged_images import Ragged
from levelfield.data.store.pixel_storage import PixelSource
from levelfield.data.stratified_sampling import stratified
from levelfield.errors import UserError


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
        rows, labels, index = self.rows[positions], self.labels[positions], self.index[positions]
        crop_px = self.crop_px if crop_px is None else crop_px
        return Split(name or self.name, self.pixels, rows, labels, index, crop_px)


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


def hold_out(train: Split, share: float, seed: int, crop_px: int | None) -> tuple[Split, Split | None]:
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
