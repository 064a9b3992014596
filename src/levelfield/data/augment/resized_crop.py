"""Random resized crop (Inception crop; Szegedy et al., arXiv 1409.4842): a part of drawn area and shape, resized."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from levelfield import randomness
from levelfield.spec.recipe import RandomResizedCrop

ATTEMPTS: Final = 10
"""Parts drawn per image; the first that lies inside is taken, else the largest central one of allowed shape."""


def draw_parts(crop: RandomResizedCrop, stored: tuple[int, int], sample_index: Tensor, epoch: int, seed: int) -> Tensor:
    """Top, left, height and width in px, int64 (B,4), of the parts to take from images of `stored` (height, width)."""
    height, width = stored
    share = randomness.uniform(seed, "augment.resized_crop.area", epoch, sample_index, ATTEMPTS).double()
    shape = randomness.uniform(seed, "augment.resized_crop.ratio", epoch, sample_index, ATTEMPTS).double()
    area = (crop.scale[0] + share * (crop.scale[1] - crop.scale[0])) * height * width
    low, high = (math.log(bound) for bound in crop.ratio)
    ratio = torch.exp(low + shape * (high - low))
    widths, heights = torch.sqrt(area * ratio).round().long(), torch.sqrt(area / ratio).round().long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.to(torch.int8).argmax(1, keepdim=True)
    part_height, part_width = heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]
    corner = randomness.uniform(seed, "augment.resized_crop.corner", epoch, sample_index, 2).double()
    top = (corner[:, 0] * (height - part_height + 1)).long()
    left = (corner[:, 1] * (width - part_width + 1)).long()
    parts = torch.stack([top, left, part_height, part_width], dim=1)
    return torch.where(fits.any(1, keepdim=True), parts, torch.tensor([_fallback(crop, height, width)]))


def _fallback(crop: RandomResizedCrop, height: int, width: int) -> list[int]:
    part_height, part_width = height, width
    if width / height < crop.ratio[0]:
        part_height = round(width / crop.ratio[0])
    elif width / height > crop.ratio[1]:
        part_width = round(height * crop.ratio[1])
    return [(height - part_height) // 2, (width - part_width) // 2, part_height, part_width]


def take_parts(images: Tensor, parts: Tensor, flip: Tensor, size: int, interpolation: str) -> Tensor:
    """Resize each part (antialiased) of uint8 (B,3,H,W) to `size` px, mirrored where `flip`; uint8 (B,3,size,size).

    `parts` (B,4) and `flip` (B,) lie on the CPU. Every image is resized from another size, so this goes one by one.
    """
    native = images.device.type == "cpu"  # only the CPU resizes uint8 itself
    out = images.new_empty(len(images), images.shape[1], size, size)
    for row, ((top, left, height, width), mirrored) in enumerate(zip(parts.tolist(), flip.tolist(), strict=True)):
        part = images[row : row + 1, :, top : top + height, left : left + width]
        part = part if native else part.to(torch.float32)
        resized = F.interpolate(part, (size, size), mode=interpolation, align_corners=False, antialias=True)
        resized = resized if native else resized.clamp_(0, 255).round_()
        out[row] = (resized.flip(3) if mirrored else resized)[0]
    return out
