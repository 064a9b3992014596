"""Many decisions by the share of them that may be false: Benjamini and Hochberg's step-up procedure.

For questions of hundreds of hypotheses (which classes?), where a list of which one in twenty may be wrong is of use.
Source: Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995; the intervals: Benjamini and Yekutieli, J. Am. Stat. Assoc.
100, 2005.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from levelfield.statistics.holm import ALPHA, Decisions


def benjamini_hochberg(p: NDArray[np.float64], alpha: float = ALPHA) -> Decisions:
    """Decisions over `p` (m,): of those rejected a share of `alpha` is false on the average.

    With R rejected, each interval is drawn at the level alpha R / m (R at least 1), so that it excludes zero exactly
    where its hypothesis is rejected, and of the intervals of rejected ones a share of `alpha` misses what it is of.
    """
    m = len(p)
    order = np.argsort(p, kind="stable")
    raised = p[order] * m / np.arange(1, m + 1)
    adjusted = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    p_adjusted = np.empty(m)
    p_adjusted[order] = adjusted
    rejected = p_adjusted <= alpha
    return Decisions(np.full(m, alpha * max(1, int(rejected.sum())) / max(1, m)), p_adjusted, rejected)
