"""What the decisions of a table are made from: the scores of each row's runs, and which images each run has right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from levelfield.spec.weights_taken import ROW
from levelfield.statistics import RowScores
from levelfield.tables.rows import Row
from levelfield.tables.runs_of_row import RowRuns


def scores_of_rows(runs: Sequence[RowRuns]) -> dict[str, RowScores]:
    """Of each of `runs`, rows of one test set, by name; rows without a finished run are left out.

    Which images are right is only used where it is known of all runs of a row, and for the same images in all rows.
    """
    starts = shared_starts([one.row for one in runs])
    found, images = {}, None
    for one in runs:
        if not one.finished:
            continue
        index, right = _right(one)
        images = index if images is None else images
        if index is None or images is None or not np.array_equal(index, images):
            right = None
        by_seed = {run.seed: float(run.result["top1"]) for run in one.finished}
        found[one.row.name] = RowScores(by_seed, right, starts.get(one.row.name))
    return found


def shared_starts(rows: Sequence[Row]) -> dict[str, str]:
    """Of rows that start, seed by seed, from another row's weights, and of that row: the name of the first of them."""
    before = {row.name: start for row in rows if (start := _starts_from(row)) is not None}

    def first(name: str) -> str:
        seen = {name}
        while name in before and before[name] not in seen:
            name = before[name]
            seen.add(name)
        return name

    return {name: first(name) for name in (*before, *before.values())}


def _starts_from(row: Row) -> str | None:
    start = row.declared[0].model.start_from if row.declared else None
    return None if start is None or not start.source.startswith(ROW) else start.source.removeprefix(ROW)


def _right(one: RowRuns) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None]:
    """The test images in ascending order (N,), and which of them each run has right (n, N)."""
    index: NDArray[np.int64] | None = None
    rows = []
    for run in one.finished:
        predictions = run.predictions()
        if predictions is None:
            return None, None
        order = np.argsort(predictions.index)
        if index is None:
            index = predictions.index[order]
        elif not np.array_equal(index, predictions.index[order]):
            return None, None
        rows.append((predictions.probabilities.argmax(1) == predictions.label)[order])
    return index, np.stack(rows)
