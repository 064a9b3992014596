"""Churn: closed cases, and by simulation what its intervals cover and how seldom equal rows are told apart."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from levelfield.statistics.churn import churn_between, churn_beyond_seeds, churn_within, disagreement

IMAGES = 1000


def test_a_closed_case() -> None:
    a = np.array([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1]])
    b = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    within, between = disagreement(a, a), disagreement(a, b)
    assert between[:, 0].tolist() == [100, 75, 50]
    found = churn_within(within)
    assert found is not None and found.value == pytest.approx((25 + 50 + 25) / 3)
    assert churn_between(between).estimate == pytest.approx(75)
    beyond = churn_beyond_seeds(within, disagreement(b, b), between)
    assert beyond.estimate == pytest.approx(75 - (100 / 3) / 2)


def test_few_runs_have_no_interval_and_say_why() -> None:
    two = np.array([[0, 1, 2], [0, 1, 1]])
    apart = disagreement(two, two)
    assert churn_within(apart[:1, :1]) is None
    found = churn_within(apart)
    assert found is not None and found.low is None and "fewer than 3 runs" in found.assumption
    assert churn_between(apart).deviation is None
    assert churn_beyond_seeds(apart, apart, apart).deviation is None
    assert churn_beyond_seeds(apart[:1, :1], apart, apart[:1]).estimate is None


def drawn(rng: np.random.Generator, base: NDArray[np.int64], hard: NDArray[np.float64], runs: int) -> NDArray[np.int64]:
    """Runs that guess on hard images, some of them on more than others."""
    found = np.repeat(base[None], runs, 0)
    guessed = rng.random(found.shape) < 0.3 * np.exp(rng.normal(0, 0.2, (runs, 1))) * hard
    found[guessed] = rng.integers(0, 10, int(guessed.sum()))
    return found


@pytest.mark.parametrize("runs", [3, 5])
def test_what_intervals_cover_and_how_seldom_equal_rows_are_told_apart(runs: int) -> None:
    rng = np.random.default_rng(runs)
    base, hard = rng.integers(0, 10, IMAGES), rng.beta(0.3, 1.0, IMAGES)
    other = np.where(rng.random(IMAGES) < 0.05, (base + 1) % 10, base)
    within, beyond, told = [], [], 0
    for _ in range(300):
        a, b, c = (drawn(rng, one, hard, runs) for one in (base, base, other))
        aa, bb, cc = (disagreement(one, one) for one in (a, b, c))
        found = churn_within(aa)
        assert found is not None
        within.append((found.value, found.low, found.high))
        told += churn_beyond_seeds(aa, bb, disagreement(a, b)).p <= 0.05
        apart = churn_beyond_seeds(aa, cc, disagreement(a, c))
        beyond.append((apart.estimate, *apart.interval(0.05)))
    for values in (np.array(within, dtype=float), np.array(beyond, dtype=float)):
        truth = values[:, 0].mean()
        assert ((values[:, 1] <= truth) & (truth <= values[:, 2])).mean() > 0.88
    assert told / 300 <= 0.05
    assert np.array(beyond, dtype=float)[:, 1].min() > 0  # five in a hundred images more are always seen
