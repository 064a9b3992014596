"""Where the images of a split come from: memory, a mapped file of the store, or decoded whenever they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from levelfield.data.ragged_images import Ragged
from levelfield.data.sources.decode import BadImageError, decode
from levelfield.data.sources.readers.contract import Pixels, Records
from levelfield.data.store.resize import Fit
from levelfield.errors import UserError


class PixelSource(ABC):
    """Where the images of a split come from: rows of a whole tensor, or decoded on reading."""

    @property
    @abstractmethod
    def side_px(self) -> int:
        """Their side; of images of their own sizes the largest."""

    @abstractmethod
    def take(self, rows: Tensor) -> Tensor | Ragged:
        """uint8 (B, 3, side_px, side_px) for int64 rows (B,), or a ragged batch."""

    def whole(self) -> Tensor | None:
        """All rows as one uint8 tensor (N, 3, side_px, side_px), or None where there is no such thing."""
        return None

    def nbytes(self, count: int) -> int:
        """About how many bytes `count` images are."""
        return count * 3 * self.side_px**2


class MemoryPixels(PixelSource):
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


class MappedPixels(MemoryPixels):
    """Images in a memory-mapped .npy file of uint8 (N, 3, S, S); opened anew in every process that it is sent to."""

    def __init__(self, path: Path) -> None:
        # Copy-on-write: torch wants writable memory, and the file must never change.
        super().__init__(torch.from_numpy(np.load(path, mmap_mode="c")))
        self.path = path

    def __reduce__(self) -> tuple[type[MappedPixels], tuple[Path]]:
        return MappedPixels, (self.path,)


class EncodedPixels(PixelSource):
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


def decode_again(records: Records, row: int) -> Pixels:
    """The pixels of an image that was decoded when the set was indexed. Raises UserError where it is bad by now."""
    try:
        return decode(records.item(row))[0]
    except (BadImageError, OSError) as error:
        raise UserError(
            f"{records.name(row)} could be decoded before and cannot now: {error}\n"
            "the file has changed since the set was indexed; run `levelfield data check`"
        ) from None
