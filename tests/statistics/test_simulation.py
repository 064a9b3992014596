"""What the decisions promise, by simulated studies: no more false claims than stated, and enough true ones.

benchmarks/decisions.py holds the full table of rates; here is what a change of the rules must not lose.
"""

import numpy as np
import pytest

from levelfield.statistics import RowScores, compare_rows, verdict

IMAGES = 2000


def one_row(mean: float, sd: float, seeds: int, flips: int, rng: np.random.Generator) -> RowScores:
    """Runs of a row whose score varies by `sd` points: `flips` images are tossed, all runs drift for the rest."""
    drift = max(sd**2 - (100 / IMAGES) ** 2 * flips / 4, 0.0) ** 0.5
    right = np.zeros((seeds, IMAGES), dtype=np.bool_)
    for run in right:
        run[: round(IMAGES * (mean + rng.normal(0, drift)) / 100 - flips / 2)] = True
        run[IMAGES - flips :] = rng.random(flips) < 0.5
    return RowScores({seed: float(100 * run.mean()) for seed, run in enumerate(right)}, right)


def claims(means: list[float], sds: list[float], seeds: int, studies: int, *, flips: bool) -> dict[str, float]:
    """Shares of simulated studies: of `tables` that claim any difference, and in which the last row is said to be
    `better` than or `equivalent` to the first."""
    rng = np.random.default_rng(2026)
    found = dict.fromkeys(("tables", "better", "equivalent"), 0.0)
    for _ in range(studies):
        rows = {
            f"row {i}": one_row(mean, sd, seeds, 60, rng) for i, (mean, sd) in enumerate(zip(means, sds, strict=True))
        }
        if not flips:
            rows = {name: RowScores(row.by_seed) for name, row in rows.items()}
        comparison = compare_rows(rows, "row 0", beside=False)
        ranks = {str(rank) for rank in comparison.ranks.values()}
        found["tables"] += (any(pair.different for pair in comparison.pairs) or len(ranks) > 1) / studies
        last = comparison.to_baseline(f"row {len(means) - 1}")
        assert last is not None
        found["better"] += (verdict(last) == "better") / studies
        found["equivalent"] += last.equivalent / studies
    return found


@pytest.mark.parametrize("flips", [True, False])
@pytest.mark.parametrize("sds", [[0.4] * 4, [2.0, 0.4, 0.4, 0.4]])
def test_tables_without_a_true_difference_rarely_claim_one(sds: list[float], flips: bool) -> None:
    assert claims([80.0] * 4, sds, seeds=5, studies=400, flips=flips)["tables"] <= 0.083  # 5 % and three errors


def test_a_point_is_found_with_five_seeds() -> None:
    assert claims([80.0] * 5 + [81.2], [0.3] * 6, seeds=5, studies=60, flips=True)["better"] >= 0.9


def test_rows_that_are_equal_are_found_so_and_rows_a_margin_apart_are_not() -> None:
    alike = claims([80.0] * 2, [0.3] * 2, seeds=10, studies=150, flips=True)["equivalent"]
    apart = claims([80.0, 80.5], [0.3] * 2, seeds=10, studies=300, flips=True)["equivalent"]
    assert alike >= 0.8
    assert apart <= 0.088
