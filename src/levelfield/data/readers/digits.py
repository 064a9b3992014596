"""scikit-learn's handwritten digits: 1,797 scans of 8 x 8 pixels with 17 grey levels (Alpaydin and Kaynak, 1998).

They come with a dependency, so that a bare machine has real images. There is no given split: one fixed, stratified
quarter is the test set.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from levelfield.data.records import ArrayRecords, Source
from levelfield.data.splits import stratified

TEST_IMAGES: Final = 450


def read() -> Source:
    """The digits as RGB uint8 (N, 8, 8, 3), grey levels 0..16 spread over 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = np.rint(bunch.images * (255.0 / 16.0)).astype(np.uint8)
    pixels = np.repeat(grey[..., None], 3, axis=3)
    labels = bunch.target.astype(np.int64)
    rows = torch.arange(len(labels))
    test = stratified(torch.from_numpy(labels), rows, TEST_IMAGES, seed=0, stream="digits test").numpy()
    train = np.setdiff1d(np.arange(len(labels)), test)
    names = [f"digit {row}" for row in range(len(labels))]
    return Source(
        tuple(str(digit) for digit in range(10)),
        {
            name: ArrayRecords(pixels[rows], labels[rows], [names[row] for row in rows])
            for name, rows in (("train", train), ("test", test))
        },
    )
