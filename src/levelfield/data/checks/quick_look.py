"""A quick look at a data set: its classes and counts as listed, and the sizes of a few of its images.

Nothing is stored, and of files only the headers of a sample are read: `levelfield data check` looks at everything.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from levelfield.data.sources.locate import find
from levelfield.data.sources.readers.contract import Records

LOOKED_AT: Final = 200
"""Training images whose sizes are read, spread evenly over the set."""


@dataclass(frozen=True)
class QuickLook:
    """What a data set seems to hold. Sides in px: of the sampled images, the median and extremes of the shorter side.

    `fewest`, `most`: training images of the smallest and largest class. `unreadable`: sampled images without a header,
    or that may not be read, which the counts include.
    """

    name: str
    form: str
    classes: int
    train: int
    test: int
    fewest: int
    most: int
    side_px: int
    smallest_px: int
    largest_px: int
    looked_at: int
    unreadable: int
    notes: tuple[str, ...]


def quick_look(name: str, data_dir: Path | str | None = None) -> QuickLook:
    """Look at the data set `name` (`folder:PATH` for one's own). Raises UserError where there is none to be read."""
    found = find(name, data_dir)
    source = found.load()
    train, test = source.splits["train"], source.splits["test"]
    counts = np.bincount(train.labels, minlength=len(source.classes))
    sides = list(_short_sides(train))
    known = [side for side in sides if side is not None]
    return QuickLook(
        name, found.form, len(source.classes), len(train), len(test), int(counts.min()), int(counts.max()),
        int(np.median(known)) if known else 0, min(known, default=0), max(known, default=0), len(sides),
        sides.count(None), source.notes,
    )  # fmt: skip


def _short_sides(records: Records) -> Iterator[int | None]:
    """The shorter side of sampled images in px; None of one that no image format knows."""
    from PIL import Image, UnidentifiedImageError

    for row in np.linspace(0, len(records) - 1, min(LOOKED_AT, len(records)), dtype=int):
        try:
            item = records.item(int(row))
        except OSError:  # it may not be read
            yield None
            continue
        if isinstance(item, np.ndarray):
            yield min(item.shape[:2])
            continue
        try:
            with Image.open(io.BytesIO(item)) as image:
                yield min(image.size)
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
            yield None
