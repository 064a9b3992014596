"""How much rows vary: against cases that can be counted by hand, and in the limits in which the answer is known."""

import numpy as np
import pytest
from scipy import stats

from levelfield.statistics import RowScores, compare_rows, flip_variance
from levelfield.statistics.row_scores import flips_of
from levelfield.statistics.variance import Mixture, RowEvidence, RowVariances, grid, measured_prior

IMAGES = 10_000


def evidence(sd: float, seeds: int, rng: np.random.Generator, flips: float = 0.02) -> RowEvidence:
    return RowEvidence(rng.normal(80, sd, seeds), flips)


def test_flips_by_hand() -> None:
    right = np.array([[True, True, False, False], [True, False, False, False]])
    # One image of four differs between two runs: p (1 - p) = 1/2, over 4 squared, in percent squared.
    assert flip_variance(right) == pytest.approx(1e4 * 0.5 / 16)
    with pytest.raises(ValueError, match="at least two"):
        flip_variance(right[:1])


@pytest.mark.parametrize("runs", [2, 3, 10])
def test_flips_are_the_variance_of_a_score_whose_images_flip_on_their_own(runs: int) -> None:
    rng = np.random.default_rng(runs)
    chance = rng.beta(0.3, 0.3, 2000)
    found = np.mean([flip_variance(rng.random((runs, 2000)) < chance) for _ in range(200)])
    assert found == pytest.approx(1e4 * (chance * (1 - chance)).sum() / 2000**2, rel=0.02)


def test_flips_of_a_row_with_one_run_are_those_of_the_others_for_its_accuracy() -> None:
    rng = np.random.default_rng(0)
    rows = {
        name: RowScores({s: float(100 * r.mean()) for s, r in enumerate(right)}, right)
        for name, right in {"two": rng.random((2, 500)) < 0.5, "one": rng.random((1, 500)) < 0.9}.items()
    }
    found = flips_of(rows)
    accuracy = [np.mean(rows[name].scores) / 100 for name in ("two", "one")]
    scale = [a * (1 - a) for a in accuracy]
    assert found["one"] == pytest.approx(found["two"] * scale[1] / scale[0])
    assert flips_of({"one": rows["one"]}) == {}


def test_a_mixture_of_one_variance_is_the_normal_distribution() -> None:
    one = Mixture(np.array([4.0]), np.array([1.0]))
    assert one.p(3.0) == pytest.approx(2 * stats.norm.sf(1.5))
    assert one.half_width(0.05) == pytest.approx(2 * stats.norm.isf(0.025))
    assert one.standard_error == 2.0


def test_a_mixture_over_chi_squared_is_students_t_and_few_points_say_about_the_same() -> None:
    share = (np.arange(20_000) + 0.5) / 20_000
    spread = Mixture(6 / stats.chi2.ppf(share, 6), np.full(20_000, 1 / 20_000))
    for level in (0.2, 0.05, 0.01):
        expected = stats.t.isf(level / 2, 6)
        assert spread.half_width(level) == pytest.approx(expected, rel=0.01)
        assert spread.p(expected) == pytest.approx(level, rel=0.02)
    few = spread.in_few()
    assert len(few.variance) <= 48
    assert few.p(2.5) == pytest.approx(spread.p(2.5), rel=0.02)


def test_the_standard_error_of_a_mixture_with_a_heavy_tail_is_what_holds_two_thirds() -> None:
    heavy = Mixture(np.array([1.0, 1000.0]), np.array([0.97, 0.03]))
    assert heavy.p(heavy.standard_error) == pytest.approx(0.3173, abs=1e-4)
    assert 1.0 < heavy.standard_error < 1.1 < heavy.half_width(0.03)
    assert Mixture(np.array([4.0]), np.array([1.0])).standard_error == pytest.approx(2.0)


@pytest.mark.parametrize("runs", [[1, 2], [3, 3], [1, 2, 3, 4, 50]])
def test_the_prior_is_a_distribution_under_each_of_its_settings(runs: list[int]) -> None:
    density, weight = measured_prior().on_grid(grid(5), IMAGES, runs)
    assert density.shape == (len(runs), len(weight), len(grid(5)))
    assert density.sum(2) == pytest.approx(np.ones(density.shape[:2]))
    assert weight.sum() == pytest.approx(1)


def test_some_rows_may_be_wild_and_fewer_the_more_runs_tell_it() -> None:
    prior = measured_prior()
    shares = [prior.wild_share(runs, 10) for runs in (3, 4, 5, 50)]
    assert shares == sorted(shares, reverse=True) and all(0 < share <= 1 for share in shares)
    assert prior.wild_share(1, 10) == 0.0
    high = grid(5) > prior.mean + 2 * prior.mean_sd + prior.above
    density, _ = prior.on_grid(grid(5), IMAGES, [3] * 10)
    assert (density[:, :, high] > 0.001).all()


@pytest.mark.parametrize("runs", [3, 5])
def test_of_two_rows_neither_lends_to_the_other(runs: int) -> None:
    density, _ = measured_prior().on_grid(grid(5), IMAGES, [runs] * 2)
    assert density == pytest.approx(np.full(density.shape, 1 / len(grid(5))))


