"""Weather: snow, fog, brightness; frost.py has the fourth."""

from __future__ import annotations

import numpy as np

from levelfield.analysis.corruptions.blur import along_line
from levelfield.analysis.corruptions.draws import Draws, Floats
from levelfield.analysis.corruptions.resample import zoomed

GREY = np.array([0.299, 0.587, 0.114])


def snow(x: Floats, how: tuple[float, float, float, float, int, float, float], draws: Draws) -> Floats:
    """`how`: mean, spread, zoom and threshold of flakes, radius and sigma of their fall, what is kept of the image."""
    mean, spread, zoom, least, radius, sigma, kept = how
    side = x.shape[1]
    flakes = zoomed((mean + spread * draws.normal(side, side))[..., None], zoom)
    flakes = np.floor(np.clip(np.where(flakes < least, 0, flakes), 0, 1) * 255)
    layer = np.rint(along_line(flakes, radius, sigma, 90 * draws.uniform() - 135)) / 255
    pale = np.maximum(x, (x @ GREY)[..., None] * 1.5 + 0.5)
    return np.asarray(np.clip(kept * x + (1 - kept) * pale + layer + np.rot90(layer, 2, (1, 2)), 0, 1) * 255)


def fog(x: Floats, how: tuple[float, float], draws: Draws) -> Floats:
    """`how`: thickness, and how fast the fog's structure fades with its scale."""
    thickness, decay = how
    side = x.shape[1]
    most = x.max((1, 2, 3), keepdims=True)
    size = 1 << (side - 1).bit_length()
    veiled = x + thickness * plasma(size, decay, draws)[:, :side, :side, None]
    return np.asarray(np.clip(veiled * most / (most + thickness), 0, 1) * 255)


def plasma(size: int, decay: float, draws: Draws) -> Floats:
    """Fractal heights in [0, 1], (B, size, size), `size` a power of two: the diamond-square algorithm on a torus."""
    drawn = draws.uniform(size * size - 1)
    count, wibble, step = len(drawn), 100.0, size
    heights = np.zeros((count, size, size))
    used = 0

    def around(total: Floats) -> Floats:
        nonlocal used
        number = total.shape[1] * total.shape[2]
        own = drawn[:, used : used + number].reshape(total.shape)
        used += number
        return np.asarray(total / 4 + wibble * wibble * (2 * own - 1))

    while step >= 2:
        half = step // 2
        corners = heights[:, ::step, ::step]
        total = corners + np.roll(corners, -1, 1)
        heights[:, half::step, half::step] = around(total + np.roll(total, -1, 2))
        middles = heights[:, half::step, half::step]
        beside = middles + np.roll(middles, 1, 1) + corners + np.roll(corners, -1, 2)
        heights[:, ::step, half::step] = around(beside)
        above = middles + np.roll(middles, 1, 2) + corners + np.roll(corners, -1, 1)
        heights[:, half::step, ::step] = around(above)
        step, wibble = half, wibble / decay
    heights -= heights.min((1, 2), keepdims=True)
    return np.asarray(heights / heights.max((1, 2), keepdims=True))


def brightness(x: Floats, more: float, draws: Draws) -> Floats:
    """The value of HSV raised by `more`: hue and saturation stay, so all channels grow alike; black becomes grey."""
    value = x.max(-1, keepdims=True)
    raised = np.clip(value + more, 0, 1)
    scaled = np.where(value > 0, x * raised / np.where(value > 0, value, 1), raised)
    return np.asarray(np.clip(scaled, 0, 1) * 255)
