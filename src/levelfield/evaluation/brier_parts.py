"""What a Brier score is made of: miscalibration - discrimination + uncertainty, exactly, without a choice of bins.

The parts are those of CORP (Dimitriadis, Gneiting and Jordan, PNAS 118, 2021), class by class and summed: forecasts are
recalibrated by isotonic regression. What that gains is miscalibration (0 is best), what the recalibrated forecasts gain
over the share of each class alone is discrimination (higher is better), and the Brier score of those shares is the
uncertainty, which belongs to the data. Where forecasts take few values in the right order these are the parts of Murphy
(J. Appl. Meteorol. 12, 1973): reliability, resolution, uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BrierParts:
    """`brier` = `miscalibration` - `discrimination` + `uncertainty`; all in [0, 2] as the Brier score over classes."""

    brier: float
    miscalibration: float
    discrimination: float
    uncertainty: float


def brier_parts(probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> BrierParts:
    """Of probabilities (N, C), rows that sum to one, at `labels` (N,)."""
    p = probabilities.astype(np.float64)
    brier = recalibrated = uncertainty = 0.0
    for label in range(p.shape[1]):
        forecast, happened = p[:, label], (labels == label).astype(np.float64)
        share = float(happened.mean())
        brier += float(((forecast - happened) ** 2).mean())
        recalibrated += _recalibrated(forecast, happened)
        uncertainty += share * (1 - share)
    return BrierParts(brier, brier - recalibrated, uncertainty - recalibrated, uncertainty)


def _recalibrated(forecast: NDArray[np.float64], happened: NDArray[np.float64]) -> float:
    """The Brier score of one class after isotonic regression; equal forecasts stay equal."""
    from sklearn.isotonic import isotonic_regression  # which takes a second to import

    _, place, count = np.unique(forecast, return_inverse=True, return_counts=True)
    means = np.bincount(place, happened) / count
    fitted = isotonic_regression(means, sample_weight=count.astype(np.float64), y_min=0.0, y_max=1.0)
    return float(((fitted[place] - happened) ** 2).mean())
