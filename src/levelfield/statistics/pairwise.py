"""What is said of two rows: the difference paired by seed, and what stands beside the decision.

The decision is the paired t interval at the level that Holm's procedure leaves for it: it excludes zero exactly when
the adjusted p is at most 0.05. The exact sign-flip permutation test, which assumes no distribution, stands beside it,
as do the probability that a run of one beats a run of the other and McNemar's test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

EXACT_UP_TO: Final = 14
"""Pairs up to which all sign flips are tried (2**14); beyond, 9,999 are drawn."""

ASSUMPTION: Final = "differences between runs of equal seed are about normal and independent"


@dataclass(frozen=True)
class Difference:
    """`estimate` = mean of a - b over `n` common seeds, with the adjusted interval and decision.

    `low`, `high`, `p`, `p_adjusted` and `level` (at which the interval is drawn) are None where two common seeds are
    missing or the differences do not vary; the decision is then "not distinguishable", with `reason`. `sign_flip_p`
    cannot fall below `sign_flip_min`.
    `beats`: probability that a run of a scores above a run of b (ties half).
    """

    a: str
    b: str
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    sd: float | None
    p: float | None
    p_adjusted: float | None
    different: bool
    level: float | None
    sign_flip_p: float | None
    sign_flip_min: float | None
    beats: float | None
    reason: str = ""
    method: str = "paired t, Holm-adjusted"
    assumption: str = ASSUMPTION


@dataclass(frozen=True)
class SignFlip:
    """Two-sided p of the sign-flip permutation test and the smallest p that so many pairs can reach (2 / 2**n)."""

    p: float
    smallest: float
    exact: bool


def sign_flip(differences: ArrayLike) -> SignFlip:
    """Exact sign-flip test that the paired `differences` (n,) are symmetric about zero; sampled beyond 14 pairs."""
    d = np.asarray(differences, dtype=np.float64)
    exact = len(d) <= EXACT_UP_TO

    def mean(x: NDArray[np.float64], axis: int) -> Any:
        return np.mean(x, axis=axis)

    found = stats.permutation_test(
        (d,),
        mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if exact else 9999,
        rng=np.random.default_rng(0),
    )
    return SignFlip(float(found.pvalue), 2.0 ** (1 - len(d)) if exact else 2.0 / 10_000, exact)


def probability_of_beating(a: Sequence[float], b: Sequence[float]) -> float:
    """P(A beats B): the share of pairs of runs in which a's scores higher, ties counted half (Mann-Whitney U / nm)."""
    return float(stats.mannwhitneyu(a, b).statistic) / (len(a) * len(b))


@dataclass(frozen=True)
class McNemar:
    """Images that only a, or only b, has right, and the exact two-sided p. It says nothing of the two recipes."""

    only_a: int
    only_b: int
    p: float


def mcnemar_test(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test of two trained models on the same images, `right_a`, `right_b` bool (N,)."""
    if right_a.shape != right_b.shape:
        raise ValueError(f"the two were tested on {right_a.shape} and {right_b.shape} images; give the same ones")
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    table = [[int((right_a & right_b).sum()), only_a], [only_b, int((~right_a & ~right_b).sum())]]
    return McNemar(only_a, only_b, float(mcnemar(table, exact=True).pvalue))
