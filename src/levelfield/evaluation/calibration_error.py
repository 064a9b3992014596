"""How far confidence is from the share that is right: three estimates of the calibration error, over bins.

Bins of equal width (Guo et al., arXiv 1706.04599) leave most bins of a sure network almost empty; bins of equal mass
hold equally many images. Both estimates are above the truth, as noise within a bin counts as error. The debiased one
takes that noise away (Kumar, Liang and Ma, arXiv 1909.10155, definition 4.1): of a calibrated network it is about zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 15


@dataclass(frozen=True)
class Binned:
    """Bins that hold an image: `count` images, the share `right` and the mean `confidence` of each, in [0, 1]."""

    count: NDArray[np.int64]
    right: NDArray[np.float64]
    confidence: NDArray[np.float64]


def equal_width(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> Binned:
    """Images (N,) in bins (b / bins, (b + 1) / bins] of their confidence."""
    place = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.int64)
    return _binned(place, confidence, right)


def equal_mass(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> Binned:
    """Images (N,) in `bins` groups of equal size (but for one image) by ascending confidence. Images of equal
    confidence are in one, where the middle of them falls: what comes out does not depend on the order of the images.
    """
    _, alike, count = np.unique(confidence, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count + 1) // 2
    return _binned((middle * bins // max(1, len(confidence)))[alike], confidence, right)


def _binned(place: NDArray[np.int64], confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Binned:
    count = np.bincount(place)
    held = count > 0
    n = count[held]
    return Binned(n, np.bincount(place, right)[held] / n, np.bincount(place, confidence)[held] / n)


def expected_calibration_error(bins: Binned) -> float:
    """Mean distance of confidence and accuracy over images, in percent."""
    return 100 * float((bins.count * np.abs(bins.right - bins.confidence)).sum() / bins.count.sum())


def debiased_calibration_error(bins: Binned) -> float | None:
    """Root mean square distance of confidence and accuracy, in percent, without what noise adds to it; 0 where noise
    explains it all. Bins of one image, whose noise cannot be told, are left out; None where there are no others."""
    several = bins.count > 1
    n, right, confidence = bins.count[several], bins.right[several], bins.confidence[several]
    if not len(n):
        return None
    squared = (right - confidence) ** 2 - right * (1 - right) / (n - 1)
    return 100 * float(max(0.0, (n * squared).sum() / n.sum()) ** 0.5)
