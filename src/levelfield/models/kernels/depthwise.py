"""Depthwise convolution padded by half its kernel, so that at stride 1 a map goes out as large as it came in.

C++ computes its gradients in bfloat16: oneDNN's take 1.5 times as long for 3x3 and 12 times for 7x7 kernels, where its
forward pass is the faster one.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from levelfield import native
from levelfield.models.kernels.memory_layout import channels_last

KERNELS: Final = (3, 5, 7)
"""Sides that the C++ form knows, in px."""


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1) -> Tensor:
    """Each channel of x (B, C, H, W) convolved with its kernel: weight (C, 1, K, K), K odd, bias (C) or None.

    To (B, C, ceil(H / stride), ceil(W / stride)).
    """
    x = native.as_layers_get_it(x)
    known = weight.dtype is torch.float32 and weight.shape[2] == weight.shape[3] and weight.shape[2] in KERNELS
    if known and x.dtype is torch.bfloat16 and torch.is_grad_enabled() and native.usable(x):
        return depthwise_native(x, weight, bias, stride)
    return _convolution(x, weight, bias, stride)


def depthwise_native(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1) -> Tensor:
    """`depthwise` of bfloat16 x with float32 weights: oneDNN's convolution, our own gradients."""
    out: Tensor = _Depthwise.apply(channels_last(x), weight, bias, stride)
    return out


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    return F.conv2d(x, weight, bias, stride, (weight.shape[2] // 2, weight.shape[3] // 2), groups=x.shape[1])


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased, ctx.stride = bias is not None, stride
        return _convolution(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        B, C, H, W = x.shape
        if ctx.stride != 1:  # what was not computed has no gradient
            whole = torch.zeros_like(x)
            whole[:, :, :: ctx.stride, :: ctx.stride] = grad
            grad = whole
        dx, dweight = torch.empty_like(x), weight.new_empty(weight.shape)
        dbias = weight.new_empty(C) if ctx.biased else None
        native.call(
            "lf_depthwise_backward", x, channels_last(grad), weight.contiguous(), dx, dweight, dbias, B, H, W, C,
            weight.shape[2],
        )  # fmt: skip
        return dx, dweight, dbias, None
