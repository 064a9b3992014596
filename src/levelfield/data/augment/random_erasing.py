"""Random erasing (Zhong et al., arXiv 1708.04896) of normalised batches: a box per chosen image is overwritten."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, NamedTuple

import torch
from torch import Tensor

from levelfield import native, randomness
from levelfield.data.to_device import to_device
from levelfield.spec.augment import Erasing

ATTEMPTS: Final = 10
"""Boxes drawn per image; the first that is smaller than the image in both directions is taken, else none."""


class Boxes(NamedTuple):
    """The boxes of one batch, int64 (m,) each on the CPU: `row` in the batch, top left corner and size in px."""

    row: Tensor
    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def draw_boxes(erasing: Erasing, size: tuple[int, int], sample_index: Tensor, epoch: int, seed: int) -> Boxes:
    """Which images lose which box; `size` is (height, width) of the images in px, `sample_index` (B,) on the CPU."""
    coin = randomness.uniform(seed, "augment.erase", epoch, sample_index)[:, 0]
    drawn = (coin < erasing.probability).nonzero()[:, 0]
    draws = randomness.uniform(seed, "augment.erase", epoch, sample_index[drawn], 3 + 2 * ATTEMPTS).double()
    corner, area, shape = draws[:, 1:3], draws[:, 3 : 3 + ATTEMPTS], draws[:, 3 + ATTEMPTS :]
    low, high = erasing.area
    area = (low + area * (high - low)) * size[0] * size[1]
    low, high = math.log(erasing.ratio[0]), math.log(erasing.ratio[1])
    ratio = torch.exp(low + shape * (high - low))
    heights, widths = torch.sqrt(area * ratio).round().long(), torch.sqrt(area / ratio).round().long()
    fits = (heights < size[0]) & (widths < size[1])
    first = fits.to(torch.int8).argmax(1, keepdim=True)
    height, width = heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]
    chosen = fits.any(1) & (height > 0) & (width > 0)
    top = (corner[:, 0] * (size[0] - height + 1)).long()
    left = (corner[:, 1] * (size[1] - width + 1)).long()
    return Boxes(*(part[chosen] for part in (drawn, top, left, height, width)))


def erase(x: Tensor, erasing: Erasing, sample_index: Tensor, epoch: int, seed: int) -> Tensor:
    """Overwrite boxes in normalised `x` (B,3,H,W) float32, in place: with 0, one normal colour, or noise per pixel.

    `x` is dense (contiguous or channels-last); `sample_index` (B,) int64 lies on the CPU.
    """
    boxes = draw_boxes(erasing, (x.shape[2], x.shape[3]), sample_index, epoch, seed)
    if len(boxes.row) == 0:
        return x
    values = x.as_strided((x.numel(),), (1,))
    if erasing.value == "constant":
        values.index_fill_(0, _places(boxes, x), 0.0)
        return x
    areas, pixel = boxes.height * boxes.width, erasing.value == "pixel"
    words = -(-3 * int(areas.max()) // 4) if pixel else 1  # a word is four values of sixteen bits
    index = to_device(sample_index[boxes.row], x.device)
    drawn = randomness.bits(seed, "augment.erase.noise", epoch, index, words).view(torch.int16)
    quantiles = _quantiles(x.device)
    if x.device.type == "cpu" and native.library() is not None:
        steps, corners = torch.tensor(x.stride()), torch.stack(boxes)
        native.call_on_bytes("lf_erase", values, steps, corners, drawn, quantiles, len(areas), 4 * words, int(pixel))
        return x
    first = torch.repeat_interleave(torch.arange(len(areas)) * (4 * words), areas)
    if pixel:
        nth = torch.arange(len(first)) - torch.repeat_interleave(areas.cumsum(0) - areas, areas)
        first += 3 * nth
    threes = drawn.as_strided((drawn.numel() - 2, 3), (1, 1)).index_select(0, to_device(first, x.device))
    values.scatter_(0, _places(boxes, x), quantiles.index_select(0, threes.view(-1).long().add_(1 << 15)))
    return x


def _places(boxes: Boxes, x: Tensor) -> Tensor:
    """Where in memory every value in a box lies, int64, on x's device: pixel by pixel, the three channels together."""
    channels = torch.arange(3, device=x.device)
    return (to_device(_positions(boxes, x.stride()), x.device)[:, None] + channels * x.stride(1)).view(-1)


def _positions(boxes: Boxes, stride: tuple[int, ...]) -> Tensor:
    """Where in memory the first channel of every pixel in a box lies, int64 (p,), box by box and row by row."""
    rows = torch.repeat_interleave(torch.arange(len(boxes.row)), boxes.height)
    nth = torch.arange(len(rows)) - (boxes.height.cumsum(0) - boxes.height)[rows]
    corner = boxes.row * stride[0] + boxes.top * stride[2] + boxes.left * stride[3]
    start, width = corner[rows] + nth * stride[2], boxes.width[rows]
    before = width.cumsum(0) - width
    return torch.repeat_interleave(start - stride[3] * before, width) + stride[3] * torch.arange(int(width.sum()))


@lru_cache(maxsize=8)
def _quantiles(device: torch.device) -> Tensor:
    """65,536 equally likely values of the standard normal distribution, float32: sixteen random bits choose one.

    Several times faster than an exact transform; that nothing lies beyond 4.2 standard deviations, no network can tell.
    """
    levels = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    values: Tensor = torch.special.ndtri(levels)
    return to_device(values.to(torch.float32), device)
