"""A map of relevance laid over its image, as a small PNG: dark where it is low, yellow where it is high."""

from __future__ import annotations

import base64
import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE_PX: Final = 96
"""Larger images are scaled down to this side."""
SHARE: Final = 0.6
"""Of the colour; the rest is the image in grey."""
COLOURS: Final = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float32)
"""From low to high, evenly spaced: five of matplotlib's inferno, which rises in lightness throughout."""


def picture(image: NDArray[np.uint8]) -> str:
    """The image (3, H, W) as PNG in base64."""
    return _png(_small(image))


def overlaid(image: NDArray[np.uint8], relevance: NDArray[np.float32]) -> str:
    """The image (3, H, W) below `relevance` (h, w), from 0 to 1, as PNG in base64."""
    below = _small(image)
    size, grey = below.size, np.asarray(below.convert("L"), np.float32)[..., None]
    wide = Image.fromarray(relevance.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    at = np.asarray(wide) * (len(COLOURS) - 1)
    colour = np.stack([np.interp(at, range(len(COLOURS)), channel) for channel in COLOURS.T], -1)
    return _png(Image.fromarray((SHARE * colour + (1 - SHARE) * grey).round().astype(np.uint8)))


def _small(image: NDArray[np.uint8]) -> Image.Image:
    found = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    found.thumbnail((SIDE_PX, SIDE_PX))
    return found


def _png(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()
