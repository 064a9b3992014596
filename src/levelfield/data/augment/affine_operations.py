"""Shear, translation and rotation of a batch: each image has its own affine map from output to source position.

A map is the six numbers (a, b, c, d, e, f) of ``x_source = a x + b y + c, y_source = d x + e y + f`` in px with the
origin at the image's centre, float64 (n,6) on the CPU. Positions are whole numbers, of 2**-20 px: each of the two terms
is rounded to them from float64, and their sum is exact. So which pixel is nearest, or how near it is, does not depend
on the processor, also where a map puts whole rows exactly between two pixels (shears by multiples of 0.2, say).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from levelfield import native
from levelfield.data.to_device import to_device

BITS: Final = 20
"""Positions are whole numbers of 2**-BITS px."""

SMALL_PX: Final = 900
"""Up to this side, positions fit 32 bits, wherever a map of these operations points."""

Axes = Literal["x", "y", "xy"]
"""Which of the two source coordinates differ from the output's: the other one need not be computed."""


def shear_x(slope: Tensor, height: int, width: int) -> Tensor:
    """Rows move by `slope` (n,) px per px from the top edge; source is right of output for a positive one."""
    return _maps(slope.shape[0], {1: slope, 2: slope * (height / 2)})  # the edge, not the centre, stays in place


def shear_y(slope: Tensor, height: int, width: int) -> Tensor:
    """Columns move by `slope` (n,) px per px from the left edge; source is below output for a positive one."""
    return _maps(slope.shape[0], {3: slope, 5: slope * (width / 2)})


def translate_x(shift_px: Tensor, height: int, width: int) -> Tensor:
    """The image moves right by `shift_px` (n,)."""
    return _maps(shift_px.shape[0], {2: -shift_px})


def translate_y(shift_px: Tensor, height: int, width: int) -> Tensor:
    """The image moves down by `shift_px` (n,)."""
    return _maps(shift_px.shape[0], {5: -shift_px})


def rotate(degrees: Tensor, height: int, width: int) -> Tensor:
    """The image turns counter-clockwise by `degrees` (n,) about its centre."""
    radians = torch.deg2rad(-torch.remainder(degrees, 360))
    cos, sin = torch.cos(radians), torch.sin(radians)
    return _maps(degrees.shape[0], {0: cos, 1: sin, 3: -sin, 4: cos})


def _maps(count: int, entries: dict[int, Tensor]) -> Tensor:
    zeros, ones = torch.zeros(count, dtype=torch.float64), torch.ones(count, dtype=torch.float64)
    identity = (ones, zeros, zeros, zeros, ones, zeros)
    return torch.stack([entries.get(column, values) for column, values in enumerate(identity)], dim=1)


def nearest(images: Tensor, maps: Tensor, axes: Axes = "xy", fill: int = 0, out: Tensor | None = None) -> Tensor:
    """Warp uint8 (n,3,H,W) by `maps`; what comes from outside the image becomes `fill`. `out` may be the images.

    A position exactly between two pixels takes the one to the right of it or below.
    """
    count, channels, height, width = images.shape
    maps = to_device(maps, images.device)
    if _in_bytes(images):
        warped = torch.empty_like(images)
        native.call_on_bytes("lf_warp_nearest", images, maps.contiguous(), warped, count, height, width, fill)
        return warped if out is None else out.copy_(warped)
    x = _nearest_px(maps[:, :3], 0, height, width) if "x" in axes else _px(width, images.device)
    y = _nearest_px(maps[:, 3:], 1, height, width) if "y" in axes else _px(height, images.device)[:, None]
    framed = F.pad(images, (1, 1, 1, 1), value=fill)  # one px of fill all round stands for everything outside
    source = (y * (width + 2)).add_(width + 3).add(x).long().view(count, 1, height * width)
    out = torch.empty_like(images) if out is None else out
    planes = framed.view(count, channels, -1)
    torch.gather(planes, 2, source.expand(-1, channels, -1), out=out.view(count, channels, -1))
    return out


def _nearest_px(coefficients: Tensor, axis: int, height: int, width: int) -> Tensor:
    """One source coordinate of every output pixel, int (n,H,W) of whole px, -1 or the extent if outside."""
    return _positions(coefficients, axis, height, width).bitwise_right_shift_(BITS).clamp_(-1, (width, height)[axis])


def _positions(coefficients: Tensor, axis: int, height: int, width: int) -> Tensor:
    """One source coordinate of the centre of every output pixel, from the image's edge, int (n,H,W) of 2**-20 px."""
    across, along, offset = coefficients.view(-1, 3, 1, 1).unbind(1)
    x = across * _centred(width, coefficients.device) + (offset + (width, height)[axis] / 2)
    y = along * _centred(height, coefficients.device)[:, None]
    small = max(height, width) <= SMALL_PX
    x, y = ((term * (1 << BITS)).round_().to(torch.int32 if small else torch.int64) for term in (x, y))
    return x + y


