"""Layers that several families share: stochastic depth in both of its published modes, LayerNorm over channels."""

from __future__ import annotations

from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DropPathMode = Literal["sample", "batch"]

NONLINEARITIES: Final = {
    "celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "prelu", "relu",
    "relu6", "rrelu", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh",
}  # fmt: skip
"""Names of torch's functions that are non-linearities, without the underscore of those in place."""


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


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map (B, C, H, W), each pixel by itself."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)
