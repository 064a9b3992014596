"""A corruption by its name, of a batch of images as they are stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from levelfield.analysis.corruptions import blur, digital, noise, spatter, weather
from levelfield.analysis.corruptions.draws import Draws, Floats, draws_of
from levelfield.analysis.corruptions.frost import Photographs
from levelfield.analysis.corruptions.severities import FROST, parameters

CORRUPTIONS: Final[dict[str, Callable[[Floats, Any, Draws], Floats]]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": spatter.spatter,
    "saturate": digital.saturate,
}
"""All but frost, which needs photographs."""
SEVERITIES: Final = (1, 2, 3, 4, 5)


def corrupt(
    images: NDArray[np.uint8], name: str, severity: int, index: NDArray[np.int64], seed: int = 0,
    photographs: Photographs | None = None,
) -> NDArray[np.uint8]:  # fmt: skip
    """uint8 `images` (B, 3, S, S) corrupted by `name` at `severity`. `index` (B,): which images they are, for their
    random numbers, which hang on `seed`, `name`, `severity` and the image alone. `photographs`: of frost, which cannot
    be made without."""
    draws = draws_of(seed, f"{name}/{severity}", index)
    return applied(images.transpose(0, 2, 3, 1), name, severity, draws, photographs).transpose(0, 3, 1, 2)


def applied(
    pixels: NDArray[np.uint8], name: str, severity: int, draws: Draws, photographs: Photographs | None = None
) -> NDArray[np.uint8]:
    """The same of `pixels` (B, S, S, 3), with given random numbers."""
    make = photographs.over if name == FROST and photographs is not None else CORRUPTIONS[name]
    found = make(pixels / 255.0, parameters(name, severity, pixels.shape[1]), draws)
    return np.clip(found, 0, 255).astype(np.uint8)
