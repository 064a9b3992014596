"""The strict rule: what else must agree before a difference is claimed."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from levelfield.statistics import RowScores, Strict, compare_rows, verdict
from levelfield.statistics.strict import strict_of_differences, strict_of_rows


def row(scores: list[float], start: str | None = None) -> RowScores:
    return RowScores(dict(enumerate(scores)), None, start)


def scores(mean: float, n: int, seed: int, sd: float = 0.3) -> list[float]:
    return list(np.random.default_rng(seed).normal(mean, sd, n))


@pytest.mark.parametrize(("n", "m"), [(3, 3), (4, 4), (3, 5)])
def test_runs_are_dealt_to_two_rows_in_all_ways(n: int, m: int) -> None:
    a, b = scores(90.3, n, 0), scores(90.0, m, 1)
    every, total = np.array(a + b), n + m
    seen = np.mean(a) - np.mean(b)
    dealt = [every[list(c)].mean() - np.delete(every, c).mean() for c in combinations(range(total), n)]
    more, less = np.mean([d >= seen - 1e-12 for d in dealt]), np.mean([d <= seen + 1e-12 for d in dealt])
    found = strict_of_rows(a, b, 0.05)
    assert found.p == pytest.approx(min(1.0, 2 * min(more, less)))
    assert found.smallest == pytest.approx(2 / comb(total, n))
    assert strict_of_rows([9.0 + i for i in range(n)], [1.0 + i for i in range(m)], 0.05).p == found.smallest


def test_the_bootstrap_interval_is_of_the_difference_and_the_same_every_time() -> None:
    a, b = scores(91.0, 8, 2), scores(90.0, 8, 3)
    found = strict_of_rows(a, b, 0.05)
    assert found == strict_of_rows(a, b, 0.05)
    assert found.low is not None and found.high is not None
    assert found.low < np.mean(a) - np.mean(b) < found.high
    se = (np.var(a) / 8 + np.var(b) / 8) ** 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * se, rel=0.2)
    wider = strict_of_rows(a, b, 0.001)
    assert wider.low is not None and wider.high is not None
    assert wider.high - wider.low > found.high - found.low


def test_equal_differences_give_no_interval_and_no_agreement() -> None:
    found = strict_of_differences([1.0] * 8, 0.05)
    assert (found.low, found.high) == (None, None) and found.p < 0.05 and not found.agrees


@pytest.mark.parametrize(
    ("low", "high", "p", "agrees"),
    [(0.1, 0.9, 0.01, True), (-0.9, -0.1, 0.05, True), (-0.1, 0.9, 0.01, False), (0.1, 0.9, 0.06, False)],
)
def test_both_must_agree(low: float, high: float, p: float, agrees: bool) -> None:
    assert Strict(low, high, p, 0.001, 0.05, 4).agrees is agrees


@pytest.mark.parametrize(
    ("n", "start", "claimed"),
    [(3, None, False), (4, None, True), (5, "weights", False), (6, "weights", True)],
)
def test_so_few_seeds_can_never_claim(n: int, start: str | None, claimed: bool) -> None:
    """Ten points apart: three runs a row can be dealt in 20 ways, five pairs flipped in 32, so p stays above 5 %."""
    rows = {"a": row(scores(90.0, n, 4), start), "b": row(scores(80.0, n, 5), start)}
    usual, strict = compare_rows(rows, "b"), compare_rows(rows, "b", strict=True)
    assert (usual.strict, strict.strict) == (False, True)
    (pair,), (before,) = strict.pairs, usual.pairs
    assert before.different and before.strict is None and verdict(before) == "better"
    assert pair.strict is not None
    assert pair.different is claimed is (pair.strict.smallest <= 0.05)
    assert pair.strict.fewest == (4 if start is None else 6)
    assert all(seeds is None or seeds >= pair.strict.fewest for _, seeds in pair.seeds_for)
    assert verdict(pair) == ("better" if claimed else "undecided")
    assert str(strict.ranks["b"]) == ("2" if claimed else "1–2")
    turned = strict.between("b", "a")
    assert turned is not None and turned.strict is not None and pair.strict.low is not None
    assert turned.strict.high == -pair.strict.low and turned.different is claimed


def test_it_only_takes_claims_away() -> None:
    """Over tables with and without differences: never a claim that the usual rule does not make; most are kept."""
    usual, strict = 0, 0
    for seed in range(12):
        rows = {
            name: row(scores(90.0 + gap, 6, 100 * seed + i))
            for i, (name, gap) in enumerate(zip("abc", (0, 0, 2), strict=True))
        }
        one, two = compare_rows(rows, "a"), compare_rows(rows, "a", strict=True)
        for before, after in zip(one.pairs, two.pairs, strict=True):
            assert not (after.different and not before.different)
            assert (after.low, after.high, after.equivalent) == (before.low, before.high, before.equivalent)
            usual, strict = usual + before.different, strict + after.different
    assert usual >= strict > 0.7 * usual > 5
