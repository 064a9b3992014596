"""Do the intervals of crossings in `levelfield analyze curves` hold what they promise? Simulated learning curves.

    python benchmarks/curve_crossings.py        prints how often the true crossing is held; a minute on one core

Two rows of n seeds over 30 epochs; the mean of one passes that of the other after 12.4 epochs, by a slope in points an
epoch. Each run lies apart by a normal deviation of its own, and each of its epochs by another. Beside levelfield's
interval stands the percentile bootstrap over seeds that one would write first. `width`: mean of both, in epochs.
"""

from __future__ import annotations

import argparse
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from levelfield.analysis.crossings import crossings
from levelfield.analysis.run_curves import PanelCurves, RowCurves, RunCurve
from levelfield.analysis.studied_rows import StudiedRow

Floats = NDArray[np.float64]
EPOCHS: Final = np.arange(1, 31)
CROSSING: Final = 12.4
NOISE: Final = ((0.3, 0.0), (0.3, 0.3), (0.1, 0.6))
"""Standard deviations of a run and of an epoch of it, in points."""
BOOTSTRAPS: Final = 200


def interval(a: Floats, b: Floats) -> tuple[float, float]:
    """Of (seeds, epochs) top-1 of two rows; an open end is that of the training."""
    rows = tuple(
        RowCurves(
            StudiedRow(name, name, "", None, ()),
            tuple(RunCurve(seed, tuple(EPOCHS), tuple(top1), None, None, None) for seed, top1 in enumerate(of)),
        )
        for name, of in (("a", a), ("b", b))
    )
    (found,) = crossings(PanelCurves("", "val_top1", rows, {}), "b")["rows"]
    low, high = found["low"], found["high"]
    return float(EPOCHS[0]) if low is None else low, float(EPOCHS[-1]) if high is None else high


def bootstrap(a: Floats, b: Floats, random: np.random.Generator) -> tuple[float, float]:
    """2.5 to 97.5 % of the last change of sign of the means over seeds drawn anew."""
    means = [of[random.integers(0, len(of), (BOOTSTRAPS, len(of)))].mean(1) for of in (a, b)]
    signs = np.sign(means[0] - means[1])
    last = [max(np.flatnonzero(sign != sign[-1]), default=-1) + 1.5 for sign in signs]
    low, high = np.quantile(last, [0.025, 0.975])
    return float(low), float(high)


def held(seeds: int, slope: float, noise: tuple[float, float], studies: int) -> list[float]:
    """Percent of the studies whose interval, and whose bootstrap, holds the true crossing, and how wide they are."""
    random, found = np.random.default_rng(0), []
    for _ in range(studies):
        runs = random.normal(0, noise[0], (2, seeds, 1)) + random.normal(0, noise[1], (2, seeds, len(EPOCHS)))
        a, b = 50 + runs + np.array([1, 0])[:, None, None] * slope * (EPOCHS - CROSSING)
        ends = (interval(a, b), bootstrap(a, b, random))
        found.append([*(100.0 * (low <= CROSSING <= high) for low, high in ends), *(high - low for low, high in ends)])
    return [float(value) for value in np.mean(found, axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=250)
    studies = parser.parse_args().studies
    print("| seeds | slope | runs apart | epochs apart | interval | bootstrap | width | width |\n|" + "---|" * 8)
    for seeds, slope, noise in product((3, 5), (0.1, 0.3, 1.0), NOISE):
        cells = " | ".join(f"{value:.1f}" for value in held(seeds, slope, noise, studies))
        print(f"| {seeds} | {slope:g} | {noise[0]:g} | {noise[1]:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
