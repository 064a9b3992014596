"""Intervals of the rows of one table: of a row's mean, and of one further run of it.

From three runs on a row's own scores say how they spread, and Student's t takes nothing else for granted. One run shows
no spread, and Student's t of two is six times as wide as it need be. Their spread is taken from the flips of single
images and from how far above those the variance of real rows lies (`statistics.variance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from levelfield.statistics.choose_test import PairTests
from levelfield.statistics.intervals import LEVEL, Estimate, further_run, seeds_interval
from levelfield.statistics.pair_tests import LEAST
from levelfield.statistics.row_scores import RowScores
from levelfield.statistics.variance import Mixture, Prior, RowVariances, measured_prior

METHOD: Final = "flips and overdispersion"
ALONE: Final[Mapping[int, float]] = {1: 0.15, 2: 0.35}
"""By runs: the chance with which such a row may vary as no other does. Real trainings (benchmarks/overdispersion.json,
600 draws each from tables of 2 to 10 rows) were covered in 96 to 100 % with one run, in 94 to 97 % with two."""


class PriorOfFew(Prior):
    """The measured prior, where the question is not whether two rows differ but where one of few runs lies."""

    def wild_share(self, runs: int, rows: int) -> float:
        return 0.0 if runs in ALONE else super().wild_share(runs, rows)

    def alone(self, runs: int, rows: int) -> float:
        return ALONE[runs] if runs in ALONE else super().alone(runs, rows)


def prior_of_few() -> PriorOfFew:
    return PriorOfFew(**vars(measured_prior()))


class RowIntervals:
    """Of the measured `rows` of one table, by name; all have a run."""

    def __init__(self, rows: Mapping[str, RowScores]) -> None:
        self.rows, self.tests = rows, PairTests(rows)

    def of_mean(self, name: str) -> Estimate:
        """Where the mean of the row's scores lies when it is trained again and again, on this test set."""
        return self._few(name, 0.0) or seeds_interval(self.rows[name].scores)

    def of_further_run(self, name: str) -> Estimate:
        """Where one further run of it would fall."""
        return self._few(name, 1.0) or further_run(self.rows[name].scores)

    def _few(self, name: str, further_runs: float) -> Estimate | None:
        """Of a row of one or two runs whose flips are known; None for any other."""
        row, tests = self.rows[name], self.tests
        n = len(row.scores)
        if n >= LEAST or name not in tests.place:
            return None
        variances, place = RowVariances(tests.evidence, tests.images, prior_of_few()), tests.place[name]
        own = Mixture(variances.variance[place] * (1 / n + further_runs), variances.of_mean(place).weight)
        half, mean = own.half_width(1 - LEVEL), float(variances.mean[place])
        assumption = (
            "runs are about normal; how far a row's variance lies above that of its flips is drawn as over this table "
            "and the corpus of real rows"
        )
        if n == 1:
            assumption += "; a row of one run flips as often, for its accuracy, as the middle one of the others"
        return Estimate(mean, mean - half, mean + half, n, METHOD, assumption)
