"""The words of a decision: what may be said of a row beside another one."""

from __future__ import annotations

from typing import Final, Literal

from levelfield.statistics.pair_tests import LEAST
from levelfield.statistics.pairwise import Difference

Verdict = Literal["better", "worse", "equivalent", "undecided", "too few seeds"]
VERDICTS: Final[tuple[Verdict, ...]] = ("better", "worse", "equivalent", "undecided", "too few seeds")


def verdict(pair: Difference) -> Verdict:
    """Of row a beside row b. Rows that are different may lie within the margin, too (`Difference.equivalent`)."""
    if pair.different and pair.estimate is not None:
        return "better" if pair.estimate > 0 else "worse"
    if pair.equivalent:
        return "equivalent"
    return "too few seeds" if pair.standard_error is None and min(pair.runs) < LEAST else "undecided"
