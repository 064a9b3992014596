"""Digital: contrast, saturation, elastic deformation, pixels, JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from levelfield.analysis.corruptions.blur import smooth
from levelfield.analysis.corruptions.draws import Draws, Floats
from levelfield.analysis.corruptions.resample import bilinear, mirror, reflect


def contrast(x: Floats, kept: float, draws: Draws) -> Floats:
    """Distances from each channel's mean are `kept` of what they were."""
    means = x.mean((1, 2), keepdims=True)
    return np.asarray(np.clip((x - means) * kept + means, 0, 1) * 255)


def saturate(x: Floats, how: tuple[float, float], draws: Draws) -> Floats:
    """The saturation of HSV times and plus `how`; grey pixels, which have the hue red, become reddish."""
    times, plus = how
    value = x.max(-1, keepdims=True)
    spread = value - x.min(-1, keepdims=True)
    saturation = spread / np.where(value > 0, value, 1)
    wanted = np.clip(saturation * times + plus, 0, 1)
    coloured = value - (value - x) * wanted / np.where(saturation > 0, saturation, 1)
    grey = np.concatenate([value, value * (1 - wanted), value * (1 - wanted)], -1)
    return np.asarray(np.clip(np.where(saturation > 0, coloured, grey), 0, 1) * 255)


def elastic_transform(x: Floats, how: tuple[float, float, float], draws: Draws) -> Floats:
    """`how`, in sides of the image: how far pixels move, how smoothly, and how far three points of an affine map do."""
    side = x.shape[1]
    far, smoothness, shift = (side * part for part in how)
    moved = _affine(x, shift * (2 * draws.uniform(3, 2) - 1))
    fields = [smooth(2 * draws.uniform(side, side) - 1, smoothness, "reflect", 3.0) * far for _ in range(2)]
    right, down = fields
    rows, columns = np.meshgrid(np.arange(side, dtype=np.float64), np.arange(side, dtype=np.float64), indexing="ij")
    places = np.asarray(rows + down, dtype=np.float64), np.asarray(columns + right, dtype=np.float64)
    return np.asarray(np.clip(bilinear(moved, *places, reflect), 0, 1) * 255)


def _affine(x: Floats, shifts: Floats) -> Floats:
    """Images by the affine map that moves three points about the centre by `shifts` (B, 3, 2), x before y."""
    side = x.shape[1]
    centre, reach = side // 2, side // 3
    points = np.array([[centre + reach, centre + reach], [centre + reach, centre - reach],
                       [centre - reach, centre - reach]], dtype=np.float64)  # fmt: skip
    whole = np.concatenate([points + shifts, np.ones((len(x), 3, 1))], -1)
    back = np.linalg.solve(whole, np.broadcast_to(points, shifts.shape))  # from where each pixel comes
    rows, columns = np.meshgrid(np.arange(side, dtype=np.float64), np.arange(side), indexing="ij")
    places: Floats = np.asarray(np.stack([columns, rows, np.ones_like(rows)], -1)[None] @ back[:, None], np.float64)
    return bilinear(x, places[..., 1], places[..., 0], mirror)


def _each(x: Floats, change: object) -> Floats:
    assert callable(change)
    pixels = np.rint(x * 255).astype(np.uint8)
    return np.stack([np.asarray(change(Image.fromarray(one)), dtype=np.float64) for one in pixels])


def pixelate(x: Floats, scale: float, draws: Draws) -> Floats:
    """Shrunk to `scale` of its side and enlarged again, both by boxes."""
    side, small = x.shape[1], int(x.shape[1] * scale)
    box = Image.Resampling.BOX
    return _each(x, lambda image: image.resize((small, small), box).resize((side, side), box))


def jpeg_compression(x: Floats, quality: int, draws: Draws) -> Floats:
    def stored(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(x, stored)
