"""What the decisions promise, by simulated studies: no more false claims than stated, and enough true ones."""

import numpy as np

from levelfield.statistics import compare_rows, verdict

STUDIES = 1000


def claims(means: list[float], sd: float, seeds: int, studies: int = STUDIES) -> tuple[int, int]:
    """Of simulated studies: how many tables claim any difference, and how many that of the last row to the first."""
    rng = np.random.default_rng(2026)
    names = [f"row {i}" for i in range(len(means))]
    tables = found = 0
    for _ in range(studies):
        runs = rng.normal(means, sd, (seeds, len(means)))
        comparison = compare_rows(
            {name: dict(enumerate(runs[:, i].tolist())) for i, name in enumerate(names)}, names[0], beside=False
        )
        ranks = {str(rank) for rank in comparison.ranks.values()}
        tables += any(pair.different for pair in comparison.pairs) or len(ranks) > 1
        last = comparison.to_baseline(names[-1])
        found += last is not None and verdict(last) == "better"
    return tables, found


def test_tables_without_a_true_difference_rarely_claim_one() -> None:
    tables, _ = claims([80.0] * 4, sd=0.3, seeds=5)
    assert 0 < tables <= 66  # 5 % and its sampling error


def test_a_point_is_found_with_ten_seeds() -> None:
    _, found = claims([80.0, 80.0, 80.5, 81.0], sd=0.25, seeds=10)
    assert found >= 0.95 * STUDIES
