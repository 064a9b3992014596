"""LayerNorm over the last axis: of each place's channels by themselves.

C++ computes it in bfloat16 on CPUs, Triton in bfloat16 and float16 on GPUs: with sums in float32 and weights that stay
float32, and a result of the map's own dtype.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from levelfield import native
from levelfield.models.kernels.triton_forms import has_triton


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axis: (..., C) to the same."""
    known = weight.shape == bias.shape == x.shape[-1:]  # else torch is left to refuse it
    fast = x.dtype is torch.bfloat16 and weight.dtype is bias.dtype is torch.float32
    if known and fast and native.usable(x):
        return layer_norm_native(x, weight, bias, eps)
    if known and x.is_cuda and has_triton():
        from levelfield.models.kernels import layer_norm_triton

        if layer_norm_triton.usable(x, weight, bias):
            found: Tensor = layer_norm_triton.layer_norm(x, weight, bias, eps)
            return found
    return F.layer_norm(x, weight.shape, weight, bias, eps)


def layer_norm_native(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """`layer_norm` of a bfloat16 x with float32 weights in C++."""
    out: Tensor = _LayerNorm.apply(x.contiguous(), weight, bias, eps)
    return out


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        C = x.shape[-1]
        ctx.sizes = (x.numel() // C, C)
        y, moments = torch.empty_like(x), weight.new_empty(ctx.sizes[0], 2)
        native.call("lf_layer_norm_forward", x, weight, bias, y, moments, float(eps), *ctx.sizes)
        ctx.save_for_backward(x, weight, moments)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, moments = ctx.saved_tensors
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        native.call("lf_layer_norm_backward", x, grad.contiguous(), weight, moments, dx, dweight, dbias, *ctx.sizes)
        return dx, dweight, dbias, None
