"""What the runs of a study predict for the images of each test set, from the predictions that they keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levelfield.analysis.studied_rows import Studied, StudiedRow
from levelfield.runs import Predictions


@dataclass(frozen=True)
class RowPredictions:
    """The runs of a row: `predicted` (n, N) the class that each takes an image for, in the order of `seeds`;
    `of_label` (n, N) the probability that it gives the image's label."""

    row: StudiedRow
    seeds: tuple[int, ...]
    predicted: NDArray[np.int64]
    of_label: NDArray[np.float32]

    def confusion(self, label: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
        """Counts (C, C) over all runs: rows are labels, columns predictions."""
        cells = (label * classes + self.predicted).ravel()
        return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class PanelPredictions:
    """One test set of N images: their `index`, ascending, and `label` (N,). `probabilities` (N, C): the mean over rows
    of each row's mean over runs. `left_out`: rows that are not here, and why."""

    panel: str
    classes: tuple[str, ...]
    index: NDArray[np.int64]
    label: NDArray[np.int64]
    rows: tuple[RowPredictions, ...]
    probabilities: NDArray[np.float64]
    left_out: dict[str, str]

    @property
    def networks(self) -> int:
        return sum(len(row.seeds) for row in self.rows)


def predictions_of_panel(found: Studied, panel: str) -> PanelPredictions | str:
    """The predictions of the rows of a panel for the images that its first row with predictions, of all the baseline,
    was tested on; or why there are none. Files are read one at a time."""
    ordered = sorted(found.of(panel), key=lambda row: row.name != found.baselines.get(panel))
    reference: Predictions | None = None
    rows, left_out = [], {}
    total: NDArray[np.float64] | None = None
    for row in ordered:
        read = _of_row(row, reference)
        if isinstance(read, str):
            left_out[row.name] = read
            continue
        own, mean, first = read
        reference = reference or first
        total = mean if total is None else total + mean
        rows.append(own)
    if reference is None or total is None:
        return "; ".join(f"{name}: {why}" for name, why in left_out.items())
    place = {row.name: i for i, row in enumerate(found.of(panel))}
    rows.sort(key=lambda own: place[own.row.name])
    classes = _class_names([own.row for own in rows], total.shape[1])
    return PanelPredictions(panel, classes, reference.index, reference.label, tuple(rows), total / len(rows), left_out)


def _of_row(
    row: StudiedRow, reference: Predictions | None
) -> tuple[RowPredictions, NDArray[np.float64], Predictions] | str:
    """A row's predictions, the mean of its probabilities (N, C), and its first run's, by index; or why not."""
    seeds, predicted, of_label = [], [], []
    total: NDArray[np.float64] | None = None
    for run in row.runs:
        stored = run.predictions()
        if stored is None:
            return f"seed {run.seed} has no predictions.parquet"
        order = np.argsort(stored.index)
        own = Predictions(stored.index[order], stored.label[order], stored.probabilities[order])
        reference = reference or own
        same = np.array_equal(own.index, reference.index) and np.array_equal(own.label, reference.label)
        if not same or own.probabilities.shape != reference.probabilities.shape:
            return f"seed {run.seed} was tested on other images than the other rows"
        seeds.append(run.seed)
        predicted.append(own.probabilities.argmax(1))
        of_label.append(np.take_along_axis(own.probabilities, own.label[:, None], 1)[:, 0])
        share = own.probabilities.astype(np.float64) / len(row.runs)
        total = share if total is None else total + share
    assert reference is not None and total is not None
    return RowPredictions(row, tuple(seeds), np.stack(predicted), np.stack(of_label)), total, reference


def _class_names(rows: list[StudiedRow], count: int) -> tuple[str, ...]:
    """By the per-class report of a run that levelfield trained; numbers where there is none."""
    for run in (run for row in rows for run in row.runs if run.folder is not None):
        names = tuple(str(line["name"]) for line in run.result.get("classes") or ())
        if len(names) == count:
            return names
    return tuple(map(str, range(count)))
