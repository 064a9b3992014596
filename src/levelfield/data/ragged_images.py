"""A batch of images that keep their own sizes: one flat buffer, and where each image lies in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levelfield.data.to_device import to_device


@dataclass(frozen=True)
class Ragged:
    """`flat` uint8 (M,) on any device; `start`, `height` and `width` int64 (B,) on the CPU.

    Image i is (3, height[i], width[i]) from `start[i]` on. Behind the last image lie at least as many bytes as the
    widest image has columns, so that a run of that length may begin at any row of any image.
    """

    flat: Tensor
    start: Tensor
    height: Tensor
    width: Tensor

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: slice | Tensor) -> Ragged:
        """Some of the images, over the same buffer."""
        return Ragged(self.flat, self.start[rows], self.height[rows], self.width[rows])

    @property
    def device(self) -> torch.device:
        return self.flat.device

    def to(self, device: torch.device) -> Ragged:
        """With its buffer on `device`, without waiting for that."""
        return replace(self, flat=to_device(self.flat, device))

    def pin_memory(self, device: object = None) -> Ragged:
        """As torch's DataLoader wants it of a batch: `flat` in page-locked memory."""
        return replace(self, flat=self.flat.pin_memory())

    def compact(self) -> Ragged:
        """The same images alone, in a buffer of their own (on the CPU)."""
        flat, sizes = self.flat.numpy(), (3 * self.height * self.width).tolist()
        images = [flat[start : start + size] for start, size in zip(self.start.tolist(), sizes, strict=True)]
        return _together(images, self.height, self.width)


def ragged(images: Sequence[NDArray[np.uint8]]) -> Ragged:
    """uint8 (H, W, 3) images of any sizes as one batch."""
    planes = [np.ascontiguousarray(image.transpose(2, 0, 1)).reshape(-1) for image in images]
    height, width = (torch.tensor([image.shape[axis] for image in images], dtype=torch.int64) for axis in (0, 1))
    return _together(planes, height, width)


def of_squares(images: Tensor) -> Ragged:
    """uint8 (B, 3, H, W) as a ragged batch (one copy)."""
    count, channels, height, width = images.shape
    assert channels == 3
    flat = torch.cat((images.reshape(-1), images.new_zeros(width)))
    each = torch.ones(count, dtype=torch.int64)
    return Ragged(flat, torch.arange(count) * (3 * height * width), each * height, each * width)


def joined(parts: Sequence[Tensor | Ragged]) -> Tensor | Ragged:
    """Batches one after the other, as one: tensors (B, 3, H, W), or ragged batches."""
    ragged_parts = [part for part in parts if isinstance(part, Ragged)]
    if not ragged_parts:
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    flats = [part.flat for part in ragged_parts]
    height, width = (torch.cat([getattr(part, side) for part in ragged_parts]) for side in ("height", "width"))
    if all(flat.data_ptr() == flats[0].data_ptr() for flat in flats):
        return Ragged(flats[0], torch.cat([part.start for part in ragged_parts]), height, width)
    before = np.cumsum([0, *(len(flat) for flat in flats[:-1])]).tolist()
    start = torch.cat([part.start + offset for part, offset in zip(ragged_parts, before, strict=True)])
    return Ragged(torch.cat((*flats, flats[0].new_zeros(int(width.max())))), start, height, width)


def _together(planes: Sequence[NDArray[np.uint8]], height: Tensor, width: Tensor) -> Ragged:
    sizes = 3 * height * width
    slack = np.zeros(int(width.max()) if len(width) else 0, dtype=np.uint8)
    return Ragged(torch.from_numpy(np.concatenate([*planes, slack])), sizes.cumsum(0) - sizes, height, width)
