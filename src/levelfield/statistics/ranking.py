"""Many rows: every pair decided within one family, differences to the baseline, and ranks that print ties as ties.

One statement holds for everything that a table claims: if no two rows truly differed, the chance that it claims any
difference, to the baseline or in the ranks, is at most 5 %. To that end all pairs are one family of Holm's procedure,
in which the comparisons with the baseline, the question of the table, weigh four fifths and all other pairs together
one fifth; what a decided pair frees goes to the undecided ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from levelfield.statistics.holm import ALPHA, holm
from levelfield.statistics.pairwise import Difference, probability_of_beating, sign_flip

BASELINE_SHARE: Final = 0.8

Scores = Mapping[int, float]
"""Scores of one row by seed."""


@dataclass(frozen=True)
class Rank:
    """The places that a row may take, `best` to `worst`, from 1: it is decidedly behind `best` - 1 rows."""

    best: int
    worst: int

    def __str__(self) -> str:
        return str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"


@dataclass(frozen=True)
class Comparison:
    """`pairs`: every pair of rows once. `ranks`: of every row that has a score."""

    baseline: str | None
    pairs: tuple[Difference, ...]
    ranks: Mapping[str, Rank]

    def between(self, a: str, b: str) -> Difference | None:
        """The difference a - b, whichever way round the pair was stored; None for unknown or equal rows."""
        for pair in self.pairs:
            if (pair.a, pair.b) == (a, b):
                return pair
            if (pair.a, pair.b) == (b, a):
                return _turned(pair)
        return None

    def to_baseline(self, row: str) -> Difference | None:
        return None if self.baseline is None else self.between(row, self.baseline)


def compare_rows(
    scores: Mapping[str, Scores], baseline: str | None = None, alpha: float = ALPHA, beside: bool = True
) -> Comparison:
    """Decide every pair of rows. `scores`: per row, score by seed (higher is better); rows without runs are left out.

    `baseline`: a row of `scores`, or None (all pairs then weigh the same). `beside`: also compute what stands beside
    the decision (sign-flip test, P(A beats B)), which takes most of the time.
    """
    names = [name for name, by_seed in scores.items() if by_seed]
    baseline = baseline if baseline in names else None
    others = [(a, b) for a, b in combinations(names, 2) if baseline not in (a, b)]
    primary = [(name, baseline) for name in names if name != baseline] if baseline is not None else []
    pairs = primary + others
    if not pairs:
        return Comparison(baseline, (), {name: Rank(1, 1) for name in names})

    differences = []
    for a, b in pairs:
        common = sorted(scores[a].keys() & scores[b].keys())
        differences.append(np.array([scores[a][seed] - scores[b][seed] for seed in common], dtype=np.float64))
    testable = [len(d) >= 2 and _varies(d) for d in differences]
    p = np.ones(len(pairs))
    for i, d in enumerate(differences):
        if testable[i]:
            p[i] = stats.ttest_1samp(d, 0.0).pvalue
    decided = holm(p, _weights(len(primary), len(others)), alpha)

    results = []
    for i, ((a, b), d) in enumerate(zip(pairs, differences, strict=True)):
        beats = probability_of_beating(list(scores[a].values()), list(scores[b].values())) if beside else None
        if not testable[i]:
            results.append(_undecided(a, b, d, beats))
            continue
        half = float(stats.t.isf(decided.level[i] / 2, len(d) - 1) * stats.sem(d))
        mean = float(d.mean())
        flips = sign_flip(d) if beside else None
        results.append(
            Difference(
                a=a,
                b=b,
                estimate=mean,
                low=mean - half,
                high=mean + half,
                n=len(d),
                sd=float(d.std(ddof=1)),
                p=float(p[i]),
                p_adjusted=float(decided.p_adjusted[i]),
                different=bool(decided.rejected[i]),
                level=float(decided.level[i]),
                sign_flip_p=flips.p if flips else None,
                sign_flip_min=flips.smallest if flips else None,
                beats=beats,
            )
        )
    return Comparison(baseline, tuple(results), _ranks(names, results))


def _weights(primary: int, others: int) -> NDArray[np.float64]:
    """Weights of the pairs with the baseline, then of the others; they sum to one."""
    share = BASELINE_SHARE if primary and others else float(primary > 0)
    return np.array([share / max(1, primary)] * primary + [(1 - share) / max(1, others)] * others)


def _varies(d: NDArray[np.float64]) -> bool:
    """Whether differences vary by more than rounding, without which the t statistic means nothing."""
    return bool(d.std(ddof=1) > 1e-9 * max(1.0, float(np.abs(d).max())))


def _undecided(a: str, b: str, d: NDArray[np.float64], beats: float | None) -> Difference:
    if len(d) == 0:
        reason = "no seed in common"
    elif len(d) == 1:
        reason = "one seed in common; two are the least, and five a sound number"
    else:
        reason = f"the {len(d)} differences are equal, so that their spread cannot be told"
    return Difference(
        a=a, b=b, estimate=float(d.mean()) if len(d) else None, low=None, high=None, n=len(d),
        sd=0.0 if len(d) > 1 else None, p=None, p_adjusted=None, different=False, level=None, sign_flip_p=None,
        sign_flip_min=None, beats=beats, reason=reason,
    )  # fmt: skip


def _turned(pair: Difference) -> Difference:
    def negative(value: float | None) -> float | None:
        return None if value is None else -value

    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        estimate=negative(pair.estimate),
        low=negative(pair.high),
        high=negative(pair.low),
        beats=None if pair.beats is None else 1 - pair.beats,
    )


def _ranks(names: list[str], pairs: list[Difference]) -> dict[str, Rank]:
    ahead, behind = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for pair in pairs:
        if pair.different and pair.estimate is not None:
            winner, loser = (pair.a, pair.b) if pair.estimate > 0 else (pair.b, pair.a)
            ahead[winner] += 1
            behind[loser] += 1
    return {name: Rank(behind[name] + 1, len(names) - ahead[name]) for name in names}
