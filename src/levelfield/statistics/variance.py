"""How much each row of a table varies over seeds: its own runs, its flips, and what real rows taught, taken together.

Two or three scores say little of a variance. Two more things are known. How often a row's seeds disagree on single
images gives, precisely, the variance v that independent flips would cause (Jordan, arXiv 2304.01910). And a row's true
variance over seeds is v times an overdispersion phi = 1 + exp(u) that is the row's own; how it is distributed over real
rows was measured on a corpus of trainings (`overdispersion.json`). So u has a prior: normal around a mean and with a
spread that the table's own rows move (empirical Bayes, as in Smyth 2004 for genes), and with a share of rows, itself
open, that are far noisier than the others, so that a wild row is not drawn to these (the robust form of Phipson et al.
2016).

All integrals are sums over a grid, so that a table is a function of its runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from levelfield.statistics.distributions import normal_density

Floats = NDArray[np.float64]

LOWEST, HIGHEST, STEP = -3.0, 12.0, 0.5
"""Of u = log(phi - 1): from rows that vary by 1.02 of their flips' standard deviation to 400 times it (collapsed runs).
"""
STEPS: Final = np.linspace(-2.0, 2.0, 7)
"""Where the open mean of u is tried, in its standard deviations."""
MOST_WILD: Final = 0.9
"""The highest chance that a row is wild."""
MANY, ALONE_OF_MANY = 8, 0.3
"""From so many runs on, so likely nothing but its own runs tells of a row; set as `Prior.wild` is."""


class RowEvidence(NamedTuple):
    """What a row's runs show: `scores` (n,) in percent, n >= 1, and `flips`: the variance (percent squared) that
    independent flips of single images would give the score of one run."""

    scores: Floats
    flips: float


@dataclass(frozen=True)
class Prior:
    """Of u over rows: normal with a mean and a spread that are themselves open, and some rows far noisier than others.

    `mean`, `mean_sd`: of the mean over tables. `spreads` with `weights`: of the rows of one table around it. For tests
    on `images` test images; flips shrink with the number of images and what is common to them does not, so the mean
    moves by log(images / `images`). `wild`: how many rows a table lie anywhere from `above` over its mean on, by their
    number of runs, from two on (the last entry: of so many and more), two rows taken off that show the mean; times one
    of `settings`, which have `setting_weights`, so that a table whose rows show that several are wild is less sure of
    the others. These are set so that rows much noisier than the others stay within 5 % (benchmarks/decisions.py).
    """

    images: int
    mean: float
    mean_sd: float
    spreads: tuple[float, ...]
    weights: tuple[float, ...]
    wild: tuple[float, ...]
    settings: tuple[float, ...]
    setting_weights: tuple[float, ...]
    above: float

    def on_grid(self, u: Floats, images: int, runs: Sequence[int]) -> tuple[Floats, Floats]:
        """Weights of `u` (G,) for rows of so many `runs`, under each of H settings of the whole (rows, H, G), and the
        settings' weights (H,)."""
        means = self.mean + np.log(images / self.images) + self.mean_sd * STEPS
        tame = normal_density((u - means[:, None, None]) / np.array(self.spreads)[:, None])
        wild = (u >= means[:, None] + self.above).astype(np.float64)[:, None]
        tame, wild = (one / one.sum(-1, keepdims=True) for one in (tame, wild))
        rows = len(runs)
        chance = np.outer([self.wild_share(n, rows) for n in runs], self.settings)
        share = np.minimum(chance, MOST_WILD)[:, :, None, None, None]
        alone = np.array([self.alone(n, rows) for n in runs])[:, None, None]
        together = ((1 - share) * tame + share * wild).reshape(rows, -1, len(u))
        weight = np.multiply.outer(self.setting_weights, np.outer(normal_density(STEPS), self.weights)).ravel()
        return (1 - alone) * together + alone / len(u), weight / weight.sum()

    def wild_share(self, runs: int, rows: int) -> float:
        """How likely a row of so many runs is wild, before `settings`. A row of one run shows nothing by which it could
        be told."""
        return 0.0 if runs < 2 else self.wild[min(runs - 2, len(self.wild) - 1)] / max(rows - 2, 1)

    def alone(self, runs: int, rows: int) -> float:
        """How likely nothing but its own runs tells of a row: surely where two rows could lend to each other only, and
        perhaps where its runs are many, as others then add little that is sure."""
        if rows < 3 and runs > 2:
            return 1.0
        return ALONE_OF_MANY if runs >= MANY else 0.0


