"""Do the intervals of `levelfield scale` hold what they promise? Simulated curves whose crossing is known.

    python benchmarks/scaling.py            prints the tables of docs/how-to/scale.md; about ten minutes on one core

Two networks follow error = a x^-b + c, each of its own constants, trained at k sizes (those of the second are 1.3 times
those of the first) with n seeds; runs vary around the law by a share of the error (normal). For each of 600 studies
(--studies): does the interval hold the true crossing ("bounded": how many intervals have both ends inside the range),
and the law's true exponent (half as many studies)? Beside levelfield's intervals stands the percentile bootstrap over
seeds that one would write first. With two networks of one law: how many studies say that one is better at some cost?
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levelfield.statistics.cost_curve import CostCurve, cost_curve, interpolation
from levelfield.statistics.iso_cost import iso_cost
from levelfield.statistics.power_law import power_law

Floats = NDArray[np.float64]
BOOTSTRAPS = 400


@dataclass(frozen=True)
class Law:
    """error (percent) = a x^-b + c."""

    a: float
    b: float
    c: float = 0.0

    def at(self, x: Floats) -> Floats:
        return self.a * x**-self.b + self.c


@dataclass(frozen=True)
class World:
    """Two laws, trained at `sizes` sizes `step` apart; runs vary by `spread` of the error, from first size to last."""

    name: str
    one: Law
    two: Law
    sizes: int
    step: float
    spread: tuple[float, float] = (0.02, 0.02)

    def costs(self, shift: float) -> Floats:
        return np.asarray(shift * self.step ** np.arange(self.sizes))

    def crossing(self) -> float:
        """The cost at which the laws cross; exactly one in the common range, else it is no world for this."""
        x = np.geomspace(self.costs(1.3)[0], self.costs(1.0)[-1], 100_001)
        turns = np.flatnonzero(np.diff(np.sign(self.one.at(x) - self.two.at(x))))
        if len(turns) != 1:
            raise ValueError(f"{self.name}: {len(turns)} crossings")
        return float(x[turns[0]])

    def runs(self, law: Law, shift: float, seeds: int, random: np.random.Generator) -> Floats:
        """(sizes, seeds) top-1 in percent."""
        error = law.at(self.costs(shift))[:, None]
        spread = np.linspace(*self.spread, self.sizes)[:, None]
        return np.asarray(100 - error * (1 + spread * random.standard_normal((self.sizes, seeds))))


WORLDS = (
    World("power laws, 3 sizes", Law(40, 0.30), Law(30, 0.18), 3, 4.0),
    World("floors, 3 sizes", Law(60, 0.45, 4), Law(40, 0.25, 2), 3, 4.0),
    World("one floor, 4 sizes", Law(60, 0.5, 8), Law(40, 0.22), 4, 4.0),
    World("floors, 5 sizes", Law(60, 0.45, 4), Law(40, 0.25, 2), 5, 3.0),
    World("small ones noisy, 3 sizes", Law(60, 0.45, 4), Law(40, 0.25, 2), 3, 4.0, (0.06, 0.01)),
    World("large ones noisy, 5 sizes", Law(60, 0.45, 4), Law(40, 0.25, 2), 5, 3.0, (0.01, 0.04)),
)


def held(curves: tuple[CostCurve, CostCurve], truth: float) -> bool:
    """Whether some interval of a crossing, or the whole range where none is told, holds the true one."""
    found = iso_cost(*curves)
    if found.crossings:
        return any(one.low <= truth <= one.high for one in found.crossings)
    return not found.throughout and not found.decided


def bootstrap_holds(world: World, tops: tuple[Floats, Floats], truth: float, random: np.random.Generator) -> bool:
    """Whether the percentile bootstrap over seeds leaves the difference at the true crossing open."""
    values = []
    for top1, shift, sign in zip(tops, (1.0, 1.3), (1, -1), strict=True):
        drawn = random.integers(0, top1.shape[1], (BOOTSTRAPS, *top1.shape))
        means = np.log(100 - np.take_along_axis(np.broadcast_to(top1, drawn.shape), drawn, 2).mean(2))
        weights = interpolation(np.log(world.costs(shift)), np.log([truth]))[0]
        values.append(sign * means @ weights)
    low, high = np.quantile(values[0] + values[1], [0.025, 0.975])
    return bool(low <= 0 <= high)


def bootstrap_exponent_holds(
    world: World, top1: Floats, truth: float, random: np.random.Generator
) -> tuple[bool, bool]:
    """The same of the exponent of a line, over seeds, and over seeds and points."""
    u = np.log(world.costs(1.0))
    drawn = random.integers(0, top1.shape[1], (BOOTSTRAPS, *top1.shape))
    y = np.log(100 - np.take_along_axis(np.broadcast_to(top1, drawn.shape), drawn, 2).mean(2))
    slopes = -((u - u.mean()) * y).sum(1) / ((u - u.mean()) ** 2).sum()
    points = random.integers(0, len(u), (BOOTSTRAPS, len(u)))
    v, z = u[points], np.take_along_axis(y, points, 1)
    centred = v - v.mean(1, keepdims=True)
    squares = (centred**2).sum(1)
    both = -(centred * z).sum(1)[squares > 0] / squares[squares > 0]
    return tuple(bool(q[0] <= truth <= q[1]) for q in (np.quantile(s, [0.025, 0.975]) for s in (slopes, both)))  # type: ignore[return-value]


def crossings(
    studies: int, seeds: tuple[int, ...], worlds: tuple[World, ...] = WORLDS
) -> list[tuple[str, list[float]]]:
    """By world: how often (percent) each kind of interval holds the true crossing, by number of seeds."""
    lines = []
    for world in worlds:
        random, truth, cells = np.random.default_rng(1), world.crossing(), []
        for n in seeds:
            counts = np.zeros(3)
            for _ in range(studies):
                tops = world.runs(world.one, 1.0, n, random), world.runs(world.two, 1.3, n, random)
                curves = cost_curve(world.costs(1.0), tops[0]), cost_curve(world.costs(1.3), tops[1])  # type: ignore[arg-type]
                found = iso_cost(*curves)
                bounded = any(one.from_below and one.to_above for one in found.crossings)
                counts += held(curves, truth), bootstrap_holds(world, tops, truth, random), bounded
            cells += (100 * counts / studies).tolist()
        lines.append((world.name, cells))
    return lines


def false_claims(studies: int, seeds: tuple[int, ...]) -> list[tuple[str, list[float]]]:
    """By world: studies (percent) of two networks of one law in which one is called better somewhere."""
    lines = []
    for world in WORLDS:
        random, cells = np.random.default_rng(2), []
        for n in seeds:
            found = [
                iso_cost(
                    *(cost_curve(world.costs(s), world.runs(world.one, s, n, random)) for s in (1.0, 1.3))  # type: ignore[arg-type]
                ).decided
                for _ in range(studies)
            ]
            cells.append(100 * float(np.mean([bool(one) for one in found])))
        lines.append((world.name, cells))
    return lines


def exponents(studies: int, seeds: tuple[int, ...]) -> list[tuple[str, list[float]]]:
    """How often (percent) the interval holds the true exponent: levelfield's; of lines also the bootstraps."""
    worlds = (
        World("line, 3 costs", Law(40, 0.30), Law(40, 0.30), 3, 4.0),
        World("line, 4 costs", Law(40, 0.30), Law(40, 0.30), 4, 3.0),
        World("with a floor, 5 costs", Law(60, 0.45, 4), Law(60, 0.45, 4), 5, 4.0),
        World("with a floor, 7 costs", Law(60, 0.45, 4), Law(60, 0.45, 4), 7, 3.0),
    )
    lines = []
    for world in worlds:
        random, cells = np.random.default_rng(3), []
        for n in seeds:
            counts = np.zeros(3)
            for _ in range(studies):
                top1 = world.runs(world.one, 1.0, n, random)
                law = power_law(cost_curve(world.costs(1.0), top1))  # type: ignore[arg-type]
                assert law is not None
                line = not world.one.c
                boot = bootstrap_exponent_holds(world, top1, world.one.b, random) if line else (np.nan, np.nan)
                counts += law.low <= world.one.b <= law.high, *boot
            cells += (100 * counts / studies).tolist()
        lines.append((world.name, cells))
    return lines


def show(title: str, heads: list[str], lines: list[tuple[str, list[float]]]) -> None:
    print(f"\n{title}\n\n| | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for name, cells in lines:
        print(f"| {name} | {' | '.join('–' if np.isnan(cell) else f'{cell:.1f}' for cell in cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=600)
    options = parser.parse_args()
    few, seeds = options.studies, (3, 5)
    kinds = ("interval", "bootstrap", "bounded")
    show(
        "The true crossing is held (percent)", [f"{k}, {n} seeds" for n in seeds for k in kinds], crossings(few, seeds)
    )
    show("One of two equal networks is called better", [f"{n} seeds" for n in (2, *seeds)],
         false_claims(few, (2, *seeds)))  # fmt: skip
    kinds = ("interval", "bootstrap of seeds", "of seeds and costs")
    show("The true exponent is held (percent)", [f"{k}, {n} seeds" for n in seeds for k in kinds],
         exponents(few // 2, seeds))  # fmt: skip


if __name__ == "__main__":
    main()
