"""Many decisions as one: Holm's weighted step-down procedure (Holm, Scand. J. Stat. 6, 1979)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ALPHA: Final = 0.05


@dataclass(frozen=True)
class Decisions:
    """For each hypothesis: the level at which its interval is drawn, its adjusted p, whether it is rejected."""

    level: NDArray[np.float64]
    p_adjusted: NDArray[np.float64]
    rejected: NDArray[np.bool_]


def holm(p: NDArray[np.float64], weights: NDArray[np.float64] | None = None, alpha: float = ALPHA) -> Decisions:
    """Holm's weighted step-down over `p` (m,), with positive `weights` (m,; None: equal).

    In the order of p / weight, hypothesis i is rejected while p_i <= alpha w_i / (sum of weights not yet rejected). The
    level of a rejected one is that bound; all others have the bound of the step at which the procedure stopped, so that
    an interval at that level excludes zero exactly when its hypothesis is rejected.
    """
    m = len(p)
    w = np.ones(m) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(p / w, kind="stable")
    remaining = np.cumsum(w[order][::-1])[::-1]
    adjusted = np.minimum(np.maximum.accumulate(p[order] * remaining / w[order]), 1.0)
    rejected_sorted = adjusted <= alpha
    stop = int(rejected_sorted.sum())  # adjusted p never falls, so the rejected ones come first
    left = np.concatenate([remaining[:stop], np.full(m - stop, remaining[stop] if stop < m else 0.0)])
    level, p_adjusted, rejected = np.empty(m), np.empty(m), np.empty(m, dtype=np.bool_)
    level[order] = alpha * w[order] / left
    p_adjusted[order] = adjusted
    rejected[order] = rejected_sorted
    return Decisions(level, p_adjusted, rejected)
