"""How much wider or deeper a network must be to have another's parameters or multiply-accumulates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from levelfield.errors import UserError

STEPS: Final = 1000
"""Factors are tried in thousandths."""
NARROWEST: Final = 100
WIDEST: Final = 10_000
"""The factors between which is looked, in thousandths."""


@dataclass(frozen=True)
class SizeMatch:
    """The `factor` whose network has the `count` nearest to what was asked for; `off`: how far from it, as a share."""

    factor: float
    count: int
    off: float


def match_size(count: Callable[[float], int], target: int) -> SizeMatch:
    """The factor, in thousandths from 0.1 to 10, whose network has `count(factor)` nearest to `target`.

    `count` must not fall as the factor grows. Of factors with equal counts the one nearest to 1. Raises UserError where
    `target` lies outside.
    """

    @cache
    def size(step: int) -> int:
        return count(step / STEPS)

    def first_with(least: int) -> int:
        """The first step whose network has `least` or more; past the last where none has."""
        low, high = NARROWEST - 1, WIDEST + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if size(middle) >= least else (middle, high)
        return high

    if not size(NARROWEST) <= target <= size(WIDEST):
        raise UserError(
            f"{NARROWEST / STEPS:g} to {WIDEST / STEPS:g} times as much as its own have {size(NARROWEST):,} "
            f"to {size(WIDEST):,}"
        )
    best = first_with(target)
    if best > NARROWEST and target - size(best - 1) < size(best) - target:
        best -= 1
    step = min(max(STEPS, first_with(size(best))), first_with(size(best) + 1) - 1)
    return SizeMatch(step / STEPS, size(step), size(step) / target - 1)
