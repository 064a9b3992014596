"""The whole images of a split, at their aspect ratio: what random resized crops are taken from.

Stored as two files: the pixels, image by image, in one flat array (`ragged_images`), and the sizes.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from levelfield.data.ragged_images import Ragged, ragged
from levelfield.data.sources.readers.contract import Records
from levelfield.data.store.pixel_storage import PixelSource, decode_again
from levelfield.data.store.resize import Whole
from levelfield.data.store.store import SplitIndex


def sizes_beside(images: Path) -> Path:
    """The file of sizes, int64 (N, 2) of (height, width), that belongs to a file of flat images."""
    return images.with_name(images.name.replace("images-", "sizes-", 1))


def total_bytes(index: SplitIndex, whole: Whole) -> int:
    """Bytes of all images of a split under `whole`."""
    return sum(count * 3 * math.prod(whole.size(*shape)) for shape, count in index.shapes())


class MappedWhole(PixelSource):
    """Whole images in a memory-mapped flat file; opened anew in every process that it is sent to."""

    def __init__(self, path: Path) -> None:
        # Copy-on-write: torch wants writable memory, and the file must never change.
        flat = torch.from_numpy(np.load(path, mmap_mode="c"))
        height, width = torch.from_numpy(np.load(sizes_beside(path))).unbind(1)
        sizes = 3 * height * width
        self._all = Ragged(flat, sizes.cumsum(0) - sizes, height, width)
        self.path = path

    def __reduce__(self) -> tuple[type[MappedWhole], tuple[Path]]:
        return MappedWhole, (self.path,)

    @property
    def side_px(self) -> int:
        return int(torch.maximum(self._all.height, self._all.width).max())

    def take(self, rows: Tensor) -> Ragged:
        """A view: no pixel is copied."""
        return self._all[rows]

    def nbytes(self, count: int) -> int:
        return self._all.flat.numel() * count // max(1, len(self._all))


class EncodedWhole(PixelSource):
    """Whole images that stay encoded and are decoded whenever they are read; `index` is that of their split."""

    def __init__(self, records: Records, whole: Whole, index: SplitIndex) -> None:
        self.records, self.fit, self.index = records, whole, index

    @property
    def side_px(self) -> int:
        return max(max(self.fit.size(*shape)) for shape, _ in self.index.shapes())

    def take(self, rows: Tensor) -> Ragged:
        return ragged([self.fit.apply(decode_again(self.records, row)) for row in rows.tolist()])

    def nbytes(self, count: int) -> int:
        return total_bytes(self.index, self.fit) * count // self.index.count
