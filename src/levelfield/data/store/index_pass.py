"""The one pass over all images of a split: digests, statistics, sizes, bad images, and the pixels on the way."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from levelfield.data.cache_folder import replacing
from levelfield.data.sources.decode import BadImageError, decode
from levelfield.data.sources.readers.contract import Labels, Records
from levelfield.data.store.content_identity import DIGEST_BYTES, canonical_order
from levelfield.data.store.over_cores import Cores
from levelfield.data.store.read_images import Reads, read
from levelfield.data.store.resize import Fit
from levelfield.data.store.store import NATIVE, Channels, OnBadImage, Samples, SplitIndex, six_digits
from levelfield.data.store.write_pixels import PixelFile
from levelfield.errors import UserError
from levelfield.progress import OnProgress

_PROBED: Final = 32
"""Images over a split that tell whether all may have one size."""


@dataclass(frozen=True)
class IndexedSplit:
    """A split after its pass; `shape` (height, width) where all images have one, else None."""

    index: SplitIndex
    samples: Samples
    shape: tuple[int, int] | None


class _Tally:
    """What the pass over a split of `total` images has found so far, image after image."""

    def __init__(self, total: int, native: PixelFile | None, fitted: PixelFile | None) -> None:
        self.native, self.fitted = native, fitted
        self.rows: list[int] = []
        self.bad: list[tuple[str, str]] = []
        self.digests = np.zeros((total, DIGEST_BYTES), dtype=np.uint8)
        self.modes: Counter[str] = Counter()
        self.shapes: Counter[tuple[int, int]] = Counter()
        self.moments: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []

    def add(self, rows: range, some: Reads) -> None:
        """Take those images of `rows` that could be decoded."""
        here = slice(len(self.rows), len(self.rows) + len(some.places))
        self.rows += [rows[place] for place in some.places]
        self.digests[here] = some.digests
        self.modes.update(some.modes)
        self.shapes.update(some.shapes)
        self.moments.append((some.first, some.second))
        if some.native is None:
            self.native = None  # another size: there will be no native pixels
        elif self.native is not None:
            self.native.write(some.native)
        if self.fitted is not None and some.fitted is not None:
            self.fitted.write(some.fitted)

    def finish(self, labels: Labels, classes: int) -> IndexedSplit:
        """The split as found; `labels` are those of all its records."""
        rows = np.array(self.rows, dtype=np.int64)
        kept, digests = labels[rows], self.digests[: len(rows)]
        mean, std = _statistics(self.moments)
        index = SplitIndex(
            len(rows),
            np.bincount(kept, minlength=classes).tolist(),
            dict(self.modes),
            {f"{width}x{height}": number for (height, width), number in self.shapes.most_common()},
            self.bad,
            mean,
            std,
        )
        shape = next(iter(self.shapes)) if len(self.shapes) == 1 else None
        return IndexedSplit(index, Samples(kept, rows, digests, canonical_order(kept, digests)), shape)


def index_split(
    split: str,
    records: Records,
    cores: Cores,
    classes: int,
    folder: Path,
    fit: Fit | None,
    on_bad_image: OnBadImage,
    progress: OnProgress | None,
) -> IndexedSplit:
    """The pass over one split; its pixels go to `folder`: those of `fit`, and native ones as long as sizes are one.

    Raises UserError for the first bad image, unless they are skipped, and where no image can be decoded.
    """
    total, keep = len(records), _probable_side(records)
    with ExitStack() as stack:

        def create(variant: str, side_px: int) -> PixelFile:
            path = stack.enter_context(replacing(folder / f"images-{split}-{variant}.npy"))
            return stack.enter_context(PixelFile(path, (total, 3, side_px, side_px)))

        wanted = fit if fit is not None and fit.side_px != keep else None
        tally = _Tally(
            total,
            native=create(NATIVE, keep) if keep else None,
            fitted=None if wanted is None else create(str(wanted), wanted.side_px),
        )
        for rows, some in cores.over_records(records, partial(read, keep=keep, fit=wanted)):
            tally.add(rows, some)
            tally.bad += [(records.name(rows[place]), why) for place, why in some.bad]
            if tally.bad and on_bad_image == "fail":
                name, why = tally.bad[0]
                raise UserError(
                    f"{split} image {name}: {why}\n"
                    "mend or remove it, or leave such images out (they are counted): "
                    "--set data.on_bad_image=skip"
                )
            if progress:
                progress(f"{split}: decoding", rows.stop, total)
    if not tally.rows:
        name, why = tally.bad[0]
        raise UserError(f"no {split} image can be decoded; the first: {name}: {why}")
    return tally.finish(records.labels, classes)


def _statistics(moments: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> tuple[Channels, Channels]:
    """Mean and standard deviation per channel, each image counting alike; exactly rounded sums, so order-free."""
    first, second = (np.concatenate(part) for part in zip(*moments, strict=True))
    mean, square = ([math.fsum(part[:, c].tolist()) / len(part) for c in range(3)] for part in (first, second))
    std = [math.sqrt(max(0.0, s - m * m)) for m, s in zip(mean, square, strict=True)]
    return six_digits(mean), six_digits(std)


def _probable_side(records: Records) -> int:
    """The side of a few images over the whole split, if all are squares of one size, else 0."""
    shapes = set()
    for row in np.linspace(0, len(records) - 1, min(len(records), _PROBED), dtype=np.int64).tolist():
        try:
            shapes.add(decode(records.item(row))[0].shape[:2])
        except (BadImageError, OSError):
            continue
    height, width = shapes.pop() if len(shapes) == 1 else (0, 1)
    return height if height == width else 0
