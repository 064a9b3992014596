"""How many seeds it takes to tell a difference apart, given what a pilot shows of the spread over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

MOST: Final = 1000
_QUANTILES: Final = (np.arange(64) + 0.5) / 64


@dataclass(frozen=True)
class Power:
    """`seeds`: the least number per row with which a true difference of `difference` is found with probability
    `power`, averaged over what the true spread may be. None: more than 1,000. `sd`: of differences between two runs, as
    seen with `dof` degrees of freedom. Method: predictive power of the two-sided t test at `alpha`.
    """

    seeds: int | None
    difference: float
    sd: float
    dof: int
    alpha: float
    power: float


def seeds_needed(
    sd: float, dof: int, difference: float = 0.5, alpha: float = 0.05, power: float = 0.8, *, paired: bool = True
) -> Power:
    """Seeds needed to tell rows `difference` apart, from the `sd` > 0 of differences between two runs (same unit).

    A pilot's sd is itself uncertain, and taking it as known promises too much power. So the power is
    averaged over sigma^2 = dof sd^2 / chi^2(dof) (Spiegelhalter and Freedman, Stat. Med. 5, 1986). `dof`: degrees of
    freedom behind `sd`. `alpha`: the level at which this one comparison will be decided, after all adjustments.
    `paired`: runs of equal seed are compared (n - 1 degrees of freedom), else two rows of n runs (2 n - 2).
    """
    sigma = sd * np.sqrt(dof / stats.chi2.ppf(_QUANTILES, dof))
    low, high = 2, MOST + 1  # the least n with enough power lies in [low, high]; MOST + 1: there is none
    while low < high:
        n = (low + high) // 2
        reached = float(_power(difference / sigma, n, alpha, n - 1 if paired else 2 * n - 2).mean())
        low, high = (low, n) if reached >= power else (n + 1, high)
    return Power(low if low <= MOST else None, difference, sd, dof, alpha, power)


def _power(effect: NDArray[np.float64], n: int, alpha: float, dof: int) -> NDArray[np.float64]:
    """Power of the two-sided t test of `n` differences with true mean `effect` standard deviations."""
    shift, critical = effect * np.sqrt(n), stats.t.isf(alpha / 2, dof)
    found: NDArray[np.float64] = stats.nct.sf(critical, dof, shift)
    # SciPy's noncentral t gives nan far out, where the answer is 0 or 1.
    return np.where(np.isfinite(found), found, (shift > critical).astype(np.float64))
