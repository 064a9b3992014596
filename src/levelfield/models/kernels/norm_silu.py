"""BatchNorm, an activation after it, and the gate that may follow: the functions without `native` choose the form.

They take the modules and call them, unless the C++ form may compute in their place (`may_replace`). Of float32 maps
`norm_activation` takes it in training alone: in evaluation a network's results are those of torch's own operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield import native
from levelfield.models.kernels.channel_gate import PooledGate, gate_native
from levelfield.models.kernels.may_replace import may_replace
from levelfield.models.kernels.memory_layout import channels_last

ACTIVATIONS: Final[dict[object, int]] = {None: 0, nn.SiLU: 1, F.silu: 1, nn.ReLU: 2, F.relu: 2}
"""The numbers by which the C++ form knows kinds of modules and functions."""


def norm_activation(x: Tensor, norm: nn.Module, act: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """act(norm(x)), or norm(x) alone: (B, C, H, W) to the same. `act` is a module, or a function of torch's."""
    modules = (norm, act) if isinstance(act, nn.Module) else (norm,)
    kind = ACTIVATIONS.get(type(act) if isinstance(act, nn.Module) else act)
    wanted = x.dtype is torch.bfloat16 or norm.training
    if wanted and kind is not None and _fit(x, norm) and may_replace(*modules):
        return norm_activation_native(x, norm, kind)[0]
    y: Tensor = norm(x)
    return y if act is None else act(y)


class NormedSequence(nn.Sequential):
    """Modules one after the other, each BatchNorm and the activation after it by `norm_activation`."""

    def forward(self, x: Tensor) -> Tensor:
        modules = list(self)
        while modules:
            module = modules.pop(0)
            if type(module) is nn.BatchNorm2d:
                x = norm_activation(x, module, modules.pop(0) if modules and type(modules[0]) in ACTIVATIONS else None)
            else:
                x = module(x)
        return x


def norm_silu(x: Tensor, norm: nn.Module, act: nn.Module) -> Tensor:
    """act(norm(x)): (B, C, H, W) to the same."""
    if type(act) is nn.SiLU and _fit(x, norm) and may_replace(norm, act):
        return norm_silu_native(x, norm)[0]
    y: Tensor = act(norm(x))
    return y


def norm_silu_gate(x: Tensor, norm: nn.Module, act: nn.Module, gate: nn.Module) -> Tensor:
    """gate(act(norm(x))): (B, C, H, W) to the same. In C++ a `PooledGate`'s mean costs no pass of its own."""
    fast = type(act) is nn.SiLU and _fit(x, norm) and may_replace(norm, act, gate)
    if fast and isinstance(gate, PooledGate):
        y, pooled = norm_silu_native(x, norm)
        factors = gate.gates(pooled)
        return gate_native(y, factors) if factors.dtype is y.dtype else y * factors
    gated: Tensor = gate(act(norm(x)))
    return gated


def _fit(x: Tensor, norm: nn.Module) -> bool:
    """Whether C++ may compute on x, and x is what the norm takes: what torch refuses, torch is left to refuse."""
    if not (native.usable(x) and x.dim() == 4 and isinstance(norm, nn.BatchNorm2d)):
        return False
    parts = (norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.num_batches_tracked)
    whole = all(part is not None for part in parts) and norm.num_features == x.shape[1]
    return whole and (not norm.training or x.numel() > x.shape[1])


def norm_silu_native(x: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """y = SiLU(norm(x)) and its mean over the map, in C++: (B, C, H, W) to the same and (B, C, 1, 1)."""
    return norm_activation_native(x, norm, ACTIVATIONS[nn.SiLU])


def norm_activation_native(x: Tensor, norm: nn.Module, activation: int) -> tuple[Tensor, Tensor]:
    """y = act(norm(x)) and its mean over the map, in C++: (B, C, H, W) to the same and (B, C, 1, 1).

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
    outputs: tuple[Tensor, Tensor] = _NormActivation.apply(
        x, norm.weight, norm.bias, mean, variance, norm.eps, norm.training, activation
    )
    return outputs


class _NormActivation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float, batch: bool,
        activation: int,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        B, C, H, W = x.shape
        inverse = (variance + eps).rsqrt()
        scale = weight * inverse
        shift = bias - mean * scale
        y, pooled = torch.empty_like(x), scale.new_empty(B, C, 1, 1)
        ctx.sizes = (B, H * W, C)
        ctx.batch, ctx.eps, ctx.activation = batch, eps, activation
        native.call("lf_affine_forward", x, scale, shift, y, pooled, activation, *ctx.sizes)
        ctx.save_for_backward(x, weight, bias, scale, shift, mean, inverse)
        ctx.set_materialize_grads(False)
        return y, pooled

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, dpooled: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, bias, scale, shift, mean, inverse = ctx.saved_tensors
        dy = torch.zeros_like(x) if dy is None else channels_last(dy)
        if torch.is_grad_enabled():  # gradients of which there are to be gradients
            return *_gradients(ctx, x, weight, bias, dy, dpooled), None, None, None, None, None
        dpooled = None if dpooled is None else dpooled.contiguous()
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(scale), torch.empty_like(scale)
        native.call(
            "lf_norm_backward", x, dy, dpooled, scale, shift, mean, inverse, dx, dweight, dbias, int(ctx.batch),
            ctx.activation, *ctx.sizes,
        )  # fmt: skip
        return dx, dweight, dbias, None, None, None, None, None


def _gradients(
    ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dy: Tensor, dpooled: Tensor | None
) -> list[Tensor | None]:
    """Those of x, weight and bias by torch's own operators, so that they have gradients themselves."""
    mean, inverse = ctx.saved_tensors[-2:]
    known = (None, None) if ctx.batch else (mean, inverse.pow(-2) - ctx.eps)
    y = F.batch_norm(x, known[0], known[1], weight, bias, ctx.batch, 0.0, ctx.eps)
    if ctx.activation:
        y = F.silu(y) if ctx.activation == ACTIVATIONS[F.silu] else F.relu(y)
    outputs, given = ([y], [dy]) if dpooled is None else ([y, y.mean((2, 3), True)], [dy, dpooled])
    wanted = [each for each, needed in zip((x, weight, bias), ctx.needs_input_grad, strict=False) if needed]
    found = iter(torch.autograd.grad(outputs, wanted, given, create_graph=True))
    return [next(found) if needed else None for needed in ctx.needs_input_grad[:3]]
