"""By which rule a table's verdicts are made: the margin within which rows are called equivalent, and how strictly."""

from __future__ import annotations

import shlex
from typing import Final, Literal, get_args

from levelfield.errors import UserError, unknown
from levelfield.statistics import MARGIN

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


def rule_as_options(margin: float, verdict: VerdictRule) -> list[str]:
    """The rule as options of a command; none where it is the usual one."""
    words = [] if margin == MARGIN else ["--margin", f"{margin:g}"]
    return words + ([] if verdict == "usual" else ["--verdict", verdict])


def with_rule(commands: str, margin: float, verdict: VerdictRule) -> str:
    """`commands`, a line each, that train a study, with the options that decide its table by this rule."""
    return "\n".join(_line_with_rule(line, rule_as_options(margin, verdict)) for line in commands.splitlines())


def _line_with_rule(line: str, rule: list[str]) -> str:
    words, held = shlex.split(line), []
    for option in ("--margin", "--verdict"):
        if option in words[:-1]:
            place = words.index(option)
            held += words[place : place + 2]
            del words[place : place + 2]
    return line if held == rule else shlex.join([*words, *rule])
