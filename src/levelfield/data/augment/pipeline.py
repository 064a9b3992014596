"""What happens to a batch of training images, in order: crop, flip, policy, colour jitter, normalise, erase.

Every decision is a function of (seed, operation, epoch, sample index), taken on the CPU so that it is the same wherever
the pixels are; the pixels are worked on where they lie. So batch size, splitting, workers and ranks change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from levelfield.data.augment.crop import Windows, centre_crop, draw_windows, take_windows
from levelfield.data.augment.normalize import CIFAR100_MEAN, CIFAR100_STD, Normalize
from levelfield.spec import Augment
from levelfield.spec.recipe import PadCrop


class BatchAugment:
    """The augmentation of one recipe: call it with (images, sample_index, epoch, seed)."""

    def __init__(self, augment: Augment, image_size: int, normalize: Normalize) -> None:
        self.augment = augment
        self.image_size = image_size
        self.normalize = normalize

    def __call__(self, images: Tensor, sample_index: Tensor, epoch: int, seed: int) -> Tensor:
        """Augment uint8 (B,3,H,W) of samples `sample_index` (B,) int64 to float32 (B,3,image_size,image_size).

        Keep `sample_index` on the CPU: decisions are made there, so that an index on a GPU costs a synchronisation.
        """
        return self.normalize(self.pixels(images, sample_index.cpu(), epoch, seed))

    def pixels(self, images: Tensor, sample_index: Tensor, epoch: int, seed: int) -> Tensor:
        """The part before normalisation: uint8 (B,3,H,W) to uint8 (B,3,image_size,image_size)."""
        crop, size = self.augment.crop, self.image_size
        stored = (images.shape[2], images.shape[3])
        if crop is None and self.augment.flip == "none":
            return centre_crop(images, size)
        windows = draw_windows(crop, self.augment.flip, stored, size, sample_index, epoch, seed)
        windows = Windows(*(part.to(images.device, non_blocking=True) for part in windows))
        padding, fill = (crop.padding_px, crop.fill) if isinstance(crop, PadCrop) else (0, "zero")
        return take_windows(images, windows, size, padding, fill)


class EvalTransform:
    """Centre crop and normalise: uint8 (B,3,H,W) to float32 (B,3,image_size,image_size)."""

    def __init__(self, image_size: int, normalize: Normalize) -> None:
        self.image_size = image_size
        self.normalize = normalize

    def __call__(self, images: Tensor) -> Tensor:
        return self.normalize(centre_crop(images, self.image_size))


def build_augment(
    augment: Augment,
    image_size: int,
    mean: Sequence[float] = CIFAR100_MEAN,
    std: Sequence[float] = CIFAR100_STD,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> BatchAugment:
    """The training augmentation of `augment` for a network of `image_size` px.

    `mean` and `std` (of full scale) hold where `augment.normalize` is `data`. Results come in `memory_format`.
    """
    return BatchAugment(augment, image_size, Normalize(augment.normalize, mean, std, memory_format))


def build_eval_transform(
    augment: Augment,
    image_size: int,
    mean: Sequence[float] = CIFAR100_MEAN,
    std: Sequence[float] = CIFAR100_STD,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> EvalTransform:
    """The transform of validation and test images under the same normalisation as `augment`."""
    return EvalTransform(image_size, Normalize(augment.normalize, mean, std, memory_format))