def test_rows_that_show_themselves_wild_make_the_others_doubtful() -> None:
    """Nine rows that agree closely by chance: beside three wild ones, each may be one that hides."""
    calm = [RowEvidence(np.array([80.0, 80.1, 80.2]), 0.02)] * 7
    wild = [RowEvidence(np.array([60.0, 75.0, 80.0]), 0.02)] * 3
    among_calm, among_wild = RowVariances([*calm, *calm[:3]], IMAGES), RowVariances([*calm, *wild], IMAGES)
    # The chance that the first varies over seeds by more than a point.
    doubt = [float((of.weight @ of.posterior[0])[of.variance[0] > 1.0].sum()) for of in (among_calm, among_wild)]
    assert doubt[1] > 1.5 * doubt[0]


def test_few_images_flip_more_while_what_is_common_stays() -> None:
    """The same rows tested on a tenth of the images: ten times the flips, so a tenth of the overdispersion."""
    u = grid(5)
    many, few = (measured_prior().on_grid(u, images, [1])[0][0] @ u for images in (IMAGES, IMAGES // 10))
    assert (few < many).all()
    assert np.median(many - few) == pytest.approx(np.log(10), rel=0.35)


def test_many_runs_say_all_there_is_to_say() -> None:
    rng = np.random.default_rng(1)
    rows = [evidence(sd, 300, rng) for sd in (0.3, 0.3, 1.5)]
    found = RowVariances(rows, IMAGES).expected()
    assert found == pytest.approx([row.scores.var(ddof=1) for row in rows], rel=0.1)


def test_rows_lend_each_other_their_spread() -> None:
    """Ten rows alike with three runs each: the estimates scatter less than half as much as the sample variances."""
    rng = np.random.default_rng(2)
    ours, sample = [], []
    for _ in range(60):
        rows = [evidence(0.3, 3, rng) for _ in range(10)]
        ours.append(np.log(RowVariances(rows, IMAGES).expected()))
        sample.append([np.log(row.scores.var(ddof=1)) for row in rows])
    assert np.std(ours) < np.std(sample) / 2
    assert 0.09 < np.exp(np.mean(ours)) < 0.18  # what is left open lies above the truth rather than below


def test_one_wild_row_is_not_drawn_to_the_others_nor_they_to_it() -> None:
    rng = np.random.default_rng(3)
    calm = [evidence(0.3, 5, rng) for _ in range(9)]
    wild = RowEvidence(np.array([60.0, 75.0, 80.0, 70.0, 66.0]), 0.02)
    alone, beside = RowVariances(calm, IMAGES).expected(), RowVariances([*calm, wild], IMAGES).expected()
    # The mean of what five runs alone leave open: s^2 dof / (dof - 2).
    assert beside[-1] == pytest.approx(2 * wild.scores.var(ddof=1), rel=0.2)
    assert beside[:-1] == pytest.approx(alone, rel=0.5)


def test_flips_are_a_floor_where_runs_happen_to_agree() -> None:
    alike = RowEvidence(np.array([80.0, 80.0, 80.0]), 0.02)
    found = RowVariances([alike, alike], IMAGES)
    assert (found.expected() > 0.02).all()
    assert found.of_difference(0, 1).half_width(0.05) > 1.96 * np.sqrt(2 * 0.02 / 3)


def test_other_images_leave_more_open_than_these() -> None:
    rng = np.random.default_rng(4)
    found = RowVariances([evidence(0.3, 5, rng) for _ in range(4)], IMAGES)
    here = found.of_difference(0, 1)
    elsewhere = found.of_difference_elsewhere(0, 1, images=0.05)
    assert elsewhere.standard_error > here.standard_error
    assert elsewhere.p(0.5) > here.p(0.5)


def test_predictions_make_a_table_decide_what_scores_alone_cannot() -> None:
    """A row of ten is 1.2 points better, the spread over seeds is 0.3: told by three seeds where flips are known."""
    rng = np.random.default_rng(5)
    found = {"model-assisted": 0, "Welch's t": 0}
    for _ in range(20):
        rows = {}
        for i in range(10):
            right = np.zeros((3, IMAGES), dtype=np.bool_)
            for run in right:
                run[: int(IMAGES * (0.782 + 0.012 * (i == 9)) + rng.normal(0, 27))] = True
                run[-600:] = rng.random(600) < 0.5
            rows[f"row {i}"] = RowScores({s: float(100 * r.mean()) for s, r in enumerate(right)}, right)
        for table in (rows, {name: RowScores(row.by_seed) for name, row in rows.items()}):
            pair = compare_rows(table, "row 0", beside=False).to_baseline("row 9")
            assert pair is not None
            found[pair.method] += pair.different
    assert found["model-assisted"] >= 10 > 2 * found["Welch's t"]


@pytest.mark.parametrize(("runs", "least"), [([2, 2], 2), ([2, 3], 3), ([1, 2, 2], 2), ([10, 2, 2], 3)])
def test_two_runs_are_enough_only_where_no_row_has_more(runs: list[int], least: int) -> None:
    rng = np.random.default_rng(0)
    assert RowVariances([evidence(0.3, n, rng) for n in runs], IMAGES).least == least
