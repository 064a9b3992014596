"""Several measures beside a baseline: Welch's t of scipy and Holm of statsmodels, and the stated error rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from levelfield.statistics import RowScores
from levelfield.statistics.measures import Measure, compare_measures

HIGH, LOW = Measure("top1", "top-1 %", True), Measure("nll", "NLL", False)


def rows(rng: np.random.Generator, shift: float = 0.0, runs: int = 5) -> dict[str, RowScores]:
    means = {"base": 0.0, "a": 0.0, "b": shift}
    return {name: RowScores(dict(enumerate(rng.normal(mean, 1, runs)))) for name, mean in means.items()}


def test_it_is_welch_under_holm_over_all_measures() -> None:
    rng = np.random.default_rng(0)
    values = {HIGH: rows(rng, 3), LOW: rows(rng, 3)}
    found = compare_measures(values, "base")
    p = [
        stats.ttest_ind(values[m][one].scores, values[m]["base"].scores, equal_var=False).pvalue
        for m in (HIGH, LOW) for one in ("a", "b")
    ]  # fmt: skip
    assert [one.p_adjusted for one in found] == pytest.approx(multipletests(p, method="holm")[1])
    for one in found:
        assert (one.verdict in ("better", "worse")) == (one.low > 0 or one.high < 0)


def test_lower_is_better_where_it_is_said() -> None:
    far = {name: RowScores({0: at, 1: at + 0.1, 2: at - 0.1, 3: at}) for name, at in (("base", 0.0), ("a", 9.0))}
    assert [one.verdict for one in compare_measures({HIGH: far, LOW: far}, "base")] == ["better", "worse"]


def test_two_runs_are_too_few_and_rows_without_the_measure_are_left_out() -> None:
    few = {name: RowScores({0: at, 1: at + 0.1}) for name, at in (("base", 0.0), ("a", 9.0))}
    assert [one.verdict for one in compare_measures({HIGH: few | {"none": RowScores({})}}, "base")] == ["too few seeds"]
    assert compare_measures({HIGH: {"a": few["a"]}}, "base") == ()


def test_no_more_than_five_percent_of_families_claim_anything_false() -> None:
    rng = np.random.default_rng(1)
    count = 1500
    false = sum(
        any(one.verdict in ("better", "worse") for one in compare_measures({HIGH: rows(rng), LOW: rows(rng)}, "base"))
        for _ in range(count)
    )
    assert false / count < 0.05 + 3 * (0.05 * 0.95 / count) ** 0.5
