"""How many seeds each comparison of a study with its baseline needs: told from its runs, else from a corpus of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from levelfield.data.sources.catalog import entry
from levelfield.statistics import Comparison, flip_variance
from levelfield.statistics.before_any_run import seeds_foreseen
from levelfield.statistics.comparison import asked_pairs
from levelfield.tables.make_table import compared, steps_between
from levelfield.tables.rows import Row, StudyRows, one_per_training
from levelfield.tables.runs_of_row import RowRuns
from levelfield.tables.scores_of_rows import scores_of_rows

LARGER: Final = 1.0
"""Points of top-1 that are to be told, beside the margin within which rows are called equivalent."""
UNKNOWN_IMAGES: Final = 10_000
"""Test images where nobody knows yet how many there are."""


@dataclass(frozen=True)
class ToDecide:
    """One comparison: `seeds` of each of the two rows for every gap in points (None: more than 1,000). `basis`: what
    that was told from, in words."""

    row: str
    baseline: str
    seeds: Mapping[float, int | None]
    basis: str


def seeds_to_decide(rows: StudyRows) -> list[ToDecide]:
    """For every row that is not the baseline of its test set, in the order of the rows; rows of one training once. The
    gaps are the margin that the table is decided with, and LARGER."""
    study = replace(rows, rows=one_per_training(rows.rows))
    runs, panels, comparisons, _ = compared(study)
    found = []
    for panel in dict.fromkeys(panels.values()):
        members = [one for one in runs if panels[one.row.name] == panel]
        baseline = _baseline(study, members, comparisons[panel])
        flips = _flips(members)
        asked = len(asked_pairs([one.row.name for one in members], baseline, steps_between(study)))
        for one in members:
            if one.row.name != baseline and not one.row.predictions:
                gaps = sorted({study.margin, LARGER})
                found.append(_of_row(one, baseline, comparisons[panel], (len(members), asked), flips, gaps))
    return found


def _baseline(study: StudyRows, members: Sequence[RowRuns], comparison: Comparison) -> str:
    """That of the comparison, which is told once a row is measured; else the one that it will be."""
    line = {name: one.row.name for one in members for name in one.row.names}
    return comparison.baseline or line.get(study.baseline or "") or members[0].row.name


def _of_row(
    one: RowRuns, baseline: str, comparison: Comparison, size: tuple[int, int], flips: float | None,
    gaps: Sequence[float],
) -> ToDecide:  # fmt: skip
    """`size`: how many rows its panel has, and how many pairs of them are asked for."""
    name = one.row.name
    pair = comparison.between(name, baseline)
    if pair is not None and set(gaps) <= (told := dict(pair.seeds_for)).keys():
        return ToDecide(name, baseline, {gap: told[gap] for gap in gaps}, f"runs ({_counts(pair.runs)})")
    images = _images(one)
    seeds = {gap: seeds_foreseen(gap, size[0], images or UNKNOWN_IMAGES, flips, size[1]) for gap in gaps}
    basis = f"prior, {images or UNKNOWN_IMAGES:,} images" + ("" if images else " assumed")
    return ToDecide(name, baseline, seeds, basis)


def _counts(runs: tuple[int, int]) -> str:
    return str(runs[0]) if runs[0] == runs[1] else f"{runs[0]} and {runs[1]}"


def _flips(members: Sequence[RowRuns]) -> float | None:
    """The middle measured row's mean of p (1 - p) over test images; None where no two runs of a row disagree."""
    shares = [
        flips * row.right.shape[1] / 1e4
        for row in scores_of_rows(members).values()
        if row.right is not None and len(row.right) > 1 and (flips := flip_variance(row.right)) > 0
    ]
    return float(np.median(shares)) if shares else None


def _images(one: RowRuns) -> int | None:
    """How many test images a row has: counted in a run, else as its declaration and the catalogue say."""
    for run in one.finished:
        if classes := run.result.get("classes"):
            return sum(int(line["support"]) for line in classes)
    return _declared_images(one.row)


def _declared_images(row: Row) -> int | None:
    data = row.declared[0].data
    known = entry(data.name)
    counts = [count for count in (data.test_limit, known.test if known else None) if count]
    return min(counts, default=None)


def seconds_to_decide(one: ToDecide, seeds: int | None, per_run_s: Mapping[str, float]) -> float | None:
    """Seconds that the runs of both rows take, one after another; None where that is not known. `per_run_s`: by row."""
    if seeds is None or not {one.row, one.baseline} <= per_run_s.keys():
        return None
    return seeds * (per_run_s[one.row] + per_run_s[one.baseline])
