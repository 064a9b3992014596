"""How many seeds it takes to tell a difference apart, given what is known of the spread over seeds."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from levelfield.statistics.distributions import chi2_quantile, noncentral_t_tail, t_with_tail
from levelfield.statistics.variance import Mixture

MOST: Final = 1000
PRIOR_DOF: Final = 4.0
"""Degrees of freedom that the model of variances is worth beside a row's own runs."""
_QUANTILES: Final = (np.arange(64) + 0.5) / 64


def as_seen(sd: float, dof: float) -> Mixture:
    """What `sd` > 0, seen with `dof` degrees of freedom, leaves open of the true variance: dof sd^2 / chi^2(dof)."""
    variance = sd**2 * dof / chi2_quantile(_QUANTILES, dof)
    return Mixture(variance, np.full(len(_QUANTILES), 1 / len(_QUANTILES)))


def seeds_needed(
    spread: Mixture,
    difference: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
    *,
    paired: bool = False,
    prior_dof: float = 0.0,
) -> int | None:
    """Seeds per row with which a true `difference` is found with probability `power`; None: more than 1,000.

    A pilot's spread is itself uncertain, and taking it as known promises too much power. So the power is averaged over
    what `spread`, the variance of the difference between one run of each row, may be (Spiegelhalter and Freedman, Stat.
    Med. 5, 1986). `alpha`: the level at which this one comparison will be decided, after all adjustments. `paired`:
    runs are compared one by one (n - 1 degrees of freedom), else two rows of n runs (2 n - 2). `prior_dof`: beside
    these.
    """
    low, high = 2, MOST + 1  # the least n with enough power lies in [low, high]; MOST + 1: there is none
    while low < high:
        n = (low + high) // 2
        dof = (n - 1 if paired else 2 * n - 2) + prior_dof
        reached = float(spread.weight @ _power(difference / np.sqrt(spread.variance), n, alpha, dof))
        low, high = (low, n) if reached >= power else (n + 1, high)
    return low if low <= MOST else None


def _power(effect: NDArray[np.float64], n: int, alpha: float, dof: float) -> NDArray[np.float64]:
    """Power of the two-sided t test of `n` differences with true mean `effect` standard deviations."""
    shift, critical = effect * np.sqrt(n), t_with_tail(alpha / 2, dof)
    found = noncentral_t_tail(critical, dof, shift)
    # SciPy's noncentral t gives nan far out, where the answer is 0 or 1.
    return np.where(np.isfinite(found), found, (shift > critical).astype(np.float64))
