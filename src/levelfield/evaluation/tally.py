"""What was counted over a test set, in numpy: sums and integer counts, divided once at the end.

`counts.py` counts logits on a device, batch by batch; stored probabilities are counted here, without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from levelfield.evaluation.scores import Bin, Calibration, ClassScore, Scores

TOP: Final = (1, 3, 5)
BINS: Final = 15
"""Confidence bins of equal width for the expected calibration error (Guo et al., arXiv 1706.04599)."""


@dataclass(frozen=True)
class Tally:
    """`correct`: images right in the first TOP classes. `confusion`: (C, C), rows are labels. `bin_*`: (BINS,) images,
    right ones and summed confidence. `sums`: of cross-entropy and of Brier scores. Of disjoint sets of images they add
    up.
    """

    correct: tuple[int, ...]
    confusion: NDArray[np.int64]
    bin_count: NDArray[np.int64]
    bin_correct: NDArray[np.int64]
    bin_confidence: NDArray[np.float64]
    sums: tuple[float, float]

    def __add__(self, other: Tally) -> Tally:
        """The counts of both sets of images together."""
        return Tally(
            tuple(a + b for a, b in zip(self.correct, other.correct, strict=True)),
            self.confusion + other.confusion,
            self.bin_count + other.bin_count,
            self.bin_correct + other.bin_correct,
            self.bin_confidence + other.bin_confidence,
            (self.sums[0] + other.sums[0], self.sums[1] + other.sums[1]),
        )

    def scores(self, classes: Sequence[str] | None = None) -> Scores:
        """Divide once. `classes`: C names for the report (None: "0", "1", ...). Raises ValueError before any image."""
        confusion = self.confusion
        names = tuple(classes) if classes is not None else tuple(str(c) for c in range(len(confusion)))
        if len(names) != len(confusion):
            raise ValueError(f"{len(names)} class names for {len(confusion)} classes")
        n = int(confusion.sum())
        if n == 0:
            raise ValueError("no image was evaluated; update the counts before asking for scores")
        hits, support, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        fractions = (_ratio(hits, predicted), _ratio(hits, support), _ratio(2 * hits, predicted + support))
        occurs = (predicted + support) > 0

        def average(name: str, weights: NDArray[Any]) -> ClassScore:
            p, r, f = (float(np.average(values[occurs], weights=weights[occurs])) for values in fractions)
            return ClassScore(name, p, r, f, n)

        macro, weighted = average("macro avg", np.ones(len(names))), average("weighted avg", support)
        top1, top3, top5 = (100 * right / n for right in self.correct)
        loss, brier = (value / n for value in self.sums)
        columns = (values.tolist() for values in (*fractions, support))
        return Scores(
            n=n,
            loss=loss,
            top1=top1,
            top3=top3 if len(names) > 3 else None,
            top5=top5 if len(names) > 5 else None,
            f1_macro=macro.f1,
            f1_weighted=weighted.f1,
            classes=tuple(ClassScore(*values) for values in zip(names, *columns, strict=True)),
            macro=macro,
            weighted=weighted,
            confusion=confusion,
            calibration=self._calibration(loss, brier),
        )

    def _calibration(self, nll: float, brier: float) -> Calibration:
        count, correct, confidence = self.bin_count, self.bin_correct, self.bin_confidence
        edges = np.linspace(0, 1, BINS + 1).tolist()
        bins = tuple(
            Bin(lower, upper, c, right / c if c else None, sure / c if c else None)
            for lower, upper, c, right, sure in zip(
                edges[:-1], edges[1:], count.tolist(), correct.tolist(), confidence.tolist(), strict=True
            )
        )
        ece = 100 * float(np.abs(correct - confidence).sum() / count.sum())
        return Calibration(ece=ece, nll=nll, brier=brier, bins=bins)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    quotient: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
    return quotient


def tally_probabilities(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Tally:
    """What stored `probabilities` (N, C), rows that sum to one, count against `labels` (N,).

    A probability of 0 counts as the smallest normal float32 (a loss of 87.3). Of equal ones the lower class comes
    first. One that is not a number never makes a prediction right.
    """
    p = np.maximum(np.asarray(probabilities, dtype=np.float32), np.finfo(np.float32).tiny)
    n, classes = p.shape
    own = p[np.arange(n), labels][:, None]
    ahead = ~(p <= own) | ((p == own) & (np.arange(classes) < labels[:, None]))
    rank = ahead.sum(1)
    predicted = p.argmax(1)
    whole = p.astype(np.float64)
    whole /= whole.sum(1, keepdims=True)
    true = whole[np.arange(n), labels]
    confidence = whole.max(1).astype(np.float32)
    bins = np.clip(np.ceil(confidence * np.float32(BINS)) - 1, 0, BINS - 1)  # bin b holds (b / BINS, (b + 1) / BINS]
    bins = np.where(np.isnan(bins), 0, bins).astype(np.int64)
    return Tally(
        correct=tuple(int((rank < k).sum()) for k in TOP),
        confusion=np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes),
        bin_count=np.bincount(bins, minlength=BINS),
        bin_correct=np.bincount(bins[rank == 0], minlength=BINS),
        bin_confidence=np.bincount(bins, weights=confidence, minlength=BINS).astype(np.float64),
        sums=(float(-np.log(true).sum()), float((np.square(whole).sum(1) - 2 * true + 1).sum())),
    )


def evaluate_probabilities(
    probabilities: NDArray[Any], labels: NDArray[Any], classes: Sequence[str] | None = None
) -> Scores:
    """The scores of stored `probabilities` (N, C), as `tally_probabilities` counts them, against `labels` (N,)."""
    p, label = np.asarray(probabilities), np.asarray(labels).astype(np.int64)
    return tally_probabilities(p, label).scores(classes)
