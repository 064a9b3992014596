"""Layers that several families share: stochastic depth in both of its published modes, LayerNorm over channels."""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

NONLINEARITIES: Final = {
    "celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "prelu", "relu",
    "relu6", "rrelu", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh",
}  # fmt: skip
"""Names of torch's functions that are non-linearities, without the underscore of those in place."""


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map (B, C, H, W), each pixel by itself."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)
