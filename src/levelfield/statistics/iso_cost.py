"""Which of two networks is better at equal cost, over the range of costs that both cover, and where they cross.

The difference of two curves at a cost is a weighted sum of their points with Student's t (`statistics.cost_curve`). The
costs at which it is not told from zero at 5 % are, together, an interval for the crossing (Fieller's way: the test
turned round): it holds the true one as often as the test is right, and has an open end where the range ends before the
difference is decided. Whoever says "better from here to there" looks at many costs and several pairs at once, so that
is said at a level shared among them. `benchmarks/scaling.py` measures both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from levelfield.statistics.cost_curve import CostCurve, Floats, interpolation, read_off
from levelfield.statistics.holm import ALPHA

PLACES: Final = 401
"""Costs, evenly spaced in their logarithm, at which two curves are compared."""
Better = Literal["a", "b", ""]


@dataclass(frozen=True)
class Stretch:
    """Costs from `low` to `high` over which one is `better` ("a", "b"), or none decidedly ("")."""

    low: float
    high: float
    better: Better


@dataclass(frozen=True)
class Crossing:
    """Where two curves may cross: `at` (the means; None where they only come near), in [`low`, `high`].

    `from_below`, `to_above`: whether the interval ends there, or the common range does, so that they may cross beyond.
    """

    at: float | None
    low: float
    high: float
    from_below: bool
    to_above: bool


@dataclass(frozen=True)
class IsoCost:
    """Two curves over the costs [`low`, `high`] that both cover; None, with `why`, where there is no range of them.

    `stretches`: at `alpha` shared over pairs and costs. `crossings`: each at `alpha`. `ratio`: a's error by b's in the
    geometric middle of the range, with its interval at `alpha`.
    """

    low: float
    high: float
    stretches: tuple[Stretch, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    ratio: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    why: str = ""

    @property
    def decided(self) -> frozenset[str]:
        """Which of the two are decidedly better somewhere."""
        return frozenset(stretch.better for stretch in self.stretches if stretch.better)

    @property
    def throughout(self) -> Better:
        """Which is decidedly better at every cost; "" where none is."""
        return self.stretches[0].better if len(self.stretches) == 1 else ""


def iso_cost(a: CostCurve, b: CostCurve, pairs: int = 1, alpha: float = ALPHA) -> IsoCost:
    """`a` against `b` at equal cost. `pairs`: how many are looked at together."""
    low, high = max(a.u[0], b.u[0]), min(a.u[-1], b.u[-1])
    if not low < high:
        return IsoCost(math.nan, math.nan, why="they have no range of costs in common")
    if not (a.variance.any() or b.variance.any()):
        return IsoCost(float(np.exp(low)), float(np.exp(high)), why="their runs show no spread")
    at = np.linspace(low, high, PLACES)
    found = read_off((a, interpolation(a.u, at)), (b, -interpolation(b.u, at)))
    looked = knots(a, b, low, high)
    said = _signs(found.value, found.half_width(alpha / (pairs * looked)))
    near = _signs(found.value, found.half_width(alpha))
    middle, half = found.value[PLACES // 2], found.half_width(alpha)[PLACES // 2]
    return IsoCost(
        float(np.exp(low)),
        float(np.exp(high)),
        tuple(_stretches(at, said)),
        tuple(_crossings(at, found.value, near)),
        (float(np.exp(middle)), float(np.exp(middle - half)), float(np.exp(middle + half))),
    )


def knots(a: CostCurve, b: CostCurve, low: float, high: float) -> int:
    """At how many costs the two are looked at, as far as these tell something of their own: points and both ends."""
    inside = [u for u in (*a.u, *b.u) if low < u < high]
    return len(set(inside)) + 2


def _signs(difference: Floats, half: Floats) -> NDArray[np.int64]:
    """1 where b's error is decidedly below a's, -1 where a's is, 0 where neither."""
    return np.where(difference > half, 1, np.where(difference < -half, -1, 0))


def _parts(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and last place of each run of equal values."""
    ends = np.flatnonzero(np.diff(values)).tolist()
    return list(zip([0, *(end + 1 for end in ends)], [*ends, len(values) - 1], strict=True))


def _stretches(at: Floats, said: NDArray[np.int64]) -> list[Stretch]:
    names: dict[int, Better] = {-1: "a", 0: "", 1: "b"}
    costs = np.exp(at)
    return [Stretch(float(costs[one]), float(costs[two]), names[int(said[one])]) for one, two in _parts(said)]


def _crossings(at: Floats, difference: Floats, near: NDArray[np.int64]) -> list[Crossing]:
    """The parts in which the two are not told apart and the means cross, or before and behind which another leads."""
    found, last = [], len(at) - 1
    for one, two in _parts(near):
        if near[one]:
            continue
        before = int(near[one - 1]) if one else 0
        behind = int(near[two + 1]) if two < last else 0
        turns = np.flatnonzero(np.diff(np.sign(difference[one : two + 1])))
        if not len(turns) and before * behind >= 0:
            continue
        place = None
        if len(turns):
            here = one + int(turns[len(turns) // 2])
            share = difference[here] / (difference[here] - difference[here + 1])
            place = float(np.exp(at[here] + share * (at[here + 1] - at[here])))
        # the ends lie between two places that are looked at: the further one holds the interval whole
        low, high = at[max(one - 1, 0)], at[min(two + 1, last)]
        found.append(Crossing(place, float(np.exp(low)), float(np.exp(high)), one > 0, two < last))
    return found
