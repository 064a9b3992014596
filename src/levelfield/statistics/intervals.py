"""Intervals of one row: over training seeds, over the test sample, and for one further run.

The two answer different questions. Over seeds: where the mean of the recipe lies when it is trained again and again,
on this test set. Over the test sample: where the accuracy of a trained model would lie on other images of the same
kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from levelfield.statistics.distributions import beta_quantile, beta_with_tail, normal_with_tail, t_with_tail

LEVEL: Final = 0.95
NORMAL: Final = "scores of seeds are about normal"


@dataclass(frozen=True)
class Estimate:
    """`value` with its interval [`low`, `high`] at `level`; both None where `n` is too small for one.

    `method` names the formula and `assumption` what it rests on, in words for a reader. Same unit as the scores given.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    method: str
    assumption: str
    level: float = LEVEL

    def holds(self, value: float) -> bool | None:
        """Whether `value` lies inside; None where there is no interval."""
        return None if self.low is None or self.high is None else self.low <= value <= self.high


def seeds_interval(scores: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean and interval over seeds of `scores` (one per seed): Student's t at every number of seeds.

    The bootstrap, BCa included, is too narrow for so few values: with ten it covers 90 %.
    """
    return _students_t(scores, level, 0.0)


def further_run(scores: Sequence[float], level: float = LEVEL) -> Estimate:
    """Where one further run would fall (prediction interval): mean +- t s sqrt(1 + 1/n)."""
    return _students_t(scores, level, 1.0)


def spread_is_seen(scores: Sequence[float]) -> bool:
    """Whether `scores`, two or more, differ by more than rounding."""
    return float(np.std(scores, ddof=1)) > 1e-9 * max(1.0, abs(float(np.mean(scores))))


def _students_t(scores: Sequence[float], level: float, further_runs: float) -> Estimate:
    """mean +- t s sqrt(1/n + `further_runs`). Equal scores give no interval: their spread is unseen, not zero."""
    values = np.asarray(scores, dtype=np.float64)
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Estimate(mean, None, None, n, "none", "one run shows nothing of the spread over seeds", level)
    sd = float(values.std(ddof=1))
    if not spread_is_seen(scores):
        return Estimate(mean, None, None, n, "none", f"the scores of all {n} seeds are equal: no spread is seen", level)
    half = t_with_tail((1 - level) / 2, n - 1) * sd * math.sqrt(1 / n + further_runs)
    return Estimate(mean, mean - half, mean + half, n, "Student's t", NORMAL, level)


def sample_interval(
    accuracy: float, images: int, level: float = LEVEL, method: Literal["wilson", "beta"] = "wilson"
) -> Estimate:
    """Interval over the test sample of an `accuracy` in percent on `images` images, in percent.

    `wilson`: Wilson's score interval; `beta`: Clopper and Pearson's exact one, wider.
    """
    low, high = (_wilson if method == "wilson" else _clopper_pearson)(accuracy / 100, images, (1 - level) / 2)
    name = {"wilson": "Wilson", "beta": "Clopper-Pearson"}[method]
    return Estimate(
        accuracy, 100 * float(low), 100 * float(high), images, name, "test images are independent draws", level
    )


def _wilson(share: float, n: int, tail: float) -> tuple[float, float]:
    """Wilson, J. Am. Stat. Assoc. 22, 1927."""
    z = normal_with_tail(tail)
    centre, whole = share + z**2 / (2 * n), 1 + z**2 / n
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max((centre - half) / whole, 0.0), min((centre + half) / whole, 1.0)


def _clopper_pearson(share: float, n: int, tail: float) -> tuple[float, float]:
    """Clopper and Pearson, Biometrika 26, 1934."""
    right = share * n
    low = 0.0 if share == 0 else beta_quantile(tail, right, n - right + 1)
    high = 1.0 if share == 1 else beta_with_tail(tail, right + 1, n - right)
    return low, high
