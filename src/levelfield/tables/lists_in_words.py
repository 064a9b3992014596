"""Names and counts as a sentence holds them."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in words: "a, b and c", cut after `most`."""
    if len(names) > most:
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def counted(count: int, one: str, many: str = "") -> str:
    """`3 runs`, `1 run`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
