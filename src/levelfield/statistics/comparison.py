"""Many rows: every pair decided within one family, differences to the baseline, and ranks that print ties as ties.

One statement holds for everything that a table claims of one question: if no two rows truly differed, the chance that
it claims any difference, to the baseline or in the ranks, is at most 5 %. To that end all pairs are one family of
Holm's procedure, in which what the table asks, the comparisons with the baseline and the steps that a study declares,
weighs four fifths and all other pairs together one fifth; what a decided pair frees goes to the undecided ones. Claims
of equivalence are a family of the same kind, and so are claims on other images.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from levelfield.statistics.choose_test import PairTests
from levelfield.statistics.holm import ALPHA, Decisions, holm
from levelfield.statistics.pair_tests import PairTest
from levelfield.statistics.pairwise import Difference, Interval, probability_of_beating, sign_flip
from levelfield.statistics.row_scores import RowScores
from levelfield.statistics.strict import held_strictly

ASKED_SHARE: Final = 0.8
MARGIN: Final = 0.5
"""Percentage points within which rows are called equivalent, unless it is said otherwise."""


@dataclass(frozen=True)
class Rank:
    """The places that a row may take, `best` to `worst`, from 1: it is decidedly behind `best` - 1 rows."""

    best: int
    worst: int

    def __str__(self) -> str:
        return str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"


@dataclass(frozen=True)
class Comparison:
    """`pairs`: every pair of rows once. `ranks`: of every row that has a score. `margin`: of equivalence. `spent`: the
    chance of a false claim in all, of which several looks at a growing table (`looks.py`) each take a part. `strict`:
    whether a difference was claimed only where two more tests agree (`statistics.strict`)."""

    baseline: str | None
    pairs: tuple[Difference, ...]
    ranks: Mapping[str, Rank]
    margin: float = MARGIN
    spent: float = ALPHA
    strict: bool = False

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


@dataclass(frozen=True)
class Earlier:
    """What earlier looks at the same rows leave to this one. `decided`: pairs, each as it was decided; they stay so,
    and what they free goes to the others. `rows`: those that take part (None: all); pairs with any other row keep
    their weight, and nothing more is decided of them."""

    decided: Mapping[tuple[str, str], Difference] = field(default_factory=dict)
    rows: Collection[str] | None = None

    def of(self, a: str, b: str) -> Difference | None:
        """The pair a, b as it was decided; None while it is open."""
        return either_way(self.decided, a, b)

    def open(self, a: str, b: str) -> bool:
        """Whether this look may decide the pair."""
        return self.of(a, b) is None and (self.rows is None or {a, b} <= set(self.rows))

    def p(self, pairs: list[tuple[str, str]], p: list[float], claim: str) -> list[float]:
        """`p` of the pairs that are open; of the others 0 where `claim` was decided, else 1."""
        return [self._p(pair, one, claim) for pair, one in zip(pairs, p, strict=True)]

    def _p(self, pair: tuple[str, str], p: float, claim: str) -> float:
        if (before := self.of(*pair)) is not None:
            return 0.0 if getattr(before, claim) else 1.0
        return p if self.open(*pair) else 1.0


FIRST_LOOK: Final = Earlier()


def compare_rows(
    rows: Mapping[str, RowScores],
    baseline: str | None = None,
    *,
    steps: Collection[tuple[str, str]] = (),
    margin: float = MARGIN,
    alpha: float = ALPHA,
    beside: bool = True,
    earlier: Earlier = FIRST_LOOK,
    strict: bool = False,
) -> Comparison:
    """Decide every pair of rows (higher is better); rows without runs are left out.

    `baseline`: a row of `rows`, or None. `steps`: pairs of names that were declared before any run, which weigh as
    much as those with the baseline; without either all pairs weigh the same. `alpha`: of each family. `beside`: also
    compute what stands beside the decision (sign-flip test, P(A beats B), own variances). `earlier`: looks before.
    `strict`: claim a difference only where BCa and an exact permutation test agree (`statistics.strict`).
    """
    measured = {name: row for name, row in rows.items() if row.by_seed}
    baseline = baseline if baseline in measured else None
    pairs, primary = pairs_of(measured, baseline, steps), len(asked_pairs(measured, baseline, steps))
    if not pairs:
        return Comparison(baseline, (), {name: Rank(1, 1) for name in measured}, margin, strict=strict)

    weights = family_weights(primary, len(pairs) - primary)
    tests = PairTests(measured)
    here = [tests.here(a, b) for a, b in pairs]
    own = [tests.own(a, b) for a, b in pairs]
    elsewhere = [tests.elsewhere(a, b) for a, b in pairs]
    decided = _family(earlier.p(pairs, [test.p for test in here], "different"), weights, alpha)
    close = _family(earlier.p(pairs, [test.p_farther(margin) for test in here], "equivalent"), weights, alpha)
    decided_own = _family([test.p for test in own], weights, alpha)
    decided_elsewhere = _family([1.0 if test is None else test.p for test in elsewhere], weights, alpha)

    found = []
    for i, (a, b) in enumerate(pairs):
        if (before := earlier.of(a, b)) is not None:
            found.append(before)
            continue
        pair = _decision(a, b, here[i], i, decided, close, weights[i] * alpha, margin)
        pair = replace(pair, runs=here[i].runs)
        other = elsewhere[i]
        if other is not None:
            pair = replace(pair, elsewhere=_interval(other, i, decided_elsewhere))
        if beside and i < primary and pair.standard_error is not None:
            pair = replace(pair, seeds_for=tuple((gap, tests.seeds_for(pair, gap)) for gap in sorted({margin, 1.0})))
        if beside:
            pair = _with_beside(pair, measured[a], measured[b], _interval(own[i], i, decided_own))
        found.append(held_strictly(pair, measured[a], measured[b]) if strict else pair)
    return Comparison(baseline, tuple(found), ranks(list(measured), found), margin, strict=strict)


def _family(p: list[float], weights: NDArray[np.float64], alpha: float) -> Decisions:
    return holm(np.array(p), weights, alpha)


def _interval(test: PairTest, i: int, decided: Decisions) -> Interval:
    if test.deviation is None:
        return Interval(None, None, None, False)
    low, high = test.interval(float(decided.level[i]))
    return Interval(low, high, float(decided.p_adjusted[i]), bool(decided.rejected[i]))


def _decision(
    a: str, b: str, test: PairTest, i: int, decided: Decisions, close: Decisions, least: float, margin: float
) -> Difference:
    pair = Difference(
        a, b, test.estimate, (0, 0), test.method == "paired t", test.method, test.assumption, margin, test.reason
    )
    if test.deviation is None:
        return pair
    interval, widest = _interval(test, i, decided), test.interval(least)
    return replace(
        pair,
        standard_error=test.deviation.standard_error,
        p=test.p,
        p_adjusted=interval.p_adjusted,
        level=float(decided.level[i]),
        low=interval.low,
        high=interval.high,
        widest_low=widest[0],
        widest_high=widest[1],
        different=interval.different,
        equivalence_p_adjusted=float(close.p_adjusted[i]),
        equivalent=bool(close.rejected[i]),
    )


def _with_beside(pair: Difference, a: RowScores, b: RowScores, own: Interval) -> Difference:
    common = sorted(a.by_seed.keys() & b.by_seed.keys())
    flips = None
    if pair.paired and pair.standard_error is not None:
        flips = sign_flip([a.by_seed[seed] - b.by_seed[seed] for seed in common])
    return replace(
        pair,
        own=own,
        sign_flip_p=flips.p if flips else None,
        sign_flip_min=flips.smallest if flips else None,
        beats=probability_of_beating(a.scores, b.scores),
    )


def pairs_of(
    names: Collection[str], baseline: str | None, steps: Collection[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """Every pair of rows once: those that are asked, then all others."""
    asked = asked_pairs(names, baseline, steps)
    known = {frozenset(pair) for pair in asked}
    return asked + [pair for pair in combinations(names, 2) if frozenset(pair) not in known]


def asked_pairs(
    names: Collection[str], baseline: str | None, steps: Collection[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The pairs that a table asks for, each once: each of `names` beside the `baseline`, if there is one, then `steps`
    between two of them."""
    asked = [(name, baseline) for name in names if name != baseline] if baseline is not None else []
    known = {frozenset(pair) for pair in asked}
    for pair in steps:
        if set(pair) <= set(names) and len(set(pair)) == 2 and frozenset(pair) not in known:
            known.add(frozenset(pair))
            asked.append(pair)
    return asked


