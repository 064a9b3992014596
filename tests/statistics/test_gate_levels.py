"""One candidate after another: what each may spend, and how a look at it is judged."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from levelfield.statistics import ALPHA, RowScores
from levelfield.statistics.gate import (
    SLOWNESS,
    GateLook,
    compare_candidate,
    evidence_of,
    judge,
    level_of_candidate,
    shares_of_looks,
)
from levelfield.statistics.pair_tests import PairTest, StudentT


def test_all_candidates_together_spend_the_level_slowly_and_never_more() -> None:
    levels = [level_of_candidate(number) for number in range(1, 100_001)]
    assert 0.049 < sum(levels) < ALPHA
    assert all(one > two for one, two in pairwise(levels))
    assert sum(levels[:SLOWNESS]) == pytest.approx(ALPHA / 2)


def test_the_looks_at_one_candidate_spend_its_level_once() -> None:
    shares = shares_of_looks(10)
    assert list(shares) == list(range(2, 11)) and sum(shares.values()) == pytest.approx(1.0)
    assert shares[10] == max(shares.values())


def judged(gain: float, seeds: int = 5, level: float = ALPHA, several: bool = True) -> GateLook:
    test = PairTest(gain, StudentT(0.2, 8), "t", "", runs=(5, 5))
    return judge(test, 0.2, seeds, 10, level, several) if several else judge(test, 0.2, seeds, seeds, level, several)


def test_a_candidate_is_better_exactly_where_its_lower_bound_lies_above_what_is_asked() -> None:
    for gain in np.linspace(-0.5, 3.0, 36):
        look = judged(float(gain))
        assert look.low is not None
        assert (look.judged == "better") == (look.low > 0.2)
        assert (look.judged == "better") == (look.p <= look.level)
    assert {judged(gain).judged for gain in (0.0, 0.6, 2.5)} == {"hopeless", "open", "better"}


def test_a_later_candidate_needs_more_and_a_single_look_has_the_whole_level() -> None:
    assert judged(1.2, level=level_of_candidate(1)).level > judged(1.2, level=level_of_candidate(100)).level
    assert judged(1.0, several=False).level == ALPHA
    assert judged(1.0).level < ALPHA


def test_where_there_is_no_ground_the_trial_goes_on() -> None:
    look = judge(PairTest(3.0, None, "Welch's t", "", "too few seeds (2)", runs=(2, 2)), 0.2, 2, 10, ALPHA)
    assert look.judged == "open" and look.p == 1.0 and look.reason


def row(score: float, seeds: int, seed: int) -> RowScores:
    rng = np.random.default_rng(seed)
    chance = np.where(np.arange(10_000) < 800, 0.5, np.where(np.arange(10_000) < 800 + 100 * score - 400, 1.0, 0.0))
    right = rng.random((seeds, 10_000)) < chance
    right[:, :800] = rng.random((seeds, 800)) < 0.5 + rng.normal(0, 0.03, seeds)[:, None]
    return RowScores(dict(enumerate((100 * right.mean(1)).tolist())), right)


def test_earlier_candidates_on_the_same_images_make_the_test_sharper() -> None:
    base, candidate = row(80.0, 3, 1), row(81.0, 3, 2)
    panel = [evidence[1] for k in range(12) if (evidence := evidence_of(base, row(80.0, 3, 10 + k))) is not None]
    alone, beside = compare_candidate(base, candidate), compare_candidate(base, candidate, panel)
    assert len(panel) == 12 and alone.estimate == beside.estimate
    assert beside.p < 0.5 * alone.p
    paired = compare_candidate(
        RowScores(base.by_seed, base.right, "first"), RowScores(candidate.by_seed, candidate.right, "first"), panel
    )
    assert paired.method == "paired t"
