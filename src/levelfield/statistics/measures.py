"""Several measures of each row at once: differences to the baseline, decided as one family.

What an analysis asks is one question ("whose confidence is to be believed?"), which it answers by several measures.
Every (measure, row) beside the baseline is one hypothesis, and all of them together are one family: if no row truly
differed in anything, the chance of any claim is at most 5 % (Holm). Where there are as many measures as classes, their
rule may be the false discovery rate instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from levelfield.statistics.choose_test import PairTests
from levelfield.statistics.holm import ALPHA, Decisions, holm
from levelfield.statistics.pair_tests import LEAST
from levelfield.statistics.row_scores import RowScores
from levelfield.statistics.verdicts import Verdict


@dataclass(frozen=True)
class Measure:
    """What is measured: its `key`, its title with the unit, and which way is better."""

    key: str
    title: str
    higher_is_better: bool
    digits: int = 2


@dataclass(frozen=True)
class MeasuredDifference:
    """`row` minus `baseline` in one measure: `estimate` with the interval [`low`, `high`] at the level of its decision,
    which excludes zero exactly where they are decided to differ; over `runs` of each. None where there is no ground for
    one, with `reason`."""

    measure: str
    row: str
    baseline: str
    estimate: float | None
    low: float | None
    high: float | None
    p_adjusted: float
    runs: tuple[int, int]
    method: str
    reason: str
    verdict: Verdict


def compare_measures(
    values: Mapping[Measure, Mapping[str, RowScores]],
    baseline: str,
    alpha: float = ALPHA,
    decide: Callable[..., Decisions] = holm,
) -> tuple[MeasuredDifference, ...]:
    """Every row beside `baseline` in every measure, each by its own runs (Welch's t; seed by seed where rows share
    their start). `values`: of each measure by row; a measure that the baseline lacks is left out. `decide`: the rule of
    the family, `holm` or `benjamini_hochberg`."""
    known = {
        measure: {name: row for name, row in rows.items() if row.by_seed}
        for measure, rows in values.items()
        if baseline in rows and rows[baseline].by_seed
    }
    asked = [(measure, name) for measure, rows in known.items() for name in rows if name != baseline]
    tests = {measure: PairTests(rows) for measure, rows in known.items()}
    found = [tests[measure].own(name, baseline) for measure, name in asked]
    if not found:
        return ()
    decided = decide(np.array([test.p for test in found]), alpha=alpha)
    result = []
    for i, ((measure, name), test) in enumerate(zip(asked, found, strict=True)):
        low, high = test.interval(float(decided.level[i]))
        verdict: Verdict = "undecided"
        if decided.rejected[i] and test.estimate is not None:
            verdict = "better" if (test.estimate > 0) == measure.higher_is_better else "worse"
        elif test.deviation is None and min(test.runs) < LEAST:
            verdict = "too few seeds"
        result.append(
            MeasuredDifference(
                measure.key, name, baseline, test.estimate, low, high, float(decided.p_adjusted[i]), test.runs,
                test.method, test.reason, verdict,
            )
        )  # fmt: skip
    return tuple(result)
