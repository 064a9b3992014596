"""Shear, translation and rotation of a batch: each image has its own affine map from output to source position.

A map is the six numbers (a, b, c, d, e, f) of ``x_source = a x + b y + c, y_source = d x + e y + f`` in px with the
origin at the image's centre, float64 (n,6) on the CPU. `nearest` takes each output pixel from the source pixel nearest.
The positions are computed in float32 by the same sequence of operations as torchvision's, because multiples of 0.1 put
whole rows exactly between two pixels, where the last bit decides.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Axes = Literal["x", "y", "xy"]
"""Which of the two source coordinates differ from the output's: the other one need not be computed."""


def shear_x(slope: Tensor, height: int, width: int) -> Tensor:
    """Rows move by `slope` (n,) px per px from the top edge; source is right of output for a positive one."""
    return _shear(slope, height, x_on_y=True)


def shear_y(slope: Tensor, height: int, width: int) -> Tensor:
    """Columns move by `slope` (n,) px per px from the left edge; source is below output for a positive one."""
    return _shear(slope, width, x_on_y=False)


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


def _shear(slope: Tensor, extent: int, x_on_y: bool) -> Tensor:
    tangent = torch.tan(torch.deg2rad(torch.rad2deg(torch.atan(slope))))
    offset = tangent * (extent / 2)  # the edge, not the centre, stays in place
    return _maps(slope.shape[0], {1: tangent, 2: offset} if x_on_y else {3: tangent, 5: offset})


def _maps(count: int, entries: dict[int, Tensor]) -> Tensor:
    zeros, ones = torch.zeros(count, dtype=torch.float64), torch.ones(count, dtype=torch.float64)
    identity = (ones, zeros, zeros, zeros, ones, zeros)
    return torch.stack([entries.get(column, values) for column, values in enumerate(identity)], dim=1)


def nearest(images: Tensor, maps: Tensor, axes: Axes = "xy", fill: int = 0, out: Tensor | None = None) -> Tensor:
    """Warp uint8 (n,3,H,W) by `maps`; what comes from outside the image becomes `fill`. `out` may be the images."""
    count, channels, height, width = images.shape
    maps = maps.to(torch.float32).to(images.device)
    x = _source_px(maps[:, :3], 0, height, width) if "x" in axes else _px(width, images.device)
    y = _source_px(maps[:, 3:], 1, height, width) if "y" in axes else _px(height, images.device)[:, None]
    framed = F.pad(images, (1, 1, 1, 1), value=fill)  # one px of fill all round stands for everything outside
    source = (y * (width + 2)).add_(width + 3).add(x).long().view(count, 1, height * width)
    out = torch.empty_like(images) if out is None else out
    planes = framed.view(count, channels, -1)
    torch.gather(planes, 2, source.expand(-1, channels, -1), out=out.view(count, channels, -1))
    return out


def _source_px(coefficients: Tensor, axis: int, height: int, width: int) -> Tensor:
    """One source coordinate of every output pixel, float32 (n,H,W) of whole numbers, -1 or the extent if outside."""
    extent = (width, height)[axis]
    position = _normalised(coefficients, extent, height, width)
    return position.add_(1).mul_(extent / 2).sub_(0.5).round_().clamp_(-1, extent)


def _normalised(coefficients: Tensor, extent: int, height: int, width: int) -> Tensor:
    """A source coordinate with the image's edges at -1 and 1, float32 (n,H,W)."""
    across, along, offset = (coefficients / (0.5 * extent)).view(-1, 3, 1, 1).unbind(1)
    x = _px(width, coefficients.device, centred=True)
    y = _px(height, coefficients.device, centred=True)[:, None]
    return (x * across).add(y * along).add_(offset)


@lru_cache(maxsize=64)
def _px(extent: int, device: torch.device, centred: bool = False) -> Tensor:
    """The positions of a row's pixels, float32 (extent,), from 0 or from the centre."""
    first = (1 - extent) / 2 if centred else 0.0
    return torch.arange(extent, dtype=torch.float32, device=device) + first


def smooth(images: Tensor, maps: Tensor, cubic: Tensor, fill: tuple[int, int, int]) -> Tensor:
    """Warp uint8 (n,3,H,W) by `maps` with bilinear interpolation, bicubic where `cubic` (n,) bool says so.

    As in Pillow, an output pixel whose centre comes from outside the image is `fill`, and others repeat the edge.
    """
    height, width = images.shape[2:]
    maps = maps.to(torch.float32).to(images.device)
    grid = torch.stack(
        [_normalised(maps[:, :3], width, height, width), _normalised(maps[:, 3:], height, height, width)], dim=3
    )
    warped = images.new_empty(images.shape, dtype=torch.float32)
    for mode, rows in (("bilinear", ~cubic), ("bicubic", cubic)):
        if rows.any():
            chosen = rows.nonzero()[:, 0].to(images.device)
            warped[chosen] = F.grid_sample(
                images[chosen].to(torch.float32), grid[chosen], mode, padding_mode="border", align_corners=False
            )
    outside = (grid.abs() > 1).any(3).unsqueeze(1)
    colour = torch.tensor(fill, dtype=torch.float32, device=images.device).view(1, 3, 1, 1)
    return torch.where(outside, colour, warped).round_().clamp_(0, 255).to(torch.uint8)
