"""Whether a network is less sure of images of another kind: scores from logits, AUROC, and FPR at 95 % TPR.

Scores are higher for images of the kind that was trained on: the highest softmax probability (MSP; Hendrycks and
Gimpel, arXiv 1610.02136) and minus the free energy, the logarithm of the sum of exponentials of the logits (Liu et al.,
arXiv 2010.03759, at temperature 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

TRUE_POSITIVES: Final = 0.95


@dataclass(frozen=True)
class Detection:
    """`auroc`: percent of pairs of an image of each kind that the score puts in the right order, equal ones half.
    `fpr95`: percent of other images accepted at the threshold that accepts 95 % of the known kind."""

    auroc: float
    fpr95: float


def highest_probability(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """MSP (N,) of logits (N, C)."""
    return np.asarray(np.exp(logits.max(1).astype(np.float64) - negative_energy(logits)), dtype=np.float64)


def negative_energy(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """log sum exp (N,) of logits (N, C)."""
    wide = logits.astype(np.float64)
    most = wide.max(1)
    return np.asarray(most + np.log(np.exp(wide - most[:, None]).sum(1)), dtype=np.float64)


def detection(known: NDArray[np.float64], other: NDArray[np.float64]) -> Detection:
    """How well scores (N,) of known images and (M,) of others tell them apart."""
    from sklearn.metrics import roc_auc_score  # which takes a second to import

    truth = np.concatenate([np.ones(len(known)), np.zeros(len(other))])
    auroc = roc_auc_score(truth, np.concatenate([known, other]))
    accepted = int(np.ceil(TRUE_POSITIVES * len(known)))
    least = np.sort(known)[::-1][accepted - 1]
    return Detection(100 * float(auroc), 100 * float((other >= least).mean()))
