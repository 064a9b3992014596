"""Frost: a part of a photograph of it, drawn anew for each image and laid over it. The photographs are not shipped."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from levelfield.analysis.corruptions.draws import Draws, Floats
from levelfield.analysis.corruptions.resample import bilinear
from levelfield.analysis.corruptions.severities import FROST, parameters
from levelfield.errors import UserError

FILES: Final = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
"""Those that the published sets were made with: their scripts name a sixth, frost6.jpg, and never draw it."""
MADE_FOR_PX: Final = 64
"""Larger images get larger photographs, which have to cover them."""


@dataclass(frozen=True)
class Photographs:
    """`FILES` of a `folder`; `sha256` is of their bytes, one after another."""

    folder: Path
    sha256: str

    def over(self, x: Floats, how: tuple[float, float, float], draws: Draws) -> Floats:
        """`how`: what is kept of the image, how much of the photograph is added, and to what of its size it is scaled.

        Raises UserError for a photograph that does not cover the images.
        """
        kept, added, scale = how
        side = x.shape[1]
        which, down, right = draws.uniform(3).T
        layers = []
        for one, y, z in zip((which * len(FILES)).astype(int), down, right, strict=True):
            photograph = self.scaled(int(one), scale, side)
            top, left = (int(at * (length - side)) for at, length in zip((y, z), photograph.shape, strict=False))
            layers.append(photograph[top : top + side, left : left + side])
        return np.asarray(np.clip(kept * np.rint(255 * x) + added * np.stack(layers), 0, 255))

    def cover(self, side: int) -> None:
        """Raise UserError where one of them, as it is scaled, does not cover images of `side` px."""
        for number in range(len(FILES)):
            self.scaled(number, parameters(FROST, 1, side)[2], side)

    def scaled(self, number: int, scale: float, side: int) -> Floats:
        """The photograph `number`, scaled for images of `side` px: (H, W, 3), whole numbers from 0 to 255.

        Raises UserError where it does not cover such an image.
        """
        path = self.folder / FILES[number]
        found = _scaled(path, self.sha256, scale * max(1.0, side / MADE_FOR_PX))
        if min(found.shape[:2]) < side:
            raise UserError(
                f"{path} is {found.shape[1]} x {found.shape[0]} px where it is laid over images of {side} px\n"
                "give photographs that cover them: those of the reference do"
            )
        return found


def read_photographs(folder: Path) -> Photographs:
    """The photographs of `folder`. Raises UserError where one is missing, no image, or of more than 8 bits."""
    digest = hashlib.sha256()
    for name in FILES:
        path = folder / name
        try:
            digest.update(path.read_bytes())
            _pixels(path)
        except OSError as error:
            why = "is not there" if isinstance(error, FileNotFoundError | NotADirectoryError) else "cannot be read"
            raise UserError(
                f"{path} {why}\nfrost needs {', '.join(FILES[:-1])} and {FILES[-1]}, "
                "which come with the package imagecorruptions (docs/how-to/analyze.md)"
            ) from None
    return Photographs(folder, digest.hexdigest())


def _pixels(path: Path) -> Floats:
    with Image.open(path) as opened:
        if opened.mode.startswith(("I", "F")):  # which Pillow would cut at 255: all white
            raise UserError(
                f"{path} has more than 8 bits a channel\ngive photographs of 8 bits: those of the reference are"
            )
        return np.asarray(opened.convert("RGB"), dtype=np.float64)


@cache
def _scaled(path: Path, sha256: str, factor: float) -> Floats:
    """Read between its pixels without smoothing, as OpenCV's bilinear resizing by a factor does."""
    image = _pixels(path)
    places = [(np.arange(round(length * factor)) + 0.5) / factor - 0.5 for length in image.shape[:2]]
    rows, columns = np.meshgrid(*places, indexing="ij")
    read = bilinear(image[None], rows[None], columns[None], lambda at, size: np.clip(at, 0, size - 1))[0]
    return np.asarray(np.rint(read))
