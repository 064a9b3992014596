"""How an image of any size becomes a square of the stated side: `resize`, `crop` or `pad`.

One path for training and evaluation: Pillow's bilinear filter with antialiasing, on uint8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from levelfield.data.records import Pixels

Kind = Literal["resize", "pad", "crop"]


@dataclass(frozen=True)
class Fit:
    """`resize`: both sides to `side_px`, the aspect ratio is not kept (the form of the published fine-grained runs).
    `crop`: short side to `side_px`, then the centre. `pad`: scaled down only if larger, then centred on black."""

    kind: Kind
    side_px: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.side_px}"

    def apply(self, pixels: Pixels) -> Pixels:
        """uint8 (H, W, 3) -> uint8 (side_px, side_px, 3)."""
        side = self.side_px
        height, width = pixels.shape[:2]
        if (height, width) == (side, side):
            return pixels
        if self.kind == "resize":
            return _scale(pixels, side, side)
        if self.kind == "crop":
            ratio = side / min(height, width)
            scaled = _scale(pixels, max(side, round(height * ratio)), max(side, round(width * ratio)))
            top, left = (scaled.shape[0] - side) // 2, (scaled.shape[1] - side) // 2
            return scaled[top : top + side, left : left + side]
        ratio = min(1.0, side / max(height, width))
        scaled = _scale(pixels, max(1, round(height * ratio)), max(1, round(width * ratio)))
        canvas = np.zeros((side, side, 3), dtype=np.uint8)
        top, left = (side - scaled.shape[0]) // 2, (side - scaled.shape[1]) // 2
        canvas[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
        return canvas


def _scale(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
