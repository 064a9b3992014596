"""Max-pooling of 2x2 px. The C++ form keeps which of the four was greatest in a byte, and writes each gradient once.

It computes exactly what torch does, of which the forward pass in bfloat16 takes several times as long on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from levelfield import native
from levelfield.models.kernels.memory_layout import channels_last


def max_pool_2x2(x: Tensor) -> Tensor:
    """x (B, C, H, W) to (B, C, H // 2, W // 2), H and W at least 2: a last odd row or column is left out."""
    fast = x.dim() == 4 and min(x.shape[2:]) > 1 and native.usable(x)
    return max_pool_2x2_native(x) if fast else F.max_pool2d(x, 2)


def max_pool_2x2_native(x: Tensor) -> Tensor:
    """`max_pool_2x2` in C++."""
    out: Tensor = _MaxPool.apply(channels_last(x))
    return out


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = B, C, H, W = x.shape
        y = torch.empty((B, C, H // 2, W // 2), dtype=x.dtype, memory_format=torch.channels_last)
        place = torch.empty_like(y, dtype=torch.uint8)
        native.call("lf_max_pool_forward", x, y, place, B, H, W, C)
        ctx.save_for_backward(place)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (place,) = ctx.saved_tensors
        B, C, H, W = ctx.shape
        dx = torch.empty(ctx.shape, dtype=dy.dtype, memory_format=torch.channels_last)
        native.call("lf_max_pool_backward", channels_last(dy), place, dx, B, H, W, C)
        return dx
