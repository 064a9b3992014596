"""The mean over a map.

In bfloat16 on CPUs torch's average pool takes a fifth of the time of its mean, to the same bits. Its gradient is the
slower one, so that where one is wanted the mean is taken. On a GPU the gradient of torch's mean is one value repeated,
of no layout: added to the map's other gradient, which is channels-last, it makes a sum of another layout, at five times
the cost, and copies after it. Here it is written out in the map's own layout.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def map_mean(x: Tensor) -> Tensor:
    """The mean of each channel over the map: (B, C, H, W) to (B, C, 1, 1)."""
    wanted = torch.is_grad_enabled() and x.requires_grad
    if x.dtype is torch.bfloat16 and x.device.type == "cpu" and not wanted and not torch.compiler.is_compiling():
        return F.avg_pool2d(x, (x.shape[2], x.shape[3]))
    if x.is_cuda and wanted and not torch.compiler.is_compiling():
        return mean_of_laid_out_gradient(x)
    return x.mean((2, 3), keepdim=True)


def mean_of_laid_out_gradient(x: Tensor) -> Tensor:
    """`map_mean` whose gradient has the layout of x; differentiable once."""
    mean: Tensor = _Mean.apply(x)
    return mean


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.mean((2, 3), keepdim=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.empty_like(x).copy_(grad / (x.shape[2] * x.shape[3]))
