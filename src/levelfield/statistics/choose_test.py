"""Which test decides between two rows, by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from levelfield.statistics.holm import ALPHA
from levelfield.statistics.pair_tests import PairTest, model_assisted, paired, welch
from levelfield.statistics.pairwise import Difference
from levelfield.statistics.power import PRIOR_DOF, as_seen, seeds_needed
from levelfield.statistics.row_scores import RowScores, flips_of
from levelfield.statistics.variance import RowEvidence, RowVariances


class PairTests:
    """How each pair of `rows` may be compared, by what is known of them."""

    def __init__(self, rows: Mapping[str, RowScores]) -> None:
        self.rows = rows
        images = {row.right.shape[1] for row in rows.values() if row.right is not None}
        known = [name for name, row in rows.items() if row.right is not None] if len(images) == 1 else []
        self.images = images.pop() if len(images) == 1 else 0
        flips = flips_of({name: rows[name] for name in known})
        self.place = {name: place for place, name in enumerate(flips)}
        self.evidence = [RowEvidence(np.array(rows[name].scores), flips[name]) for name in flips]
        self.variances = RowVariances(self.evidence, self.images) if self.evidence else None

    def are_paired(self, a: str, b: str) -> bool:
        start = self.rows[a].start
        return start is not None and start == self.rows[b].start

    def here(self, a: str, b: str) -> PairTest:
        """On this test set: what decides."""
        if not self.are_paired(a, b) and self.variances is not None and a in self.place and b in self.place:
            places = self.place[a], self.place[b]
            deviation = self.variances.of_difference(*places)
            return model_assisted(self.rows[a].scores, self.rows[b].scores, deviation, self.variances.least)
        return self.own(a, b)

    def own(self, a: str, b: str) -> PairTest:
        """On this test set, with the two rows' own scores alone."""
        one, two = self.rows[a], self.rows[b]
        if self.are_paired(a, b):
            common = sorted(one.by_seed.keys() & two.by_seed.keys())
            return paired([one.by_seed[seed] - two.by_seed[seed] for seed in common])
        return welch(one.scores, two.scores)

    def elsewhere(self, a: str, b: str) -> PairTest | None:
        """On other images of the same kind; None where it is not known which images the runs have right, and for rows
        that share their start, whose common deviations are not known apart."""
        if self.are_paired(a, b) or self.variances is None or a not in self.place or b not in self.place:
            return None
        one, two = self.rows[a], self.rows[b]
        assert one.right is not None and two.right is not None
        apart = one.right.mean(0) - two.right.mean(0)
        places = self.place[a], self.place[b]
        flips = sum(float(self.variances.flips[at] / self.variances.n[at]) for at in places)
        # Over images it holds the flips; of few runs it may come out below them.
        images = max(1e4 * float(apart.var(ddof=1)) / self.images, flips)
        deviation = self.variances.of_difference_elsewhere(*places, images)
        return model_assisted(one.scores, two.scores, deviation, self.variances.least)

    def seeds_for(self, pair: Difference, gap: float) -> int | None:
        """How many seeds a row would tell a true difference of `gap` points at the level of this decision."""
        level = pair.level or ALPHA
        if pair.method == "model-assisted" and self.variances is not None:
            spread = self.variances.of_two_runs(self.place[pair.a], self.place[pair.b])
            return seeds_needed(spread, gap, level, prior_dof=PRIOR_DOF)
        assert pair.standard_error is not None
        a, b = self.rows[pair.a], self.rows[pair.b]
        if pair.paired:
            n = len(a.by_seed.keys() & b.by_seed.keys())
            return seeds_needed(as_seen(pair.standard_error * n**0.5, n - 1), gap, level, paired=True)
        sd = float(np.var(a.scores, ddof=1) + np.var(b.scores, ddof=1)) ** 0.5
        return seeds_needed(as_seen(sd, len(a.scores) + len(b.scores) - 2), gap, level)
