"""Which rows are on the front of accuracy against cost, and how surely.

A row is on the front where no other is at most as dear and more accurate. Costs are counted, accuracies vary over
seeds: the front is made again from draws of the rows' means, each from its own Student's t, and a row's share says in
how many of them it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

DRAWS: Final = 4000


def on_front(costs: Sequence[float], values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(..., n) which of n rows no other dominates: at most as dear and more accurate, or cheaper and as accurate.

    `values`: (..., n), more is better.
    """
    cost = np.asarray(costs, dtype=np.float64)
    value = np.asarray(values, dtype=np.float64)
    found = np.ones(value.shape, dtype=bool)
    for row in range(len(cost)):
        own = value[..., row, None]
        cheaper, as_dear = cost < cost[row], cost == cost[row]
        dominated = (cheaper & (value >= own)) | (as_dear & (value > own))
        found[..., row] = ~dominated.any(-1)
    return found


def front_shares(
    costs: Sequence[float],
    means: Sequence[float],
    errors: Sequence[float],
    freedom: Sequence[float],
    draws: int = DRAWS,
) -> list[float]:
    """By row the share of `draws` in which it is on the front. `errors`: standard errors of the `means`, by Student's t
    of so much `freedom`. The same for the same rows."""
    random = np.random.default_rng(0)
    drawn = np.asarray(means) + random.standard_t(np.asarray(freedom), (draws, len(means))) * np.asarray(errors)
    return [float(share) for share in on_front(costs, drawn).mean(0)]
