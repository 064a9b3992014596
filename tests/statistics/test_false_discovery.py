"""Benjamini and Hochberg's procedure: statsmodels' adjusted p, intervals that say what is decided, the stated rate."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from levelfield.statistics import RowScores
from levelfield.statistics.false_discovery import benjamini_hochberg
from levelfield.statistics.measures import Measure, compare_measures


@pytest.mark.parametrize("seed", range(20))
def test_it_is_that_of_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.concatenate([rng.random(30), rng.random(10) * 0.01, [0.02, 0.02, 1.0]])
    rejected, adjusted, *_ = multipletests(p, method="fdr_bh")
    found = benjamini_hochberg(p)
    assert found.p_adjusted == pytest.approx(adjusted) and np.array_equal(found.rejected, rejected)
    assert np.array_equal(p <= found.level, rejected)  # so the intervals at that level exclude zero where it rejects


def test_nothing_and_one() -> None:
    assert len(benjamini_hochberg(np.array([])).p_adjusted) == 0
    assert benjamini_hochberg(np.array([0.03])).level == pytest.approx([0.05])


def test_of_what_it_claims_of_classes_one_in_twenty_is_false() -> None:
    """Two rows beside one baseline, ten classes of 100 images, three of them truly harder for both; what one class
    gains by a confusion another loses."""
    rng = np.random.default_rng(0)
    classes = [Measure(f"class {i}", "recall %", True) for i in range(10)]
    truly = set(classes[:3])
    shares = []
    for _ in range(400):
        values: dict[Measure, dict[str, RowScores]] = {measure: {} for measure in classes}
        for row in ("base", "a", "b"):
            recall = np.full((5, 10), 0.8)
            if row != "base":
                recall[:, :3] -= 0.12
            moved = rng.normal(0, 0.03, (5, 5))
            recall += np.concatenate([moved, -moved], 1)
            scores = rng.binomial(100, recall)
            for measure, of_class in zip(classes, scores.T, strict=True):
                values[measure][row] = RowScores(dict(enumerate(map(float, of_class))))
        found = compare_measures(values, "base", decide=benjamini_hochberg)
        claimed = [one.measure for one in found if one.verdict in ("better", "worse")]
        false = sum(key not in {measure.key for measure in truly} for key in claimed)
        shares.append(false / max(1, len(claimed)))
        assert all((one.verdict in ("better", "worse")) == (one.low > 0 or one.high < 0) for one in found if one.low)
    assert np.mean(shares) < 0.05 + 3 * np.std(shares) / 20
    assert np.mean(shares) > 0  # the rate is one that can be missed
