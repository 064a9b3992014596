"""Exact permutation tests by counting: how many ways of dealing runs, or of flipping signs, are as extreme as was seen.

Ways are counted by halves: the sums that each half of the runs can give are sorted, and pairs of them looked up
(Horowitz and Sahni, J. ACM 21, 1974), so that all 9 x 10^9 ways to deal 36 runs take a tenth of a second. Beyond, as
many ways are drawn as the level asks for.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

EXACT_UP_TO: Final = 2**18
"""Sums of half of the runs up to which all ways are counted: 36 runs, and more where one of the rows has few."""
FINE: Final = 10
"""Beyond: how far the smallest p lies below the level, in times; each time costs as many more draws."""
FEWEST_DRAWS: Final = 9999
CHUNK: Final = 4_000_000
"""Values that are drawn at once."""


class Permutation(NamedTuple):
    """Two-sided `p`, and the `smallest` one that so many runs, or draws, can reach."""

    p: float
    smallest: float
    exact: bool


def of_two_rows(a: ArrayLike, b: ArrayLike, level: float) -> Permutation:
    """That two rows of independent runs `a` (n,), `b` (m,) are alike: runs are dealt to the rows in all ways."""
    one, two = sorted((np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)), key=len)
    pooled = np.concatenate([one, two])
    pooled = pooled - pooled.mean()
    n, ways = len(one), math.comb(len(pooled), len(one))
    half = (len(pooled) + 1) // 2
    if sum(math.comb(half, size) for size in range(n + 1)) <= EXACT_UP_TO:
        return _exact(*_counts(pooled, n), ways)
    draws, rng = _draws(level), np.random.default_rng(0)
    seen, found = abs(pooled[:n].sum()) - _rounding(pooled), 0
    for count in _chunks(draws, len(pooled)):
        dealt = rng.permuted(np.broadcast_to(pooled, (count, len(pooled))), axis=1)[:, :n].sum(1)
        found += int((abs(dealt) >= seen).sum())
    return Permutation((found + 1) / (draws + 1), max(1 / ways, 1 / (draws + 1)), False)


def of_differences(differences: ArrayLike, level: float) -> Permutation:
    """That paired `differences` (n,) are symmetric about zero: signs are flipped in all ways."""
    d = np.asarray(differences, dtype=np.float64)
    if 2 ** ((len(d) + 1) // 2) <= EXACT_UP_TO:
        return _exact(*_counts(d, None), 2 ** len(d))
    draws, rng = _draws(level), np.random.default_rng(0)
    seen, found = abs(d.sum()) - _rounding(d), 0
    for count in _chunks(draws, len(d)):
        found += int((abs(rng.choice([-1.0, 1.0], (count, len(d))) @ d) >= seen).sum())
    return Permutation((found + 1) / (draws + 1), 1 / (draws + 1), False)


def _exact(more: int, less: int, ways: int) -> Permutation:
    return Permutation(min(1.0, 2 * min(more, less) / ways), min(1.0, 2 / ways), True)


def _draws(level: float) -> int:
    return max(FEWEST_DRAWS, math.ceil(FINE / level))


def _chunks(draws: int, values: int) -> list[int]:
    size = max(1, CHUNK // values)
    return [size] * (draws // size) + ([draws % size] if draws % size else [])


def _counts(values: Floats, chosen: int | None) -> tuple[int, int]:
    """Of all subsets of `values`, of `chosen` of them (None: of any number): how many sum to at least, and how many to
    at most, what the first `chosen` (None: all) do. Flipped signs are a subset: 2 S - sum."""
    half = len(values) // 2
    first, second = (_sums(part, chosen) for part in (values[:half], values[half:]))
    rounding = _rounding(values)
    seen = float(values.sum() if chosen is None else values[:chosen].sum())
    if chosen is None:
        pairs = [(np.concatenate(first), np.concatenate(second))]
    else:
        sizes = range(max(0, chosen - len(second) + 1), min(chosen, half) + 1)
        pairs = [(first[size], second[chosen - size]) for size in sizes]
    more = less = 0
    for one, two in ((np.sort(one), np.sort(two)) for one, two in pairs):
        more += len(one) * len(two) - int(np.searchsorted(two, seen - rounding - one, side="left").sum())
        less += int(np.searchsorted(two, seen + rounding - one, side="right").sum())
    return more, less


def _sums(values: Floats, most: int | None) -> list[Floats]:
    """The sums of the subsets of `values`, by their size from 0 to `most` (None: to all)."""
    found, none = [np.zeros(1)], np.zeros(0)
    for value in values:
        found = [np.concatenate([out, into + value]) for out, into in zip([*found, none], [none, *found], strict=True)]
        found = found if most is None else found[: most + 1]
    return found


def _rounding(values: Floats) -> float:
    """Sums that lie nearer than this are equal."""
    return 1e-9 * max(1.0, float(abs(values).sum()))
