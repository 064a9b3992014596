"""Whether a form of a computation gives the numbers of another."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

ROUNDING: Final = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""How far two forms may lie apart, as a share of the largest number, by what they are computed in: some roundings of
sums of thousands of products. A form that left something out is off by its whole size."""


def largest_difference(expected: Tensor, found: Tensor) -> float:
    """The largest difference between two tensors of one shape, as a share of the largest number expected; infinite
    where one of them has a number that is not finite.
    """
    expected, found = expected.detach().float(), found.detach().float()
    if expected.numel() == 0:
        return 0.0
    off, largest = float((expected - found).abs().max()), float(expected.abs().max())
    if not off < float("inf"):
        return float("inf")
    return off / largest if largest > 0 else off


def same(expected: Tensor, found: Tensor) -> bool:
    """Whether `found` is `expected` within rounding, in the less precise of their dtypes."""
    if expected.shape != found.shape:
        return False
    allowed = max(ROUNDING.get(each.dtype, ROUNDING[torch.float32]) for each in (expected, found))
    return largest_difference(expected, found) <= allowed