def grid(runs: int) -> Floats:
    """Where u is looked at: as closely as `runs` of a row can tell it, whose log-variance spreads by sqrt(2 / dof)."""
    step = min(STEP, (2 / max(1, runs - 1)) ** 0.5)
    return np.linspace(LOWEST, HIGHEST, 1 + round((HIGHEST - LOWEST) / step))


@cache
def measured_prior() -> Prior:
    """The prior that was fitted to the corpus of real trainings."""
    text = (resources.files("levelfield.statistics") / "overdispersion.json").read_text(encoding="utf-8")
    fitted: dict[str, Any] = {
        name: tuple(one) if isinstance(one, list) else one for name, one in json.loads(text)["prior"].items()
    }
    return Prior(**fitted)


def sample_variance(runs: Floats) -> float:
    """Of the scores of two runs or more; 0 where they are equal, of which rounding would make something else."""
    return float(runs.var(ddof=1)) if runs.min() < runs.max() else 0.0


def flip_variance(right: NDArray[np.bool_]) -> float:
    """The variance (percent squared) of one run's accuracy if each image flipped on its own.

    `right`: bool (n, N), which of N images each of n >= 2 runs has right. Unbiased: p (1 - p), from the runs that
    disagree on an image, summed over images, over N squared.
    """
    runs, images = right.shape
    if runs < 2:
        raise ValueError("flips show between runs: give at least two")
    count = right.sum(0, dtype=np.float64)
    return float(1e4 * (count * (runs - count)).sum() / (runs * (runs - 1)) / images**2)


