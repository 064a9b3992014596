"""Errors that a user can mend.

A `UserError` says what was given, why it cannot be, and what to do, in one to three lines. The command line prints it
without a traceback and exits with code 2; anything else is an internal error and exits with code 70.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

INTERNAL_ERROR: Final = 70
"""The exit code of what nobody foresaw (EX_SOFTWARE of sysexits.h): no command gives it as an answer."""


class UserError(ValueError):
    """Input that cannot be used: the message names the thing, its value and the remedy."""


def nearest(name: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """The up to `count` choices that look most like `name`, best first."""
    pool = sorted(set(choices))
    folded = {choice.lower(): choice for choice in pool}
    found = difflib.get_close_matches(name.lower(), list(folded), n=count, cutoff=0.5)
    return [folded[match] for match in found]


def unknown(kind: str, name: str, choices: Iterable[str], remedy: str = "") -> UserError:
    """The error for a name that is not there: offers the nearest ones, else `remedy`.

    Example: ``unknown("model", "outgrid_7n", names)`` -> "unknown model 'outgrid_7n': did you mean 'outgrid_7m'?"
    """
    pool = sorted(set(choices))
    close = nearest(name, pool)
    if close:
        hint = "did you mean " + " or ".join(repr(match) for match in close) + "?"
    elif 0 < len(pool) <= 12:
        hint = "known: " + ", ".join(pool)
    else:
        hint = ""
    message = f"unknown {kind} {name!r}"
    if hint:
        message += ": " + hint
    if remedy:
        message += f"\n{remedy}"
    return UserError(message)
