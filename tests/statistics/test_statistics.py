"""Statistics against SciPy, statsmodels and small cases that can be counted by hand."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from levelfield.statistics import (
    Conditions,
    against_published,
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


def by_seed(*scores: float) -> dict[int, float]:
    return dict(enumerate(scores))


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


def test_two_rows_are_a_plain_paired_t_test() -> None:
    a, b = [93.1, 92.8, 93.6, 93.0], [92.0, 92.1, 92.2, 92.4]
    found = compare_rows({"a": by_seed(*a), "b": by_seed(*b)}, "b").to_baseline("a")
    expected = stats.ttest_rel(a, b)
    assert found is not None
    assert found.p == found.p_adjusted == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert verdict(found) == "better"


def test_interval_excludes_zero_exactly_when_the_rows_differ() -> None:
    rng = np.random.default_rng(3)
    scores = {f"r{i}": by_seed(*rng.normal(90 + 0.4 * i, 0.3, 5)) for i in range(6)}
    pairs = compare_rows(scores, "r0").pairs
    assert len(pairs) == 15
    assert 0 < sum(pair.different for pair in pairs) < 15
    for pair in pairs:
        assert pair.low is not None and pair.high is not None and pair.p_adjusted is not None
        assert pair.different == (pair.low > 0 or pair.high < 0) == (pair.p_adjusted <= 0.05)


def test_a_difference_turned_round() -> None:
    comparison = compare_rows({"a": by_seed(1, 2, 4), "b": by_seed(2, 2.5, 5)}, "a")
    ab, ba = comparison.between("a", "b"), comparison.between("b", "a")
    assert ab is not None and ba is not None and ab.low is not None and ba.high is not None
    assert (ab.estimate, ab.low, ab.beats) == (-ba.estimate, -ba.high, 1 - ba.beats)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ({0: 90.0}, {0: 80.0}, "one seed in common"),
        ({0: 90.0}, {1: 80.0}, "no seed in common"),
        ({0: 90.0, 1: 91.0}, {0: 80.0, 1: 81.0}, "are equal"),
    ],
)
def test_what_cannot_be_decided_is_not_distinguishable(a: dict[int, float], b: dict[int, float], reason: str) -> None:
    found = compare_rows({"a": a, "b": b}, "b").to_baseline("a")
    assert found is not None
    assert verdict(found) == "not distinguishable"
    assert reason in found.reason


def test_ranks_print_ties_as_ties() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (4, 8))
    means = {"a": 95, "b": 95, "c": 90, "d": 80}
    scores = {name: by_seed(*(mean + noise[i])) for i, (name, mean) in enumerate(means.items())}
    ranks = compare_rows(scores, "c").ranks
    assert {name: str(rank) for name, rank in ranks.items()} == {"a": "1–2", "b": "1–2", "c": "3", "d": "4"}
    assert {str(r) for r in compare_rows({"a": {0: 1.0}, "b": {0: 9.0}}, "a").ranks.values()} == {"1–2"}


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
    found = seeds_needed(sd=0.4, dof=10_000, difference=0.5)
    assert found.seeds is not None
    power = [TTestPower().power(0.5 / 0.4, n, 0.05) for n in (found.seeds - 1, found.seeds)]
    assert power[0] < 0.8 <= power[1]
    assert seeds_needed(sd=50.0, dof=10_000).seeds is None
    assert seeds_needed(sd=1e-3, dof=10_000).seeds == 2


@pytest.mark.parametrize("pilot", [2, 3, 5, 10])
def test_seeds_needed_keeps_its_promise_on_average_over_pilots(pilot: int) -> None:
    """The true mean power: pilots drawn at random, each followed by the study that it advises."""
    rng = np.random.default_rng(pilot)
    sd, difference, alpha = 0.4, 0.8, 0.01
    reached = []
    for seen in sd * np.sqrt(rng.chisquare(pilot - 1, 150) / (pilot - 1)):
        n = seeds_needed(float(seen), pilot - 1, difference, alpha).seeds or 1000
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
