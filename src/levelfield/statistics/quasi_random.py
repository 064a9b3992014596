"""Points that fill a cube evenly: scrambled Halton and Sobol sequences (scipy.stats.qmc), the same for the same seed.

The first k of more points are those of k points, so a search that is made longer keeps the trials that it has.
"""

from __future__ import annotations

from typing import Literal

Sequence = Literal["halton", "sobol"]


def quasi_random(sequence: Sequence, count: int, dimensions: int, seed: int) -> list[tuple[float, ...]]:
    """The first `count` points of a scrambled sequence in [0, 1)^`dimensions`."""
    import numpy as np
    from scipy.stats import qmc  # a second to import, and only sweeps need it

    if sequence == "halton":
        points = qmc.Halton(dimensions, scramble=True, rng=np.random.default_rng(seed)).random(count)
    else:
        whole = max(0, count - 1).bit_length()  # Sobol points are balanced in powers of two
        points = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed)).random_base2(whole)
    return [tuple(float(value) for value in point) for point in points[:count]]