def family_weights(primary: int, others: int) -> NDArray[np.float64]:
    """Weights of the pairs that are asked, then of the others; they sum to one."""
    share = ASKED_SHARE if primary and others else float(primary > 0)
    return np.array([share / max(1, primary)] * primary + [(1 - share) / max(1, others)] * others)


def either_way(pairs: Mapping[tuple[str, str], Difference], a: str, b: str) -> Difference | None:
    """a beside b, whichever way round it is in `pairs`; None where it is not."""
    if (turned := pairs.get((b, a))) is not None:
        return _turned(turned)
    return pairs.get((a, b))


def _turned(pair: Difference) -> Difference:
    def negative(value: float | None) -> float | None:
        return None if value is None else -value

    def turned(interval: Interval | None) -> Interval | None:
        return None if interval is None else replace(interval, low=negative(interval.high), high=negative(interval.low))

    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        runs=pair.runs[::-1],
        estimate=negative(pair.estimate),
        low=negative(pair.high),
        high=negative(pair.low),
        widest_low=negative(pair.widest_high),
        widest_high=negative(pair.widest_low),
        elsewhere=turned(pair.elsewhere),
        own=turned(pair.own),
        beats=None if pair.beats is None else 1 - pair.beats,
        strict=pair.strict and replace(pair.strict, low=negative(pair.strict.high), high=negative(pair.strict.low)),
    )


def ranks(names: Collection[str], pairs: Collection[Difference]) -> dict[str, Rank]:
    """The places that the decided `pairs` leave to each row."""
    ahead, behind = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for pair in pairs:
        if pair.different and pair.estimate is not None:
            winner, loser = (pair.a, pair.b) if pair.estimate > 0 else (pair.b, pair.a)
            ahead[winner] += 1
            behind[loser] += 1
    return {name: Rank(behind[name] + 1, len(names) - ahead[name]) for name in names}
