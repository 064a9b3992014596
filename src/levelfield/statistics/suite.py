"""Several models on several data sets: average ranks and which of them differ, who improves on whom, profiles.

Scores of different sets are of different scales, so their mean says little. Within every set the models are ranked by
their means over seeds (Demsar, JMLR 7, 2006): Friedman's test asks whether any differ, Nemenyi's critical difference
how far apart average ranks must lie, and Wilcoxon's signed-rank test under Holm's procedure which pairs differ
(Benavoli et al., JMLR 17, 2016: a pair's verdict does not hang on the other models). The probability of improvement
and performance profiles are those of rliable (Agarwal et al., NeurIPS 2021), over the runs of every set. The sets are
the sample: few sets decide little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr

from levelfield.statistics.holm import ALPHA, holm

EXACT: Final = 16
"""Up to so many sets Wilcoxon's test goes through all signs; beyond, its normal approximation."""
RESAMPLES: Final = 2000
DIGITS: Final = 9
"""Digits behind the point, in percent, up to which means are told apart; what lies beyond is rounding."""

Runs = Sequence[Sequence[float]]
"""The scores of a model's runs on each set, the sets in one order for all models."""


@dataclass(frozen=True)
class Improvement:
    """Model `a` over `b`: the probability that a run of a scores higher than one of b, over the sets, with its
    bootstrap interval over seeds (None where a model has a single run on some set, which shows no spread); Wilcoxon's p
    over sets, Holm-adjusted over all pairs, and whether it decides."""

    a: str
    b: str
    probability: float
    low: float | None
    high: float | None
    p_adjusted: float
    decided: bool


@dataclass(frozen=True)
class Ranking:
    """Average rank of each model over the sets, best first; Friedman's p; Nemenyi's critical difference at 5 %.

    `groups`: the largest sets of neighbours in the ranking of which no pair is decided by Wilcoxon's test.
    """

    ranks: Mapping[str, float]
    sets: int
    friedman: float
    critical_difference: float
    pairs: tuple[Improvement, ...]
    groups: tuple[tuple[str, ...], ...]


def ranking(models: Mapping[str, Runs]) -> Ranking:
    """The ranking of two or more `models` with runs on the same two or more sets."""
    names = list(models)
    means = np.array([[rounded_mean(runs) for runs in models[name]] for name in names])
    ranks = ranks_within(means)
    average = dict(sorted(zip(names, ranks.mean(axis=1).tolist(), strict=True), key=lambda pair: pair[1]))
    pairs = _pairs(models, dict(zip(names, means, strict=True)), list(average))
    undecided = {frozenset((one.a, one.b)) for one in pairs if not one.decided}
    count, sets = means.shape
    return Ranking(
        average, sets, friedman(means), critical_difference(count, sets), pairs, _groups(list(average), undecided)
    )


def rounded_mean(runs: Sequence[float]) -> float:
    """The mean of a model's runs on a set; the same for the same scores in whatever order of the seeds."""
    return round(float(np.mean(runs)), DIGITS)


