"""Scores as values: what is printed of a test; `Counts.scores` computes them.

Top-k and ECE in percent; precision, recall and F1 as fractions of 1. Averages are scikit-learn's: over the classes that
occur among labels or predictions, 0 where nothing divides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levelfield import notebook


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

    def _repr_html_(self) -> str:
        """Scores and the classification report, for a notebook."""
        ranks = [("top-1 %", self.top1), ("top-3 %", self.top3), ("top-5 %", self.top5)]
        lines = [
            (line.name, f"{line.precision:.4f}", f"{line.recall:.4f}", f"{line.f1:.4f}", f"{line.support:,}")
            for line in self.report()
        ]
        whole = [
            ("images", f"{self.n:,}"),
            *((name, None if score is None else f"{score:.2f}") for name, score in ranks),
            ("loss", f"{self.loss:.4f}"),
            ("ECE %", f"{self.calibration.ece:.2f}"),
        ]
        return notebook.facts(whole) + notebook.table(("class", "precision", "recall", "F1", "images"), lines)

    def report(self) -> list[ClassScore]:
        """The classification report's lines: every class, then accuracy, macro and weighted averages."""
        accuracy = self.top1 / 100
        overall = ClassScore("accuracy", accuracy, accuracy, accuracy, self.n)
        return [*self.classes, overall, self.macro, self.weighted]
