"""scikit-learn's handwritten digits: 1,797 scans of 8 x 8 pixels with 17 grey levels (Alpaydin and Kaynak, 1998).

They come with a dependency, so that a bare machine has real images. There is no given split: one fixed, stratified
quarter is the test set.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from levelfield.data.sources.cut_test_split import cut_test
from levelfield.data.sources.readers.contract import ArrayRecords, Source

TEST_SHARE: Final = 0.25


def read() -> Source:
    """The digits as RGB uint8 (N, 8, 8, 3), grey levels 0..16 spread over 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = np.rint(bunch.images * (255.0 / 16.0)).astype(np.uint8)
    pixels = np.repeat(grey[..., None], 3, axis=3)
    labels = bunch.target.astype(np.int64)
    classes = tuple(str(digit) for digit in range(10))
    return Source(classes, cut_test(ArrayRecords(pixels, labels), TEST_SHARE))
