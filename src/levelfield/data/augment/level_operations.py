"""Operations that map each level of a channel to another: one table of 256 levels per image and channel.

A table builder takes uint8 images (n,3,H,W) and one argument per image, float64 (n,) on the CPU, and returns uint8
tables (n,3,256) or (n,1,256) where the channels share one; `look_up` applies them. Equal to
torchvision.transforms.v2.functional, level by level. No product is added in the same step (`addcmul`, `add(alpha=)`
of fractions): processors with fused multiply-add would round it once, others twice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from levelfield import native
from levelfield.data.to_device import to_device

PIECE: Final = 1 << 17
"""Values that are looked up at a time on a CPU."""


def look_up(images: Tensor, tables: Tensor, out: Tensor | None = None) -> Tensor:
    """Replace each level of uint8 (n,3,H,W) by its entry in uint8 `tables` (n,3,256); `out` may be the images."""
    out = torch.empty_like(images) if out is None else out
    if native.usable_on_bytes(images):
        native.call_on_bytes("lf_look_up", images, tables.contiguous(), out, 3 * len(images), images[0, 0].numel())
        return out
    planes, rows, into = images.view(-1, images[0, 0].numel()), tables.flatten(0, 1), out.view(-1, out[0, 0].numel())
    if images.device.type != "cpu":
        torch.gather(rows, 1, planes.long(), out=into)
        return out
    count = max(1, PIECE // planes.shape[1])  # an index is eight bytes: a piece of it stays in the processor's cache
    for start in range(0, planes.shape[0], count):
        piece = slice(start, start + count)
        torch.gather(rows[piece], 1, planes[piece].long(), out=into[piece])
    return out


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Levels times `factor`."""
    return _quantise(_levels(images.device) * _per_image(factor, images))


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Levels blended with the image's mean grey: `factor` of the level, 1 - `factor` of the mean."""
    mean = _grey_sums(images).to(torch.float32) / images[0, 0].numel()
    share = mean.view(-1, 1, 1) * _per_image(torch.rsub(factor, 1), images)
    return _quantise(_levels(images.device) * _per_image(factor, images) + share)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest `bits` bits; 0 bits make black (as Pillow did before it refused them), 8 change nothing."""
    mask = (0xFF00 >> bits.long().clamp(0, 8)) & 0xFF
    return _levels(images.device, torch.uint8) & to_device(mask.to(torch.uint8), images.device).view(-1, 1, 1)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the levels at or above `threshold`."""
    levels = _levels(images.device, torch.uint8)
    return torch.where(levels >= _per_image(threshold, images), levels.bitwise_not(), levels)


def solarize_add(images: Tensor, addition: Tensor) -> Tensor:
    """Add `addition`, a whole number, to the levels below 128."""
    levels = _levels(images.device)
    return _quantise(torch.where(levels < 128, levels + _per_image(addition, images), levels))


def add_and_solarize(images: Tensor, addition: Tensor) -> Tensor:
    """Add `addition` to all levels, then invert those at or above 128."""
    raised = _quantise(_levels(images.device) + _per_image(addition, images))
    return torch.where(raised >= 128, raised.bitwise_not(), raised)


def invert(images: Tensor, _: Tensor) -> Tensor:
    """255 - level."""
    return _levels(images.device, torch.uint8).bitwise_not().expand(images.shape[0], 1, 256)


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel to the full range; a flat channel stays as it is."""
    low, high = (edge.to(torch.float32).unsqueeze(-1) for edge in _extremes(images))
    flat_channel = high == low
    scale = torch.where(flat_channel, 1.0, (high - low) * (1.0 / 255))
    return _quantise((_levels(images.device) - torch.where(flat_channel, 0.0, low)) / scale)


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Flatten each channel's histogram (Pillow's integer scheme); a channel that fills too few bins stays as it is."""
    counts, px = _counts(images), images[0, 0].numel()
    below = counts.cumsum(2, dtype=torch.int32)
    highest = counts.gather(2, below.argmax(2, keepdim=True))  # the count of the highest level that occurs
    step = (px - highest).div(255, rounding_mode="floor")
    # float32 divides whole numbers below 2**24 exactly enough for the floor, and much faster than integers are divided
    table = (below - counts + step // 2).to(torch.float32).div_(step.clamp(min=1)).floor_().clamp_(0, 255)
    table[:, :, 0] = 0
    return torch.where(step == 0, _levels(images.device, torch.uint8), table.to(torch.uint8))


def _grey_sums(images: Tensor) -> Tensor:
    """The sum of each image's grey levels, a whole number of any dtype (n,)."""
    if native.usable_on_bytes(images):
        sums = torch.empty(len(images), dtype=torch.int64)
        native.call_on_bytes("lf_sum_grey", images, sums, len(images), images[0, 0].numel())
        return sums
    return grey_levels(images).sum((1, 2, 3), dtype=torch.float64)


def _extremes(images: Tensor) -> tuple[Tensor, ...]:
    """The least and the greatest level of each channel, uint8 (n,3) each."""
    if native.usable_on_bytes(images):
        extremes = images.new_empty(len(images), 3, 2)
        native.call_on_bytes("lf_extremes", images, extremes, 3 * len(images), images[0, 0].numel())
        return extremes.unbind(2)
    flat = images.flatten(2)
    return flat.amin(2), flat.amax(2)


def _counts(images: Tensor) -> Tensor:
    """How many px of each channel have each level, int32 (n,3,256)."""
    counts = torch.zeros(*images.shape[:2], 256, dtype=torch.int32, device=images.device)
    if native.usable_on_bytes(images):
        native.call_on_bytes("lf_count_levels", images, counts, 3 * len(images), images[0, 0].numel())
        return counts
    levels = images.flatten(2).long()
    return counts.scatter_add_(2, levels, counts.new_ones(1).expand_as(levels))


def grey_levels(images: Tensor) -> Tensor:
    """Luma 0.2989 R + 0.587 G + 0.114 B of uint8 (n,3,H,W), rounded down, as float32 (n,1,H,W).

    Ten thousand times it is a whole number below 2**24, which float32 holds exactly, in whatever order it is summed.
    """
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return red.mul(2989.0).add_(green, alpha=5870.0).add_(blue, alpha=1140.0).div_(10_000).floor_()


@lru_cache(maxsize=8)
def _levels(device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.arange(256, dtype=dtype, device=device).view(1, 1, 256)


def _per_image(argument: Tensor, images: Tensor) -> Tensor:
    """float64 (n,) on the CPU as float32 (n,1,1) beside the images."""
    return to_device(argument.to(torch.float32), images.device).view(-1, 1, 1)


def _quantise(levels: Tensor) -> Tensor:
    """Clip to 0..255 and cut the fraction off."""
    return levels.clamp_(0, 255).to(torch.uint8)
