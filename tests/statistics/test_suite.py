"""Rankings of models over data sets against scipy's tests and against counting."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from levelfield.statistics.suite import (
    critical_difference,
    fewest_sets,
    friedman,
    performance_profile,
    probability_of_improvement,
    ranking,
    ranks_within,
    studentized_range,
    wilcoxon,
)


@pytest.mark.parametrize(("models", "sets"), [(3, 4), (5, 12), (8, 30)])
def test_ranks_and_friedman_are_scipys_with_and_without_equal_scores(models: int, sets: int) -> None:
    for digits in (6, 0):
        means = np.random.default_rng(models).normal(80, 3, (models, sets)).round(digits)
        expected = np.stack([stats.rankdata(-means[:, s]) for s in range(sets)], axis=1)
        assert ranks_within(means) == pytest.approx(expected, abs=0)
        assert friedman(means) == pytest.approx(stats.friedmanchisquare(*means).pvalue, rel=1e-9)
    assert friedman(np.full((models, sets), 50.0)) == 1.0


def test_the_critical_difference_is_that_of_the_studentized_range() -> None:
    for models in (2, 3, 5, 10, 20):
        known = stats.studentized_range.ppf(0.95, models, np.inf)
        assert studentized_range(0.95, models) == pytest.approx(known, abs=1e-9)
        assert critical_difference(models, 14) == pytest.approx(known / 2**0.5 * (models * (models + 1) / 84) ** 0.5)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)  # Demsar 2006, section 3.2.4


@pytest.mark.parametrize("n", [3, 7, 12, 30])
def test_wilcoxon_is_scipys(n: int) -> None:
    d = np.random.default_rng(n).normal(0.4, 1, n)
    method = "exact" if n <= 16 else "approx"
    known = stats.wilcoxon(d, method=method, correction=False).pvalue
    assert wilcoxon(d.tolist()) == pytest.approx(known, rel=1e-9)
    assert wilcoxon([*d.tolist(), 0.0]) == wilcoxon(d.tolist()) and wilcoxon([0.0, 0.0]) == 1.0


def test_wilcoxon_with_equal_differences_goes_through_all_signs() -> None:
    d = [1.0, 1.0, -1.0, 2.0, 3.0, 3.0]
    ranks = stats.rankdata(np.abs(d))
    seen = abs(ranks[np.array(d) > 0].sum() - ranks.sum() / 2)
    every = [abs(ranks[list(signs)].sum() - ranks.sum() / 2) >= seen for signs in product([False, True], repeat=6)]
    assert wilcoxon(d) == np.mean(every)


def test_improvement_and_profiles_are_counted_over_the_runs_of_each_set() -> None:
    a, b = [[3.0, 5.0], [1.0, 1.0, 4.0]], [[4.0, 4.0], [1.0, 0.0]]
    u = [stats.mannwhitneyu(x, y).statistic / (len(x) * len(y)) for x, y in zip(a, b, strict=True)]
    assert probability_of_improvement(a, b) == pytest.approx(np.mean(u)) == pytest.approx((0.5 + 5 / 6) / 2)
    assert probability_of_improvement(b, a) == pytest.approx(1 - probability_of_improvement(a, b))
    assert performance_profile(a, [0.0, 1.0, 3.0, 5.0]) == pytest.approx([1, (1 + 1 / 3) / 2, (1 / 2 + 1 / 3) / 2, 0])


def test_a_model_that_is_better_on_every_set_is_told_from_six_sets_on_and_not_from_five() -> None:
    rng = np.random.default_rng(0)
    for sets, decided in ((5, False), (6, True)):
        level = rng.uniform(40, 95, sets)
        found = ranking({"worse": [[x, x - 0.2] for x in level], "better": [[x + 1, x + 0.8] for x in level]})
        assert list(found.ranks.items()) == [("better", 1.0), ("worse", 2.0)] and found.sets == sets
        (pair,) = found.pairs
        assert (pair.a, pair.b, pair.decided) == ("better", "worse", decided)
        assert pair.p_adjusted == pytest.approx(2 / 2**sets) and pair.probability == 1.0 == pytest.approx(pair.low)
        assert found.groups == (() if decided else (("better", "worse"),))


def test_the_same_scores_in_another_order_of_seeds_are_equal() -> None:
    scores = [97.22, 97.5, 96.11]
    assert np.mean(scores) != np.mean(scores[::-1])  # what a float makes of it
    found = ranking({"a": [scores] * 6, "b": [scores[::-1]] * 6})
    assert dict(found.ranks) == {"a": 1.5, "b": 1.5} and found.friedman == 1.0
    assert found.pairs[0].p_adjusted == 1.0 and not found.pairs[0].decided
    assert wilcoxon([97.3 - 97.2, 0.1, -0.1, -0.1]) == 1.0


def test_single_runs_have_no_interval_over_seeds() -> None:
    (pair,) = ranking({"a": [[90.0, 91.0], [80.0]], "b": [[89.0, 89.5], [79.0, 79.5]]}).pairs
    assert pair.probability == 1.0 and pair.low is None and pair.high is None


def test_the_fewest_sets_are_those_at_which_the_least_p_decides() -> None:
    for pairs in (1, 3, 10, 45):
        sets = fewest_sets(pairs)
        assert wilcoxon([1.0] * sets) * pairs <= 0.05 < wilcoxon([1.0] * (sets - 1)) * pairs


def test_groups_are_neighbours_that_nothing_tells_apart() -> None:
    rng = np.random.default_rng(1)
    level = rng.uniform(40, 90, 12)
    models = {name: [[x + gain + e, x + gain - e] for x, e in zip(level, rng.normal(0, 0.5, 12), strict=True)]
              for name, gain in (("a", 4.0), ("b", 2.0), ("c", 2.0))}  # fmt: skip
    models["c"] = [[x + (0.3 if i % 2 else -0.3) for x in runs] for i, runs in enumerate(models["b"])]
    found = ranking(models)
    assert next(iter(found.ranks)) == "a" and [set(group) for group in found.groups] == [{"b", "c"}]
    assert found.friedman < 0.01


def test_of_equal_models_hardly_any_pair_is_decided() -> None:
    rng = np.random.default_rng(2)
    wrong = []
    for _ in range(200):
        level = rng.uniform(40, 90, 8)
        models = {name: [[x + rng.normal()] for x in level] for name in "abcd"}
        means = {name: np.array([runs[0] for runs in models[name]]) for name in models}
        p = [wilcoxon((means[a] - means[b]).tolist()) for i, a in enumerate("abcd") for b in "abcd"[i + 1 :]]
        wrong.append(min(p) * len(p) <= 0.05)
    assert np.mean(wrong) <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
