"""Several looks at one table while its runs grow, and what each may spend of the chance of a false claim.

A table whose rows get more seeds until it decides is looked at more than once, and at 5 % a look it would be wrong far
more often than in 5 %. So each look has a share, fixed beforehand, and decides at that share of the level; the shares
of a plan sum to one. By the union bound the chance of any false claim over all looks is then at most the level, however
the looks and the rows depend on one another: no joint distribution is assumed, and rows that were stopped and rows that
went on need no correction, as a pair is decided only at looks in which both rows took part, from the seeds that the
plan has for that look; as it stood at the last of these it stays. Within a look Holm's procedure goes over the pairs
that are still open; what a decided pair frees goes to them (Holm 1979: until the first false claim all true hypotheses
are open, so that each is held at least at its own weight at every look).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from levelfield.statistics.choose_test import PairTests
from levelfield.statistics.comparison import MARGIN, Comparison, Earlier, compare_rows, either_way, pairs_of, ranks
from levelfield.statistics.holm import ALPHA
from levelfield.statistics.pairwise import Difference, Interval
from levelfield.statistics.row_scores import RowScores

FEWEST: Final = 3
"""Seeds a row at the first look."""
STEP: Final = 0.6
"""A look has about this share of the seeds of the next one: 3, 4, 6, 10 of ten; 3, 4, 7, 12, 20 of twenty."""
RISE: Final = 2.0
"""Shares grow as this power of the seeds: with few seeds only a large difference can be told, which needs no large
share. Chosen by benchmarks/decisions_until.py, as STEP was."""


@dataclass(frozen=True)
class Look:
    """One look at a table. `seeds`: of each row that took part, those whose runs were looked at. `share`: of the level.
    `asked`: so many seeds a row a plan had for it, whose shares sum to one; 0 where nobody planned it. `pairs`: how
    each pair of rows that took part and was not decided before stood, for good; None where that is still to be told."""

    seeds: Mapping[str, tuple[int, ...]]
    share: float
    asked: int = 0
    pairs: tuple[Difference, ...] | None = None

    @property
    def planned(self) -> bool:
        return self.asked > 0

    @property
    def most(self) -> int:
        """Seeds a row."""
        return self.asked or max(map(len, self.seeds.values()), default=0)


def plan_of_looks(most: int) -> tuple[tuple[int, float], ...]:
    """(seeds a row, share of the level) of each look at a table that gets up to `most` >= 3 seeds a row."""
    if most < FEWEST:
        raise ValueError(f"{most} seeds are too few for a first look; {FEWEST} are the least")
    seeds = [most]
    while (before := round(seeds[-1] * STEP)) > FEWEST:
        seeds.append(before)
    seeds = sorted({FEWEST, *seeds})
    total = sum(n**RISE for n in seeds)
    return tuple((n, n**RISE / total) for n in seeds)


def further_share(looks: Sequence[Look]) -> float:
    """What a look may spend that nobody planned: half of the level, then a quarter, and so on, beside what the planned
    ones, or the first, spend; so the chance of a false claim stays below twice the level, however many follow."""
    return 0.5 ** (1 + sum(not look.planned for look in looks[1:]))


def compare_at_looks(
    rows: Mapping[str, RowScores],
    looks: Sequence[Look] | None,
    baseline: str | None = None,
    *,
    steps: Collection[tuple[str, str]] = (),
    margin: float = MARGIN,
    alpha: float = ALPHA,
    beside: bool = True,
    strict: bool = False,
) -> Comparison:
    """`compare_rows` over several `looks`, in their order; None: it is one look at all runs.

    Every pair stands as at the last look that it took part in, and a decided one as it was decided: difference, runs,
    interval and verdict are of one moment. Of a pair that no look has seen yet nothing is told but the difference.
    Adjusted p-values are those of the whole: at most `alpha` where decided.
    """
    if looks is None:
        return compare_rows(rows, baseline, steps=steps, margin=margin, alpha=alpha, beside=beside, strict=strict)
    stands: dict[tuple[str, str], Difference] = {}
    seen: dict[str, tuple[int, ...]] = {}
    for look in looks:
        seen.update(look.seeds)
        found = look.pairs
        if found is None:
            part = {name: one for name in rows if (one := _of_seeds(rows[name], seen.get(name))) is not None}
            decided = {pair: one for pair, one in stands.items() if one.different or one.equivalent}
            earlier = Earlier(decided, tuple(look.seeds))
            level = alpha * look.share
            whole = compare_rows(
                part, baseline, steps=steps, margin=margin, alpha=level, beside=beside, earlier=earlier, strict=strict
            )
            found = tuple(_of_whole(pair, look.share) for pair in whole.pairs if earlier.open(pair.a, pair.b))
        for pair in found:
            stands.pop((pair.b, pair.a), None)
            stands[pair.a, pair.b] = pair
    measured = {name: row for name, row in rows.items() if row.by_seed}
    baseline = baseline if baseline in measured else None
    tests = PairTests(measured)
    pairs = [
        either_way(stands, *pair) or _not_looked_at(*pair, measured, tests, margin)
        for pair in pairs_of(measured, baseline, steps)
    ]
    spent = alpha * sum(look.share for look in looks)
    return Comparison(baseline, tuple(pairs), ranks(list(measured), pairs), margin, spent, strict)


def _of_seeds(row: RowScores, seeds: Sequence[int] | None) -> RowScores | None:
    """The runs of `row` at those of `seeds` that there are; None where there is none."""
    there = sorted(row.by_seed)
    kept = [place for place, seed in enumerate(there) if seed in (seeds or ())]
    if not kept:
        return None
    right = None if row.right is None else row.right[kept]
    return RowScores({there[place]: row.by_seed[there[place]] for place in kept}, right, row.start)


def _of_whole(pair: Difference, share: float) -> Difference:
    def whole(p: float | None) -> float | None:
        return None if p is None else min(1.0, p / share)

    def interval(one: Interval | None) -> Interval | None:
        return one and replace(one, p_adjusted=whole(one.p_adjusted))

    return replace(
        pair,
        p_adjusted=whole(pair.p_adjusted),
        equivalence_p_adjusted=whole(pair.equivalence_p_adjusted),
        elsewhere=interval(pair.elsewhere),
        own=interval(pair.own),
    )


def _not_looked_at(a: str, b: str, rows: Mapping[str, RowScores], tests: PairTests, margin: float) -> Difference:
    """A pair whose rows no look has seen together."""
    test = tests.here(a, b)
    runs = (len(rows[a].by_seed), len(rows[b].by_seed))
    paired, reason = test.method == "paired t", "no look has seen the two together yet"
    return Difference(a, b, test.estimate, runs, paired, test.method, test.assumption, margin, reason)
