"""Effects of factorial designs: those of the linear model, and of cell means by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import statsmodels.api as sm

from levelfield.statistics.factorial import Cell, factorial_effects

PARTS = ("a", "b", "c")


def design(k: int, runs: int, seed: int = 0) -> dict[Cell, list[float]]:
    draws = np.random.default_rng(seed)
    return {cell: list(90 + draws.normal(0, 0.3, runs)) for cell in product((True, False), repeat=k)}


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("runs", [2, 5])
def test_estimates_and_errors_are_those_of_the_linear_model(k: int, runs: int) -> None:
    scores = design(k, runs)
    effects = factorial_effects(PARTS[:k], scores)
    columns, y = [], []
    for cell, values in scores.items():
        signs = {part: 0.5 if own else -0.5 for part, own in zip(PARTS, cell, strict=False)}
        columns += [[1.0, *(np.prod([signs[part] for part in effect.parts]) for effect in effects)]] * runs
        y += values
    model = sm.OLS(np.array(y), np.array(columns)).fit()
    assert [effect.estimate for effect in effects] == pytest.approx(list(model.params[1:]))
    assert [effect.standard_error for effect in effects] == pytest.approx(list(model.bse[1:]))
    assert all(k == 0 or effect.degrees_of_freedom <= model.df_resid + 1e-9 for effect in effects)


def test_effects_by_hand() -> None:
    """b helps by 2 where a is in and by 1 where it is not; a helps by 3 and by 2."""
    means = {(True, True): 95.0, (True, False): 93.0, (False, True): 92.0, (False, False): 91.0}
    scores = {cell: [mean - 0.01, mean + 0.01] for cell, mean in means.items()}
    a, b, both = factorial_effects(("a", "b"), scores)
    assert (a.parts, b.parts, both.parts) == (("a",), ("b",), ("a", "b"))
    assert (a.estimate, b.estimate, both.estimate) == pytest.approx((2.5, 1.5, 1.0))
    assert a.decided and b.decided and both.decided and a.low < 2.5 < a.high


def test_a_level_of_equal_cells_is_held() -> None:
    """Any of seven effects is claimed in about 5 % of 400 null designs, with cells of unequal variance too."""
    draws, claimed = np.random.default_rng(1), 0
    for _ in range(400):
        spread = draws.choice([0.1, 0.8], 8)
        cells = product((True, False), repeat=3)
        scores = {cell: list(draws.normal(90, sd, 3)) for cell, sd in zip(cells, spread, strict=True)}
        claimed += any(effect.decided for effect in factorial_effects(PARTS, scores))
    assert claimed <= 400 * 0.05 + 3 * (400 * 0.05 * 0.95) ** 0.5


def test_the_decision_is_that_of_its_interval() -> None:
    for seed in range(30):
        scores = design(2, 3, seed)
        scores[True, True] = [value + 0.1 * seed for value in scores[True, True]]
        for effect in factorial_effects(("a", "b"), scores):
            assert effect.low is not None and effect.high is not None and effect.p_adjusted is not None
            assert effect.decided == (effect.low > 0 or effect.high < 0) == (effect.p_adjusted <= 0.05)


def test_a_single_run_and_no_spread() -> None:
    scores = design(2, 2)
    with pytest.raises(ValueError, match="1 of 4 cells"):
        factorial_effects(("a", "b"), {**scores, (True, True): [90.0]})
    for score in (91.0, 86.66):  # the mean of three times 86.66 is another number
        (flat,) = factorial_effects(("a",), {(True,): [score] * 3, (False,): [score - 1] * 3})
        assert flat.estimate == pytest.approx(1.0) and flat.low is None and not flat.decided
