"""Intervals of a row's mean and of one further run, from one run on."""

import numpy as np
import pytest

from levelfield.statistics import RowIntervals, RowScores, further_run, seeds_interval
from levelfield.statistics.row_intervals import METHOD
from levelfield.statistics.row_scores import flips_of

IMAGES = 2000


def row(seeds: int, rng: np.random.Generator, sd: float = 0.6, uncertain: int = 200) -> tuple[RowScores, float]:
    """Runs with `uncertain` coin-flip images and a common deviation of `sd` points; and the score of one run more."""
    right = np.zeros((seeds + 1, IMAGES), dtype=np.bool_)
    chance = 0.5 + sd / 100 * IMAGES / uncertain * rng.standard_normal((seeds + 1, 1))
    right[:, :uncertain] = rng.random((seeds + 1, uncertain)) < chance
    right[:, uncertain : uncertain + 1500] = True
    scores = (100 * right.mean(1)).tolist()
    return RowScores(dict(enumerate(scores[:-1])), right[:-1]), scores[-1]


def panel(seeds: int, rng: np.random.Generator, rows: int = 6) -> tuple[dict[str, RowScores], float]:
    """Rows of three runs each, but for `it`, which has `seeds`; and the score of one run more of it."""
    it, more = row(seeds, rng)
    return {"it": it, **{str(i): row(3, rng)[0] for i in range(rows - 1)}}, more


def test_three_runs_and_more_are_student_s_t_alone() -> None:
    rows, _ = panel(3, np.random.default_rng(0))
    found = RowIntervals(rows)
    assert found.of_mean("it") == seeds_interval(rows["it"].scores)
    assert found.of_further_run("it") == further_run(rows["it"].scores)


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_runs_have_an_interval_that_says_where_it_comes_from(seeds: int) -> None:
    rows, _ = panel(seeds, np.random.default_rng(seeds))
    mean, further = RowIntervals(rows).of_mean("it"), RowIntervals(rows).of_further_run("it")
    assert (mean.method, mean.n, mean.value) == (METHOD, seeds, pytest.approx(np.mean(rows["it"].scores)))
    assert ("a row of one run flips" in mean.assumption) is (seeds == 1)
    for found in (mean, further):
        assert found.low is not None and found.high is not None
        assert found.low + found.high == pytest.approx(2 * found.value)
    ratio = (further.high - further.low) / (mean.high - mean.low)  # type: ignore[operator]
    assert ratio == pytest.approx((seeds + 1) ** 0.5)


def test_equal_scores_of_two_runs_are_no_spread_of_zero() -> None:
    rng = np.random.default_rng(4)
    rows, _ = panel(2, rng)
    right = rows["it"].right
    assert right is not None
    equal = RowScores({0: 85.0, 1: 85.0}, right)
    found = RowIntervals({**rows, "it": equal}).of_mean("it")
    assert found.low is not None and 85.0 - found.low > 0.2


def same(scores: float, runs: int = 3, offset: int = 0) -> RowScores:
    """Runs that have the very same images right: collapsed to one class, or perfect."""
    right = np.tile((np.arange(IMAGES) + offset) % IMAGES < IMAGES * scores / 100, (runs, 1))
    return RowScores(dict.fromkeys(range(runs), scores), right)


@pytest.mark.parametrize("beside", [[10.0], [100.0], [10.0, 100.0, 10.0]])
def test_rows_that_never_flip_say_nothing_of_how_often_others_do(beside: list[float]) -> None:
    """Before, such rows brought the typical flips, and with them the interval of a row of one run, to nothing."""
    rng = np.random.default_rng(8)
    extra = {f"flat{i}": same(score, offset=200 * i) for i, score in enumerate(beside)}
    held = []
    for _ in range(60):
        rows = {**extra, "ok": row(3, rng)[0], "single": row(1, rng)[0]}
        held.append(RowIntervals(rows).of_mean("single").holds(80.0))
    assert np.mean(held) > 0.92
    assert flips_of({**extra, "single": row(1, rng)[0]}).keys() == extra.keys()
    alone = RowIntervals({**extra, "single": row(1, rng)[0]}).of_mean("single")
    assert alone.low is None and "no row here shows how often runs disagree" in alone.assumption


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_equal_scores_have_the_interval_of_their_flips_where_these_are_known(runs: int) -> None:
    rng = np.random.default_rng(9)
    rows, _ = panel(3, rng)
    right = row(runs, rng)[0].right
    assert right is not None
    rows["it"] = RowScores(dict.fromkeys(range(runs), 80.0), right)
    for found in (RowIntervals(rows).of_mean("it"), RowIntervals(rows).of_further_run("it")):
        assert found.method == METHOD and found.low is not None and 0.05 < 80.0 - found.low < 10
    flat = RowIntervals({**rows, "it": same(80.0, runs)}).of_mean("it")
    assert flat.low is None and "equal" in flat.assumption and "the very same images right" in flat.assumption
    unknown = RowIntervals({**rows, "it": RowScores(rows["it"].by_seed)}).of_mean("it")
    assert unknown.low is None and "equal" in unknown.assumption and "which ones it has right" in unknown.assumption


def test_without_predictions_one_run_shows_nothing() -> None:
    rows = {"a": RowScores({0: 90.0}), "b": RowScores({0: 91.0, 1: 91.2})}
    assert RowIntervals(rows).of_mean("a").low is None
    assert RowIntervals(rows).of_mean("b") == seeds_interval([91.0, 91.2])
    rng = np.random.default_rng(5)
    assert RowIntervals({"a": row(1, rng)[0], "b": row(1, rng)[0]}).of_mean("a").low is None  # no flips anywhere


@pytest.mark.parametrize("seeds", [1, 2])
def test_they_cover_the_truth_and_the_next_run(seeds: int) -> None:
    """Over tables of rows that vary alike: at least 95 % but for chance, and two runs far below Student's t."""
    rng = np.random.default_rng(10 + seeds)
    held, inside, widths, t = [], [], [], []
    for _ in range(250):
        rows, more = panel(seeds, rng)
        found = RowIntervals(rows)
        mean = found.of_mean("it")
        held.append(mean.holds(80.0))
        inside.append(found.of_further_run("it").holds(more))
        assert mean.high is not None and mean.low is not None
        widths.append(mean.high - mean.low)
        if seeds == 2 and (own := seeds_interval(rows["it"].scores)).low is not None:
            t.append(own.high - own.low)  # type: ignore[operator]
    assert np.mean(held) > 0.92 and np.mean(inside) > 0.92
    assert seeds == 1 or np.median(widths) < 0.7 * np.median(t)
