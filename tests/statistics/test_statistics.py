"""Statistics against SciPy, statsmodels and small cases that can be counted by hand."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_ind

from levelfield.statistics import (
    Conditions,
    RowScores,
    against_published,
    as_seen,
    compare_rows,
    further_run,
    holm,
    mcnemar_test,
    probability_of_beating,
    sample_interval,
    seeds_interval,
    seeds_needed,
    sign_flip,
    verdict,
)
from levelfield.statistics.comparison import asked_pairs, family_weights, pairs_of


def row(*scores: float, start: str | None = None) -> RowScores:
    return RowScores(dict(enumerate(scores)), start=start)


# Student's sleep data, as in R's help pages of t.test (datasets::sleep).
SLEEP = ([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_few_seeds_give_students_t() -> None:
    scores = [93.1, 92.8, 93.6]
    found = seeds_interval(scores)
    expected = stats.t.interval(0.95, 2, np.mean(scores), stats.sem(scores))
    assert (found.low, found.high) == pytest.approx(expected)
    assert (found.method, found.n) == ("Student's t", 3)


def test_one_seed_has_no_interval_and_equal_seeds_no_spread_of_zero() -> None:
    assert seeds_interval([90.0]).low is None
    assert further_run([90.0]).holds(90.0) is None
    for equal in (seeds_interval([90.0] * 2), seeds_interval([90.1] * 12), further_run([90.0] * 3)):
        assert (equal.low, equal.high, equal.method) == (None, None, "none")
        assert "equal" in equal.assumption


@pytest.mark.parametrize("n", range(2, 31))
def test_intervals_cover_what_they_say_at_every_number_of_seeds(n: int) -> None:
    rng = np.random.default_rng(n)
    runs = rng.normal(80, 0.3, (1500, n + 1))
    covered = np.mean([seeds_interval(row[:n].tolist()).holds(80.0) for row in runs])
    next_one = np.mean([further_run(row[:n].tolist()).holds(row[n]) for row in runs])
    assert covered == pytest.approx(0.95, abs=0.017)  # three standard errors
    assert next_one == pytest.approx(0.95, abs=0.017)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_exact_reproductions_lie_inside_as_often_as_the_level_says(n: int) -> None:
    on = Conditions("cifar100", 100)
    runs = np.random.default_rng(n).normal(79.7, 0.4, (2000, n + 1))
    inside = np.mean([against_published(row[:n].tolist(), float(row[n]), on, on).inside for row in runs])
    assert inside == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("method", ["wilson", "beta"])
def test_interval_over_the_test_sample(method: str) -> None:
    found = sample_interval(95.0, 10_000, method=method)  # type: ignore[arg-type]
    expected = proportion_confint(9500, 10_000, method=method)
    assert (found.low, found.high) == pytest.approx((100 * expected[0], 100 * expected[1]))
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.218, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_holm_with_equal_weights_is_statsmodels(seed: int) -> None:
    p = np.random.default_rng(seed).beta(0.3, 2, 9)
    rejected, adjusted, _, _ = multipletests(p, 0.05, "holm")
    ours = holm(p)
    np.testing.assert_allclose(ours.p_adjusted, adjusted)
    np.testing.assert_array_equal(ours.rejected, rejected)
    np.testing.assert_array_equal(p <= ours.level, rejected)  # the interval at this level decides alike


def test_weighted_holm_by_hand() -> None:
    ours = holm(np.array([0.03, 0.012, 0.5]), np.array([0.8, 0.1, 0.1]))
    # p / w: 0.0375, 0.12, 5. First bound 0.05 * 0.8 = 0.04: rejected. Then 0.05 * 0.1 / 0.2 = 0.025: rejected. Then
    # 0.05.
    np.testing.assert_array_equal(ours.rejected, [True, True, False])
    np.testing.assert_allclose(ours.level, [0.04, 0.025, 0.05])
    np.testing.assert_allclose(ours.p_adjusted, [0.0375, 0.0375, 0.5])


def test_two_rows_of_independent_runs_are_welchs_test_as_r_documents_it() -> None:
    found = compare_rows({"a": row(*SLEEP[0]), "b": row(*SLEEP[1])}, "b").to_baseline("a")
    assert found is not None and found.method == "Welch's t"
    assert found.p == found.p_adjusted == pytest.approx(0.07939, abs=5e-6)
    assert (found.low, found.high) == pytest.approx((-3.3654832, 0.2054832), abs=1e-6)
    assert found.estimate is not None and found.standard_error is not None
    assert found.estimate / found.standard_error == pytest.approx(-1.8608, abs=5e-5)


def test_two_rows_of_shared_starts_are_the_paired_test_as_r_documents_it() -> None:
    rows = {name: row(*scores, start="base") for name, scores in zip("ab", SLEEP, strict=True)}
    found = compare_rows(rows, "b").to_baseline("a")
    assert found is not None and found.paired
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    assert (found.low, found.high) == pytest.approx((-2.4598858, -0.7001142), abs=1e-6)
    assert verdict(found) == "worse"


def test_whether_rows_are_paired_follows_from_their_starts_not_from_their_scores() -> None:
    """Scores that rise and fall together over seeds do not make independent rows paired."""
    together = [90.0, 91.0, 92.0, 93.0], [90.1, 91.1, 92.1, 93.2]
    found = compare_rows({"a": row(*together[0]), "b": row(*together[1])}, "b").to_baseline("a")
    assert found is not None and not found.paired and verdict(found) == "undecided"
    other = compare_rows({"a": row(*together[0], start="x"), "b": row(*together[1], start="y")}, "b").to_baseline("a")
    assert other is not None and not other.paired


def test_interval_excludes_zero_exactly_when_the_rows_differ() -> None:
    rng = np.random.default_rng(3)
    scores = {f"r{i}": row(*rng.normal(90 + 0.4 * i, 0.3, 5)) for i in range(6)}
    pairs = compare_rows(scores, "r0").pairs
    assert len(pairs) == 15
    assert 0 < sum(pair.different for pair in pairs) < 15
    for pair in pairs:
        assert pair.low is not None and pair.high is not None and pair.p_adjusted is not None
        assert pair.different == (pair.low > 0 or pair.high < 0) == (pair.p_adjusted <= 0.05)
        assert pair.widest_low is not None and pair.widest_high is not None
        assert pair.widest_low <= pair.low < pair.high <= pair.widest_high


@pytest.mark.parametrize("margin", [0.1, 0.5, 2.0])
def test_equivalence_is_two_one_sided_tests(margin: float) -> None:
    a, b = [90.1, 90.3, 90.2, 90.4, 90.1], [90.2, 90.1, 90.3, 90.2, 90.0]
    found = compare_rows({"a": row(*a), "b": row(*b)}, "b", margin=margin).to_baseline("a")
    expected = ttost_ind(a, b, -margin, margin, usevar="unequal")[0]
    assert found is not None and found.equivalence_p_adjusted == pytest.approx(expected)
    assert found.equivalent == (expected <= 0.05)
    assert verdict(found) == ("equivalent" if found.equivalent else "undecided")


def test_a_difference_turned_round() -> None:
    comparison = compare_rows({"a": row(1, 2, 4), "b": row(2, 2.5, 5)}, "a")
    ab, ba = comparison.between("a", "b"), comparison.between("b", "a")
    assert ab is not None and ba is not None and ab.low is not None and ba.high is not None
    assert (ab.estimate, ab.low, ab.beats) == (-ba.estimate, -ba.high, 1 - ba.beats)  # type: ignore[operator]
    assert (ab.widest_low, ab.widest_high) == (-ba.widest_high, -ba.widest_low)  # type: ignore[operator]
    assert ab.own is not None and ba.own is not None and ab.own.low == -ba.own.high  # type: ignore[operator]


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (row(90.0), row(80.0), "too few seeds (1)"),
        (row(90.0, 91.0), row(80.0, 81.0, 82.0), "too few seeds (2)"),
        (row(90.0, 91.0, 92.0, start="x"), RowScores({7: 80.0, 8: 81.0, 9: 82.0}, start="x"), "no start in common"),
        (row(90.0, 91.0, 92.0, start="x"), row(80.0, 81.0, 82.0, start="x"), "are equal"),
        (row(90.0, 90.0, 90.0), row(80.0, 80.0, 80.0), "equal scores"),
    ],
)
def test_what_there_is_no_ground_for_is_not_decided(a: RowScores, b: RowScores, reason: str) -> None:
    found = compare_rows({"a": a, "b": b}, "b").to_baseline("a")
    assert found is not None
    assert verdict(found) == ("too few seeds" if reason.startswith(("too few", "no start")) else "undecided")
    assert (found.low, found.p) == (None, None)
    assert reason in found.reason


def test_what_a_table_asks_comes_first_and_weighs_four_fifths() -> None:
    names = ["base", "a", "b", "c", "d"]
    steps = [("b", "a"), ("a", "base"), ("c", "b"), ("b", "c"), ("d", "missing"), ("d", "d")]
    asked = asked_pairs(names, "base", steps)
    assert asked == [("a", "base"), ("b", "base"), ("c", "base"), ("d", "base"), ("b", "a"), ("c", "b")]
    pairs = pairs_of(names, "base", steps)
    assert pairs[:6] == asked and len({frozenset(pair) for pair in pairs}) == len(pairs) == 10
    weights = family_weights(len(asked), len(pairs) - len(asked))
    assert weights[:6].sum() == pytest.approx(0.8) and weights.sum() == pytest.approx(1)
    assert asked_pairs(names, None, steps) == [("b", "a"), ("a", "base"), ("c", "b")]
    assert pairs_of(names, None) == list(combinations(names, 2))


def test_a_declared_step_is_decided_as_a_comparison_with_the_baseline_is() -> None:
    generator = np.random.default_rng(0)
    rows = {f"row{i}": row(*(80 + i + 0.5 * generator.standard_normal(3))) for i in range(26)}
    (plain, asked) = (compare_rows(rows, "row0", steps=steps) for steps in ((), [("row9", "row5")]))
    without, with_it = plain.between("row9", "row5"), asked.between("row9", "row5")
    assert without is not None and with_it is not None
    assert without.p == with_it.p and without.estimate == with_it.estimate
    assert with_it.p_adjusted is not None and without.p_adjusted is not None and with_it.p_adjusted < without.p_adjusted
    assert with_it.seeds_for != () and without.seeds_for == ()
    assert asked.to_baseline("row1").p_adjusted >= plain.to_baseline("row1").p_adjusted  # type: ignore[union-attr]


def test_ranks_print_ties_as_ties() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (4, 8))
    means = {"a": 95, "b": 95, "c": 90, "d": 80}
    scores = {name: row(*(mean + noise[i])) for i, (name, mean) in enumerate(means.items())}
    ranks = compare_rows(scores, "c").ranks
    assert {name: str(rank) for name, rank in ranks.items()} == {"a": "1–2", "b": "1–2", "c": "3", "d": "4"}
    assert {str(r) for r in compare_rows({"a": row(1.0), "b": row(9.0)}, "a").ranks.values()} == {"1–2"}


@pytest.mark.parametrize(("n", "smallest"), [(3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_sign_flips_reach_their_smallest_p(n: int, smallest: float) -> None:
    found = sign_flip([1.0 + 0.1 * i for i in range(n)])
    assert (found.p, found.smallest) == pytest.approx((smallest, smallest))
    assert sign_flip([1.0, -1.0, 0.5, -0.5]).p == 1.0


def test_probability_of_beating_counts_pairs() -> None:
    assert probability_of_beating([3, 1], [2, 1]) == pytest.approx((1 + 1 + 0 + 0.5) / 4)


def test_mcnemar_is_the_binomial_test_of_the_disagreements() -> None:
    a = np.array([True] * 60 + [False] * 40)
    b = np.array([True] * 45 + [False] * 15 + [True] * 4 + [False] * 36)
    found = mcnemar_test(a, b)
    assert (found.only_a, found.only_b) == (15, 4)
    assert found.p == pytest.approx(stats.binomtest(4, 19).pvalue)


def test_seeds_needed_with_a_spread_well_known_is_the_power_of_the_t_test() -> None:
    known = as_seen(0.4, 1e7)
    found = seeds_needed(known, 0.5, paired=True)
    assert found is not None
    power = [TTestPower().power(0.5 / 0.4, n, 0.05) for n in (found - 1, found)]
    assert power[0] < 0.8 <= power[1]
    two = seeds_needed(known, 0.5)
    assert two is not None  # the spread is that of the difference between two runs, so two rows of n have 2 n - 2
    power = [TTestIndPower().power(0.5 / (0.4 / math.sqrt(2)), n, 0.05) for n in (two - 1, two)]
    assert power[0] < 0.8 <= power[1]
    assert seeds_needed(as_seen(50.0, 1e7), 0.5, paired=True) is None
    assert seeds_needed(as_seen(1e-3, 1e7), 0.5, paired=True) == 2


@pytest.mark.parametrize("pilot", [2, 3, 5, 10])
def test_seeds_needed_keeps_its_promise_on_average_over_pilots(pilot: int) -> None:
    """The true mean power: pilots drawn at random, each followed by the study that it advises."""
    rng = np.random.default_rng(pilot)
    sd, difference, alpha = 0.4, 0.8, 0.01
    reached = []
    for seen in sd * np.sqrt(rng.chisquare(pilot - 1, 150) / (pilot - 1)):
        n = seeds_needed(as_seen(float(seen), pilot - 1), difference, alpha, paired=True) or 1000
        shift, critical = difference / sd * math.sqrt(n), stats.t.isf(alpha / 2, n - 1)
        power = stats.nct.sf(critical, n - 1, shift)
        reached.append(power if math.isfinite(power) else 1.0)
    assert 0.78 <= np.mean(reached) <= 0.92


def test_published_inside_outside_and_not_comparable() -> None:
    on = Conditions("cifar100", 100)
    scores = [79.5, 79.9, 80.2]
    inside = against_published(scores, 79.72, on, on)
    assert inside.inside is True
    assert inside.difference == pytest.approx(np.mean(scores) - 79.72)
    assert against_published(scores, 78.9, on, on).inside is True  # as far from the mean as one run may be
    assert against_published(scores, 70.0, on, on).inside is False
    assert against_published([79.5], 79.5, on, on).inside is None
    other = against_published(scores, 79.72, Conditions("cifar10", 10, ("5,000 training images",)), on)
    assert other.difference is None
    assert len(other.reasons) == 3
    assert math.isfinite(other.published)
