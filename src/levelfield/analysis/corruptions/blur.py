"""Blurs: Gaussian, defocus, frosted glass, motion, zoom."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from levelfield.analysis.corruptions.draws import Draws, Floats
from levelfield.analysis.corruptions.resample import zoomed


def smooth(x: Floats, sigma: float, mode: str = "nearest", truncate: float = 4.0) -> Floats:
    """(B, H, W, ...) smoothed over H and W by a Gaussian of `sigma` px, as skimage.filters.gaussian does."""
    from scipy.ndimage import gaussian_filter

    axes = (0, sigma, sigma, *(0 for _ in x.shape[3:]))
    return np.asarray(gaussian_filter(x, axes, mode=mode, truncate=truncate))


def gaussian_blur(x: Floats, sigma: float, draws: Draws) -> Floats:
    return np.asarray(np.clip(smooth(x, sigma), 0, 1) * 255)


def disk(radius: float, alias_blur: float) -> Floats:
    """A disk of `radius` px, its edge softened by a Gaussian over 3 px, cut to where it is not zero."""
    from scipy.ndimage import correlate1d

    reach = np.arange(-8, 9)
    whole = ((reach[:, None] ** 2 + reach[None] ** 2) <= radius**2).astype(np.float64)
    whole /= whole.sum()
    line = np.exp(-np.array([1.0, 0.0, 1.0]) / (2 * alias_blur**2))
    line /= line.sum()
    soft = np.asarray(correlate1d(correlate1d(whole, line, 0, mode="mirror"), line, 1, mode="mirror"))
    edge = min(8, int(radius) + 1)
    return soft[8 - edge : 9 + edge, 8 - edge : 9 + edge]


def defocus_blur(x: Floats, how: Sequence[float], draws: Draws) -> Floats:
    """`how`: radius and softness of the disk."""
    from scipy.ndimage import correlate

    kernel = disk(*how)
    return np.asarray(np.clip(correlate(x, kernel[None, :, :, None], mode="mirror"), 0, 1) * 255)


def glass_blur(x: Floats, how: tuple[float, int, int], draws: Draws) -> Floats:
    """`how`: sigma, how far a pixel comes from, how often. Each pixel becomes one near it, from the lower right on; the
    published code means to swap the two and, by numpy's views, copies one over the other: so does this."""
    sigma, reach, times = how
    side, batch = x.shape[1], np.arange(len(x))
    pixels = (smooth(x, sigma) * 255).astype(np.uint8)
    places = range(side - reach, reach, -1)
    for _ in range(times):
        steps = np.floor(draws.uniform(len(places), len(places), 2) * (2 * reach)).astype(np.int64) - reach
        for i, h in enumerate(places):
            for j, w in enumerate(places):
                pixels[:, h, w] = pixels[batch, h + steps[:, i, j, 1], w + steps[:, i, j, 0]]
    return np.asarray(np.clip(smooth(pixels / 255.0, sigma), 0, 1) * 255)


def along_line(x: Floats, radius: int, sigma: float, degrees: Floats) -> Floats:
    """Images (B, H, W, C) smeared to one side along a line at `degrees` (B,), by half a Gaussian over 2 radius + 1 px;
    what comes from beyond the border is the border pixel (imagecorruptions 1.1.2)."""
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    angle = np.deg2rad(degrees)
    side, batch = np.arange(x.shape[1]), np.arange(len(x))[:, None, None]
    blurred = np.zeros_like(x)
    moving = np.ones(len(x), dtype=bool)  # until the line has left the image
    for step in steps:
        down = np.array([-ceil(step * s - 0.5) for s in np.sin(angle)])
        right = np.array([-ceil(step * c - 0.5) for c in np.cos(angle)])
        moving &= (abs(down) < len(side)) & (abs(right) < len(side))
        rows = np.clip(side[None] - down[:, None], 0, len(side) - 1)
        columns = np.clip(side[None] - right[:, None], 0, len(side) - 1)
        seen = x[batch, rows[:, :, None], columns[:, None, :]]
        blurred += (weights[step] * moving)[:, None, None, None] * seen
    return blurred


def motion_blur(x: Floats, how: tuple[int, float], draws: Draws) -> Floats:
    """`how`: radius and sigma."""
    return np.rint(np.clip(255 * along_line(x, *how, 90 * draws.uniform() - 45), 0, 255))


def zoom_blur(x: Floats, factors: Sequence[float], draws: Draws) -> Floats:
    """The mean of the image and of itself enlarged by each of `factors`."""
    total = x.copy()
    for factor in factors:
        total += zoomed(x, factor)
    return np.asarray(np.clip(total / (len(factors) + 1), 0, 1) * 255)
