"""What is said of two rows: how far apart they are, the decision, and what stands beside it.

Beside the decision: each row's own variance alone (Welch), the exact sign-flip permutation test of paired rows, which
assumes no distribution, the probability that a run of one beats a run of the other, and McNemar's test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from levelfield.statistics.distributions import fair_coin_at_most
from levelfield.statistics.holm import ALPHA
from levelfield.statistics.permutation import Permutation, of_differences


@dataclass(frozen=True)
class Interval:
    """A difference's interval with its adjusted p and its decision; None where there is no ground for one."""

    low: float | None
    high: float | None
    p_adjusted: float | None
    different: bool


@dataclass(frozen=True)
class Strict:
    """What the strict rule asks beside the decision (`statistics.strict`), at its `level`: the BCa bootstrap interval
    [`low`, `high`] of the difference (None where equal scores give none), and the `p` of an exact permutation test,
    which with so few runs cannot fall below `smallest`. `fewest`: runs of both rows from which it could reach `level`.
    """

    low: float | None
    high: float | None
    p: float
    smallest: float
    level: float
    fewest: int

    @property
    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def agrees(self) -> bool:
        return self.excludes_zero and self.p <= self.level


@dataclass(frozen=True)
class Difference:
    """`estimate` = mean of a - mean of b, over `runs` of each; of `paired` rows those of the starts that they share.

    On this test set: `p`, `p_adjusted`, `different`, and the interval [`low`, `high`] at `level`, which excludes zero
    exactly where they are decided to be different; [`widest_low`, `widest_high`] holds together with those of all other
    pairs. `standard_error`: of Student's t; of a model-assisted pair half of the interval that holds 68.3 %.
    `equivalent`: decided to lie within `margin` of each other. `elsewhere`: the same question on other images of
    the same kind. `own`: with the two rows' own variances alone. None where there is no ground, with `reason`.

    `seeds_for` (of pairs with the baseline): how many seeds a row would tell a true difference of so many points, with
    80 % power (None: more than 1,000). `sign_flip_p` (paired rows only) cannot fall below `sign_flip_min`. `beats`:
    probability that a run of a scores above a run of b (ties half). `strict`: of a table under the strict rule, what
    had to agree before they were decided to be different; the interval is then of what would be decided without it.
    """

    a: str
    b: str
    estimate: float | None
    runs: tuple[int, int]
    paired: bool
    method: str
    assumption: str
    margin: float
    reason: str = ""
    standard_error: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    level: float | None = None
    low: float | None = None
    high: float | None = None
    widest_low: float | None = None
    widest_high: float | None = None
    different: bool = False
    equivalence_p_adjusted: float | None = None
    equivalent: bool = False
    elsewhere: Interval | None = None
    own: Interval | None = None
    seeds_for: tuple[tuple[float, int | None], ...] = ()
    sign_flip_p: float | None = None
    sign_flip_min: float | None = None
    beats: float | None = None
    strict: Strict | None = None

    @property
    def pair(self) -> frozenset[str]:
        """The two rows."""
        return frozenset((self.a, self.b))


def sign_flip(differences: ArrayLike, level: float = ALPHA) -> Permutation:
    """Sign-flip test that the paired `differences` (n,) are symmetric about zero, fine enough for `level`."""
    return of_differences(differences, level)


def probability_of_beating(a: Sequence[float], b: Sequence[float]) -> float:
    """P(A beats B): the share of pairs of runs in which a's scores higher, ties counted half (Mann-Whitney U / nm)."""
    ahead = np.subtract.outer(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    return float(((ahead > 0) + 0.5 * (ahead == 0)).mean())


@dataclass(frozen=True)
class McNemar:
    """Images that only a, or only b, has right, and the exact two-sided p. It says nothing of the two recipes."""

    only_a: int
    only_b: int
    p: float


def mcnemar_test(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test of two trained models on the same images, `right_a`, `right_b` bool (N,)."""
    if right_a.shape != right_b.shape:
        raise ValueError(f"the two were tested on {right_a.shape} and {right_b.shape} images; give the same ones")
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    p = 2 * fair_coin_at_most(min(only_a, only_b), only_a + only_b)
    return McNemar(only_a, only_b, min(p, 1.0))
