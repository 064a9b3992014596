"""The whole images of a split, at their aspect ratio: what random resized crops are taken from.

Stored as two files: the pixels, image by image, in one flat array (`ragged_images`), and the sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from levelfield.data.ragged_images import Ragged, ragged
from levelfield.data.sources.readers.contract import Records
from levelfield.data.store.pixel_storage import decode_again
from levelfield.data.store.resize import Whole


def sizes_beside(images: Path) -> Path:
    """The file of sizes, int64 (N, 2) of (height, width), that belongs to a file of flat images."""
    return images.with_name(images.name.replace("images-", "sizes-", 1))


def total_bytes(sizes: Mapping[str, int], whole: Whole) -> int:
    """Bytes of all images of a split under `whole`; `sizes` maps 'WxH' to counts."""
    total = 0
    for name, count in sizes.items():
        width, height = (int(side) for side in name.split("x"))
        fitted = whole.size(height, width)
        total += count * 3 * fitted[0] * fitted[1]
    return total


class MappedWhole:
    """Whole images in a memory-mapped flat file; opened anew in every process that it is sent to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _all(self) -> Ragged:
        # Copy-on-write: torch wants writable memory, and the file must never change.
        flat = torch.from_numpy(np.load(self.path, mmap_mode="c"))
        height, width = torch.from_numpy(np.load(sizes_beside(self.path))).unbind(1)
        sizes = 3 * height * width
        return Ragged(flat, sizes.cumsum(0) - sizes, height, width)

    def __getstate__(self) -> dict[str, Path]:
        return {"path": self.path}

    @property
    def side_px(self) -> int:
        return int(torch.maximum(self._all.height, self._all.width).max())

    def take(self, rows: Tensor) -> Ragged:
        """A view: no pixel is copied."""
        return self._all[rows]

    def whole(self) -> None:
        return None

    def nbytes(self, count: int) -> int:
        return self._all.flat.numel() * count // max(1, len(self._all))


class EncodedWhole:
    """Whole images that stay encoded and are decoded whenever they are read; `sizes` as in the index of their split."""

    def __init__(self, records: Records, whole: Whole, sizes: Mapping[str, int]) -> None:
        self.records, self.fit, self.sizes = records, whole, dict(sizes)

    @property
    def side_px(self) -> int:
        return max(max(self.fit.size(*(int(side) for side in name.split("x")))) for name in self.sizes)

    def take(self, rows: Tensor) -> Ragged:
        return ragged([self.fit.apply(decode_again(self.records, row)) for row in rows.tolist()])

    def whole(self) -> None:
        return None

    def nbytes(self, count: int) -> int:
        return total_bytes(self.sizes, self.fit) * count // max(1, sum(self.sizes.values()))
