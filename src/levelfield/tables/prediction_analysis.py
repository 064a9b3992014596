"""What the stored predictions of a table's rows tell beyond their scores: calibration, confusion, disagreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levelfield.evaluation import Scores, Tally, tally_probabilities
from levelfield.runs import Predictions
from levelfield.statistics import McNemar, mcnemar_test
from levelfield.tables.table import TableRow


@dataclass(frozen=True)
class Predicted:
    """A row's predictions. `scores`: over all images of all seeds together. `first`: the classes (N,) that its first
    seed predicts for the images `index` (N,), ascending, whose labels are `label` (N,).
    """

    scores: Scores
    index: NDArray[np.int64]
    label: NDArray[np.int64]
    first: NDArray[np.int64]


def read_predicted(row: TableRow) -> Predicted | None:
    """Read the predictions of all seeds of a row, one file at a time; None where a file is missing."""
    total: Tally | None = None
    first: Predictions | None = None
    for run in row.runs.finished:
        predictions = run.predictions()
        if predictions is None:
            return None
        first = first or predictions
        counts = tally_probabilities(predictions.probabilities, predictions.label)
        total = counts if total is None else total + counts
    if total is None or first is None:
        return None
    order = np.argsort(first.index)
    return Predicted(
        scores=total.scores(class_names(row)),
        index=first.index[order],
        label=first.label[order],
        first=first.probabilities.argmax(1)[order],
    )


def class_names(row: TableRow) -> list[str] | None:
    """The class names in a row's per-class report, in the order of the classes."""
    classes = row.runs.finished[0].result.get("classes") if row.runs.finished else None
    return [line["name"] for line in classes] if classes else None


def mcnemar_of(a: Predicted, b: Predicted) -> McNemar | None:
    """McNemar's test of the first seeds of two rows; None where they were tested on different images."""
    if not np.array_equal(a.index, b.index):
        return None
    return mcnemar_test(a.first == a.label, b.first == b.label)


@dataclass(frozen=True)
class Disagreement:
    """An image on which rows disagree: its test index, its label, and what the first seed of each row predicts."""

    index: int
    label: int
    predicted: Mapping[str, int]


def most_disagreed(predicted: Mapping[str, Predicted], count: int = 24) -> list[Disagreement]:
    """The images whose predictions differ most between rows (entropy of the predicted classes), most first."""
    if len(predicted) < 2:
        return []
    reference = next(iter(predicted.values()))
    rows = {name: p for name, p in predicted.items() if np.array_equal(p.index, reference.index)}
    votes = np.stack([p.first for p in rows.values()])
    return [
        Disagreement(
            int(reference.index[i]), int(reference.label[i]), {name: int(p.first[i]) for name, p in rows.items()}
        )
        for i in places_disagreed(votes, count)
    ]


def places_disagreed(votes: NDArray[np.int64], count: int) -> list[int]:
    """The places of the `count` images on whose class `votes` (rows, N) differ most (entropy), most first."""
    return _highest(np.array([_entropy(column) for column in votes.T]), count)


def _highest(values: NDArray[np.float64], count: int) -> list[int]:
    """The places of the `count` highest of `values` (N,) that are above zero, the highest and of equals the first one
    first."""
    return [int(i) for i in np.argsort(-values, kind="stable")[:count] if values[i] > 0]


def _entropy(votes: NDArray[np.int64]) -> float:
    shares = np.array(list(Counter(votes.tolist()).values())) / len(votes)
    return float(-(shares * np.log(shares)).sum())


@dataclass(frozen=True)
class ConfusionPair:
    """Images of class `label` taken for `predicted`, as the share in percent of the label's images, by row."""

    label: str
    predicted: str
    share: Mapping[str, float]


def confusion_pairs(predicted: Mapping[str, Predicted], count: int = 12) -> list[ConfusionPair]:
    """The confusions that are most frequent on the average over rows, most first."""
    names = [score.name for score in next(iter(predicted.values())).scores.classes]
    return most_confused({name: p.scores.confusion for name, p in predicted.items()}, names, count)


def most_confused(
    confusion: Mapping[str, NDArray[np.int64]], classes: Sequence[str], count: int
) -> list[ConfusionPair]:
    """As `confusion_pairs`, from each row's counts (C, C): rows are labels, columns predictions."""
    shares = {name: confused_shares(counts) for name, counts in confusion.items()}
    mean = np.mean(list(shares.values()), axis=0)
    return [
        ConfusionPair(classes[y], classes[x], {name: float(share[y, x]) for name, share in shares.items()})
        for y, x in (divmod(i, len(classes)) for i in _highest(mean.ravel(), count))
    ]


def confused_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Percent (C, C) of each label's images that are taken for each other class; 0 on the diagonal."""
    shares: NDArray[np.float64] = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    np.fill_diagonal(shares, 0.0)
    return shares
