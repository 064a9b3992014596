"""The words of a decision: what may be said of a row beside another one."""

from __future__ import annotations

from typing import Literal

from levelfield.statistics.pairwise import Difference

Verdict = Literal["better", "worse", "not distinguishable"]


def verdict(pair: Difference) -> Verdict:
    """Of row a beside row b."""
    if not pair.different or pair.estimate is None:
        return "not distinguishable"
    return "better" if pair.estimate > 0 else "worse"
