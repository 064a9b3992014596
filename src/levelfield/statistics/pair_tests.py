"""How far apart two rows' means may lie by chance: one distribution for each way in which rows can be compared.

Whether rows are compared seed by seed follows from how they were made, never from a correlation that is seen: rows that
start, for each seed, from the same weights are paired, others are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from levelfield.statistics.distributions import t_tail, t_with_tail
from levelfield.statistics.variance import Mixture

LEAST: Final = 3
"""Runs below which a row's own scores are no ground for a decision."""


class Deviation(Protocol):
    """The difference of two means if the true means are equal."""

    @property
    def standard_error(self) -> float: ...

    def p(self, distance: float) -> float:
        """P(|deviation| >= `distance`)."""
        ...

    def half_width(self, level: float) -> float:
        """The distance whose p is `level`."""
        ...


@dataclass(frozen=True)
class StudentT:
    """Student's t with `dof` degrees of freedom, `standard_error` wide."""

    standard_error: float
    dof: float

    def p(self, distance: float) -> float:
        return 2 * t_tail(abs(distance) / self.standard_error, self.dof)

    def half_width(self, level: float) -> float:
        return t_with_tail(level / 2, self.dof) * self.standard_error


@dataclass(frozen=True)
class PairTest:
    """`estimate`: the difference of the means, over `runs` of each row. `deviation`: None where there is no ground for
    one, with `reason`."""

    estimate: float | None
    deviation: Deviation | None
    method: str
    assumption: str
    reason: str = ""
    runs: tuple[int, int] = field(kw_only=True)

    @property
    def p(self) -> float:
        """Two-sided, that the true means are equal; 1 where nothing can be told."""
        if self.estimate is None or self.deviation is None:
            return 1.0
        return self.deviation.p(self.estimate)

    def p_farther(self, margin: float) -> float:
        """That the true difference is `margin` or more, either way (two one-sided tests; Schuirmann 1987)."""
        if self.estimate is None or self.deviation is None:
            return 1.0
        inside = margin - abs(self.estimate)
        half = 0.5 * self.deviation.p(inside)
        return half if inside > 0 else 1 - half

    def interval(self, level: float) -> tuple[float | None, float | None]:
        """At 1 - `level`."""
        if self.estimate is None or self.deviation is None:
            return None, None
        half = self.deviation.half_width(level)
        return self.estimate - half, self.estimate + half


def model_assisted(a: Sequence[float], b: Sequence[float], deviation: Mixture, least: int) -> PairTest:
    """Two rows of independent runs, whose variances are known from more than their scores, from `least` runs on."""
    method, estimate = "model-assisted", float(np.mean(a) - np.mean(b))
    assumption = (
        "runs are independent and about normal; how far a row's variance lies above that of its flips is drawn as over "
        "the corpus of real rows, or anywhere"
    )
    runs = len(a), len(b)
    if min(runs) < least:
        return PairTest(estimate, None, method, assumption, _too_few(min(runs), least), runs=runs)
    return PairTest(estimate, deviation, method, assumption, runs=runs)


def welch(a: Sequence[float], b: Sequence[float]) -> PairTest:
    """Two rows of independent runs, each with a variance of its own (Welch 1947)."""
    method, assumption = "Welch's t", "runs are independent and about normal"
    runs = len(a), len(b)
    if not a or not b:
        return PairTest(None, None, method, assumption, "a row without runs", runs=runs)
    estimate = float(np.mean(a) - np.mean(b))
    if min(runs) < LEAST:
        return PairTest(estimate, None, method, assumption, _too_few(min(runs)), runs=runs)
    share = [float(np.var(one, ddof=1)) / len(one) for one in (a, b)]
    if not _varies([*(np.asarray(a) - np.mean(a)), *(np.asarray(b) - np.mean(b))], estimate):
        reason = "equal scores, so that their spread cannot be told"
        return PairTest(estimate, None, method, assumption, reason, runs=runs)
    dof = sum(share) ** 2 / sum(part**2 / (len(one) - 1) for part, one in zip(share, (a, b), strict=True))
    return PairTest(estimate, StudentT(sum(share) ** 0.5, dof), method, assumption, runs=runs)


def paired(differences: Sequence[float]) -> PairTest:
    """Rows that share per seed what they started from, seed by seed."""
    method, assumption = "paired t", "differences between runs of equal start are independent and about normal"
    d = np.asarray(differences, dtype=np.float64)
    runs = len(d), len(d)
    if len(d) == 0:
        return PairTest(None, None, method, assumption, "no start in common", runs=runs)
    estimate = float(d.mean())
    if len(d) < LEAST:
        return PairTest(estimate, None, method, assumption, _too_few(len(d)), runs=runs)
    if not _varies(d - estimate, estimate):
        reason = f"the {len(d)} differences are equal, so that their spread cannot be told"
        return PairTest(estimate, None, method, assumption, reason, runs=runs)
    return PairTest(estimate, StudentT(float(d.std(ddof=1)) / len(d) ** 0.5, len(d) - 1), method, assumption, runs=runs)


def _too_few(runs: int, least: int = LEAST) -> str:
    return f"too few seeds ({runs}): {least} are the least, and five a sound number"


def _varies(deviations: Sequence[float] | NDArray[np.float64], level: float) -> bool:
    """Whether they are more than rounding, without which the t statistic means nothing."""
    return bool(np.std(deviations) > 1e-9 * max(1.0, abs(level)))
