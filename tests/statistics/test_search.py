"""What searches rest on: evenly filled spaces, the rule of pruning, and how much a knob explains."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import qmc

from levelfield.statistics.halving import goes_on
from levelfield.statistics.knobs import knob
from levelfield.statistics.quasi_random import Sequence, quasi_random


@pytest.mark.parametrize("sequence", ["halton", "sobol"])
def test_points_fill_the_cube_more_evenly_than_chance_and_longer_searches_keep_their_first(sequence: Sequence) -> None:
    points = quasi_random(sequence, 32, 3, seed=7)
    assert quasi_random(sequence, 5, 3, seed=7) == points[:5] != quasi_random(sequence, 5, 3, seed=8)
    assert np.min(points) >= 0 and np.max(points) < 1
    chance = [qmc.discrepancy(np.random.default_rng(seed).random((32, 3))) for seed in range(20)]
    assert qmc.discrepancy(np.array(points)) < min(chance)
    assert quasi_random(sequence, 1, 1, seed=0) != []


def test_a_trial_goes_on_among_the_best_of_those_before_it() -> None:
    assert goes_on([50.0], 3) and goes_on([50.0, 51.0], 3) and not goes_on([50.0, 49.0], 3)
    assert goes_on([50.0, 50.0], 3), "equal scores go on together"
    six = [50.0, 40.0, 60.0, 30.0, 20.0]
    assert goes_on([*six, 55.0], 3) and not goes_on([*six, 45.0], 3), "two of six go on"
    assert goes_on([*six, 45.0], 2), "three of six"


def test_a_knob_explains_what_a_parabola_does() -> None:
    rng = np.random.default_rng(0)
    x = rng.random(12) * 5 - 7
    y = 80 - 3 * (x + 4) ** 2 + rng.normal(0, 2, 12)
    fitted = sm.OLS(y, np.stack([np.ones(12), x, x**2], 1)).fit()
    found = knob(list(x), list(y), ordered=True)
    assert found is not None
    assert (found.explained, found.p) == pytest.approx((fitted.rsquared_adj, fitted.f_pvalue), rel=1e-8)


def test_a_choice_explains_what_its_means_do_and_too_little_says_nothing() -> None:
    names = ["a", "b", "a", "c", "b", "a", "c", "b"]
    y = [1.0, 5.0, 2.0, 9.0, 6.0, 1.5, 8.0, 5.5]
    dummies = np.array([[name == one for one in "abc"] for name in names], dtype=float)
    fitted = sm.OLS(y, dummies).fit()
    found = knob(names, y, ordered=False)
    assert found is not None
    assert (found.explained, found.p) == pytest.approx((fitted.rsquared_adj, fitted.f_pvalue), rel=1e-8)
    assert knob([1, 2, 3], [1.0, 2.0, 3.0], ordered=True) is None
    assert knob([1, 1, 1, 1, 1], [1.0, 2.0, 3.0, 4.0, 5.0], ordered=True) is None
    assert knob([1, 2, 3, 4, 5], [7.0] * 5, ordered=True) is None
    assert knob([], [], ordered=True) is None
