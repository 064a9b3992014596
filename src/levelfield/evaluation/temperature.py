"""Temperature scaling (Guo et al., arXiv 1706.04599): one number that divides logits, fitted on held-out images.

It changes no ranking of classes, only how sure a network says that it is.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating[Any]]

_LOWEST: Final = 0.01
_HIGHEST: Final = 100.0
_HALVINGS: Final = 60
_FLOOR: Final = float(np.finfo(np.float32).tiny)
"""Probabilities below this count as it (a loss of 87.3), as in a table's loss: a softmax in float32 may be 0."""


def fit_temperature(probabilities: Probabilities, labels: NDArray[np.int64]) -> float:
    """The temperature, between 0.01 and 100, at which probabilities (N, C) have the least mean negative logarithm at
    `labels` (N,).

    The loss is convex in one over the temperature; its slope is halved to zero. Raises ValueError for no image.
    """
    if not len(labels):
        raise ValueError("no image to fit a temperature on")
    logits = np.log(np.maximum(probabilities.astype(np.float64), _FLOOR))
    ahead = logits - logits[np.arange(len(labels)), labels][:, None]  # of the label

    def slope(sharpness: float) -> float:
        """Of the loss, along one over the temperature."""
        return float((_softmax(logits * sharpness) * ahead).sum(1).mean())

    low, high = 1 / _HIGHEST, 1 / _LOWEST
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(1 / (low * high) ** 0.5)


def at_temperature(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """Probabilities (N, C) as they are where their logits are divided by `temperature`."""
    return _softmax(np.log(np.maximum(probabilities.astype(np.float64), _FLOOR)) / temperature)


def negative_log_likelihood(probabilities: Probabilities, labels: NDArray[np.int64]) -> float:
    """Mean of -log of the probability of the label."""
    right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(right, _FLOOR)).mean())


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials: NDArray[np.float64] = np.exp(logits - logits.max(1, keepdims=True))
    exponentials /= exponentials.sum(1, keepdims=True)
    return exponentials
