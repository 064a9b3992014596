"""By which rule a table's verdicts are made: the margin within which rows are called equivalent, and how strictly."""

from __future__ import annotations

from typing import Final, Literal, get_args

from levelfield.errors import UserError, unknown

VerdictRule = Literal["usual", "strict"]
"""strict: a difference is claimed only where BCa and an exact permutation test agree (`statistics.strict`)."""
RULES: Final[tuple[VerdictRule, ...]] = get_args(VerdictRule)


def checked_margin(margin: float) -> float:
    """`margin` in points of top-1. Raises UserError where rows cannot lie within it."""
    if not 0 < margin < 100:
        raise UserError(
            f"no rows can be called equivalent within {margin:g} points\n"
            "give a margin above 0 and below 100, e.g. --margin 0.5"
        )
    return float(margin)


def checked_rule(verdict: str) -> VerdictRule:
    """`verdict` as a rule. Raises UserError for one that is unknown."""
    for rule in RULES:
        if verdict == rule:
            return rule
    raise unknown("verdict rule", verdict, RULES)
