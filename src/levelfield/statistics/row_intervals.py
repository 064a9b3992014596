"""Intervals of the rows of one table: of a row's mean, and of one further run of it.

From three runs on a row's own scores say how they spread, and Student's t takes nothing else for granted. One run shows
no spread, nor do runs of equal scores, and Student's t of two is six times as wide as it need be. Their spread is taken
from the flips of single images and from how far above those the variance of real rows lies (`statistics.variance`).
Where no flip is known either, there is no interval, and `Estimate.assumption` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from levelfield.statistics.choose_test import PairTests
from levelfield.statistics.intervals import LEVEL, Estimate, further_run, seeds_interval, spread_is_seen
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
        return self._interval(name, 0.0, seeds_interval(self.rows[name].scores))

    def of_further_run(self, name: str) -> Estimate:
        """Where one further run of it would fall."""
        return self._interval(name, 1.0, further_run(self.rows[name].scores))

    def _interval(self, name: str, further_runs: float, own: Estimate) -> Estimate:
        """`own`, Student's t of the row's scores, where these are enough, else that from flips where they are known."""
        scores = self.rows[name].scores
        if len(scores) >= LEAST and spread_is_seen(scores):
            return own
        if why := self._no_flips(name):
            return own if own.low is not None else replace(own, assumption=f"{own.assumption}; {why}")
        return self._from_flips(name, further_runs)

    def _no_flips(self, name: str) -> str:
        """Why nothing is known of the flips of a row; "" where they are known."""
        if name not in self.tests.place:
            if self.rows[name].right is None or not self.tests.images:
                return "and it is not known, of the same images for all rows, which ones it has right"
            return "and no row here shows how often runs disagree on an image"
        if self.tests.evidence[self.tests.place[name]].flips > 0:
            return ""
        return "and all its runs have the very same images right"

    def _from_flips(self, name: str, further_runs: float) -> Estimate:
        row, tests = self.rows[name], self.tests
        n = len(row.scores)
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
