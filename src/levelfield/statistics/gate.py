"""Is a change better by more than so much? Judged seed by seed, and over many candidates in a row.

The claim "the candidate's gain over the baseline is more than `by` points" is a one-sided test against "at most `by`".
Over successive candidates the chance of any false claim is held by spending: the k-th candidate is judged at a level
that depends on k alone, and these levels sum to ALPHA (online alpha-spending; Foster and Stine, J. R. Stat. Soc. B 70,
2008, without what they win back). By the union bound that holds however the tests depend on one another, which they do:
all candidates share the baseline's runs. Within a candidate the level is divided over its looks in the same way. A
candidate is dropped as hopeless by a rule that only ever ends its trial: that may cost power, and adds no claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import ndtri

from levelfield.statistics.choose_test import PairTests
from levelfield.statistics.holm import ALPHA
from levelfield.statistics.pair_tests import PairTest, model_assisted
from levelfield.statistics.row_scores import RowScores, flips_of
from levelfield.statistics.variance import RowEvidence, RowVariances

FEWEST: Final = 2
"""Seeds at the first look."""
RISE: Final = 2.0
"""A candidate's level is divided over its looks as this power of their seeds."""
SLOWNESS: Final = 20
"""How slowly the levels of successive candidates fall: half of ALPHA is spent after so many."""
GIVE_UP: Final = 1.0
"""Standard errors above the gain that is seen, with which a candidate must still be able to pass at its last look."""
PANEL: Final = 50
"""Earlier candidates that tell how rows vary over seeds."""

Judged = Literal["better", "hopeless", "open"]


@dataclass(frozen=True)
class GateLook:
    """One look at a candidate, after `seeds` runs of each side. `gain` over the baseline in points (None: no ground),
    above `low` at `level` (one-sided); `p`: of a gain this large if the true one were `by`."""

    seeds: int
    gain: float | None
    standard_error: float | None
    p: float
    level: float
    low: float | None
    judged: Judged
    method: str
    reason: str = ""


def level_of_candidate(number: int, alpha: float = ALPHA) -> float:
    """The level of the `number`-th candidate (from 1): alpha s / ((k + s - 1)(k + s)); over all k they sum to alpha."""
    return alpha * SLOWNESS / ((number + SLOWNESS - 1) * (number + SLOWNESS))


def shares_of_looks(most: int) -> dict[int, float]:
    """Which share of a candidate's level its look at n seeds has, n from 2 to `most`; they sum to one."""
    total = sum(n**RISE for n in range(FEWEST, most + 1))
    return {n: n**RISE / total for n in range(FEWEST, most + 1)}


def evidence_of(base: RowScores, candidate: RowScores) -> tuple[RowEvidence, RowEvidence] | None:
    """What the runs of the two show of how they vary; None where it is not known which images they have right, or how
    often runs disagree."""
    if base.right is None or candidate.right is None:
        return None
    flips = flips_of({"base": base, "candidate": candidate})
    if len(flips) < 2:
        return None
    return (
        RowEvidence(np.array(base.scores), flips["base"]),
        RowEvidence(np.array(candidate.scores), flips["candidate"]),
    )


def compare_candidate(base: RowScores, candidate: RowScores, panel: Sequence[RowEvidence] = ()) -> PairTest:
    """Candidate less baseline. `panel`: other rows on the same test images, the last PANEL of which tell of the spread;
    they have no part where the two share their start, or images are not known."""
    tests = PairTests({"candidate": candidate, "base": base})
    evidence = None if tests.are_paired("candidate", "base") else evidence_of(base, candidate)
    if evidence is None or base.right is None:
        return tests.own("candidate", "base")
    variances = RowVariances([*evidence, *panel[-PANEL:]], base.right.shape[1])
    return model_assisted(candidate.scores, base.scores, variances.of_difference(1, 0), variances.least)


def judge(test: PairTest, by: float, seeds: int, most: int, level: float, several: bool = True) -> GateLook:
    """What a look at `seeds` of at most `most` seeds says, of a candidate whose `level` is that of all its looks, of
    which there are `several`, or only the one at `most` seeds."""
    share = shares_of_looks(most) if several else {most: 1.0}
    spent = level * share[seeds]
    gain, deviation = test.estimate, test.deviation
    if gain is None or deviation is None:
        return GateLook(seeds, gain, None, 1.0, spent, None, "open", test.method, test.reason)
    tail = 0.5 * deviation.p(gain - by)
    p = tail if gain > by else 1.0 - tail
    low = gain - deviation.half_width(2 * spent)
    judged: Judged = "better" if p <= spent else "open"
    if judged == "open" and _hopeless(gain - by, deviation.standard_error, seeds, most, level * share[most]):
        judged = "hopeless"
    return GateLook(seeds, gain, deviation.standard_error, p, spent, low, judged, test.method)


def _hopeless(above: float, standard_error: float, seeds: int, most: int, last: float) -> bool:
    """Whether a gain of GIVE_UP standard errors more than is seen would still be too small at the last look."""
    needed = -float(ndtri(last)) * standard_error * (seeds / most) ** 0.5
    return bool(above + GIVE_UP * standard_error < needed)
