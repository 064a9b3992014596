"""Scores as values: what is printed of a test, computed from counts.

Top-k and ECE in percent; precision, recall and F1 as fractions of 1. Averages are scikit-learn's: over the classes that
occur among labels or predictions, 0 where nothing divides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 (fractions) of one class or average, and how many images carry the label."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Bin:
    """One confidence bin (lower, upper]: images in it, the share that is right, and their mean confidence."""

    lower: float
    upper: float
    count: int
    accuracy: float | None
    confidence: float | None


@dataclass(frozen=True)
class Calibration:
    """`ece`: expected calibration error in percent over 15 bins of equal width (arXiv 1706.04599, eq. 3). `nll`: mean
    negative log-likelihood (nats). `brier`: mean squared distance of the probabilities to the one-hot label, in [0, 2].
    """

    ece: float
    nll: float
    brier: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Scores:
    """One model on one test set. `loss`: plain cross-entropy, no smoothing. `top3`, `top5`: None where k >= classes.

    `confusion`: int64 (C, C), rows are labels, columns predictions.
    """

    n: int
    loss: float
    top1: float
    top3: float | None
    top5: float | None
    f1_macro: float
    f1_weighted: float
    classes: tuple[ClassScore, ...]
    macro: ClassScore
    weighted: ClassScore
    confusion: NDArray[np.int64]
    calibration: Calibration

    def as_result(self) -> dict[str, Any]:
        """The keys that go into result.json; F1 as a fraction, top-k in percent, `classes` as a list of mappings."""
        return {
            "top1": self.top1,
            "top3": self.top3,
            "top5": self.top5,
            "loss": self.loss,
            "f1_macro": self.f1_macro,
            "f1_weighted": self.f1_weighted,
            "ece": self.calibration.ece,
            "brier": self.calibration.brier,
            "classes": [vars(score).copy() for score in self.classes],
        }

    def report(self) -> list[ClassScore]:
        """The classification report's lines: every class, then accuracy, macro and weighted averages."""
        accuracy = self.top1 / 100
        overall = ClassScore("accuracy", accuracy, accuracy, accuracy, self.n)
        return [*self.classes, overall, self.macro, self.weighted]


def scores_of(
    correct: Mapping[int, int],
    confusion: NDArray[np.int64],
    loss_sum: float,
    brier_sum: float,
    bin_count: NDArray[np.int64],
    bin_correct: NDArray[np.int64],
    bin_confidence: NDArray[np.float64],
    names: tuple[str, ...],
) -> Scores:
    """Scores from sums. `correct`: images whose label is among the first k, by k. Raises ValueError without images."""
    n = int(confusion.sum())
    if n == 0:
        raise ValueError("no image was evaluated; update the counts before asking for scores")

    def top(k: int) -> float | None:
        return 100 * correct[k] / n if k == 1 or k < len(names) else None

    hits, support, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    precision, recall = _ratio(hits, predicted), _ratio(hits, support)
    f1 = _ratio(2 * hits, predicted + support)
    occurs = (predicted + support) > 0

    def average(name: str, weights: NDArray[Any]) -> ClassScore:
        p, r, f = (float(np.average(values[occurs], weights=weights[occurs])) for values in (precision, recall, f1))
        return ClassScore(name, p, r, f, n)

    macro, weighted = average("macro avg", np.ones(len(names))), average("weighted avg", support)
    loss = loss_sum / n
    top1 = top(1)
    assert top1 is not None
    return Scores(
        n=n,
        loss=loss,
        top1=top1,
        top3=top(3),
        top5=top(5),
        f1_macro=macro.f1,
        f1_weighted=weighted.f1,
        classes=tuple(
            ClassScore(name, float(precision[c]), float(recall[c]), float(f1[c]), int(support[c]))
            for c, name in enumerate(names)
        ),
        macro=macro,
        weighted=weighted,
        confusion=confusion,
        calibration=_calibration(bin_count, bin_correct, bin_confidence, loss, brier_sum / n),
    )


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    quotient: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
    return quotient


def _calibration(
    count: NDArray[np.int64], correct: NDArray[np.int64], confidence: NDArray[np.float64], nll: float, brier: float
) -> Calibration:
    edges = np.linspace(0, 1, len(count) + 1)
    bins = tuple(
        Bin(float(lower), float(upper), int(c), right / c if c else None, sure / c if c else None)
        for lower, upper, c, right, sure in zip(
            edges[:-1], edges[1:], count.tolist(), correct.tolist(), confidence.tolist(), strict=True
        )
    )
    ece = 100 * float(np.abs(correct - confidence).sum() / count.sum())
    return Calibration(ece=ece, nll=nll, brier=brier, bins=bins)