def ranks_within(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks (models, sets) of `means` within each set: 1 the highest, equal ones their middle."""
    above = (means[None] > means[:, None]).sum(axis=1)
    equal = (means[None] == means[:, None]).sum(axis=1)
    return np.asarray(above + (equal + 1) / 2, dtype=np.float64)


def friedman(means: NDArray[np.float64]) -> float:
    """Friedman's p that all models (rows of `means`) have the same ranks, by chi-squared; equal scores corrected."""
    count, sets = means.shape
    ranks = ranks_within(means)
    spread = float(((ranks - (count + 1) / 2) ** 2).sum())
    if spread == 0:
        return 1.0
    between = float(((ranks.sum(axis=1) - sets * (count + 1) / 2) ** 2).sum())
    return float(chdtrc(count - 1, (count - 1) * between / spread))


def critical_difference(models: int, sets: int, alpha: float = ALPHA) -> float:
    """Nemenyi's: average ranks at least this far apart differ at level `alpha` over all pairs."""
    return studentized_range(1 - alpha, models) * math.sqrt(models * (models + 1) / (12 * sets))


def studentized_range(p: float, count: int) -> float:
    """The `p` quantile of the range of `count` standard normal numbers."""
    nodes, weights = np.polynomial.legendre.leggauss(400)

    def below(q: float) -> float:
        z = nodes * (8.5 + q / 2) + q / 2  # beyond it the density is less than 1e-16
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        return count * (8.5 + q / 2) * float(weights @ (density * (ndtr(z) - ndtr(z - q)) ** (count - 1)))

    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < p else (low, middle)
    return (low + high) / 2


def wilcoxon(differences: Sequence[float]) -> float:
    """Wilcoxon's two-sided signed-rank p of `differences`, zeros left out; exact up to `EXACT` of them."""
    d = np.round(np.asarray(differences, dtype=np.float64), DIGITS)
    d = d[d != 0]
    n = len(d)
    if n == 0:
        return 1.0
    ranks = n + 1 - ranks_within(np.abs(d)[:, None])[:, 0]
    total, middle = float(ranks[d > 0].sum()), n * (n + 1) / 4
    if n <= EXACT:
        sums = np.zeros(1)
        for rank in ranks:
            sums = np.concatenate([sums, sums + rank])
        return float(np.mean(np.abs(sums - middle) >= abs(total - middle) - 1e-9))
    _, ties = np.unique(ranks, return_counts=True)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((ties**3 - ties).sum()) / 48
    return float(2 * ndtr(-abs(total - middle) / math.sqrt(variance)))


def fewest_sets(pairs: int, alpha: float = ALPHA) -> int:
    """On how many sets Wilcoxon's exact test can decide the first of so many `pairs` at all."""
    return math.ceil(math.log2(2 * pairs / alpha))


def probability_of_improvement(a: Runs, b: Runs) -> float:
    """The mean over sets of the share of pairs of runs in which `a` scores higher, equal scores counting half."""
    shares = []
    for one, other in zip(a, b, strict=True):
        x, y = np.asarray(one, dtype=np.float64)[:, None], np.asarray(other, dtype=np.float64)[None]
        shares.append(float(np.mean((x > y) + 0.5 * (x == y))))
    return float(np.mean(shares))


def performance_profile(runs: Runs, levels: Sequence[float]) -> list[float]:
    """At each of `levels` the share of runs that score above it, every set weighing alike."""
    return [float(np.mean([np.mean(np.asarray(scores) > level) for scores in runs])) for level in levels]


def _pairs(
    models: Mapping[str, Runs], means: Mapping[str, NDArray[np.float64]], order: Sequence[str]
) -> tuple[Improvement, ...]:
    """Every pair, the better ranked first, in the order of the ranking."""
    pairs = list(combinations(order, 2))
    if not pairs:
        return ()
    decided = holm(np.array([wilcoxon((means[a] - means[b]).tolist()) for a, b in pairs]))
    found = []
    for i, (a, b) in enumerate(pairs):
        low, high = _interval(models[a], models[b])
        probability = probability_of_improvement(models[a], models[b])
        found.append(Improvement(a, b, probability, low, high, float(decided.p_adjusted[i]), bool(decided.rejected[i])))
    return tuple(found)


def _interval(a: Runs, b: Runs) -> tuple[float, float] | tuple[None, None]:
    """The percentile bootstrap's 95 % interval of the probability of improvement, seeds resampled within each set; none
    where a set has a single run."""
    if min(map(len, (*a, *b))) < 2:
        return None, None
    rng = np.random.default_rng(0)
    shares = np.zeros(RESAMPLES)
    for one, other in zip(a, b, strict=True):
        x = np.asarray(one, dtype=np.float64)[rng.integers(0, len(one), (RESAMPLES, len(one)))][:, :, None]
        y = np.asarray(other, dtype=np.float64)[rng.integers(0, len(other), (RESAMPLES, len(other)))][:, None]
        shares += ((x > y) + 0.5 * (x == y)).mean(axis=(1, 2))
    low, high = np.quantile(shares / len(a), [0.025, 0.975])
    return float(low), float(high)


def _groups(order: Sequence[str], undecided: set[frozenset[str]]) -> tuple[tuple[str, ...], ...]:
    """Runs of two or more neighbours all of whose pairs are undecided, those inside of others left out."""
    spans = [
        (first, last)
        for first, last in product(range(len(order)), repeat=2)
        if first < last and all(frozenset(pair) in undecided for pair in combinations(order[first : last + 1], 2))
    ]
    largest = [one for one in spans if not any(o != one and o[0] <= one[0] and one[1] <= o[1] for o in spans)]
    return tuple(tuple(order[first : last + 1]) for first, last in largest)
