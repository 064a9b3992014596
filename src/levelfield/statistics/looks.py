"""Several looks at one table while its runs grow, and what each may spend of the chance of a false claim.

A table whose rows get more seeds until it decides is looked at more than once, and at 5 % a look it would be wrong far
more often than in 5 %. So each look has a share, fixed beforehand, and decides at that share of the level; the shares
of a plan sum to one. By the union bound the chance of any false claim over all looks is then at most the level, however
the looks and the rows depend on one another: no joint distribution is assumed, and rows that were stopped and rows that
went on need no correction, as a pair is decided only at looks in which both rows took part, from the seeds that the
plan has for that look. Within a look Holm's procedure goes over the pairs that are still open; what a decided pair
frees goes to them (Holm 1979: until the first false claim all true hypotheses are open, so that each is held at least
at its own weight at every look).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from levelfield.statistics.comparison import MARGIN, Comparison, Earlier, compare_rows, ranks
from levelfield.statistics.holm import ALPHA
from levelfield.statistics.pairwise import Difference
from levelfield.statistics.row_scores import RowScores
from levelfield.statistics.verdicts import Verdict, verdict

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
    `planned`: it is one of a plan whose shares sum to one. `decided`: the verdicts that were given on pairs of rows (on
    a beside b), which stay; None where they are still to be given."""

    seeds: Mapping[str, tuple[int, ...]]
    share: float
    planned: bool = False
    decided: Mapping[tuple[str, str], Verdict] | None = field(default=None)


NO_LOOK: Final = Look({}, 1.0, planned=True, decided={})
"""What stands for the first of a plan until it is made: nothing takes part in it, so nothing is decided."""


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
    looks: Sequence[Look],
    baseline: str | None = None,
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
    beside: bool = True,
    strict: bool = False,
) -> Comparison:
    """`compare_rows` over several `looks`, in their order; without any it is one look at all runs.

    A pair that was decided stands as it was at its look: difference, interval and verdict. The others stand as at the
    last look; a row that no look has seen yet stands with all its runs, and nothing is decided of it. Adjusted p-values
    are those of the whole: at most `alpha` where decided.
    """
    if not looks:
        return compare_rows(rows, baseline, margin=margin, alpha=alpha, beside=beside, strict=strict)
    decided: dict[tuple[str, str], Difference] = {}
    seen: dict[str, tuple[int, ...]] = {}
    for look in looks:
        seen.update(look.seeds)
        part = {name: one for name in rows if (one := _of_seeds(rows[name], seen.get(name))) is not None}
        earlier = Earlier(decided, tuple(look.seeds))
        found = compare_rows(
            part, baseline, margin=margin, alpha=alpha * look.share, beside=beside, earlier=earlier, strict=strict
        )
        pairs = tuple(
            pair if earlier.of(pair.a, pair.b) is not None else _as_given(_of_whole(pair, look.share), look)
            for pair in found.pairs
        )
        decided = {(pair.a, pair.b): pair for pair in pairs if pair.different or pair.equivalent}
    spent = alpha * sum(look.share for look in looks)
    return replace(found, pairs=pairs, ranks=ranks(list(found.ranks), pairs), spent=spent)


def decisions(comparison: Comparison) -> dict[tuple[str, str], Verdict]:
    """The verdicts on the pairs that are decided."""
    return {(pair.a, pair.b): verdict(pair) for pair in comparison.pairs if pair.different or pair.equivalent}


def _of_seeds(row: RowScores, seeds: Sequence[int] | None) -> RowScores | None:
    """The runs of `row` at those of `seeds` (None: at all) that there are; None where there is none."""
    if seeds is None:
        return row
    there = sorted(row.by_seed)
    kept = [place for place, seed in enumerate(there) if seed in seeds]
    if not kept:
        return None
    right = None if row.right is None else row.right[kept]
    return RowScores({there[place]: row.by_seed[there[place]] for place in kept}, right, row.start)


def _of_whole(pair: Difference, share: float) -> Difference:
    def whole(p: float | None) -> float | None:
        return None if p is None else min(1.0, p / share)

    return replace(pair, p_adjusted=whole(pair.p_adjusted), equivalence_p_adjusted=whole(pair.equivalence_p_adjusted))


def _as_given(pair: Difference, look: Look) -> Difference:
    """`pair` with the verdict that was given at the time, if it was."""
    if look.decided is None:
        return pair
    given = look.decided.get((pair.a, pair.b)) or look.decided.get((pair.b, pair.a))
    return replace(
        pair,
        different=given in ("better", "worse") and (pair.strict is None or pair.strict.agrees),
        equivalent=given == "equivalent" or (pair.equivalent and given is not None),
    )
