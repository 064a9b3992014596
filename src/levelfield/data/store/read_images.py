"""What is made of images of a data set: all that the pass over them asks of some at a time, or their fitted pixels.

Imports nothing heavy: `image_worker.py` does this in processes of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.data.sources.decode import BadImageError, decode
from levelfield.data.sources.readers.contract import Pixels
from levelfield.data.store.content_identity import DIGEST_BYTES, image_digest
from levelfield.data.store.resize import Fit, Whole

Item = bytes | Pixels | OSError
"""An encoded image, its pixels, or why its file cannot be read."""

_ROWS: Final = 256
"""Levels of so many rows add up to less than 2**16."""

_TOGETHER: Final = 1 << 14
"""Images of at most so many values are summed together: they stay in the processor's cache."""


class Reads(NamedTuple):
    """Some images of the pass: what is told of the n that could be decoded, in their order, and why others could not.

    `places` and the numbers in `bad` count the images that were given. `first` and `second`, float64 (n, 3): means by
    channel of levels and of their squares, in [0, 1]. `native` and `fitted`: uint8 (n, 3, side, side); None where not
    asked for, and `native` where one of them is no square of the side asked for.
    """

    places: list[int]
    bad: list[tuple[int, str]]
    digests: NDArray[np.uint8]
    modes: list[str]
    shapes: list[tuple[int, int]]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    native: Pixels | None
    fitted: Pixels | None


def read(items: Sequence[Item], keep: int, fit: Fit | None) -> Reads:
    """Some images, and the reasons why some are bad; `native` pixels where all are squares of `keep` px."""
    places, bad, images, modes = list[int](), list[tuple[int, str]](), list[Pixels](), list[str]()
    for place, item in enumerate(items):
        try:
            pixels, mode = _decoded(item)
        except (BadImageError, OSError) as error:
            bad.append((place, str(error)))
            continue
        places.append(place)
        images.append(pixels)
        modes.append(mode)
    shapes = [(pixels.shape[0], pixels.shape[1]) for pixels in images]
    digests = np.frombuffer(b"".join(map(image_digest, images)), dtype=np.uint8).reshape(-1, DIGEST_BYTES)
    first, second = _moments(images)
    native = _planes(images, keep) if all(shape == (keep, keep) for shape in shapes) else None
    fitted = None if fit is None else _planes([fit.apply(pixels) for pixels in images], fit.side_px)
    return Reads(places, bad, digests, modes, shapes, first, second, native, fitted)


def fitted(items: Sequence[Item], fit: Fit | Whole) -> list[Pixels]:
    """uint8 (H, W, 3) each. Raises BadImageError or OSError for an image that cannot be read."""
    return [fit.apply(_decoded(item)[0]) for item in items]


def _decoded(item: Item) -> tuple[Pixels, str]:
    if isinstance(item, OSError):
        raise item
    return decode(item)


def _planes(images: list[Pixels], side: int) -> Pixels:
    """Squares (side, side, 3) as uint8 (n, 3, side, side)."""
    out = np.empty((len(images), 3, side, side), dtype=np.uint8)
    for place, pixels in enumerate(images):
        out[place] = pixels.transpose(2, 0, 1)
    return out


def _moments(images: list[Pixels]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of levels and of their squares, in [0, 1], float64 (n, 3) each."""
    together = len({pixels.shape for pixels in images}) == 1 and images[0].size <= _TOGETHER
    groups = [np.stack(images)] if together else [pixels[None] for pixels in images]
    first, second = [np.empty((0, 3))], [np.empty((0, 3))]
    for group in groups:
        px = group.shape[1] * group.shape[2]
        levels, squares = sums(group)
        first.append(levels / (255.0 * px))
        second.append(squares / (255.0**2 * px))
    return np.concatenate(first), np.concatenate(second)


def sums(images: Pixels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The exact sums by channel of the levels of uint8 (n, H, W, 3), and of their squares, int64 (n, 3) each."""
    count, height, width = images.shape[:3]
    rows = images.reshape(count, height, 3 * width)
    levels = np.zeros((count, 3 * width), dtype=np.int64)
    squares = np.zeros((count, 3 * width), dtype=np.int64)
    for start in range(0, height, _ROWS):
        some = rows[:, start : start + _ROWS]
        levels += np.add.reduce(some, axis=1, dtype=np.uint16)
        squares += np.add.reduce(np.multiply(some, some, dtype=np.uint16), axis=1, dtype=np.uint32)
    return levels.reshape(count, width, 3).sum(1), squares.reshape(count, width, 3).sum(1)
