"""Simulated rows that grow seed by seed, for the benchmarks of decisions that are made while runs are added.

The worlds are those of benchmarks/decisions.py; a row's true score on its test set is exactly what is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisions import MIDDLE, flip_of_one
from levelfield.statistics import RowScores


@dataclass(frozen=True)
class Kind:
    """How runs of a row vary. `sd` over seeds in points, `overdispersion`: its variance over that of its flips.
    `spread`: rows' own factors on the sd lie between one over it and it. `noisy`: the share of rows that vary five
    times as much, which their flips do not tell. `tails`: degrees of freedom of what is common to a run (0: normal)."""

    sd: float = 0.3
    overdispersion: float = 5.0
    spread: float = 1.0
    noisy: float = 0.0
    tails: float = 0.0
    images: int = 10_000


KINDS = {
    "equal variances": Kind(),
    "sds spread 0.4 to 2.5": Kind(spread=2.5),
    "5 % of rows five times as noisy": Kind(noisy=0.05),
    "heavy tails": Kind(tails=3.0),
}


def row(kind: Kind, score: float, seeds: int, rng: np.random.Generator) -> RowScores:
    """A row of `seeds` runs whose true score is `score` percent: each image is flipped on its own, with its own
    probability, which all images of a run share a shift of."""
    flips = kind.sd**2 / kind.overdispersion
    sd = kind.sd * math.exp(rng.uniform(-1, 1) * math.log(kind.spread)) * (5.0 if rng.random() < kind.noisy else 1.0)
    uncertain = max(1, min(kind.images, round(flips * 1e-4 * kind.images**2 / flip_of_one())))
    flip = 1e4 * uncertain * flip_of_one() / kind.images**2
    common = rng.standard_t(kind.tails, seeds) / math.sqrt(3) if kind.tails else rng.standard_normal(seeds)
    moved = common * math.sqrt(max(sd**2 - flip, 0.0)) / 100 * kind.images / uncertain
    chance = rng.uniform(*MIDDLE, uncertain)
    right: NDArray[np.bool_] = np.zeros((seeds, kind.images), dtype=np.bool_)
    right[:, :uncertain] = rng.random((seeds, uncertain)) < chance + moved[:, None]
    scores = 100 * (right.sum(1) - chance.sum()) / kind.images + score
    return RowScores(dict(enumerate(scores.tolist())), right)


def first(row: RowScores, seeds: int) -> RowScores:
    """The first `seeds` runs of a row."""
    assert row.right is not None
    return RowScores({seed: row.by_seed[seed] for seed in range(seeds)}, row.right[:seeds], row.start)
