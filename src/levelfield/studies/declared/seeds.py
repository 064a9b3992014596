"""Seeds as `--seeds` takes them, read and written."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.errors import UserError
from levelfield.studies.declared.study import MOST_SEEDS, repeats


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3` -> (0, 1, 2); `0,4,7` -> (0, 4, 7); `5-8` -> (5, 6, 7, 8)."""
    found: list[int] = []
    try:
        for part in [f"0-{int(text) - 1}"] if text.strip().isdigit() else text.split(","):
            first, dash, last = part.strip().partition("-")
            each = range(int(first), int(last) + 1) if dash else [int(first)]
            if found[MOST_SEEDS:] or each[MOST_SEEDS:]:
                raise UserError(f"--seeds {text}: at most {MOST_SEEDS:,} seeds")
            found += each
    except ValueError:
        found = []
    if not found or repeats(found):
        raise UserError(f"--seeds {text!r} names no seeds; give a number (3), a list (0,4,7) or a range (5-8)")
    return tuple(found)


def seeds_in_words(seeds: Sequence[int]) -> str:
    """As `parse_seeds` reads it: 3 for 0, 1, 2; else a list, which a lone number is not."""
    if tuple(seeds) == tuple(range(len(seeds))):
        return str(len(seeds))
    return f"{seeds[0]}-{seeds[0]}" if len(seeds) == 1 else ",".join(map(str, seeds))
