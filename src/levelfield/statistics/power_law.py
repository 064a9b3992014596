"""Error as a power of the cost: error = scale * (cost / least cost)^-exponent, with a floor where points allow it.

Up to four costs the law has no floor: a line in log(error) over log(cost), by least squares, its exponent a weighted
sum of the points with Student's t over seeds. From five costs on it has one, error = scale * (...)^-exponent + floor,
fitted to relative errors; its intervals are those of refits to draws of the means, each from its own Student's t
(a bootstrap of runs is too narrow for few seeds: `benchmarks/scaling.py` measures it). Where these costs tell no floor
from the exponent (an error that does not fall, or falls at once) it stays a line. Both intervals are over seeds, of the
law that fits these costs best; how much the choice of costs matters shows in the exponents without each one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import fdtrc

from levelfield.statistics.cost_curve import CostCurve, Floats, read_off
from levelfield.statistics.holm import ALPHA

FEWEST: Final = 3
"""Costs without which a law is a line through two points."""
WITH_FLOOR: Final = 5
"""Costs from which on a floor can be told from the exponent."""
WITH_A_FLOOR: Final = "refits to draws of the means (Student's t)"
"""How the interval of a law with a floor is made."""
DRAWS: Final = 2000
EXPONENTS: Final = np.geomspace(0.01, 4.0, 160)
"""Among which that of a law with a floor is looked for."""


@dataclass(frozen=True)
class PowerLaw:
    """error (percent) = `scale` * (cost / `least`)^-`exponent` + `floor`; [`low`, `high`]: the exponent's interval,
    open where it ends with `EXPONENTS`.

    `misfit`: p of the points lying on such a law (F); None where nothing is left to tell by. `without_one`: the least
    and greatest exponent where one cost is left out. `method`: how the interval was made.
    """

    scale: float
    exponent: float
    floor: float
    least: float
    low: float
    high: float
    misfit: float | None
    without_one: tuple[float, float] | None
    method: str

    def error(self, cost: float) -> float:
        """In percent, at `cost`."""
        return self.scale * math.pow(cost / self.least, -self.exponent) + self.floor


def power_law(curve: CostCurve, alpha: float = ALPHA) -> PowerLaw | None:
    """The law of `curve`; None for fewer than `FEWEST` costs, and where the runs show no spread."""
    if len(curve.u) < FEWEST or not curve.variance.any():
        return None
    return _with_floor(curve, alpha) if _tells_a_floor(curve) else _line(curve, alpha)


def _tells_a_floor(curve: CostCurve) -> bool:
    """Whether a law with a floor has an exponent here: there are costs enough, and it lies within those looked at."""
    if len(curve.u) < WITH_FLOOR:
        return False
    scale, exponent, _ = _fits(curve.u - curve.u[0], np.exp(curve.y)[None])
    return bool(scale[0] > 0) and not any(at_an_end(float(exponent[0])))


def at_an_end(exponent: float) -> tuple[bool, bool]:
    """Whether it is the least or the greatest that is looked at: then nothing is known of those beyond."""
    least, most = EXPONENTS[0], EXPONENTS[-1]
    return bool(exponent <= least * (1 + 1e-9)), bool(exponent >= most * (1 - 1e-9))


def extrapolated(curve: CostCurve, cost: float, alpha: float = ALPHA) -> tuple[float, float, float] | None:
    """Error (percent) at `cost` if the law of `curve` goes on as it is, with its interval over seeds; else None."""
    law = power_law(curve, alpha)
    if law is None:
        return None
    if not _tells_a_floor(curve):
        found = read_off((curve, _line_weights(curve.u, math.log(cost))[None]))
        half = found.half_width(alpha)[0]
        return tuple(float(np.exp(found.value[0] + sign * half)) for sign in (0, -1, 1))  # type: ignore[return-value]
    scale, exponent, floor = _fits(curve.u - curve.u[0], np.exp(_draws(curve)))
    errors = scale * np.exp(-exponent * (math.log(cost) - curve.u[0])) + floor
    low, high = np.quantile(errors, [alpha / 2, 1 - alpha / 2])
    return law.error(cost), float(low), float(high)


def _line_weights(u: Floats, at: float) -> Floats:
    """The weights of the points in the value at `at` of their line by least squares."""
    centred = u - u.mean()
    return np.asarray(1 / len(u) + (at - u.mean()) * centred / (centred @ centred), dtype=np.float64)


def _slope_weights(u: Floats) -> Floats:
    centred = u - u.mean()
    return np.asarray(-centred / (centred @ centred), dtype=np.float64)


def _line(curve: CostCurve, alpha: float) -> PowerLaw:
    u = curve.u
    found = read_off((curve, _slope_weights(u)[None]))
    exponent, half = float(found.value[0]), float(found.half_width(alpha)[0])
    fitted = np.array([_line_weights(u, at) @ curve.y for at in u])
    return PowerLaw(
        float(np.exp(fitted[0])), exponent, 0.0, curve.costs[0], exponent - half, exponent + half,
        _misfit(curve, fitted, 2), _without_one(curve), "Student's t over seeds",
    )  # fmt: skip


def _without_one(curve: CostCurve) -> tuple[float, float] | None:
    """The exponents of lines without each point; None where two would be left."""
    if len(curve.u) <= FEWEST:
        return None
    kept = [np.delete(np.arange(len(curve.u)), place) for place in range(len(curve.u))]
    found = [float(_slope_weights(curve.u[of]) @ curve.y[of]) for of in kept]
    return min(found), max(found)


def _misfit(curve: CostCurve, fitted: Floats, parameters: int) -> float | None:
    """p of the residuals, against the spread over seeds that the points have together."""
    left = len(curve.u) - parameters
    if left < 1:
        return None
    freedom = float(curve.freedom.sum())
    spread = float((curve.freedom * curve.variance).sum() / freedom)
    return float(fdtrc(left, freedom, float(((curve.y - fitted) ** 2).sum()) / left / spread))


def _draws(curve: CostCurve) -> Floats:
    """(DRAWS, k) logarithms of mean errors: each point's mean and its own Student's t. The same for the same curve."""
    random = np.random.default_rng(0)
    return curve.y + random.standard_t(curve.freedom, (DRAWS, len(curve.u))) * np.sqrt(curve.variance)


def _with_floor(curve: CostCurve, alpha: float) -> PowerLaw:
    u = curve.u - curve.u[0]
    scale, exponent, floor = (float(each[0]) for each in _fits(u, np.exp(curve.y)[None]))
    low, high = np.quantile(_fits(u, np.exp(_draws(curve)))[1], [alpha / 2, 1 - alpha / 2])
    kept = [np.delete(np.arange(len(u)), place) for place in range(len(u))]
    without = [float(_fits(u[of], np.exp(curve.y[of])[None])[1][0]) for of in kept]
    fitted = np.log(scale * np.exp(-exponent * u) + floor)
    return PowerLaw(
        scale, exponent, floor, curve.costs[0], float(low), float(high), _misfit(curve, fitted, 3),
        (min(without), max(without)), WITH_A_FLOOR,
    )  # fmt: skip


def _fits(u: Floats, errors: Floats) -> tuple[Floats, Floats, Floats]:
    """Scale, exponent and floor (D,) of the laws nearest to `errors` (D, k) by squares of relative differences.

    For each of `EXPONENTS` scale and floor follow from two linear equations; a floor below zero is none. Between them
    the best lies at the foot of the parabola through the best three.
    """
    scale, floor, away = _at_exponents(u, errors, np.broadcast_to(EXPONENTS, (len(errors), len(EXPONENTS))))
    best = np.clip(away.argmin(1), 1, len(EXPONENTS) - 2)
    rows = np.arange(len(errors))
    before, here, behind = (away[rows, best + step] for step in (-1, 0, 1))
    bend = before - 2 * here + behind
    shift = np.where(bend > 0, (before - behind) / np.where(bend > 0, 2 * bend, 1.0), 0.0)
    step = np.log(EXPONENTS[1] / EXPONENTS[0])
    exponent = EXPONENTS[best] * np.exp(step * np.clip(shift, -1, 1))
    scale, floor, _ = _at_exponents(u, errors, exponent[:, None])
    return scale[:, 0], exponent, floor[:, 0]


def _at_exponents(u: Floats, errors: Floats, exponents: Floats) -> tuple[Floats, Floats, Floats]:
    """(D, G) scale, floor and squares of what is left (less what all share), at `exponents` (D, G)."""
    z = np.exp(-exponents[:, :, None] * u)  # (D, G, k)
    w = 1 / errors**2
    one, first, second = w.sum(1)[:, None], (z @ w[:, :, None])[:, :, 0], (z**2 @ w[:, :, None])[:, :, 0]
    by_one, by_z = (w * errors).sum(1)[:, None], (z @ (w * errors)[:, :, None])[:, :, 0]
    floor = np.maximum((second * by_one - first * by_z) / (one * second - first**2), 0.0)
    scale = np.maximum((by_z - floor * first) / second, 0.0)
    away = scale**2 * second + floor**2 * one + 2 * scale * floor * first - 2 * scale * by_z - 2 * floor * by_one
    return scale, floor, away
