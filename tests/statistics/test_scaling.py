"""Curves of error over cost: against numpy's polynomials, against laws that are known, and simulated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from levelfield.statistics.cost_curve import CostCurve, cost_curve, interpolation, read_off
from levelfield.statistics.iso_cost import iso_cost
from levelfield.statistics.pareto import front_shares, on_front
from levelfield.statistics.power_law import extrapolated, power_law

SIZES = np.array([1.0, 4.0, 16.0, 64.0, 256.0])


def runs(
    a: float, b: float, c: float, x: NDArray[np.float64], n: int, seed: int, spread: float = 0.02
) -> list[list[float]]:
    error = a * x**-b + c
    noise = np.random.default_rng(seed).standard_normal((len(x), n))
    return (100 - error[:, None] * (1 + spread * noise)).tolist()


def curve(a: float, b: float, c: float = 0.0, x: NDArray[np.float64] = SIZES, n: int = 3, seed: int = 0) -> CostCurve:
    return cost_curve(x.tolist(), runs(a, b, c, x, n, seed))


def test_a_curve_goes_through_its_points_and_is_a_parabola_between_three() -> None:
    u = np.log(SIZES[:3])
    at = np.linspace(u[0], u[-1], 17)
    weights = interpolation(u, at)
    y = np.array([3.0, 1.0, 0.5])
    assert weights.sum(1) == pytest.approx(np.ones(17))
    assert weights @ y == pytest.approx(np.polyval(np.polyfit(u, y, 2), at))
    assert interpolation(np.log(SIZES), np.log(SIZES)) == pytest.approx(np.eye(5), abs=1e-12)
    assert interpolation(u[:2], np.array([u.mean() - u[1] / 2 + u[0] / 2, u[1]]))[1] == pytest.approx([0, 1])


def test_what_is_read_off_two_points_is_welchs_t() -> None:
    x, tops = [1.0, 2.0], [[80.0, 81.5, 79.0], [90.0, 91.0, 90.4, 89.9]]
    found = cost_curve(x, tops)
    logs = [np.log(np.mean(100 - np.array(of))) for of in tops]
    se = [np.std(of, ddof=1) / len(of) ** 0.5 / np.mean(100 - np.array(of)) for of in tops]
    read = read_off((found, np.array([[1.0, -1.0]])))
    assert read.value[0] == pytest.approx(logs[0] - logs[1])
    freedom = (se[0] ** 2 + se[1] ** 2) ** 2 / (se[0] ** 4 / 2 + se[1] ** 4 / 3)
    half = stats.t.ppf(0.975, freedom) * math.hypot(*se)
    assert read.half_width(0.05)[0] == pytest.approx(half)


@pytest.mark.parametrize(
    ("costs", "tops"), [([1.0], [[1.0, 2.0]]), ([1.0, 1.0], [[1.0, 2.0]] * 2), ([1, 2], [[1.0]] * 2)]
)
def test_what_is_no_curve(costs: list[float], tops: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="point"):
        cost_curve(costs, tops)


def test_an_error_of_zero_has_a_logarithm() -> None:
    found = cost_curve([1.0, 2.0], [[99.0, 98.0], [100.0, 100.0]])
    assert np.isfinite(found.y).all() and found.variance[1] == 0


def test_one_that_is_better_everywhere_is_told_so_whichever_comes_first() -> None:
    good, bad = curve(30, 0.3, seed=1), curve(45, 0.3, seed=2)
    one, other = iso_cost(good, bad), iso_cost(bad, good)
    assert one.throughout == "a" and other.throughout == "b" and one.crossings == () == other.crossings
    value, low, high = one.ratio
    assert low < value < high < 1 and value == pytest.approx(30 / 45, rel=0.05)
    assert other.ratio == pytest.approx((1 / value, 1 / high, 1 / low))


def test_a_crossing_is_between_the_stretches_of_the_two() -> None:
    a, b = curve(60, 0.45, 4, seed=1, n=5), curve(40, 0.25, 2, x=1.3 * SIZES, seed=2, n=5)
    x = np.geomspace(1, 200, 100_001)
    truth = float(x[np.argmin(np.abs(60 * x**-0.45 + 4 - 40 * x**-0.25 - 2))])
    found = iso_cost(a, b)
    (crossing,) = found.crossings
    assert [part.better for part in found.stretches] == ["b", "", "a"]
    assert crossing.low < truth < crossing.high and crossing.from_below and crossing.to_above
    assert crossing.at is not None and crossing.low < crossing.at < crossing.high
    assert found.stretches[1].low <= crossing.low and crossing.high <= found.stretches[1].high
    assert (found.low, found.high) == pytest.approx((1.3, 256.0))


def test_a_crossing_near_the_end_of_the_range_is_open_there() -> None:
    few = SIZES[:3]
    a, b = curve(40, 0.3, x=few, seed=4), curve(31, 0.2, x=few, seed=5)  # cross near 12.8 of 16
    found = iso_cost(a, b)
    assert [part.better for part in found.stretches] == ["b", ""]
    assert len(found.crossings) == 1 and found.crossings[0].from_below and not found.crossings[0].to_above


def test_curves_without_common_costs_or_spread_say_why() -> None:
    for further in (1000, SIZES[-1]):  # beyond the other's, or from its last on
        assert iso_cost(curve(40, 0.3), curve(40, 0.3, x=SIZES * further)).why.startswith("they have no range of costs")
    still = cost_curve(SIZES.tolist(), [[86.66] * 3] * 5)  # the mean of three times 86.66 is another number
    assert iso_cost(still, still).why == "their runs show no spread" and power_law(still) is None


def test_the_true_crossing_lies_in_the_interval_and_equal_networks_are_called_equal() -> None:
    """95 % of 300 studies, at least 92: three standard errors below. `benchmarks/scaling.py` measures more of it."""
    x, truth, held, claimed = SIZES[:4], None, 0, 0
    at = np.geomspace(1.3, 64, 20_001)
    truth = float(at[np.argmin(np.abs(60 * at**-0.45 + 4 - 40 * at**-0.25 - 2))])
    for seed in range(300):
        a = curve(60, 0.45, 4, x=x, seed=2 * seed)
        found = iso_cost(a, curve(40, 0.25, 2, x=1.3 * x, seed=2 * seed + 1))
        held += any(one.low <= truth <= one.high for one in found.crossings)
        claimed += bool(iso_cost(a, curve(60, 0.45, 4, x=1.3 * x, seed=10_000 + seed)).decided)
    assert held >= 276
    assert claimed <= 24


def test_more_pairs_decide_less() -> None:
    a, b = curve(40, 0.3, seed=1), curve(41, 0.3, seed=2, n=3)
    shares = [
        sum(np.log(part.high / part.low) for part in iso_cost(a, b, pairs).stretches if part.better)
        for pairs in (1, 50)
    ]
    assert shares[0] >= shares[1]


def test_a_line_is_that_of_least_squares_and_a_floor_is_found() -> None:
    four = SIZES[:4]
    tops = runs(40, 0.3, 0, four, 3, 7)
    law = power_law(cost_curve(four.tolist(), tops))
    logs = np.log(np.mean(100 - np.array(tops), axis=1))
    fit = stats.linregress(np.log(four), logs)
    assert law is not None and law.exponent == pytest.approx(-fit.slope) and law.floor == 0
    assert law.error(1.0) == pytest.approx(np.exp(fit.intercept)) and law.low < 0.3 < law.high
    assert law.misfit is not None and law.misfit > 0.001 and law.without_one is not None
    bent = power_law(curve(60, 0.45, 4, seed=3))
    assert bent is not None and bent.floor == pytest.approx(4, abs=1) and bent.low < 0.45 < bent.high
    assert bent.error(64.0) == pytest.approx(60 * 64**-0.45 + 4, rel=0.05)
    assert power_law(curve(40, 0.3, x=SIZES[:2])) is None


def test_a_law_without_noise_is_found_within_half_a_percent() -> None:
    tops = [[100 - e * 0.999999, 100 - e * 1.000001] for e in 60 * SIZES**-0.45 + 4]
    law = power_law(cost_curve(SIZES.tolist(), tops))
    assert law is not None and (law.scale, law.exponent, law.floor) == pytest.approx((60, 0.45, 4), rel=5e-3)


@pytest.mark.parametrize("step", [0.05, 0.0])
def test_an_error_that_does_not_fall_has_no_exponent_of_four(step: float) -> None:
    noise = np.random.default_rng(0).standard_normal((5, 3))
    found = cost_curve(SIZES.tolist(), (100 - 10 * SIZES[:, None] ** step * (1 + 0.01 * noise)).tolist())
    law = power_law(found)
    assert law is not None and law.low < -step < law.high and law.scale == pytest.approx(10, rel=0.05)
    ahead = extrapolated(found, 1000.0)
    assert ahead is not None and ahead[0] == pytest.approx(law.error(1000.0))


def test_one_that_falls_at_once_is_a_line_off_which_its_points_lie() -> None:
    noise = np.random.default_rng(0).standard_normal((5, 3))
    law = power_law(cost_curve(SIZES.tolist(), (100 - np.array([[50.0], *[[10.0]] * 4]) + 0.3 * noise).tolist()))
    assert law is not None and law.floor == 0 and law.misfit is not None and law.misfit < 0.001


@pytest.mark.parametrize("costs", [4, 5])
def test_a_cost_at_which_all_runs_are_equal_takes_no_law_away(costs: int) -> None:
    tops = runs(60, 0.45, 4, SIZES[:costs], 3, 3)
    tops[1] = [float(np.mean(tops[1]))] * 3
    law = power_law(cost_curve(SIZES[:costs].tolist(), tops))
    assert law is not None and law.low < law.exponent < law.high and law.misfit is not None


def test_points_off_the_law_are_noticed() -> None:
    bent = power_law(curve(60, 0.9, 10, x=SIZES[:4], seed=1))
    assert bent is not None and bent.misfit is not None and bent.misfit < 0.001


def test_extrapolation_is_the_laws_with_a_wider_interval() -> None:
    for x in (SIZES[:3], SIZES):
        found = curve(40, 0.3, x=x, seed=3)
        law = power_law(found)
        near, far = (extrapolated(found, times * x[-1]) for times in (1.5, 20.0))
        assert law is not None and near is not None and far is not None
        assert near[0] == pytest.approx(law.error(1.5 * x[-1]))
        for value, low, high in (near, far):
            assert low < value < high
        assert far[2] / far[1] > near[2] / near[1]


def test_the_front_and_how_surely_rows_are_on_it() -> None:
    costs = [1.0, 2.0, 2.0, 3.0, 4.0]
    values = np.array([80.0, 85.0, 84.0, 85.0, 90.0])
    assert on_front(costs, values).tolist() == [True, True, False, False, True]
    assert on_front([1.0, 1.0], np.array([5.0, 5.0])).tolist() == [True, True]
    shares = front_shares(costs, values.tolist(), [0.01] * 5, [4.0] * 5)
    assert shares[0] == 1 and shares[1] > 0.99 and shares[2] < 0.01 and shares[4] > 0.99
    assert 0.3 < shares[3] < 0.7  # as accurate as a cheaper one
    even = front_shares([1.0, 2.0], [80.0, 80.5], [0.5, 0.5], [1e9, 1e9])
    assert even[1] == pytest.approx(stats.norm.cdf(0.5 / (0.5 * 2**0.5)), abs=0.02)
