"""Main effects and interactions of a full factorial design of parts with two positions each.

A main effect is the mean score with a part less the mean score without it, over all positions of the others. The
interaction of two parts is the effect of the one with the other less its effect without it, and so on (differences of
differences). Every effect is a contrast of cell means in which all cells weigh alike, so that its standard error needs
no equal variances: Welch's, with Satterthwaite's degrees of freedom. At equal numbers of runs it is that of the linear
model (`statsmodels` OLS with interactions), whose degrees of freedom are more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy.special import stdtr, stdtrit

from levelfield.statistics.holm import ALPHA, holm
from levelfield.statistics.variance import sample_variance

Cell = tuple[bool, ...]
"""Of each part whether it is in its own position."""


@dataclass(frozen=True)
class Effect:
    """What `parts` together do, in points: one of them its main effect, several their interaction.

    [`low`, `high`] is drawn at the level that Holm's procedure over all effects leaves it, and excludes zero exactly
    where the effect is `decided`. All None where the runs show no spread.
    """

    parts: tuple[str, ...]
    estimate: float
    standard_error: float | None
    degrees_of_freedom: float | None
    low: float | None
    high: float | None
    p_adjusted: float | None
    decided: bool


def factorial_effects(
    parts: Sequence[str], scores: Mapping[Cell, Sequence[float]], alpha: float = ALPHA
) -> tuple[Effect, ...]:
    """All effects of `parts` (k), from the runs' `scores` in each of the 2**k cells, two or more a cell.

    Main effects first, then interactions of two, of three ... Raises ValueError for a missing cell or a single run.
    """
    cells = list(product((True, False), repeat=len(parts)))
    missing = [cell for cell in cells if len(scores.get(cell, ())) < 2]
    if missing:
        raise ValueError(f"{len(missing)} of {len(cells)} cells have fewer than two runs")
    runs = [np.asarray(scores[cell], dtype=np.float64) for cell in cells]
    means = np.array([values.mean() for values in runs])
    counts = np.array([len(values) for values in runs], dtype=np.float64)
    variances = np.array([sample_variance(values) for values in runs]) / counts
    sets = [chosen for size in range(1, len(parts) + 1) for chosen in combinations(range(len(parts)), size)]
    weights = [_weights(cells, chosen) for chosen in sets]
    estimates = [float(weight @ means) for weight in weights]
    errors = [math.sqrt(float(weight**2 @ variances)) for weight in weights]
    if not all(errors):
        return tuple(
            Effect(tuple(parts[i] for i in chosen), estimate, None, None, None, None, None, False)
            for chosen, estimate in zip(sets, estimates, strict=True)
        )
    freedom = [
        float((weight**2 @ variances) ** 2 / ((weight**2 * variances) ** 2 @ (1 / (counts - 1)))) for weight in weights
    ]
    p = np.array(
        [2 * stdtr(df, -abs(value) / error) for value, error, df in zip(estimates, errors, freedom, strict=True)]
    )
    decided = holm(p, alpha=alpha)
    half = [stdtrit(df, 1 - level / 2) * e for level, df, e in zip(decided.level, freedom, errors, strict=True)]
    return tuple(
        Effect(
            tuple(parts[i] for i in chosen), estimates[at], errors[at], freedom[at], float(estimates[at] - half[at]),
            float(estimates[at] + half[at]), float(decided.p_adjusted[at]), bool(decided.rejected[at]),
        )
        for at, chosen in enumerate(sets)
    )  # fmt: skip


def _weights(cells: Sequence[Cell], chosen: tuple[int, ...]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How each cell's mean counts in an effect: signs by position, averaged over the parts that are not in it."""
    signs = np.array([math.prod(1 if cell[i] else -1 for i in chosen) for cell in cells], dtype=np.float64)
    return signs * 2.0 ** len(chosen) / len(cells)
