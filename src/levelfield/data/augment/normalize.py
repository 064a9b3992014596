"""From uint8 levels to normalised float32: (x / 255 - mean) / std, as one multiplication and one addition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import torch
from torch import Tensor

from levelfield.data.to_device import to_device

CIFAR100_MEAN: Final = (0.5071, 0.4865, 0.4409)
CIFAR100_STD: Final = (0.2673, 0.2564, 0.2762)
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


class Normalize:
    """Maps uint8 (B,3,H,W) to float32 (B,3,H,W) by per-channel mean and std, which are in units of full scale.

    `which`: `data` takes the given `mean` and `std`, `imagenet` and `half` (0.5) take their own.
    """

    def __init__(
        self,
        which: Literal["data", "imagenet", "half"],
        mean: Sequence[float],
        std: Sequence[float],
        memory_format: torch.memory_format,
    ) -> None:
        if which == "imagenet":
            mean, std = IMAGENET_MEAN, IMAGENET_STD
        elif which == "half":
            mean, std = (0.5,) * 3, (0.5,) * 3
        # A channel that is the same everywhere has no deviation to divide by: it becomes zero.
        std = [deviation if deviation > 0 else 1.0 for deviation in std]
        self.mean, self.std = tuple(mean), tuple(std)
        self.memory_format = memory_format
        scale = torch.tensor([1 / (255 * deviation) for deviation in std], dtype=torch.float64)
        shift = torch.tensor([-centre / deviation for centre, deviation in zip(mean, std, strict=True)])
        self._scale = scale.to(torch.float32).view(1, -1, 1, 1)
        self._shift = shift.to(torch.float32).view(1, -1, 1, 1)

    def __call__(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        """Normalise into `out` (float32, of the images' shape), or into a new tensor of this memory format."""
        if images.device != self._scale.device:
            self._scale, self._shift = (to_device(each, images.device) for each in (self._scale, self._shift))
        if out is None:
            out = torch.empty(images.shape, device=images.device, memory_format=self.memory_format)
        if self.memory_format == torch.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return out.copy_(images).mul_(self._scale).add_(self._shift)
