"""How many seeds it takes to tell a difference apart, given how much differences vary over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from statsmodels.stats.power import TTestPower

MOST: Final = 1000


@dataclass(frozen=True)
class Power:
    """`seeds`: the least number with which a true difference of `difference` is found with probability `power`.

    None: more than 1,000. `sd`: of differences between runs of equal seed. Method: power of the two-sided paired t
    test.
    """

    seeds: int | None
    difference: float
    sd: float
    alpha: float
    power: float


def seeds_needed(sd: float, difference: float = 0.5, alpha: float = 0.05, power: float = 0.8) -> Power:
    """Seeds needed to tell rows `difference` apart when paired differences vary by `sd` > 0 (same unit).

    `alpha`: level of the one comparison; for a family of m comparisons give alpha / m.
    """
    n = np.arange(2, MOST + 1)
    reached = np.nonzero(TTestPower().power(difference / sd, n, alpha, alternative="two-sided") >= power)[0]
    return Power(int(n[reached[0]]) if len(reached) else None, difference, sd, alpha, power)