def _in_bytes(images: Tensor) -> bool:
    """Whether C++ warps these images, in 32 bits."""
    return max(images.shape[2:]) <= SMALL_PX and native.usable_on_bytes(images)


@lru_cache(maxsize=64)
def _px(extent: int, device: torch.device) -> Tensor:
    """The positions of a row's pixels, int32 (extent,)."""
    return torch.arange(extent, dtype=torch.int32, device=device)


@lru_cache(maxsize=64)
def _centred(extent: int, device: torch.device) -> Tensor:
    """The positions of a row's pixels from its centre, float64 (extent,)."""
    return torch.arange(extent, dtype=torch.float64, device=device) + (1 - extent) / 2


def smooth(images: Tensor, maps: Tensor, cubic: Tensor, fill: tuple[int, int, int]) -> Tensor:
    """Warp uint8 (n,3,H,W) by `maps` with bilinear interpolation, bicubic where `cubic` (n,) bool says so.

    As in Pillow, an output pixel whose centre comes from outside the image is `fill`, others repeat the edge, and the
    bicubic kernel has a = -0.5. Positions count to 1/256 px and weights to 1/1024, so that all sums are whole numbers.
    """
    out = torch.empty_like(images)
    if _in_bytes(images):
        height, width = images.shape[2:]
        kernels = (_kernel(taps, images.device) for taps in (2, 4))
        native.call_on_bytes(
            "lf_warp_smooth", images, maps.contiguous(), cubic.contiguous(), *kernels,
            torch.tensor(fill, dtype=torch.uint8), out, len(images), height, width,
        )  # fmt: skip
        return out
    for taps, rows in ((2, ~cubic), (4, cubic)):
        if rows.any():
            chosen = to_device(rows.nonzero()[:, 0], images.device)
            out[chosen] = _interpolated(images[chosen], to_device(maps, images.device)[chosen], taps, fill)
    return out


def _interpolated(images: Tensor, maps: Tensor, taps: int, fill: tuple[int, int, int]) -> Tensor:
    """`images` warped by `maps`, each output pixel from `taps` x `taps` pixels around its source."""
    count, channels, height, width = images.shape
    planes, weights = images.view(count, channels, -1), _kernel(taps, images.device)
    inside, places, weight = [], [], []
    for axis, (extent, step) in enumerate(((width, 1), (height, width))):
        edge = _positions(maps[:, 3 * axis : 3 * axis + 3], axis, height, width)
        inside.append((edge >= 0) & (edge < extent << BITS))
        near = (edge - ((1 << (BITS - 1)) - (1 << (BITS - 9)))) >> (BITS - 8)  # from the pixels' centres, in 1/256 px
        first = (near >> 8).long() - (taps // 2 - 1)
        places.append([((first + tap).clamp_(0, extent - 1) * step).view(count, 1, -1) for tap in range(taps)])
        weight.append(weights.index_select(1, (near & 255).view(-1)).view(taps, count, 1, -1))
    total = torch.zeros(count, channels, height * width, dtype=torch.int32, device=images.device)
    for down in range(taps):
        row = torch.zeros_like(total)
        for right in range(taps):
            source = (places[1][down] + places[0][right]).expand(-1, channels, -1)
            row += planes.gather(2, source) * weight[0][right]
        total += row.mul_(weight[1][down])
    levels = ((total + (1 << 19)) >> 20).clamp_(0, 255).to(torch.uint8).view(images.shape)
    colour = to_device(torch.tensor(fill, dtype=torch.uint8), images.device).view(1, 3, 1, 1)
    return torch.where((inside[0] & inside[1]).unsqueeze(1), levels, colour)


@lru_cache(maxsize=8)
def _kernel(taps: int, device: torch.device) -> Tensor:
    """The weights of `taps` pixels at 256 positions between the two middle ones, int32 (taps, 256) of 1/1024."""
    rows = []
    for position in range(256):
        distances = [abs(position / 256 + taps // 2 - 1 - tap) for tap in range(taps)]
        row = [round(1024 * (1 - d if taps == 2 else _cubic(d))) for d in distances]
        row[row.index(max(row))] += 1024 - sum(row)
        rows.append(row)
    return to_device(torch.tensor(rows, dtype=torch.int32).T.contiguous(), device)


def _cubic(distance: float) -> float:
    """Keys' cubic kernel with a = -0.5 at `distance` px below 2."""
    if distance < 1:
        return (1.5 * distance - 2.5) * distance * distance + 1
    return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
