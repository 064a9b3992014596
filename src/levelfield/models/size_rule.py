"""How a network is made wider or deeper by a factor: one rule for all built-in families.

Their options `width_factor` and `depth_factor` (1: as published) stand for it, so that networks of other shape can be
compared at equal parameters or multiply-accumulates, and one network at several sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from levelfield.errors import UserError

SIZE_OPTIONS: Final = ("width_factor", "depth_factor")


def wider(channels: int, factor: float, multiple: int = 1) -> int:
    """`channels` times `factor`, to the nearest multiple of `multiple`, at least one of it."""
    return multiple * max(1, round(channels * checked("width_factor", factor) / multiple))


def deeper(blocks: Iterable[int], factor: float) -> tuple[int, ...]:
    """The number of blocks of each stage times `factor`, to the nearest, at least one of each."""
    return tuple(max(1, round(count * checked("depth_factor", factor))) for count in blocks)


def checked(what: str, factor: float) -> float:
    """`factor`. Raises UserError where it is no positive number."""
    if not (math.isfinite(factor) and factor > 0):
        raise UserError(f"{what} {factor!r} must be a positive number; 1 is the network as published")
    return factor
