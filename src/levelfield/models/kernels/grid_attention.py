"""Attention among the tokens that share (row mod g, column mod g): g * g groups, each spread over the whole map.

`grid_attention` chooses among C++ (here), Triton (`grid_attention_triton.py`; neither copies the map) and plain torch
(torch's fused attention of reshaped copies), all of one signature:
queries, keys and values (B, H, W, 3C), H and W divisible by g, to (B, H, W, C).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield import native
from levelfield.models.kernels.operator_gradients import differentiate_by
from levelfield.models.kernels.triton_forms import has_triton


def grid_attention(qkv: Tensor, heads: int, grid: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V in each group and head: (B, H, W, 3C) to (B, H, W, C)."""
    tokens = (qkv.shape[1] // grid) * (qkv.shape[2] // grid)
    if tokens <= native.MAX_TOKENS and native.usable_as_operator(qkv):
        return grid_attention_native(qkv, heads, grid)
    if qkv.is_cuda and has_triton():
        from levelfield.models.kernels import grid_attention_triton

        if grid_attention_triton.usable(qkv, heads, grid):
            found: Tensor = grid_attention_triton.grid_attention(qkv, heads, grid)
            return found
    return grid_attention_plain(qkv, heads, grid)


def grid_attention_plain(qkv: Tensor, heads: int, grid: int) -> Tensor:
    """`grid_attention` in plain torch: any device and dtype."""
    B, H, W, wide = qkv.shape
    g, d = grid, wide // 3 // heads
    y = F.scaled_dot_product_attention(*_grouped(qkv, heads, grid))
    return y.reshape(B, g, g, heads, H // g, W // g, d).permute(0, 4, 1, 5, 2, 3, 6).reshape(B, H, W, heads * d)


def grid_weights(qkv: Tensor, heads: int, grid: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)): (B, H, W, 3C) to (B, g, g, heads, N, N), N = (H/g) * (W/g) in row-major order."""
    q, k, _ = _grouped(qkv, heads, grid)
    weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
    return weights.unflatten(0, (qkv.shape[0], grid, grid))


def _grouped(qkv: Tensor, heads: int, grid: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each (B * g * g, heads, N, d), N = (H/g) * (W/g) tokens in row-major order."""
    B, H, W, wide = qkv.shape
    g, d = grid, wide // 3 // heads
    qkv = qkv.reshape(B, H // g, g, W // g, g, 3, heads, d)
    qkv = qkv.permute(5, 0, 2, 4, 6, 1, 3, 7).reshape(3, B * g * g, heads, (H // g) * (W // g), d)
    q, k, v = qkv.unbind(0)
    return q, k, v


def grid_attention_native(qkv: Tensor, heads: int, grid: int) -> Tensor:
    """`grid_attention` in C++, as the operator `levelfield::grid_attention_native`; differentiable once.

    For what `native.usable` says, and at most `native.MAX_TOKENS` tokens a group.
    """
    out: Tensor = _forward(qkv.contiguous(), heads, grid)
    return out


@torch.library.custom_op("levelfield::grid_attention_native", mutates_args=(), device_types="cpu")
def _forward(qkv: Tensor, heads: int, grid: int) -> Tensor:
    out = qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)
    native.call("lf_grid_forward", qkv, out, *_sizes(qkv, heads, grid))
    return out


@torch.library.custom_op("levelfield::grid_attention_native_backward", mutates_args=(), device_types="cpu")
def _backward(qkv: Tensor, grad: Tensor, heads: int, grid: int) -> Tensor:
    dqkv = torch.empty_like(qkv)
    native.call("lf_grid_backward", qkv, grad.contiguous(), dqkv, *_sizes(qkv, heads, grid))
    return dqkv


@_forward.register_fake
def _(qkv: Tensor, heads: int, grid: int) -> Tensor:
    B, H, W, wide = qkv.shape
    return qkv.new_empty(B, H, W, wide // 3)


def _sizes(qkv: Tensor, heads: int, grid: int) -> tuple[int, ...]:
    """Refuses what the loops, which know no shapes but these, would read past its end."""
    B, H, W, wide = qkv.shape
    if wide % (3 * heads) or H % grid or W % grid:
        raise ValueError(
            f"grid attention of {heads} heads, grid {grid}: queries, keys and values {tuple(qkv.shape)}; the channels "
            "must be a multiple of three times the heads, height and width multiples of the grid"
        )
    return B, H, W, heads, wide // 3 // heads, grid


differentiate_by(_forward, _backward)
