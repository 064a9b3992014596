"""OutGridViT's element-wise work and small attentions as few passes over memory, on channels-last float32 CPU maps.

Each function has a compiled forward and backward (`kernels/native`) and equals a short expression in plain torch, given
in its docstring. They ask for `native.usable(x)`; the models decide. Maps are (B, C, H, W),
channels-last (others are laid out anew); gradients are first-order.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.module import _has_any_global_hook

from levelfield.models.kernels import native


def _laid_out(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


class _Outlook(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, values: Tensor, heads: int) -> Tensor:
        logits, values = _laid_out(logits), _laid_out(values)
        out = torch.empty_like(values)
        B, C, H, W = values.shape
        ctx.sizes = (B, H, W, heads, C // heads)
        native.call("lf_outlook_forward", logits, values, out, *ctx.sizes)
        ctx.save_for_backward(logits, values)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        logits, values = ctx.saved_tensors
        dlogits, dvalues = torch.empty_like(logits), torch.empty_like(values)
        native.call("lf_outlook_backward", logits, values, _laid_out(grad), dlogits, dvalues, *ctx.sizes)
        return dlogits, dvalues, None


def outlook(logits: Tensor, values: Tensor, heads: int) -> Tensor:
    """`levelfield.models.kernels.outlook.outlook`: logits (B, 9h, H, W), values (B, C, H, W) to (B, C, H, W)."""
    out: Tensor = _Outlook.apply(logits, values, heads)
    return out


class _GridAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int, grid: int) -> Tensor:
        qkv = qkv.contiguous()
        B, H, W, wide = qkv.shape
        out = qkv.new_empty(B, H, W, wide // 3)
        ctx.sizes = (B, H, W, heads, wide // 3 // heads, grid)
        native.call("lf_grid_forward", qkv, out, *ctx.sizes)
        ctx.save_for_backward(qkv)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (qkv,) = ctx.saved_tensors
        dqkv = torch.empty_like(qkv)
        native.call("lf_grid_backward", qkv, grad.contiguous(), dqkv, *ctx.sizes)
        return dqkv, None, None


def grid_attention(qkv: Tensor, heads: int, grid: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V among the tokens that share (row mod g, column mod g): (B, H, W, 3C) to (B, H, W, C).

    At most `native.MAX_TOKENS` tokens a group.
    """
    out: Tensor = _GridAttention.apply(qkv, heads, grid)
    return out


class _NormSiLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float, batch: bool
    ) -> tuple[Tensor, Tensor]:
        B, C, H, W = x.shape
        inverse = (variance + eps).rsqrt()
        scale = weight * inverse
        shift = bias - mean * scale
        y, pooled = torch.empty_like(x), x.new_empty(B, C, 1, 1)
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
        dy = torch.zeros_like(x) if dy is None else _laid_out(dy)
        dpooled = None if dpooled is None else dpooled.contiguous()
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(scale), torch.empty_like(scale)
        native.call(
            "lf_norm_silu_backward", x, dy, dpooled, scale, shift, mean, inverse, dx, dweight, dbias, int(ctx.batch),
            *ctx.sizes,
        )  # fmt: skip
        return dx, dweight, dbias, None, None, None, None


def replaces(*modules: nn.Module) -> bool:
    """Whether a fused form may compute in the place of calls of `modules`: nobody would see the difference.

    Each must be what the form knows, no subclass and with its own forward: an affine BatchNorm2d with running
    statistics, a SiLU, or a module whose class says `fusible` (it stands for the expression in its docstring). A hook
    on one of them, or on all modules, fires only where the module is called.
    """
    return not _has_any_global_hook() and all(_known(module) and not _watched(module) for module in modules)


def _known(module: nn.Module) -> bool:
    if "forward" in vars(module):  # put in place of the class's own
        return False
    if type(module) is nn.BatchNorm2d:
        return bool(module.affine and module.track_running_stats)
    return type(module) is nn.SiLU or "fusible" in vars(type(module))


def _watched(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def norm_silu(x: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """y = SiLU(norm(x)) and its mean over the map: (B, C, H, W) to the same and (B, C, 1, 1).

    Updates the running statistics in training. `norm` is a BatchNorm2d that this form `replaces`.
    """
    x = _laid_out(x)
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


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(x, gate)
        return x * gate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, gate = ctx.saved_tensors
        B, C, H, W = x.shape
        dx, dgate = torch.empty_like(x), gate.new_empty(B, C, 1, 1)
        native.call("lf_gate_backward", x, gate, _laid_out(grad), dx, dgate, B, H * W, C)
        return dx, dgate


def gate(x: Tensor, factor: Tensor) -> Tensor:
    """x * factor: (B, C, H, W) and (B, C, 1, 1), both gradients in one pass."""
    out: Tensor = _Gate.apply(_laid_out(x), factor.contiguous())
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
        grad = _laid_out(grad)
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


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The 1x1 convolution of (B, C, H, W) with weight (O, C, 1, 1): oneDNN's, with a weight gradient of our own.

    oneDNN's weight gradient reaches 60 to 160 of the 200 GFLOP/s that its other passes reach at these shapes. Where the
    processor lacks 512-bit registers, or C is no multiple of 16, it is oneDNN's all the same.
    """
    found = native.library()
    if found is None or x.shape[1] % 16 or not found.lf_has_wide_vectors() or not torch.is_grad_enabled():
        return F.conv2d(x, weight, bias)
    out: Tensor = _Pointwise.apply(_laid_out(x), weight, bias)
    return out
