"""Stochastic depth (arXiv 1603.09382) in both of its published modes, and the rates of a network's blocks."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

DropPathMode = Literal["sample", "batch"]


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382) on the output of a residual branch, rescaled by 1 / (1 - rate).

    `sample` draws once for each image, `batch` once for the whole batch. Identity in evaluation and at rate 0.
    """

    def __init__(self, rate: float = 0.0, mode: DropPathMode = "sample") -> None:
        super().__init__()
        self.rate = rate
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0.0 or not self.training:
            return x
        count = x.shape[0] if self.mode == "sample" else 1
        keep = torch.rand((count,) + (1,) * (x.ndim - 1), device=x.device) >= self.rate
        return x * (keep.to(x.dtype) / (1.0 - self.rate))

    def extra_repr(self) -> str:
        return f"rate={self.rate:.4f}, mode={self.mode}"


def linear_rates(maximum: float, depth: int) -> list[float]:
    """Drop-path rates of `depth` blocks: a straight line from 0 in the first to `maximum` in the last."""
    return [maximum * block / max(depth - 1, 1) for block in range(depth)]
