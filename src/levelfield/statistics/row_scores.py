"""What a table's statistics are made from: the scores of a row's runs, and which test images each run has right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from levelfield.statistics.variance import flip_variance


@dataclass(frozen=True)
class RowScores:
    """The runs of one row: `by_seed`, scores in percent. `right`: bool (n, N), in the order of ascending seeds, which
    of the N test images each run has right, in one order of images for all rows; None where it is not known.

    `start`: rows of equal `start` begin, for each seed, with the same weights, and are compared seed by seed.
    """

    by_seed: Mapping[int, float]
    right: NDArray[np.bool_] | None = field(default=None, compare=False)
    start: str | None = None

    @cached_property
    def scores(self) -> list[float]:
        return [self.by_seed[seed] for seed in sorted(self.by_seed)]


def flips_of(rows: Mapping[str, RowScores]) -> dict[str, float]:
    """The flip variance of each row. A row of one run shows none; it is taken to flip as often for its accuracy as the
    middle one of the rows that flip at all. Rows whose runs have the very same images right (at chance, at 100 %) say
    nothing of how often the others flip; where there is no other row, those of one run are left out."""
    found = {
        name: flip_variance(row.right) for name, row in rows.items() if row.right is not None and len(row.right) > 1
    }

    def scale(name: str) -> float:
        accuracy = float(np.mean(rows[name].scores)) / 100
        return max(accuracy * (1 - accuracy), 1e-4)

    rates = [flips / scale(name) for name, flips in found.items() if flips > 0]
    if not rates:
        return found
    typical = float(np.median(rates))
    return {name: found.get(name, typical * scale(name)) for name in rows if rows[name].right is not None}
