"""Depthwise convolution padded by half its kernel, so that at stride 1 a map goes out as large as it came in.

C++ computes gradients where oneDNN's are slow. In bfloat16 these take 1.5 times as long for 3x3 and 12 times for 7x7
kernels, where its forward pass is the faster one. In float32 on a processor without 512-bit registers its weight
gradient takes 4 times as long for 5x5 and 7x7 kernels, and 20 to 50 times on maps of few pixels; its input gradient is
the faster one, as is all of it for 3x3 kernels on larger maps (`benchmarks/depthwise.py`).
"""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

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
    if known and torch.is_grad_enabled() and native.usable(x) and _is_faster(x, weight.shape[2]):
        return depthwise_native(x, weight, bias, stride)
    return _convolution(x, weight, bias, stride)


def _is_faster(x: Tensor, kernel: int) -> bool:
    """Whether the C++ form computes gradients for x (B, C, H, W) sooner than oneDNN."""
    if x.dtype is torch.bfloat16:
        return True
    slow = kernel > 3 or min(x.shape[2:]) <= 2
    return slow and x.is_contiguous(memory_format=torch.channels_last) and not native.has_wide_vectors()


def depthwise_native(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1) -> Tensor:
    """`depthwise` of x with float32 weights: oneDNN's convolution, our own gradients; of float32 x, of the weights."""
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
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        B, C, H, W = x.shape
        K, stride = weight.shape[2], ctx.stride
        geometry = [stride] * 2, [K // 2] * 2, [1, 1], False, [0, 0], C
        dx = None
        if torch.is_grad_enabled():  # gradients of which there are to be gradients
            of = [ctx.needs_input_grad[0], True, ctx.biased]
            lower = weight.to(x.dtype)
            dx, dw, db = torch.ops.aten.convolution_backward(grad, x, lower, [C] if ctx.biased else None, *geometry, of)
            return dx, dw.to(weight.dtype), None if db is None else db.to(weight.dtype), None
        own = x.dtype is torch.bfloat16
        if own:
            dx = torch.empty_like(x)
        elif ctx.needs_input_grad[0]:
            dx = torch.ops.aten.convolution_backward(grad, x, weight, None, *geometry, [True, False, False])[0]
        if stride != 1:  # what was not computed has no gradient
            whole = torch.zeros_like(x)
            whole[:, :, ::stride, ::stride] = grad
            grad = whole
        dweight = torch.empty_like(weight) if weight.is_contiguous() else weight.new_empty(weight.shape)
        dbias = weight.new_empty(C) if ctx.biased else None
        native.call(
            "lf_depthwise_backward", x, channels_last(grad), weight.contiguous(), dx if own else None, dweight, dbias,
            B, H, W, C, K,
        )  # fmt: skip
        return dx, dweight, dbias, None
