"""Asynchronous successive halving (Li et al., MLSys 2020): which trials go on past a rung, told trial by trial.

A trial is judged as soon as it and those drawn before it have come to the rung, by its score among theirs: it never
waits for later ones, and what is decided depends on the scores alone, not on which run ended first.
"""

from __future__ import annotations

from collections.abc import Sequence


def goes_on(scores: Sequence[float], reduction: int) -> bool:
    """Whether the last of `scores` goes on past a rung, the others being those of earlier trials that came to it.

    It must be among the best n // `reduction` of them, or the best of all; equal scores go on together.
    """
    kept = max(1, len(scores) // reduction)
    return scores[-1] >= sorted(scores, reverse=True)[kept - 1]
