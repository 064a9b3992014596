"""Grid attention as Triton kernels behind `torch.library`: `levelfield::grid_attention`, without a copy.

torch's attention wants each group's tokens side by side: a map is copied into groups, and back. Groups here are small,
of 4 to 64 tokens. So a program takes a block of pixels and a head, finds the tokens of each pixel's group where they
lie in the (B, H, W, 3C) map, and sums over them with a running maximum; nothing else is ever written. The backward has
two kernels: by query (its gradient, the logarithm of its sum, and the mean that the softmax's gradient subtracts), then
by key and value, gathered without atomics. Arithmetic is float32 for float32, bfloat16 and float16 (float64 for
float64). TRITON_INTERPRET=1 runs it on a CPU.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from levelfield.models.kernels.operator_gradients import differentiate_by
from levelfield.models.kernels.tuned_blocks import Block, block_for

MAX_TOKENS: Final = 64
"""Of a group. Larger ones are torch's: its kernels share what they load among queries."""
MAX_WIDTH: Final = 64
"""Of a head."""


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    qkv, out, height, width, channels, d, scale, grid, across,
    TOKENS: tl.constexpr, BLOCK: tl.constexpr, D: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    head, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // width, p % width
    c = tl.arange(0, D)
    there = (y < height)[:, None] & (c < d)[None, :]
    start = image * height * width
    q = tl.load(qkv + ((start + p) * 3 * channels + head * d)[:, None] + c[None, :], mask=there, other=0.0).to(ACC)
    q = q * scale
    first = start + (y % grid) * width + x % grid
    top = tl.full((BLOCK,), float("-inf"), ACC)
    total = tl.zeros((BLOCK,), ACC)
    sum_pd = tl.zeros((BLOCK, D), ACC)
    for j in range(TOKENS):
        token = first + (j // across) * grid * width + (j % across) * grid
        at = qkv + (token * 3 * channels + head * d)[:, None] + c[None, :]
        k = tl.load(at + channels, mask=there, other=0.0).to(ACC)
        v = tl.load(at + 2 * channels, mask=there, other=0.0).to(ACC)
        score = tl.sum(q * k, 1)
        higher = tl.maximum(top, score)
        shrink, weight = tl.exp(top - higher), tl.exp(score - higher)
        total = total * shrink + weight
        sum_pd = sum_pd * shrink[:, None] + weight[:, None] * v
        top = higher
    pointers = out + ((start + p) * channels + head * d)[:, None] + c[None, :]
    tl.store(pointers, (sum_pd / total[:, None]).to(out.dtype.element_ty), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _backward_queries(  # type: ignore[no-untyped-def]
    qkv, grad, dqkv, sums, means, height, width, channels, d, scale, grid, across,
    TOKENS: tl.constexpr, BLOCK: tl.constexpr, D: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    head, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // width, p % width
    inside = y < height
    c = tl.arange(0, D)
    there = inside[:, None] & (c < d)[None, :]
    start = image * height * width
    own = ((start + p) * 3 * channels + head * d)[:, None] + c[None, :]
    q = tl.load(qkv + own, mask=there, other=0.0).to(ACC) * scale
    g = tl.load(grad + ((start + p) * channels + head * d)[:, None] + c[None, :], mask=there, other=0.0).to(ACC)
    first = start + (y % grid) * width + x % grid
    top = tl.full((BLOCK,), float("-inf"), ACC)
    total = tl.zeros((BLOCK,), ACC)
    mean = tl.zeros((BLOCK,), ACC)
    for j in range(TOKENS):
        token = first + (j // across) * grid * width + (j % across) * grid
        at = qkv + (token * 3 * channels + head * d)[:, None] + c[None, :]
        score = tl.sum(q * tl.load(at + channels, mask=there, other=0.0).to(ACC), 1)
        gain = tl.sum(g * tl.load(at + 2 * channels, mask=there, other=0.0).to(ACC), 1)
        higher = tl.maximum(top, score)
        shrink, weight = tl.exp(top - higher), tl.exp(score - higher)
        total = total * shrink + weight
        mean = mean * shrink + weight * gain
        top = higher
    mean = mean / total
    logarithm = top + tl.log(total)
    dq = tl.zeros((BLOCK, D), ACC)
    for j in range(TOKENS):
        token = first + (j // across) * grid * width + (j % across) * grid
        at = qkv + (token * 3 * channels + head * d)[:, None] + c[None, :]
        k = tl.load(at + channels, mask=there, other=0.0).to(ACC)
        gain = tl.sum(g * tl.load(at + 2 * channels, mask=there, other=0.0).to(ACC), 1)
        slope = tl.exp(tl.sum(q * k, 1) - logarithm) * (gain - mean)
        dq += slope[:, None] * k
    tl.store(dqkv + own, (dq * scale).to(dqkv.dtype.element_ty), mask=there)
    place = (image * tl.num_programs(1) + head) * height * width + p
    tl.store(sums + place, logarithm, mask=inside)
    tl.store(means + place, mean, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _backward_keys(  # type: ignore[no-untyped-def]
    qkv, grad, dqkv, sums, means, height, width, channels, d, scale, grid, across,
    TOKENS: tl.constexpr, BLOCK: tl.constexpr, D: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    head, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // width, p % width
    inside = y < height
    c = tl.arange(0, D)
    there = inside[:, None] & (c < d)[None, :]
    start = image * height * width
    own = ((start + p) * 3 * channels + head * d)[:, None] + c[None, :]
    k = tl.load(qkv + own + channels, mask=there, other=0.0).to(ACC)
    v = tl.load(qkv + own + 2 * channels, mask=there, other=0.0).to(ACC)
    first = (y % grid) * width + x % grid
    dk = tl.zeros((BLOCK, D), ACC)
    dv = tl.zeros((BLOCK, D), ACC)
    for i in range(TOKENS):
        token = first + (i // across) * grid * width + (i % across) * grid
        at = (start + token)[:, None] * channels + head * d + c[None, :]
        q = tl.load(qkv + at + (start + token)[:, None] * 2 * channels, mask=there, other=0.0).to(ACC) * scale
        g = tl.load(grad + at, mask=there, other=0.0).to(ACC)
        place = (image * tl.num_programs(1) + head) * height * width + token
        logarithm = tl.load(sums + place, mask=inside, other=0.0)
        mean = tl.load(means + place, mask=inside, other=0.0)
        weight = tl.exp(tl.sum(q * k, 1) - logarithm)
        dv += weight[:, None] * g
        dk += (weight * (tl.sum(g * v, 1) - mean))[:, None] * q
    tl.store(dqkv + own + channels, dk.to(dqkv.dtype.element_ty), mask=there)
    tl.store(dqkv + own + 2 * channels, dv.to(dqkv.dtype.element_ty), mask=there)


def _launch(kernel: Any, name: str, qkv: Tensor, heads: int, grid: int, *tensors: Tensor) -> None:
    B, H, W, wide = qkv.shape
    channels, across = wide // 3, W // grid
    d = channels // heads
    accumulator = tl.float64 if qkv.dtype is torch.float64 else tl.float32
    numbers = (H, W, channels, d, d**-0.5, grid, across)

    def run(block: Block) -> None:
        kernel[(triton.cdiv(H * W, block[0]), heads, B)](
            qkv, *tensors, *numbers, TOKENS=(H // grid) * across, BLOCK=block[0], D=triton.next_power_of_2(d),
            ACC=accumulator, num_warps=block[1],
        )  # fmt: skip

    sizes = f"{name} {tuple(qkv.shape)} heads {heads} grid {grid} {qkv.dtype}"
    run(block_for(sizes, qkv.device, run))


@torch.library.custom_op("levelfield::grid_attention", mutates_args=())
def grid_attention(qkv: Tensor, heads: int, grid: int) -> Tensor:
    """`kernels.grid_attention.grid_attention` by Triton: (B, H, W, 3C) to (B, H, W, C)."""
    qkv = qkv.contiguous()
    out = qkv.new_empty((*qkv.shape[:3], qkv.shape[3] // 3))
    _launch(_forward, "grid forward", qkv, heads, grid, out)
    return out


@torch.library.custom_op("levelfield::grid_attention_backward", mutates_args=())
def grid_attention_backward(qkv: Tensor, grad: Tensor, heads: int, grid: int) -> Tensor:
    """The gradient of `grid_attention` by its map."""
    laid_out = qkv.contiguous()
    dqkv = torch.empty_like(laid_out)
    B, H, W, _ = qkv.shape
    exact = torch.float64 if qkv.dtype is torch.float64 else torch.float32
    sums, means = qkv.new_empty((2, B, heads, H * W), dtype=exact).unbind(0)
    for kernel, name in ((_backward_queries, "grid queries"), (_backward_keys, "grid keys")):
        _launch(kernel, name, laid_out, heads, grid, grad.contiguous(), dqkv, sums, means)
    return dqkv if qkv.is_contiguous() else torch.empty_like(qkv).copy_(dqkv)


@grid_attention.register_fake
def _(qkv: Tensor, heads: int, grid: int) -> Tensor:
    return qkv.new_empty((*qkv.shape[:3], qkv.shape[3] // 3))


differentiate_by(grid_attention, grid_attention_backward)


def usable(qkv: Tensor, heads: int, grid: int) -> bool:
    """Whether the kernels take this map: on a CUDA device, of small groups and heads, of a known floating dtype."""
    tokens = (qkv.shape[1] // grid) * (qkv.shape[2] // grid)
    fits = tokens <= MAX_TOKENS and qkv.shape[3] % (3 * heads) == 0 and qkv.shape[3] // 3 // heads <= MAX_WIDTH
    return qkv.is_cuda and fits and qkv.dtype in (torch.float32, torch.bfloat16, torch.float16)
