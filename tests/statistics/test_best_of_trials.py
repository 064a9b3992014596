"""The expected best of k trials against enumeration, and its intervals and verdicts against simulated searches."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.stats import qmc

from levelfield.statistics.best_of_trials import at_equal_trials, expected_best, expected_bests, order_weights, told_at

Array = NDArray[np.float64]


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_it_is_the_mean_over_every_choice_of_k_trials(n: int) -> None:
    scores = np.random.default_rng(n).normal(80, 5, n).round(1).tolist()  # ties among them
    for k in range(1, n + 1):
        every = fmean(max(chosen) for chosen in combinations(scores, k))
        assert expected_best(scores, k) == pytest.approx(every, rel=1e-12)
        assert order_weights(n, k).sum() == pytest.approx(1)
    with pytest.raises(ValueError, match=f"the best of {n + 1} of {n} trials"):
        expected_best(scores, n + 1)


def test_it_has_no_bias_where_the_expectation_is_known() -> None:
    """Of k uniform numbers the largest is k / (k + 1) in the mean; Dodge's form, with replacement, is below that."""
    draws = np.sort(np.random.default_rng(0).random((40_000, 6)), axis=1)
    for k in (1, 2, 4, 6):
        found = draws @ order_weights(6, k)
        assert abs(found.mean() - k / (k + 1)) < 4 * found.std() / 200
    steps = np.arange(1, 7) / 6
    with_replacement = draws @ (steps**4 - (steps - 1 / 6) ** 4)
    assert with_replacement.mean() < 4 / 5 - 0.02


def test_the_best_of_one_has_students_interval_of_a_mean() -> None:
    scores = [70.0, 74.0, 71.5, 76.0, 69.0, 73.0, 75.5]
    one, *more = expected_bests(scores)
    interval = stats.t.interval(0.95, 6, np.mean(scores), stats.sem(scores))
    assert (one.low, one.high) == pytest.approx(interval, abs=0.15)  # the standard error is resampled
    assert [each.k for each in more if each.low is not None] == [2, 3]
    assert told_at(1) == () and told_at(2) == (1,) and told_at(5) == (1, 2) and told_at(15) == (1, 5)


def quadratic(best: float, flat: float = 1.0) -> Callable[[Array, np.random.Generator], Array]:
    """Validation top-1 by two knobs in [0, 1], of which the first matters, with the noise of one seed."""

    def scores(units: Array, rng: np.random.Generator) -> Array:
        x, y = units[..., 0], units[..., 1]
        return 90 - 80 * flat * (x - best) ** 2 - 10 * (y - 0.5) ** 2 + rng.normal(0, 0.4, x.shape)

    return scores


def drawn(searches: int, trials: int, rng: np.random.Generator) -> Array:
    """(searches, trials, 2): scrambled Halton points, as sweeps draw them."""
    seeds = rng.integers(0, 2**31, searches)
    return np.stack([qmc.Halton(2, rng=np.random.default_rng(int(seed))).random(trials) for seed in seeds])


@pytest.mark.parametrize("trials", [5, 12])
def test_intervals_cover_the_expected_best(trials: int) -> None:
    """At least as often as they say: the draws are evener than independent ones."""
    rng, scores = np.random.default_rng(1), quadratic(0.6)
    found = scores(drawn(250, trials, rng), rng)
    for k in told_at(trials):
        truth = scores(rng.random((200_000, k, 2)), rng).max(axis=1).mean()
        bests = [expected_bests(row)[k - 1] for row in found]
        covered = fmean(
            bool(one.low is not None and one.high is not None and one.low <= truth <= one.high) for one in bests
        )
        assert covered >= 0.95


def test_intervals_of_independent_normal_trials_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    truth = float(rng.normal(80, 3, (400_000, 3)).max(axis=1).mean())
    bests = [expected_bests(rng.normal(80, 3, 12)) for _ in range(300)]
    for k, known in ((1, 80.0), (3, truth)):
        covered = [one[k - 1].low <= known <= one[k - 1].high for one in bests]  # type: ignore[operator]
        assert fmean(covered) >= 0.95 - 3 * (0.05 * 0.95 / 300) ** 0.5


def test_of_equal_rows_hardly_any_is_called_better() -> None:
    """Three rows of one response, at five trials and at two k: a percentile bootstrap would err in a fifth of them."""
    rng, scores = np.random.default_rng(3), quadratic(0.6)
    units = drawn(250, 5, rng)
    rows = {name: scores(units, rng) for name in "abc"}
    wrong = [any(one.decided for one in at_equal_trials({n: s[i] for n, s in rows.items()})) for i in range(250)]
    assert fmean(wrong) <= 0.05 + 3 * (0.05 * 0.95 / 250) ** 0.5
    resampled = np.random.default_rng(0).integers(0, 5, (400, 5))
    percentile = []
    for a, b in zip(rows["a"], rows["b"], strict=True):
        low, high = np.quantile(a[resampled].mean(1) - b[resampled].mean(1), [0.025, 0.975])
        percentile.append(low > 0 or high < 0)
    assert fmean(percentile) > 0.12  # which is why there is another


def test_a_row_that_needs_no_tuning_beats_one_that_does_at_one_trial_and_not_at_many() -> None:
    rng = np.random.default_rng(4)
    (units,) = drawn(1, 15, rng)
    rows = {"easy": quadratic(0.6, flat=0.02)(units, rng) - 0.5, "touchy": quadratic(0.6)(units, rng)}
    one, several = at_equal_trials(rows)
    assert (one.k, one.decided, several.k, several.decided) == (1, True, 5, False)
    assert one.difference > 0 and one.low > 0 and several.low < 0 < several.high
    assert one.difference == pytest.approx(np.mean(rows["easy"]) - np.mean(rows["touchy"]))


def test_rows_of_unequal_trials_are_refused_and_equal_scores_decide_nothing() -> None:
    with pytest.raises(ValueError, match="unequal numbers of trials"):
        at_equal_trials({"a": [1.0, 2.0], "b": [1.0]})
    assert not any(one.decided for one in at_equal_trials({"a": [50.0] * 5, "b": [50.0] * 5}))
    assert at_equal_trials({"a": [1.0], "b": [2.0]}) == () == at_equal_trials({})
