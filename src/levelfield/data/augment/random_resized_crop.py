"""Random resized crop (Inception crop; Szegedy et al., arXiv 1409.4842): a part of drawn area and shape, resized.

Resizing is linear in each direction, with Pillow's antialiased weights (bilinear, or bicubic with a = -0.5): along the
rows first, rounded to levels, then along the columns. Weights are whole numbers of 2**-14, and all sums stay below
2**24: float32 holds them exactly, in whatever order a processor sums, so that the levels are the same everywhere. On a
CPU C++ resizes part by part; in torch, and on a GPU, parts of like size are resized together, as two products of
matrices each.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from levelfield import native, randomness
from levelfield.data.ragged_images import Ragged, of_squares
from levelfield.data.to_device import to_device
from levelfield.spec.augment import RandomResizedCrop

ATTEMPTS: Final = 10
"""Parts drawn per image; the first that lies inside is taken, else the largest central one of allowed shape."""

ONE: Final = 1 << 14
"""A weight of one."""

TOGETHER_VALUES: Final = 1 << 23
"""So many values of parts (32 MiB as float32) are resized at a time."""


def draw_parts(
    crop: RandomResizedCrop, height: Tensor, width: Tensor, sample_index: Tensor, epoch: int, seed: int
) -> Tensor:
    """Top, left, height and width in px, int64 (B,4), of the parts to take from images of `height` and `width` (B,)."""
    share = randomness.uniform(seed, "augment.resized_crop.area", epoch, sample_index, ATTEMPTS).double()
    shape = randomness.uniform(seed, "augment.resized_crop.ratio", epoch, sample_index, ATTEMPTS).double()
    rows, columns = height[:, None], width[:, None]
    area = (crop.scale[0] + share * (crop.scale[1] - crop.scale[0])) * rows * columns
    low, high = (math.log(bound) for bound in crop.ratio)
    ratio = torch.exp(low + shape * (high - low))
    widths, heights = torch.sqrt(area * ratio).round().long(), torch.sqrt(area / ratio).round().long()
    fits = (widths > 0) & (widths <= columns) & (heights > 0) & (heights <= rows)
    first = fits.to(torch.int8).argmax(1, keepdim=True)
    part_height, part_width = heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]
    corner = randomness.uniform(seed, "augment.resized_crop.corner", epoch, sample_index, 2).double()
    top = (corner[:, 0] * (height - part_height + 1)).long()
    left = (corner[:, 1] * (width - part_width + 1)).long()
    parts = torch.stack([top, left, part_height, part_width], dim=1)
    return torch.where(fits.any(1, keepdim=True), parts, _fallback(crop, height, width))


def _fallback(crop: RandomResizedCrop, height: Tensor, width: Tensor) -> Tensor:
    """The largest central part of an allowed shape, at least one px, int64 (B,4)."""
    part_height = torch.minimum(height, (width / crop.ratio[0]).round().long().clamp(min=1))
    part_width = torch.minimum(width, (height * crop.ratio[1]).round().long().clamp(min=1))
    return torch.stack([(height - part_height) // 2, (width - part_width) // 2, part_height, part_width], dim=1)


def take_parts(images: Tensor | Ragged, parts: Tensor, flip: Tensor, size: int, interpolation: str) -> Tensor:
    """Resize each part (antialiased) to `size` px, mirrored where `flip`; uint8 (B,3,size,size).

    `images` are uint8 (B,3,H,W) or ragged; `parts` (B,4) and `flip` (B,) lie on the CPU.
    """
    given = of_squares(images) if isinstance(images, Tensor) else images
    if len(given) == 0:  # a rank's part of a short last batch
        return torch.empty(0, 3, size, size, dtype=torch.uint8, device=given.device)
    out = torch.empty(len(given), 3, size, size, dtype=torch.uint8, device=given.device)
    if native.usable_on_bytes(given.flat):
        where = (column.contiguous() for column in (given.start, given.height, given.width, parts, flip))
        native.call_on_bytes(
            "lf_resize_parts", given.flat, *where, out, len(given), size, int(interpolation == "bicubic")
        )
        return out
    order = torch.argsort(parts[:, 2] * parts[:, 3], stable=True)  # of like size together: little is padded
    for rows in torch.split(order, _group_sizes(parts[order, 2:].tolist())):
        out[to_device(rows, given.device)] = _resized(given[rows], parts[rows], flip[rows], size, interpolation)
    return out


def _group_sizes(sizes: list[list[int]]) -> list[int]:
    """How many of the parts of `sizes` (height, width), in this order, are worked on together each time."""
    groups, count, tall, wide = [], 0, 0, 0
    for height, width in sizes:
        tall, wide = max(tall, height), max(wide, width)
        if count and 3 * (count + 1) * tall * wide > TOGETHER_VALUES:
            groups.append(count)
            count, tall, wide = 0, height, width
        count += 1
    return [*groups, count]


def _resized(images: Ragged, parts: Tensor, flip: Tensor, size: int, interpolation: str) -> Tensor:
    """The parts of some images, all padded to the largest: uint8 (n,3,size,size)."""
    top, left, height, width = parts.unbind(1)
    count, tall, wide, device = len(parts), int(height.max()), int(width.max()), images.device
    exact = device.type != "cpu" or torch.get_float32_matmul_precision() != "highest"  # else products may be cut short
    dtype = torch.float64 if exact else torch.float32
    runs = images.flat.as_strided((images.flat.numel() - wide + 1, wide), (1, 1))
    row = torch.minimum(torch.arange(tall), height[:, None] - 1)  # below a part its last row, with no weight
    plane = torch.arange(3)[:, None] * (images.height * images.width)[:, None, None]
    corner = images.start + top * images.width + left
    begin = corner[:, None, None] + plane + (row * images.width[:, None])[:, None]
    pixels = runs.index_select(0, to_device(begin.view(-1), device)).to(dtype).view(count, 3 * tall, wide)
    across = to_device(_weights(width, size, wide, flip, interpolation), device).to(dtype)
    along = to_device(_weights(height, size, tall, torch.zeros_like(flip), interpolation), device).to(dtype)
    narrow = _levels(torch.bmm(pixels, across.transpose(1, 2))).view(count, 3, tall, size)
    return _levels(torch.matmul(along[:, None], narrow)).to(torch.uint8)


def _levels(sums: Tensor) -> Tensor:
    """Weighted sums as whole levels 0..255, halves upwards as in Pillow, in place."""
    return sums.add_(ONE // 2).mul_(1 / ONE).floor_().clamp_(0, 255)


def _weights(extent: Tensor, size: int, padded: int, mirrored: Tensor, interpolation: str) -> Tensor:
    """The share of each of `extent` (n,) px in each of `size` px, float32 (n,size,padded) of whole numbers.

    Those of one output pixel sum to ONE. `mirrored` (n,) bool counts the output from the other end.
    """
    scale = (extent.double() / size)[:, None]
    stretch = scale.clamp(min=1.0)
    support = stretch * (2.0 if interpolation == "bicubic" else 1.0)
    place = torch.arange(size)
    place = torch.where(mirrored[:, None], size - 1 - place, place)
    centre = (place + 0.5) * scale
    first = (centre - support + 0.5).floor().clamp_(min=0)
    last = torch.minimum((centre + support + 0.5).floor(), extent[:, None].double())
    taps = int((2 * support.max()).ceil()) + 1
    source = first[:, :, None] + torch.arange(taps)
    distance = ((source - centre[:, :, None] + 0.5) / stretch[:, :, None]).abs_()
    weight = _cubic(distance) if interpolation == "bicubic" else (1 - distance).clamp_(min=0)
    weight = torch.where(source < last[:, :, None], (weight * (1 << 20)).round_(), 0.0)
    weight = (weight * (ONE / weight.sum(2, keepdim=True))).round_()
    middle = (centre.floor() - first).long().clamp_(max=taps - 1)[:, :, None]
    weight.scatter_add_(2, middle, ONE - weight.sum(2, keepdim=True))  # what rounding left goes to the nearest pixel
    where = torch.minimum(source, extent[:, None, None] - 1.0).long()
    return torch.zeros(len(extent), size, padded).scatter_add_(2, where, weight.to(torch.float32))


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -0.5; 0 from 2 px on."""
    near = (distance * 1.5 - 2.5) * distance * distance + 1
    far = ((distance * -0.5 + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
