"""The strict rule: what else must agree before a difference is claimed."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy import stats

from levelfield.statistics import RowScores, Strict, compare_rows, verdict
from levelfield.statistics.permutation import of_differences, of_two_rows
from levelfield.statistics.strict import fewest_runs, strict_of_differences, strict_of_rows


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


@pytest.mark.parametrize("n", [8, 9, 10, 14])
def test_with_seeds_enough_for_a_fine_level_more_of_them_lose_nothing(n: int) -> None:
    """At the level that is left to one of 120 pairs: eight runs a row reach it, and so must more."""
    level = 1.86e-4
    found = strict_of_rows(scores(95.0, n, 7), scores(90.0, n, 8), level)
    assert (found.fewest, found.agrees) == (8, True)
    assert found.p == found.smallest == pytest.approx(2 / comb(2 * n, n))
    pairs = strict_of_differences(scores(5.0, 2 * n, 9), level)
    assert pairs.agrees and pairs.p == pairs.smallest == 2.0 ** (1 - 2 * n)


@pytest.mark.parametrize("level", [0.05, 2e-4, 1e-6])
@pytest.mark.parametrize("runs", [(3, 3), (3, 40), (10, 10), (25, 25), (60, 8)])
def test_it_is_never_said_to_need_runs_that_are_there(level: float, runs: tuple[int, int]) -> None:
    a, b = scores(95.0, runs[0], 7), scores(90.0, runs[1], 8)
    dealt, flips = of_two_rows(a, b, level), of_differences(scores(5.0, min(runs), 9), level)
    assert flips.p == flips.smallest and (dealt.p <= level or dealt.p == dealt.smallest)  # nothing is more extreme
    for paired, found in ((False, dealt), (True, flips)):
        assert found.smallest <= level or fewest_runs(level, paired=paired) > min(runs)


@pytest.mark.parametrize(("n", "m"), [(2, 3), (6, 6), (4, 9)])
def test_counting_by_halves_is_scipys_permutation_test(n: int, m: int) -> None:
    """Scores of 200 images: many are equal, and so are many sums."""
    rng = np.random.default_rng(n)
    for _ in range(10):
        a, b = rng.integers(176, 184, n) / 2, rng.integers(178, 186, m) / 2
        expected = stats.permutation_test(
            (a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis), vectorized=True, n_resamples=np.inf
        )
        assert of_two_rows(a, b, 0.05) == (pytest.approx(expected.pvalue), pytest.approx(2 / comb(n + m, n)), True)
        d = rng.integers(-3, 5, m) / 2
        expected = stats.permutation_test(
            (d,), lambda x, axis: x.mean(axis), vectorized=True, n_resamples=np.inf, permutation_type="samples"
        )
        assert of_differences(d, 0.05).p == pytest.approx(expected.pvalue)


def test_beyond_what_is_counted_the_draws_say_about_the_same() -> None:
    a, b = scores(90.2, 18, 10), scores(90.0, 18, 11)
    exact = of_two_rows(a, b, 0.05)
    one, two = [*a, float(np.mean(a + b))], [*b, float(np.mean(a + b))]
    drawn = of_two_rows(one, two, 1e-4)
    assert exact.exact and not drawn.exact and drawn.smallest == 1 / 100_001
    assert drawn.p == pytest.approx(exact.p, abs=0.02) and drawn == of_two_rows(one, two, 1e-4)


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
