"""BatchNorm and SiLU, and the gate that may follow them: `norm_silu` and `norm_silu_gate` choose the form.

They take the modules and call them, unless the C++ form may compute in their place (`may_replace`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from levelfield.models.kernels import native
from levelfield.models.kernels.channel_gate import PooledGate, gate_native
from levelfield.models.kernels.may_replace import may_replace
from levelfield.models.kernels.memory_layout import channels_last


def norm_silu(x: Tensor, norm: nn.Module, act: nn.Module) -> Tensor:
    """act(norm(x)): (B, C, H, W) to the same."""
    if native.usable(x) and may_replace(norm, act):
        return norm_silu_native(x, norm)[0]
    y: Tensor = act(norm(x))
    return y


def norm_silu_gate(x: Tensor, norm: nn.Module, act: nn.Module, gate: nn.Module) -> Tensor:
    """gate(act(norm(x))): (B, C, H, W) to the same. In C++ a `PooledGate`'s mean costs no pass of its own."""
    if native.usable(x) and may_replace(norm, act, gate) and isinstance(gate, PooledGate):
        y, pooled = norm_silu_native(x, norm)
        return gate_native(y, gate.gates(pooled))
    gated: Tensor = gate(act(norm(x)))
    return gated


def norm_silu_native(x: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """y = SiLU(norm(x)) and its mean over the map, in C++: (B, C, H, W) to the same and (B, C, 1, 1).

    Updates the running statistics in training. `norm` is a BatchNorm2d that `may_replace` knows.
    """
    assert isinstance(norm, nn.BatchNorm2d)
    x = channels_last(x)
    B, C, H, W = x.shape
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None and norm.num_batches_tracked is not None
    if norm.training:
        count = B * H * W
        running_mean, running_variance = mean, variance
        mean, variance = torch.empty_like(mean), torch.empty_like(variance)
        native.call("lf_norm_statistics", x.detach(), mean, variance, B, H * W, C)
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            momentum = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            running_mean.lerp_(mean, momentum)
            running_variance.lerp_(variance * (count / max(count - 1, 1)), momentum)
    outputs: tuple[Tensor, Tensor] = _NormSiLU.apply(x, norm.weight, norm.bias, mean, variance, norm.eps, norm.training)
    return outputs


class _NormSiLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float, batch: bool
    ) -> tuple[Tensor, Tensor]:
        B, C, H, W = x.shape
        inverse = (variance + eps).rsqrt()
        scale = weight * inverse
        shift = bias - mean * scale
        y, pooled = torch.empty_like(x), scale.new_empty(B, C, 1, 1)
        ctx.sizes = (B, H * W, C)
        ctx.batch = batch
        native.call("lf_affine_silu_forward", x, scale, shift, y, pooled, *ctx.sizes)
        ctx.save_for_backward(x, scale, shift, mean, inverse)
        ctx.set_materialize_grads(False)
        return y, pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dpooled: Tensor | None) -> tuple[Tensor | None, ...]:
        x, scale, shift, mean, inverse = ctx.saved_tensors
        dy = torch.zeros_like(x) if dy is None else channels_last(dy)
        dpooled = None if dpooled is None else dpooled.contiguous()
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(scale), torch.empty_like(scale)
        native.call(
            "lf_norm_silu_backward", x, dy, dpooled, scale, shift, mean, inverse, dx, dweight, dbias, int(ctx.batch),
            *ctx.sizes,
        )  # fmt: skip
        return dx, dweight, dbias, None, None, None, None
