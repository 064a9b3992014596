"""The expected best of k trials, and which of two rows is better where both may try equally often.

The expected validation score of the best of k trials (Dodge et al., EMNLP 2019) is estimated without bias by the mean
over all choices of k of the n trials made, a weighted sum of the ordered scores (Tang et al., ACL 2020). n trials hold
no more than n / k independent bests of k, so intervals take the bootstrap's standard error over trials times Student's
t with n / k - 1 degrees of freedom: for k = 1 the usual interval of a mean, and none beyond k = n / 2. The percentile
bootstrap that is mostly printed covers 45 to 65 % at k = n instead of 95, and of two equal rows calls one better in 18
to 26 % of sweeps of five; `tests/statistics/test_best_of_trials.py` holds what is done here to what it promises.

Rows are compared trial by trial: the same draw of the settings for all, resampled together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from levelfield.statistics.holm import ALPHA, holm

RESAMPLES: Final = 2000
SEED: Final = 0

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class ExpectedBest:
    """Of the best of `k` trials the expected score, with its interval (None: too few trials to tell)."""

    k: int
    estimate: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class EqualTrials:
    """`a` against `b` where both may try `k` times: the difference of their expected bests, in points.

    `decided`: Holm's procedure over all pairs and k finds them different; [`low`, `high`] is drawn at the level that it
    leaves, and excludes zero exactly then.
    """

    a: str
    b: str
    k: int
    difference: float
    low: float
    high: float
    p_adjusted: float
    decided: bool


def order_weights(n: int, k: int) -> Scores:
    """How the n ordered scores (lowest first) weigh in the expected best of k: (n,), C(i - 1, k - 1) / C(n, k)."""
    return np.array([math.comb(i, k - 1) / math.comb(n, k) for i in range(n)])


def expected_best(scores: Sequence[float], k: int) -> float:
    """The mean over all choices of k of the n `scores` of the best among them. Raises ValueError unless 1 <= k <= n."""
    if not 1 <= k <= len(scores):
        raise ValueError(f"the best of {k} of {len(scores)} trials")
    return float(np.sort(np.asarray(scores, dtype=np.float64)) @ order_weights(len(scores), k))


def expected_bests(scores: Sequence[float], alpha: float = ALPHA) -> tuple[ExpectedBest, ...]:
    """The expected best of 1, 2 ... n trials, with intervals at level `alpha` as far as n trials tell them."""
    n = len(scores)
    found = []
    for k in range(1, n + 1):
        estimate, low, high = expected_best(scores, k), None, None
        if _freedom(n, k) >= 1:
            half = _quantile(n, k, alpha) * _standard_error(scores, np.zeros(n), k)
            low, high = estimate - half, estimate + half
        found.append(ExpectedBest(k, estimate, low, high))
    return tuple(found)


def told_at(n: int) -> tuple[int, ...]:
    """At which numbers of trials n trials a row are asked which row is better: one, and about a third of them."""
    return tuple(k for k in dict.fromkeys((1, max(2, n // 3))) if _freedom(n, k) >= 1)


def at_equal_trials(rows: Mapping[str, Sequence[float]], alpha: float = ALPHA) -> tuple[EqualTrials, ...]:
    """All pairs of `rows` (name -> the scores of its n trials, in the order of the draw) at each k of `told_at`.

    One family: at most `alpha` of such sweeps of equal rows call any pair different at any k. Raises ValueError where
    rows have unequal numbers of trials.
    """
    counts = {len(scores) for scores in rows.values()}
    if len(counts) > 1:
        raise ValueError(f"unequal numbers of trials: {sorted(counts)}")
    n = counts.pop() if counts else 0
    asked = [(a, b, k) for k in told_at(n) for a, b in combinations(rows, 2)]
    if not asked:
        return ()
    differences = np.array([expected_best(rows[a], k) - expected_best(rows[b], k) for a, b, k in asked])
    errors = np.array([_standard_error(rows[a], rows[b], k) for a, b, k in asked])
    freedom = np.array([_freedom(n, k) for _, _, k in asked])
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(errors > 0, 2 * stdtr(freedom, -np.abs(differences) / errors), 1.0)
    decided = holm(p, alpha=alpha)
    half = stdtrit(freedom, 1 - decided.level / 2) * errors
    return tuple(
        EqualTrials(
            a, b, k, float(differences[i]), float(differences[i] - half[i]), float(differences[i] + half[i]),
            float(decided.p_adjusted[i]), bool(decided.rejected[i]),
        )
        for i, (a, b, k) in enumerate(asked)
    )  # fmt: skip


def _freedom(n: int, k: int) -> float:
    return n / k - 1


def _quantile(n: int, k: int, alpha: float) -> float:
    return float(stdtrit(_freedom(n, k), 1 - alpha / 2))


def _standard_error(a: Sequence[float] | Scores, b: Sequence[float] | Scores, k: int) -> float:
    """The bootstrap's standard error of the difference of two expected bests of k, trials resampled together."""
    n = len(a)
    drawn = np.random.default_rng(SEED).integers(0, n, (RESAMPLES, n))
    weights = order_weights(n, k)
    resampled = [np.sort(np.asarray(scores, dtype=np.float64)[drawn], axis=1) @ weights for scores in (a, b)]
    return float(np.std(resampled[0] - resampled[1]) * math.sqrt(n / (n - 1)))