class RowVariances:
    """The posterior of every row's variance, given all rows of a table on the same `images` test images."""

    def __init__(self, rows: list[RowEvidence], images: int, prior: Prior | None = None) -> None:
        prior = prior or measured_prior()
        self.n = np.array([len(row.scores) for row in rows])
        self.mean = np.array([row.scores.mean() for row in rows])
        squares = np.array([((row.scores - row.scores.mean()) ** 2).sum() for row in rows])
        # Where no flip at all was seen, less than half an image cannot be told.
        self.flips: Floats = np.maximum([row.flips for row in rows], (50.0 / images) ** 2)
        u = grid(int(self.n.max()))
        self.variance: Floats = self.flips[:, None] * (1.0 + np.exp(u))
        """(rows, G): the variance of one run's score at each point of the grid."""
        log = -0.5 * ((self.n - 1)[:, None] * np.log(self.variance) + squares[:, None] / self.variance)
        likelihood = np.exp(log - log.max(1, keepdims=True))
        density, weight = prior.on_grid(u, images, [int(n) for n in self.n])
        evidence = np.einsum("kg,khg->kh", likelihood, density)
        log_weight = np.log(weight) + np.log(evidence).sum(0)
        self.weight: Floats = np.exp(log_weight - log_weight.max())
        self.weight /= self.weight.sum()
        self.posterior: Floats = likelihood[:, None, :] * density / evidence[:, :, None]
        """(rows, H, G): of each row's u under each setting of the prior."""

    @property
    def least(self) -> int:
        """Runs from which a row may be decided. Rows of more runs would lend those of two a spread that these cannot
        contradict (simulated: up to 15 % false tables), so two are enough only where no row has more."""
        return 3 if self.n.max() > 2 else 2

    def expected(self) -> Floats:
        """(rows,) posterior mean of each row's variance (percent squared)."""
        found: Floats = np.einsum("h,khg,kg->k", self.weight, self.posterior, self.variance)
        return found

    def joint(self, a: int, b: int) -> Floats:
        """(G, G) posterior of the two rows' u together."""
        found: Floats = (self.weight[:, None] * self.posterior[a]).T @ self.posterior[b]
        return found

    def of_difference(self, a: int, b: int) -> Mixture:
        """The difference of the two rows' means, on this test set, if their true means are equal."""
        variance = self.variance[a][:, None] / self.n[a] + self.variance[b] / self.n[b]
        return Mixture(variance.ravel(), self.joint(a, b).ravel())

    def of_difference_elsewhere(self, a: int, b: int, images: float) -> Mixture:
        """As `of_difference`, on other images of the same kind. `images`: the variance (percent squared) that another
        sample of images gives the difference; it holds the flips of the runs at hand (`Var(p_a - p_b) / N`)."""
        common_a, common_b = (self.variance[row] - self.flips[row] for row in (a, b))
        variance = images + common_a[:, None] / self.n[a] + common_b / self.n[b]
        return Mixture(variance.ravel(), self.joint(a, b).ravel())

    def of_two_runs(self, a: int, b: int) -> Mixture:
        """The difference between one run of each row around that of the true means."""
        variance = self.variance[a][:, None] + self.variance[b]
        return Mixture(variance.ravel(), self.joint(a, b).ravel()).in_few()

    def of_mean(self, a: int) -> Mixture:
        """The mean of one row's scores around its true mean."""
        weight = self.weight @ self.posterior[a]
        return Mixture(self.variance[a] / self.n[a], weight)


@dataclass(frozen=True)
class Mixture:
    """A normal deviation whose variance is open: `variance` (M,) with `weight` (M,), which sum to one."""

    variance: Floats
    weight: Floats

    def p(self, distance: float) -> float:
        """P(|deviation| >= `distance`): the two-sided p-value of a difference of this size."""
        return float(2 * (self.weight @ ndtr(-abs(distance) / np.sqrt(self.variance))))

    def half_width(self, level: float) -> float:
        """The distance whose p-value is `level`: half the width of the interval at 1 - `level`."""
        deviation = np.sqrt(self.variance)
        high = float(np.sqrt(self.weight @ self.variance))
        while self.p(high) > level:
            high *= 4
        low, at = 0.0, high
        for _ in range(60):  # Newton's steps on log p, which is nearly straight; halved where one leaves the bracket
            z = at / deviation
            p = float(2 * (self.weight @ ndtr(-z)))
            low, high = (at, high) if p > level else (low, at)
            slope = float(2 * (self.weight @ (normal_density(z) / deviation)))
            step = p * math.log(p / level) / slope if p > 0 and slope > 0 else math.inf
            if abs(step) <= 1e-14 * at:
                break
            at = at + step if low < at + step < high else 0.5 * (low + high)
        return at

    def in_few(self, points: int = 48) -> Mixture:
        """About the same in at most `points` variances: those of equal shares of the weight, by their means."""
        order = np.argsort(self.variance)
        share = np.minimum((np.cumsum(self.weight[order]) * points).astype(int), points - 1)
        weight: Floats = np.bincount(share, self.weight[order], points).astype(np.float64)
        mean: Floats = np.bincount(share, (self.weight * self.variance)[order], points).astype(np.float64)
        kept = weight > 0
        return Mixture(mean[kept] / weight[kept], weight[kept])

    @property
    def standard_error(self) -> float:
        """The half-width that holds as much as one standard error of a normal deviation does, 68.3 %. The root of the
        mean variance tells nothing of a mixture with a heavy tail: it may be as wide as the interval at 97 %."""
        return self.half_width(2 * float(ndtr(-1.0)))
