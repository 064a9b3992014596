"""How much a knob matters: how much of the scores of trials its value explains, the other knobs being noise.

A parabola over the knob's coordinate (which peaks where the best value is), or the means of its choices, fitted by
least squares: the share of the variance explained, adjusted for what a fit explains by chance, and the p value of an F
test that it explains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc


@dataclass(frozen=True)
class Knob:
    """`explained`: share of the variance of the scores, adjusted, from 0 to 1. `p`: of no effect."""

    explained: float
    p: float


def knob(values: Sequence[Any], scores: Sequence[float], ordered: bool) -> Knob | None:
    """What `values` (n,) explain of `scores` (n,): a parabola where they are `ordered` numbers, else their means.

    None where they leave fewer than two degrees of freedom, are all one value, or the scores are all equal.
    """
    y = np.asarray(scores, dtype=np.float64)
    design = _parabola(values) if ordered else _means(values)
    parameters = int(np.linalg.matrix_rank(design)) if len(y) else 0
    left = len(y) - parameters
    total = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    if parameters < 2 or left < 2 or total == 0:
        return None
    fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    rest = float(((y - fitted) ** 2).sum())
    explained = 1 - (rest / left) / (total / (len(y) - 1))
    if rest <= 1e-12 * total:
        return Knob(1.0, 0.0)
    ratio = ((total - rest) / (parameters - 1)) / (rest / left)
    return Knob(max(0.0, explained), float(fdtrc(parameters - 1, left, ratio)))


def _parabola(values: Sequence[Any]) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    x = x - x.mean() if len(x) else x
    x = x / scale if len(x) and (scale := float(np.abs(x).max())) > 0 else x
    return np.stack([np.ones_like(x), x, x**2], axis=1)


def _means(values: Sequence[Any]) -> NDArray[np.float64]:
    names = [repr(value) for value in values]
    return np.array([[name == one for one in dict.fromkeys(names)] for name in names], dtype=np.float64)
