"""Images at other places than their pixels: bilinear, and enlarged about the centre."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from levelfield.analysis.corruptions.draws import Floats

Ints = NDArray[np.int64]


def mirror(place: Ints, size: int) -> Ints:
    """Places beyond the border reflected about the centre of the border pixel (OpenCV's BORDER_REFLECT_101)."""
    period = 2 * size - 2
    folded = place % period
    return np.minimum(folded, period - folded)


def reflect(place: Ints, size: int) -> Ints:
    """Reflected about the border pixel's edge (scipy's "reflect")."""
    folded = place % (2 * size)
    return np.minimum(folded, 2 * size - 1 - folded)


def bilinear(x: Floats, rows: Floats, columns: Floats, fold: Callable[[Ints, int], Ints]) -> Floats:
    """Images (B, H, W, C) read at `rows` and `columns` (B, h, w) px; `fold`: what lies beyond the border."""
    top, left = np.floor(rows), np.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    batch = np.arange(len(x))[:, None, None]
    y = [fold(top.astype(np.int64) + step, x.shape[1]) for step in (0, 1)]
    z = [fold(left.astype(np.int64) + step, x.shape[2]) for step in (0, 1)]
    above = x[batch, y[0], z[0]] * (1 - right) + x[batch, y[0], z[1]] * right
    below = x[batch, y[1], z[0]] * (1 - right) + x[batch, y[1], z[1]] * right
    return np.asarray(above * (1 - down) + below * down)


@cache
def _zooming(size: int, factor: float) -> Floats:
    """The matrix (size, size) that enlarges a line about its centre as scipy.ndimage.zoom of order 1 does, cut back."""
    from scipy.ndimage import zoom

    kept = int(np.ceil(size / factor))
    start = (size - kept) // 2
    large = np.asarray(zoom(np.eye(kept), (factor, 1), order=1))
    trim = (len(large) - size) // 2
    matrix = np.zeros((size, size))
    matrix[:, start : start + kept] = large[trim : trim + size]
    return matrix


def zoomed(x: Floats, factor: float) -> Floats:
    """Images (B, S, S, C) enlarged by `factor` about their centre."""
    matrix = _zooming(x.shape[1], factor)
    lines = np.einsum("ij,bjkc->bikc", matrix, x, optimize=True)
    return np.asarray(np.einsum("kl,bilc->bikc", matrix, lines, optimize=True))
