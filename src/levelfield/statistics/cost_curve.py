"""The error of one network over a cost: what its runs say at some sizes or lengths, and what lies between them.

Errors fall about as a power of the cost, so curves are looked at as log(error) over log(cost), where a power law is a
line. Between the costs that were trained a curve is interpolated by the parabolas through three neighbouring points, of
two that overlap their mean, of two points in all a line: no law over the whole range is taken for granted. Whatever is
read off a curve is a weighted sum of its points, so its standard error is Welch's, with Satterthwaite's degrees of
freedom: each point varies as its own runs do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from levelfield.statistics.variance import sample_variance

Floats = NDArray[np.float64]

FEWEST_RUNS: Final = 2
"""Runs at each cost without which nothing is known of how they vary."""
LEAST_ERROR: Final = 0.005
"""In percent: a network without an error has half of one on 10,000 images, as zero has no logarithm."""


@dataclass(frozen=True)
class CostCurve:
    """Logarithms of `k` costs, ascending, and of the mean errors (percent) there; `variance` of these means, `freedom`:
    the degrees of freedom of each variance."""

    u: Floats
    y: Floats
    variance: Floats
    freedom: Floats

    @property
    def costs(self) -> list[float]:
        return [float(cost) for cost in np.exp(self.u)]


def cost_curve(costs: Sequence[float], top1: Sequence[Sequence[float]], least: float = LEAST_ERROR) -> CostCurve:
    """From the `top1` (percent) of the runs at each of the `costs`, all positive; errors below `least` count as that.

    Raises ValueError for fewer than two points, equal costs, or a point of fewer than `FEWEST_RUNS` runs.
    """
    order = np.argsort(costs)
    u = np.log(np.asarray(costs, dtype=np.float64)[order])
    runs = [100.0 - np.asarray(top1[place], dtype=np.float64) for place in order]
    if len(u) < 2 or np.diff(u).min() <= 0:
        raise ValueError("a curve has two points or more, of different costs")
    if min(map(len, runs)) < FEWEST_RUNS:
        raise ValueError(f"each point of a curve needs {FEWEST_RUNS} runs")
    mean = np.maximum([of.mean() for of in runs], least)
    spread = np.array([sample_variance(of) / len(of) for of in runs])
    return CostCurve(u, np.log(mean), spread / mean**2, np.array([len(of) - 1.0 for of in runs]))


def interpolation(u: Floats, at: Floats) -> Floats:
    """(m, k) weights of the k points at `u` (ascending) in the curve at each of the m places `at` between them."""
    segment = np.clip(np.searchsorted(u, at, side="right") - 1, 0, len(u) - 2)
    size = min(3, len(u))
    weights, used = np.zeros((len(at), len(u))), np.zeros(len(at))
    for first in range(len(u) - size + 1):
        inside = (segment >= first) & (segment < first + size - 1)
        weights[inside, first : first + size] += _lagrange(u[first : first + size], at[inside])
        used += inside
    return weights / used[:, None]


def _lagrange(u: Floats, at: Floats) -> Floats:
    """(m, len(u)) weights of the points at `u` in their polynomial at each of `at`."""
    others = [np.delete(u, place) for place in range(len(u))]
    return np.stack(
        [((at[:, None] - rest) / (own - rest)).prod(1) for own, rest in zip(u, others, strict=True)], axis=1
    )


@dataclass(frozen=True)
class Read:
    """Weighted sums of curves' points: their `value`, `variance` and `freedom`, (m,) each."""

    value: Floats
    variance: Floats
    freedom: Floats

    def half_width(self, level: float) -> Floats:
        """Of the interval at 1 - `level`; 0 where no spread is seen."""
        return np.asarray(stdtrit(self.freedom, 1 - level / 2) * np.sqrt(self.variance), dtype=np.float64)


def read_off(*weighted: tuple[CostCurve, Floats]) -> Read:
    """The sum of each curve's points under its weights (m, k), over the curves."""
    value = sum((weights @ curve.y for curve, weights in weighted), start=np.zeros(1))
    variance = sum((weights**2 @ curve.variance for curve, weights in weighted), start=np.zeros(1))
    squares = sum((weights**4 @ (curve.variance**2 / curve.freedom) for curve, weights in weighted), start=np.zeros(1))
    seen = squares > 0
    freedom = np.where(seen, variance**2 / np.where(seen, squares, 1.0), 1.0)
    return Read(value, variance, freedom)
