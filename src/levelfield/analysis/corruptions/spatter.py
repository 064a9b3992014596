"""Spatter: drops of water, or mud, on the lens."""

from __future__ import annotations

import numpy as np

from levelfield.analysis.corruptions.blur import smooth
from levelfield.analysis.corruptions.draws import Draws, Floats
from levelfield.analysis.corruptions.edges import canny, distance_to, equalised

WATER = np.array([175, 238, 238]) / 255
MUD = np.array([63, 42, 20]) / 255
LIGHT = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
"""Light from one corner of a drop."""


def spatter(x: Floats, how: tuple[float, float, float, float, float, int], draws: Draws) -> Floats:
    """`how`: mean, spread and smoothness of the liquid, its threshold, how much (mud: how smooth), mud or not."""
    mean, spread, sigma, least, strength, mud = how
    side = x.shape[1]
    liquid = smooth(mean + spread * draws.normal(side, side), sigma)
    if mud:
        cover = smooth((liquid > least).astype(np.float64), strength)
        cover = np.where(cover < 0.8, 0, cover)[..., None]
        return np.asarray(np.clip(x * (1 - cover) + MUD * cover, 0, 1) * 255)
    drops = np.where(liquid < least, 0, liquid)
    return np.asarray(np.clip(x + strength * _lit(drops)[..., None] * WATER, 0, 1) * 255)


def _lit(liquid: Floats) -> Floats:
    """Drops (B, H, W) as light falls on them, the brightest pixel of each image 1; 0 where there is no drop."""
    from scipy.ndimage import correlate, uniform_filter

    drops = (liquid * 255).astype(np.uint8)
    distance = distance_to(canny(drops, 50, 150), 20.0)
    even = equalised(uniform_filter(distance, (0, 3, 3), mode="mirror").astype(np.uint8))
    lit = np.clip(correlate(even.astype(np.int64), LIGHT[None], mode="mirror"), 0, 255)
    soft = np.rint(uniform_filter(lit.astype(np.float64), (0, 3, 3), mode="mirror"))
    bright = drops * soft
    most = bright.max((1, 2), keepdims=True)
    return np.asarray(bright / np.where(most > 0, most, 1))
