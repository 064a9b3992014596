"""What is made of one image of a data set: everything that the pass over all images asks of it, or its fitted pixels.

Imports nothing heavy: `image_worker.py` does this in processes of its own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.data.sources.decode import BadImageError, decode
from levelfield.data.sources.readers.contract import Pixels
from levelfield.data.store.content_identity import image_digest
from levelfield.data.store.resize import Fit, Whole

Item = bytes | Pixels | OSError
"""An encoded image, its pixels, or why its file cannot be read."""

_ROWS: Final = 256
"""Levels of so many rows add up to less than 2**16."""


class Read(NamedTuple):
    """One image of the pass; `first` and `second`: means by channel of its levels and of their squares, in [0, 1]."""

    digest: bytes
    mode: str
    shape: tuple[int, int]
    first: list[float]
    second: list[float]
    native: Pixels | None
    fitted: Pixels | None


def read(item: Item, keep: int, fit: Fit | None) -> Read | str:
    """An image, or the reason why it is bad; its pixels as they are where it is a square of `keep` px."""
    try:
        pixels, mode = _decoded(item)
    except (BadImageError, OSError) as error:
        return str(error)
    height, width = pixels.shape[:2]
    levels, squares = sums(pixels)
    return Read(
        image_digest(pixels),
        mode,
        (height, width),
        (levels / (255.0 * height * width)).tolist(),
        (squares / (255.0**2 * height * width)).tolist(),
        pixels if height == width == keep else None,
        None if fit is None else fit.apply(pixels),
    )


def fitted(item: Item, fit: Fit | Whole) -> Pixels:
    """uint8 (H, W, 3). Raises BadImageError or OSError for an image that cannot be read."""
    return fit.apply(_decoded(item)[0])


def _decoded(item: Item) -> tuple[Pixels, str]:
    if isinstance(item, OSError):
        raise item
    return decode(item)


def sums(pixels: Pixels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The exact sums by channel of the levels of uint8 (H, W, 3), and of their squares, int64 (3,) each."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, 3 * width)
    levels = np.zeros(3 * width, dtype=np.int64)
    squares = np.zeros(3 * width, dtype=np.int64)
    for start in range(0, height, _ROWS):
        some = rows[start : start + _ROWS]
        levels += np.add.reduce(some, axis=0, dtype=np.uint16)
        squares += np.add.reduce(np.multiply(some, some, dtype=np.uint16), axis=0, dtype=np.uint32)
    return levels.reshape(width, 3).sum(0), squares.reshape(width, 3).sum(0)
