"""What happens to a batch of training images, in order: crop, flip, policy, colour jitter, normalise, erase.

Every decision is a function of (seed, operation, epoch, sample index), taken on the CPU so that it is the same wherever
the pixels are; the pixels are worked on where they lie. So batch size, splitting, workers and ranks change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from levelfield.data.augment.colour_jitter import Jitter
from levelfield.data.augment.crop_and_flip import Windows, centre_crop, draw_flips, draw_windows, take_windows
from levelfield.data.augment.normalize import CIFAR100_MEAN, CIFAR100_STD, Normalize
from levelfield.data.augment.randaugment import PolicyAugment
from levelfield.data.augment.random_erasing import erase
from levelfield.data.augment.random_resized_crop import draw_parts, take_parts
from levelfield.data.augment.reused_memory import ResultMemory
from levelfield.data.ragged_images import Ragged
from levelfield.data.to_device import to_device
from levelfield.spec import Augment
from levelfield.spec.augment import PadCrop, RandomResizedCrop

CHUNK_VALUES: Final = 1 << 21
"""On a CPU a batch is worked on in pieces of at most about this many values, which bounds the memory between steps."""


@dataclass(eq=False)
class _Transform:
    """From uint8 to what a network of `image_size` px takes, normalised as `augment` says.

    `mean` and `std` (of full scale) hold where `augment.normalize` is `data`. Results come in `memory_format`.
    """

    augment: Augment
    image_size: int
    mean: Sequence[float] = CIFAR100_MEAN
    std: Sequence[float] = CIFAR100_STD
    memory_format: torch.memory_format = torch.contiguous_format

    def __post_init__(self) -> None:
        self.normalize = Normalize(self.augment.normalize, self.mean, self.std, self.memory_format)


class BatchAugment(_Transform):
    """The augmentation of one recipe: call it with (images, sample_index, epoch, seed)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        augment = self.augment
        red, green, blue = (min(255, round(255 * level)) for level in self.normalize.mean)
        self.policy = PolicyAugment(augment.policy, (red, green, blue)) if augment.policy else None
        self.jitter = Jitter(augment.color_jitter) if augment.color_jitter else None
        self._memory = ResultMemory()

    def __call__(self, images: Tensor | Ragged, sample_index: Tensor, epoch: int, seed: int) -> Tensor:
        """Augment uint8 (B,3,H,W) of samples `sample_index` (B,) int64 to float32 (B,3,image_size,image_size).

        Under a random resized crop images may be ragged: of their own sizes. Keep `sample_index` on the CPU: decisions
        are made there, so that an index on a GPU costs a synchronisation.
        """
        size, sample_index, layout = self.image_size, sample_index.cpu(), self.memory_format
        crop, shape = self.augment.crop, (len(images), 3, size, size)
        if isinstance(crop, RandomResizedCrop):
            images = self._resized(crop, images, sample_index, epoch, seed)
        assert isinstance(images, Tensor), "only a random resized crop brings images of their own sizes to one"
        if images.device.type == "cpu":
            out, chunk = self._memory.take(shape, layout), max(1, CHUNK_VALUES // (shape[1] * size * size))
        else:
            out, chunk = torch.empty(shape, device=images.device, memory_format=layout), max(1, len(images))
        for start in range(0, len(images), chunk):
            part = slice(start, start + chunk)
            self.normalize(self.pixels(images[part], sample_index[part], epoch, seed), out[part])
            if self.augment.erasing is not None:
                erase(out[part], self.augment.erasing, sample_index[part], epoch, seed)
        return out

    def _resized(
        self, crop: RandomResizedCrop, images: Tensor | Ragged, sample_index: Tensor, epoch: int, seed: int
    ) -> Tensor:
        """Random resized crop and flip of the whole batch: uint8 (B,3,image_size,image_size)."""
        if isinstance(images, Ragged):
            height, width = images.height, images.width
        else:
            height, width = (torch.full_like(sample_index, extent) for extent in images.shape[2:])
        parts = draw_parts(crop, height, width, sample_index, epoch, seed)
        flip = draw_flips(self.augment.flip, sample_index, epoch, seed)
        return take_parts(images, parts, flip, self.image_size, crop.interpolation)

    def pixels(self, images: Tensor, sample_index: Tensor, epoch: int, seed: int) -> Tensor:
        """Between random resized crop and normalisation: uint8 (B,3,H,W) to uint8 (B,3,image_size,image_size)."""
        resized = isinstance(self.augment.crop, RandomResizedCrop)
        pixels = images if resized else self._crop(images, sample_index, epoch, seed)
        if self.policy is not None:
            pixels = self.policy(pixels, sample_index, epoch, seed)
        if self.jitter is not None:
            pixels = self.jitter(pixels, sample_index, epoch, seed)
        return pixels

    def _crop(self, images: Tensor, sample_index: Tensor, epoch: int, seed: int) -> Tensor:
        """Crop without resizing, and flip, into a new tensor."""
        crop, flip, size = self.augment.crop, self.augment.flip, self.image_size
        stored = (images.shape[2], images.shape[3])
        windows = draw_windows(crop, flip, stored, size, sample_index, epoch, seed)
        windows = Windows(*(to_device(part, images.device) for part in windows))
        padding, fill = (crop.padding_px, crop.fill) if isinstance(crop, PadCrop) else (0, "zero")
        return take_windows(images, windows, size, padding, fill)


class EvalTransform(_Transform):
    """Centre crop and normalise: uint8 (B,3,H,W) to float32 (B,3,image_size,image_size)."""

    def __call__(self, images: Tensor | Ragged) -> Tensor:
        assert isinstance(images, Tensor), "validation and test images are fitted to one size when they are stored"
        return self.normalize(centre_crop(images, self.image_size))


build_augment = BatchAugment
build_eval_transform = EvalTransform
