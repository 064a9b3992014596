"""How an image of any size becomes a square of the stated side (`resize`, `crop`, `pad`), or stays whole.

One path for training and evaluation: Pillow's bilinear or bicubic filter with antialiasing, on uint8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from levelfield.data.sources.readers.contract import Pixels

Kind = Literal["resize", "pad", "crop"]
Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class Fit:
    """`resize`: both sides to `side_px`, the aspect ratio is not kept (the form of the published fine-grained runs).
    `crop`: short side to `side_px`, then the centre. `pad`: scaled down only if larger, then centred on black."""

    kind: Kind
    side_px: int
    interpolation: Interpolation = "bilinear"

    def __str__(self) -> str:
        return f"{self.kind}-{self.side_px}" + ("" if self.interpolation == "bilinear" else f"-{self.interpolation}")

    def apply(self, pixels: Pixels) -> Pixels:
        """uint8 (H, W, 3) -> uint8 (side_px, side_px, 3)."""
        side = self.side_px
        height, width = pixels.shape[:2]
        if (height, width) == (side, side):
            return pixels
        if self.kind == "resize":
            return _scale(pixels, self.interpolation, side, side)
        if self.kind == "crop":
            ratio = side / min(height, width)
            scaled = _scale(
                pixels, self.interpolation, max(side, round(height * ratio)), max(side, round(width * ratio))
            )
            top, left = (scaled.shape[0] - side) // 2, (scaled.shape[1] - side) // 2
            return scaled[top : top + side, left : left + side]
        ratio = min(1.0, side / max(height, width))
        scaled = _scale(pixels, self.interpolation, max(1, round(height * ratio)), max(1, round(width * ratio)))
        canvas = np.zeros((side, side, 3), dtype=np.uint8)
        top, left = (side - scaled.shape[0]) // 2, (side - scaled.shape[1]) // 2
        canvas[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
        return canvas


@dataclass(frozen=True)
class Whole:
    """The whole image at its aspect ratio, its short side scaled down to `short_px` (None: its own size; never up)."""

    short_px: int | None
    interpolation: Interpolation = "bilinear"

    def __str__(self) -> str:
        return "whole" if self.short_px is None else f"short-{self.short_px}-{self.interpolation}"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what `apply` makes of an image of this size."""
        short = min(height, width)
        if self.short_px is None or short <= self.short_px:
            return height, width
        return (2 * height * self.short_px + short) // (2 * short), (2 * width * self.short_px + short) // (2 * short)

    def apply(self, pixels: Pixels) -> Pixels:
        """uint8 (H, W, 3) -> uint8 (H', W', 3)."""
        return _scale(pixels, self.interpolation, *self.size(*pixels.shape[:2]))


def _scale(pixels: Pixels, interpolation: Interpolation, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    kind = Image.Resampling.BICUBIC if interpolation == "bicubic" else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize((width, height), kind))
