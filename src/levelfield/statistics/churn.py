"""How often two trained networks disagree on an image: between seeds of one row, and between rows.

A mean over all pairs of runs is no mean of independent values, as every run is in several pairs. Its spread over seeds
is the jackknife's: each run left out once, Student's t of the pseudo-values (Tukey 1958; of U-statistics Arvesen, Ann.
Math. Stat. 40, 1969). Simulated with three to ten runs, intervals at 95 % cover 90 to 99 % and rows of one recipe are
told apart in at most 1 % (`tests/statistics/test_churn.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from levelfield.statistics.intervals import Estimate, seeds_interval
from levelfield.statistics.pair_tests import LEAST, PairTest, StudentT

Floats = NDArray[np.float64]
METHOD: Final = "Student's t of jackknife pseudo-values"
ASSUMPTION: Final = "runs are independent"
FEW: Final = f"fewer than {LEAST} runs of a row, which show no spread of their pairs"


def disagreement(one: NDArray[np.int64], other: NDArray[np.int64]) -> Floats:
    """Percent (n, m) of images that run i of `one` (n, N) and run j of `other` (m, N) take for different classes."""
    return np.array([[100 * float((a != b).mean()) for b in other] for a in one])


def churn_within(apart: Floats) -> Estimate | None:
    """The mean disagreement of two runs of a row, in percent, from `apart` (n, n) between all of them; None of one."""
    n = len(apart)
    if n < 2:
        return None
    found = _pairs_mean(apart)
    if n < LEAST:
        return Estimate(found, None, None, n, "none", FEW)
    spread = seeds_interval(_pseudo_values(found, [_pairs_mean(_without(apart, i)) for i in range(n)]))
    return Estimate(found, spread.low, spread.high, n, METHOD, ASSUMPTION)


def churn_beyond_seeds(within_a: Floats, within_b: Floats, between: Floats) -> PairTest:
    """By how many points runs of two rows disagree more often than two runs of one row do, the mean over both rows.

    `within_a` (n, n), `within_b` (m, m), `between` (n, m): percent. About 0, or below, for rows that are one recipe.
    """
    n, m = between.shape

    def beyond(a: Floats, b: Floats, ab: Floats) -> float:
        return float(ab.mean()) - (_pairs_mean(a) + _pairs_mean(b)) / 2

    if min(n, m) < 2:
        return PairTest(None, None, METHOD, ASSUMPTION, "one run shows no churn between seeds", runs=(n, m))
    found = beyond(within_a, within_b, between)
    if min(n, m) < LEAST:
        return PairTest(found, None, METHOD, ASSUMPTION, FEW, runs=(n, m))
    without_a = [beyond(_without(within_a, i), within_b, np.delete(between, i, 0)) for i in range(n)]
    without_b = [beyond(within_a, _without(within_b, j), np.delete(between, j, 1)) for j in range(m)]
    return _two_samples(found, without_a, without_b)


def churn_between(between: Floats) -> PairTest:
    """The mean disagreement of a run of one row with a run of another, in percent, from `between` (n, m)."""
    n, m = between.shape
    found = float(between.mean())
    if min(n, m) < LEAST:
        return PairTest(found, None, METHOD, ASSUMPTION, FEW, runs=(n, m))
    without = ([float(np.delete(between, i, axis).mean()) for i in range(size)] for axis, size in enumerate((n, m)))
    return _two_samples(found, *without)


def _two_samples(found: float, without_a: Sequence[float], without_b: Sequence[float]) -> PairTest:
    values = [np.array(_pseudo_values(found, without)) for without in (without_a, without_b)]
    runs = len(values[0]), len(values[1])
    share = [float(one.var(ddof=1)) / len(one) for one in values]
    if sum(share) <= 1e-18:
        return PairTest(found, None, METHOD, ASSUMPTION, "all pairs disagree equally often: no spread", runs=runs)
    dof = sum(share) ** 2 / sum(part**2 / (len(one) - 1) for part, one in zip(share, values, strict=True))
    return PairTest(found, StudentT(sum(share) ** 0.5, dof), METHOD, ASSUMPTION, runs=runs)


def _pairs_mean(apart: Floats) -> float:
    return float(apart[np.triu_indices(len(apart), 1)].mean())


def _without(apart: Floats, i: int) -> Floats:
    return np.delete(np.delete(apart, i, 0), i, 1)


def _pseudo_values(found: float, without: Sequence[float]) -> list[float]:
    n = len(without)
    return [n * found - (n - 1) * one for one in without]
