"""Channel gates: a map times one factor for each of its channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from levelfield import native
from levelfield.models.kernels.map_mean import map_mean
from levelfield.models.kernels.memory_layout import channels_last


class PooledGate(nn.Module):
    """x times `gates` of its mean over the map: (B, C, H, W) to the same."""

    def gates(self, pooled: Tensor) -> Tensor:
        """From the pooled map (B, C, 1, 1) to factors of the same shape."""
        raise NotImplementedError(f"{type(self).__name__} must define gates")

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gates(map_mean(x))


def gate(x: Tensor, factor: Tensor) -> Tensor:
    """x * factor, (B, C, H, W) and (B, C, 1, 1): in bfloat16 on CPUs in C++."""
    fast = x.dtype is factor.dtype is torch.bfloat16 and native.usable(x)
    return gate_native(x, factor) if fast else x * factor


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(x, factor)
        return x * factor.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, factor = ctx.saved_tensors
        B, C, H, W = x.shape
        dx, dfactor = torch.empty_like(x), factor.new_empty(B, C, 1, 1)
        native.call("lf_gate_backward", x, factor, channels_last(grad), dx, dfactor, B, H * W, C)
        return dx, dfactor


def gate_native(x: Tensor, factor: Tensor) -> Tensor:
    """x * factor, (B, C, H, W) and (B, C, 1, 1), in C++: both gradients in one pass."""
    out: Tensor = _Gate.apply(channels_last(x), factor.contiguous())
    return out
