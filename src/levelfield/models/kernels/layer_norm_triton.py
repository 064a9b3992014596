"""LayerNorm of a bfloat16 or float16 map as Triton kernels behind `torch.library`: `levelfield::layer_norm`.

Under autocast torch computes it in float32: the map is copied to float32, normalised, and copied back for the layer
that follows, and its kernels are made for rows longer than a network's channels. Here one pass reads and writes the map
as it is; sums are float32 (float64 for float64). The backward computes the moments again instead of keeping them; each
program sums the gradients of the weights over its own rows, and torch adds the programs' sums, in one order always.
TRITON_INTERPRET=1 runs it on a CPU.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from levelfield.models.kernels.operator_gradients import differentiate_by

MAX_WIDTH: Final = 1024
"""Channels. Longer rows are torch's: its kernels are made for them."""
VALUES: Final = 2048
"""That a program holds at a time: whole rows, 16 values to a thread of its four warps."""
PROGRAMS: Final = 1056
"""At most, in the backward: eight to a multiprocessor of Hopper's."""


@triton.jit  # type: ignore[untyped-decorator]
def _normalised(x, rows, c, count, C, eps, ACC: tl.constexpr):  # type: ignore[no-untyped-def]
    """Rows of x, normalised, 1 / their standard deviations, and which values exist."""
    there = (rows < count)[:, None] & (c < C)[None, :]
    values = tl.load(x + rows.to(tl.int64)[:, None] * C + c[None, :], mask=there, other=0.0).to(ACC)
    mean = tl.sum(values, 1) / C
    centred = tl.where(there, values - mean[:, None], 0.0)
    inverse = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / C + eps)
    return centred * inverse[:, None], inverse, there


@triton.jit  # type: ignore[untyped-decorator]
def _forward(x, weight, bias, y, count, C, eps, BLOCK: tl.constexpr, D: tl.constexpr, ACC: tl.constexpr):  # type: ignore[no-untyped-def]
    rows, c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, D)
    normal, _, there = _normalised(x, rows, c, count, C, eps, ACC)
    w = tl.load(weight + c, mask=c < C, other=0.0).to(ACC)
    b = tl.load(bias + c, mask=c < C, other=0.0).to(ACC)
    pointers = y + rows.to(tl.int64)[:, None] * C + c[None, :]
    tl.store(pointers, (normal * w[None, :] + b[None, :]).to(y.dtype.element_ty), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    x, weight, grad, dx, sums, count, C, eps, BLOCK: tl.constexpr, D: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    c = tl.arange(0, D)
    w = tl.load(weight + c, mask=c < C, other=0.0).to(ACC)
    dweight = tl.zeros((D,), ACC)
    dbias = tl.zeros((D,), ACC)
    for start in range(tl.program_id(0) * BLOCK, count, tl.num_programs(0) * BLOCK):
        rows = start + tl.arange(0, BLOCK)
        normal, inverse, there = _normalised(x, rows, c, count, C, eps, ACC)
        at = rows.to(tl.int64)[:, None] * C + c[None, :]
        g = tl.load(grad + at, mask=there, other=0.0).to(ACC)
        dweight += tl.sum(g * normal, 0)
        dbias += tl.sum(g, 0)
        g = g * w[None, :]
        along = tl.sum(g * normal, 1) / C
        mean = tl.sum(g, 1) / C
        slope = (g - mean[:, None] - normal * along[:, None]) * inverse[:, None]
        tl.store(dx + at, slope.to(dx.dtype.element_ty), mask=there)
    place = sums + tl.program_id(0) * 2 * C + c
    tl.store(place, dweight, mask=c < C)
    tl.store(place + C, dbias, mask=c < C)


def _sizes(x: Tensor) -> tuple[int, dict[str, Any]]:
    """How many rows, and the constants of the kernels."""
    C = x.shape[-1]
    D = triton.next_power_of_2(C)
    accumulator = tl.float64 if x.dtype is torch.float64 else tl.float32
    return x.numel() // C, {"BLOCK": max(1, VALUES // D), "D": D, "ACC": accumulator, "num_warps": 4}


@torch.library.custom_op("levelfield::layer_norm", mutates_args=())
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """`kernels.layer_norm.layer_norm` by Triton: (..., C), weight and bias (C), to the same as x."""
    x = x.contiguous()
    y = torch.empty_like(x)
    count, constants = _sizes(x)
    if count:
        grid = (triton.cdiv(count, constants["BLOCK"]),)
        _forward[grid](x, weight.contiguous(), bias.contiguous(), y, count, x.shape[-1], eps, **constants)
    return y


@torch.library.custom_op("levelfield::layer_norm_backward", mutates_args=())
def layer_norm_backward(
    x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `layer_norm` by its map, weight and bias."""
    laid_out, C = x.contiguous(), x.shape[-1]
    dx = torch.empty_like(laid_out)
    count, constants = _sizes(laid_out)
    programs = max(1, min(PROGRAMS, triton.cdiv(count, constants["BLOCK"])))
    exact = torch.float64 if x.dtype is torch.float64 else torch.float32
    sums = x.new_empty((programs, 2, C), dtype=exact)
    _backward[(programs,)](laid_out, weight.contiguous(), grad.contiguous(), dx, sums, count, C, eps, **constants)
    dweight, dbias = sums.sum(0).unbind(0)
    dx = dx if x.is_contiguous() else torch.empty_like(x).copy_(dx)
    return dx, dweight.to(weight.dtype, copy=True), dbias.to(bias.dtype, copy=True)


@layer_norm.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return x.new_empty(x.shape)


differentiate_by(layer_norm, layer_norm_backward)


def usable(x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether the kernels take these: on a CUDA device, in half precision with float32 weights, rows not too long."""
    halves = x.dtype in (torch.bfloat16, torch.float16) and weight.dtype is bias.dtype is torch.float32
    return x.is_cuda and halves and 0 < x.shape[-1] <= MAX_WIDTH
