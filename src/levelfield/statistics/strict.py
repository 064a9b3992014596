"""The strict rule: a difference is claimed only where two tests that assume no distribution agree with what decided.

The BCa bootstrap interval of the difference must exclude zero, and an exact permutation test must reject, both at the
level of the decision (the protocol of arXiv 2511.19794, there for single pairs). As it only ever takes claims away, it
makes no more false ones than the decision that it is added to. With few runs the permutation test has few outcomes and
may not be able to reject at all: `Strict.smallest` says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from math import comb
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from levelfield.statistics.pairwise import Difference, Strict, sign_flip
from levelfield.statistics.permutation import of_two_rows
from levelfield.statistics.row_scores import RowScores

RESAMPLES: Final = (9_999, 200_000)
"""Of the BCa bootstrap: the fewest, and the most. Ten a level's worth; at a level under 5e-5 its ends are less sure."""


def held_strictly(pair: Difference, a: RowScores, b: RowScores) -> Difference:
    """`pair` of rows `a` and `b` with what the two other tests say, and without the claim that they do not bear out."""
    if pair.level is None or pair.estimate is None:
        return pair
    if pair.paired:
        common = sorted(a.by_seed.keys() & b.by_seed.keys())
        found = strict_of_differences([a.by_seed[seed] - b.by_seed[seed] for seed in common], pair.level)
    else:
        found = strict_of_rows(a.scores, b.scores, pair.level)
    elsewhere = pair.elsewhere
    if elsewhere is not None:
        elsewhere = replace(elsewhere, different=elsewhere.different and found.agrees)
    needed = tuple((gap, seeds if seeds is None else max(seeds, found.fewest)) for gap, seeds in pair.seeds_for)
    return replace(pair, strict=found, different=pair.different and found.agrees, elsewhere=elsewhere, seeds_for=needed)


def strict_of_differences(differences: Sequence[float], level: float) -> Strict:
    """Of rows compared seed by seed: `differences` (n,), n >= 2."""
    flips = sign_flip(differences, level)
    return Strict(*_bca([differences], level), flips.p, flips.smallest, level, fewest_runs(level, paired=True))


def strict_of_rows(a: Sequence[float], b: Sequence[float], level: float) -> Strict:
    """Of rows of independent runs `a` (n,), `b` (m,), two or more each: runs are dealt to the rows in all ways."""
    dealt = of_two_rows(a, b, level)
    return Strict(*_bca([a, b], level), dealt.p, dealt.smallest, level, fewest_runs(level, paired=False))


def fewest_runs(level: float, *, paired: bool) -> int:
    """Runs of each of two rows from which the exact permutation test has an outcome whose p is `level` or less."""
    return next(n for n in count(2) if 2 / (2**n if paired else comb(2 * n, n)) <= level)


def _bca(samples: Sequence[Sequence[float]], level: float) -> tuple[float | None, float | None]:
    """BCa interval at 1 - `level` of the mean of one sample, or the difference of the means of two; None where equal
    scores give none."""
    from scipy import stats  # which takes a second to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degenerate samples, whose bounds are nan
        found = stats.bootstrap(
            tuple(np.asarray(sample, dtype=np.float64) for sample in samples),
            _mean if len(samples) == 1 else _difference,
            confidence_level=1 - level,
            n_resamples=int(np.clip(10 / level, *RESAMPLES)),
            batch=RESAMPLES[0],
            method="BCa",
            vectorized=True,
            rng=np.random.default_rng(0),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if np.isfinite([low, high]).all() else (None, None)


def _mean(x: NDArray[np.float64], axis: int) -> Any:
    return np.mean(x, axis=axis)


def _difference(a: NDArray[np.float64], b: NDArray[np.float64], axis: int) -> Any:
    return np.mean(a, axis=axis) - np.mean(b, axis=axis)
