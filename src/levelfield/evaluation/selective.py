"""How good a network is on the images that it is surest of: risk against coverage (Geifman and El-Yaniv, 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def selective_risk(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share wrong (N,) among the k images of highest confidence, k = 1 to N. Images of equal confidence come in any
    order: each counts as the mean of them."""
    values, place, count = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = np.bincount(place, ~right, minlength=len(values)) / count
    ordered = np.repeat(wrong, count)
    return np.asarray(np.cumsum(ordered) / np.arange(1, len(ordered) + 1), dtype=np.float64)


def area_under_risk(risk: NDArray[np.float64]) -> float:
    """AURC: the mean selective risk over all coverages, in percent; a random order has the error rate."""
    return 100 * float(risk.mean())


def accuracy_at(risk: NDArray[np.float64], coverage: float) -> float:
    """Percent right among the surest `coverage` (0 to 1] of the images."""
    kept = max(1, round(coverage * len(risk)))
    return 100 * (1 - float(risk[kept - 1]))
