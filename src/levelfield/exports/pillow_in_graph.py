"""Pillow's antialiased resize in operators that a graph can hold, equal to Pillow's to the byte.

Pillow resamples uint8 in two passes, along one side and then the other. Weights are computed in double precision and
rounded to whole numbers of 2^-22; each pass sums integers, and rounds to uint8. Here a pass is a product of matrices in
float64, in which these integers are exact. A row of the matrix is a pixel of the result, so that crops choose rows and
padding has rows of zeros: the sizes of what comes out never depend on those of the image.
Source: Pillow 13, src/libImaging/Resample.c (`precompute_coeffs`, `normalize_coeffs_8bpc`, `ImagingResampleInner`).
"""

from __future__ import annotations

from typing import Final

import PIL
import torch
from torch import Tensor, nn

from levelfield.data.store.resize import Fit

_ONE: Final = float(1 << 22)
"""A weight of 1."""
_VERTICAL_FIRST_SINCE: Final = 13
"""Since this version of Pillow much taller images are scaled down along their height first."""


class PillowInGraph(nn.Module):
    """uint8 (B, 3, H, W) of any size to uint8 (B, 3, crop_px, crop_px): `fit`, then the centre of it.

    It is what `Fit.apply` makes of each image with the Pillow that is installed, and the centre crop after it.
    """

    def __init__(self, fit: Fit, crop_px: int, branches: bool = True) -> None:
        """`branches`: choose inside the graph not to scale images that have the side already, which only saves time."""
        super().__init__()
        self.fit, self.crop_px, self.skipped, self.branches = fit, crop_px, (fit.side_px - crop_px) // 2, branches
        self.chooses_order = int(PIL.__version__.partition(".")[0]) >= _VERTICAL_FIRST_SINCE

    def forward(self, images: Tensor) -> Tensor:
        if not self.branches:
            return self._scaled(images)
        height, width = (torch.full((), images.shape[axis], dtype=torch.float64) for axis in (2, 3))
        fitted = (height == self.fit.side_px) & (width == self.fit.side_px)
        return torch.cond(fitted, self._centre, self._scaled, (images,))  # type: ignore[no-any-return]

    def _centre(self, images: Tensor) -> Tensor:
        """The centre of images that have the side already."""
        kept = torch.arange(self.crop_px) + self.skipped
        return images.index_select(2, kept).index_select(3, kept)

    def _scaled(self, images: Tensor) -> Tensor:
        height, width = (torch.full((), images.shape[axis], dtype=torch.float64) for axis in (2, 3))
        (tall, top), (wide, left) = self._places(height, width)
        down = weights(images.shape[2], tall, top, self.crop_px, self.fit.interpolation)
        across = weights(images.shape[3], wide, left, self.crop_px, self.fit.interpolation)
        pixels = images.to(torch.float64)
        found = _along_height(_along_width(pixels, across), down)
        if self.chooses_order:
            lost = height - tall
            down_first = (lost > 0) & (lost > 2 * (width - wide))
            other = _along_width(_along_height(pixels, down), across)
            found = torch.where(down_first, other, found)
        return found.to(torch.uint8)

    def _places(self, height: Tensor, width: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Of each side the length that the image is scaled to, and the pixel of that where the result begins."""
        side, least = torch.full((), float(self.fit.side_px), dtype=torch.float64), 1
        if self.fit.kind == "resize":
            tall = wide = side
        else:  # a number over a tensor would be a reciprocal first, and round twice
            if self.fit.kind == "crop":
                ratio, least = side / torch.minimum(height, width), self.fit.side_px
            else:
                ratio = (side / torch.maximum(height, width)).clamp(max=1.0)
            tall, wide = ((length * ratio).round().clamp(min=float(least)) for length in (height, width))
        if self.fit.kind == "pad":
            begins = [-torch.floor((side - length) / 2) for length in (tall, wide)]
        else:
            begins = [torch.floor((length - side) / 2) for length in (tall, wide)]
        return (tall, begins[0] + self.skipped), (wide, begins[1] + self.skipped)


def weights(length: int, scaled: Tensor, begin: Tensor, count: int, interpolation: str) -> Tensor:
    """(count, length) float64 of whole numbers: of `length` pixels scaled to `scaled` the ones from `begin` on.

    `scaled` and `begin` are numbers in tensors (); pixels that lie outside of the scaled image have weights of zero.
    """
    source = torch.arange(length, dtype=torch.float64).unsqueeze(0)
    pixel = (torch.arange(count, dtype=torch.float64) + begin).unsqueeze(1)
    whole = torch.full((), length, dtype=torch.float64)
    scale = whole / scaled
    filter_scale = scale.clamp(min=1.0)
    support = (2.0 if interpolation == "bicubic" else 1.0) * filter_scale
    centre = (pixel + 0.5) * scale
    low = torch.floor(centre - support + 0.5).clamp(min=0.0)
    high = torch.minimum(torch.floor(centre + support + 0.5), whole)
    away = (((source - centre) + 0.5) * (1.0 / filter_scale)).abs()
    raw = _bicubic(away) if interpolation == "bicubic" else (1.0 - away).clamp(min=0.0)
    inside = (source >= low) & (source < high) & (pixel >= 0) & (pixel < scaled)
    raw = torch.where(inside, raw, torch.zeros_like(raw))
    total = raw.sum(1, keepdim=True)
    exact = raw / torch.where(total == 0, torch.ones_like(total), total) * _ONE
    return torch.where(exact < 0, torch.ceil(exact - 0.5), torch.floor(exact + 0.5))


def _bicubic(away: Tensor) -> Tensor:
    near = ((1.5 * away - 2.5) * away) * away + 1.0
    far = (((away - 5.0) * away + 8.0) * away - 4.0) * -0.5
    return torch.where(away < 1, near, torch.where(away < 2, far, torch.zeros_like(away)))


def _along_width(pixels: Tensor, across: Tensor) -> Tensor:
    """(B, 3, H, W) of whole numbers to (B, 3, H, W'), rounded and cut to a byte as Pillow does between its passes."""
    return torch.floor((pixels @ across.T + _ONE / 2) / _ONE).clamp(0.0, 255.0)


def _along_height(pixels: Tensor, down: Tensor) -> Tensor:
    return _along_width(pixels.transpose(2, 3), down).transpose(2, 3)
