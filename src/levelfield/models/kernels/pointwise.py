"""The linear map at every pixel, as a 1x1 convolution of (B, C, H, W) or a linear layer on (B, H, W, C).

C++ computes one gradient of it: oneDNN's weight gradient reaches 60 to 160 of the 200 GFLOP/s that its other passes
reach at these shapes. On a GPU a channels-last map is the matrix of pixels that it is in memory (not measured yet:
`benchmarks/kernels.py` compares it with a convolution).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from levelfield import native
from levelfield.models.kernels.dense import multiplied
from levelfield.models.kernels.linear import linear
from levelfield.models.kernels.memory_layout import channels_last


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> Tensor:
    """The 1x1 convolution of (B, C, H, W) with weight (O, C, 1, 1) and bias (O), then GELU where asked for."""
    x = native.as_layers_get_it(x)
    if x.device.type == "cpu" and x.dtype is torch.bfloat16:
        return linear(channels_last(x).permute(0, 2, 3, 1), weight.flatten(1), bias, gelu).permute(0, 3, 1, 2)
    if multiplies_rows(x):
        y = by_rows(x, weight, bias)
        return F.gelu(y) if gelu else y
    own_gradient = native.usable(x) and torch.is_grad_enabled() and native.has_wide_vectors()
    if (product := multiplied(x, weight, bias, (1, 1), (0, 0))) is not None:
        y = product
    elif own_gradient and x.dtype is torch.float32 and x.shape[1] % 16 == 0:
        y = pointwise_native(x, weight, bias)
    else:
        y = F.conv2d(x, weight, bias)
    return F.gelu(y) if gelu else y


def multiplies_rows(x: Tensor) -> bool:
    """Whether x (B, C, H, W) is computed as the matrix (B * H * W, C) that it is in memory: channels-last, on CUDA."""
    return x.device.type == "cuda" and x.is_contiguous(memory_format=torch.channels_last)


def by_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`pointwise` as a product of matrices: any device and dtype; no copy of a channels-last x, and such a result."""
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def channel_linear(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> Tensor:
    """The linear layer (B, H, W, C) to (B, H, W, O) with weight (O, C) and bias (O), then GELU where asked for.

    In float32 on CPUs it is computed as the 1x1 convolution that it is: on some processors oneDNN's kernels are three
    times as fast as the matrix library's. In bfloat16 both are products of matrices: the gradients of these take two
    thirds of the time of a convolution's.
    """
    if native.float32_on_cpu(x):
        y = pointwise(x.permute(0, 3, 1, 2), weight[:, :, None, None], bias).permute(0, 2, 3, 1)
        return F.gelu(y) if gelu else y
    return linear(x, weight, bias, gelu)


def pointwise_native(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`pointwise` with oneDNN's convolution and input gradient and our own weight gradient; C divisible by 16."""
    out: Tensor = _Pointwise.apply(channels_last(x), weight, bias)
    return out


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return F.conv2d(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = channels_last(grad)
        B, C, H, W = x.shape
        outputs = weight.shape[0]
        dx = dweight = dbias = None
        if ctx.needs_input_grad[0]:
            dx = torch.ops.aten.convolution_backward(
                grad, x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, False, False]
            )[0]
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            dweight = weight.new_empty(weight.shape)
            dbias = weight.new_empty(outputs) if ctx.biased else None
            native.call("lf_weight_gradient", x, grad, dweight, dbias, B * H * W, C, outputs)
        return dx, dweight, dbias
