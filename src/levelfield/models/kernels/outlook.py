"""The Outlooker's inner operator: every pixel mixes its 3x3 neighbourhood with weights of its own.

The same operator as involution (arXiv 2103.06255): the weights come from the centre pixel alone, and nothing is folded
back as in VOLO. Zero-padded places outside the image take part in the softmax and contribute nothing to the sum.
`outlook` chooses among C++ (here), Triton (`outlook_triton.py`) and plain torch, all of one signature.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield import native
from levelfield.models.kernels.memory_layout import channels_last
from levelfield.models.kernels.operator_gradients import differentiate_by
from levelfield.models.kernels.triton_forms import has_triton

KERNEL = 3
TAPS = KERNEL * KERNEL


def outlook(logits: Tensor, values: Tensor, heads: int) -> Tensor:
    """Softmax of `logits` (B, 9h, H, W) over the offsets, then the weighted sum of `values` (B, C, H, W).

    Logits are head-major, then offset in row-major order. Returns (B, C, H, W) in the dtype of `values`.
    """
    fast = native.usable_as_operator(logits) and native.usable_as_operator(values) and logits.dtype is values.dtype
    if fast and heads <= native.MAX_HEADS:
        return outlook_native(logits, values, heads)
    if values.is_cuda and has_triton():
        from levelfield.models.kernels import outlook_triton

        if outlook_triton.usable(logits, values, heads):
            found: Tensor = outlook_triton.outlook(logits, values, heads)
            return found
    return outlook_plain(logits, values, heads)


def outlook_plain(logits: Tensor, values: Tensor, heads: int) -> Tensor:
    """`outlook` in plain torch: any device and dtype, differentiable twice."""
    return outlook_sum(outlook_weights(logits, heads), values)


def outlook_weights(logits: Tensor, heads: int) -> Tensor:
    """Softmax over the nine offsets: logits (B, 9h, H, W), head-major, to weights (B, h, 9, H, W)."""
    B, _, H, W = logits.shape
    return logits.reshape(B, heads, TAPS, H, W).softmax(dim=2)


def outlook_sum(weights: Tensor, values: Tensor) -> Tensor:
    """y[p] = sum over the offsets o of weights[p, o] * values[p + o]; values are zero outside the image.

    weights (B, h, 9, H, W), offsets in row-major order; values (B, C, H, W), C divisible by h. Returns (B, C, H, W).
    """
    B, C, H, W = values.shape
    heads = weights.shape[1]
    padded = F.pad(values, (1, 1, 1, 1)).reshape(B, heads, C // heads, H + 2, W + 2)
    total = torch.zeros((), dtype=values.dtype, device=values.device)
    for offset in range(TAPS):
        row, column = divmod(offset, KERNEL)
        shifted = padded[:, :, :, row : row + H, column : column + W]
        total = total + weights[:, :, offset].unsqueeze(2) * shifted
    return total.reshape(B, C, H, W).to(values.dtype)  # under autocast the softmax, and so the sum, is float32


def outlook_native(logits: Tensor, values: Tensor, heads: int) -> Tensor:
    """`outlook` in C++, the operator `levelfield::outlook_native`, for what is `native.usable`; differentiable once."""
    out: Tensor = _forward(channels_last(logits), channels_last(values), heads)
    return out


@torch.library.custom_op("levelfield::outlook_native", mutates_args=(), device_types="cpu")
def _forward(logits: Tensor, values: Tensor, heads: int) -> Tensor:
    out = torch.empty_like(values)
    native.call("lf_outlook_forward", logits, values, out, *_sizes(logits, values, heads))
    return out


@torch.library.custom_op("levelfield::outlook_native_backward", mutates_args=(), device_types="cpu")
def _backward(logits: Tensor, values: Tensor, grad: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    dlogits, dvalues = torch.empty_like(logits), torch.empty_like(values)
    native.call(
        "lf_outlook_backward", logits, values, channels_last(grad), dlogits, dvalues, *_sizes(logits, values, heads)
    )
    return dlogits, dvalues


@_forward.register_fake
def _(logits: Tensor, values: Tensor, heads: int) -> Tensor:
    return torch.empty_like(values)


def _sizes(logits: Tensor, values: Tensor, heads: int) -> tuple[int, ...]:
    """Refuses what the loops, which know no shapes but these, would read past its end."""
    B, C, H, W = values.shape
    if C % heads or logits.shape != (B, TAPS * heads, H, W):
        raise ValueError(
            f"outlook of {heads} heads: logits {tuple(logits.shape)} and values {tuple(values.shape)}; logits must be "
            f"(B, {TAPS} x heads, H, W), and the channels of values a multiple of the heads"
        )
    return B, H, W, heads, C // heads


differentiate_by(_forward, _backward)
