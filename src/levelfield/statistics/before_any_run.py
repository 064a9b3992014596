"""How much rows will vary over seeds, before any of their runs is there: as the rows of the corpus did."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from levelfield.statistics.comparison import family_weights
from levelfield.statistics.holm import ALPHA
from levelfield.statistics.power import PRIOR_DOF, seeds_needed
from levelfield.statistics.variance import RowEvidence, RowVariances

FLIPS: Final = 0.078
"""Variance that flips give a single image's being right or not: the mean over a row's test images of p (1 - p). The
middle of 18 rows of the corpus (benchmarks/overdispersion.yaml, 189 of its runs), which lie between 0.004 and 0.18."""


@cache
def seeds_foreseen(
    gap: float, rows: int, images: int, flips: float | None = None, asked: int | None = None
) -> int | None:
    """Seeds a row with which a table of `rows` >= 2 will tell a row `gap` points from its baseline, with 80 % power,
    where they vary as the rows of the corpus do; None: more than 1,000.

    `images`: test images. `flips`: as FLIPS, where it was measured on other rows. `asked`: how many pairs the table
    asks for (`comparison.asked_pairs`); None: those with the baseline.
    """
    variance = 1e4 * (FLIPS if flips is None else flips) / images
    # One run a row shows nothing of its variance: what is left is the prior, without the rows that it fears.
    unseen = RowVariances([RowEvidence(np.zeros(1), variance)] * 2, images)
    asked = rows - 1 if asked is None else asked
    level = ALPHA * float(family_weights(asked, rows * (rows - 1) // 2 - asked)[0])
    return seeds_needed(unseen.of_two_runs(0, 1), gap, level, prior_dof=PRIOR_DOF)
