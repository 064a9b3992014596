"""Sets of classes that hold the right one with a stated chance: split conformal prediction.

A class is in the set where its probability is at least a threshold, chosen on held-out images so that the right class
has it there often enough (Sadinle, Lei and Wasserman, arXiv 1609.00451). Where held-out and test images are drawn
alike the right class is in the set with probability 1 - miss or more, whatever the network is worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ConformalSets:
    """Sets that miss the right class in a share `miss` at most: percent of images whose set holds it (`coverage`), the
    mean `size` of a set in classes, percent of images with an `empty` set, and the number `held_out`."""

    miss: float
    coverage: float
    size: float
    empty: float
    held_out: int


def threshold(probabilities: Probabilities, labels: NDArray[np.int64], miss: float) -> float:
    """The least probability with which a class is in the set, by n held-out images (n, C): the k-th smallest 1 - p of
    the right class with k = ceil((n + 1)(1 - miss)), and 0 (all classes) where that is more than n."""
    scores = np.sort(1 - probabilities[np.arange(len(labels)), labels].astype(np.float64))
    k = math.ceil((len(scores) + 1) * (1 - miss) - 1e-9)
    return 0.0 if k > len(scores) else float(1 - scores[k - 1])


def conformal_sets(
    held_out: tuple[Probabilities, NDArray[np.int64]], test: tuple[Probabilities, NDArray[np.int64]], miss: float
) -> ConformalSets:
    """What sets chosen by `held_out` images hold of `test` images; each probabilities (N, C) and labels (N,)."""
    least = threshold(*held_out, miss)
    probabilities, labels = test
    # As scores, so that a probability that rounds to the threshold is on the same side as where it was chosen.
    inside = 1 - probabilities.astype(np.float64) <= 1 - least
    sizes = inside.sum(1)
    return ConformalSets(
        miss=miss,
        coverage=100 * float(inside[np.arange(len(labels)), labels].mean()),
        size=float(sizes.mean()),
        empty=100 * float((sizes == 0).mean()),
        held_out=len(held_out[1]),
    )
