"""The Outlooker's operator as Triton kernels behind `torch.library`: `levelfield::outlook`.

One program handles one image's block of pixels and one head. The forward never builds the unfolding. The backward has
two kernels: the gradient of the logits, which leaves the weights w of the softmax in memory, (B, h, 9, H, W), and then
that of the values, gathered without atomics: dv[q] = sum_o w[q - o]_o dy[q - o]. Maps are (B, C, H, W) in any strides,
channels-last without a copy; arithmetic is float32 for float32, bfloat16 and float16 (float64 for float64).
TRITON_INTERPRET=1 runs it on a CPU.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from levelfield.models.kernels.operator_gradients import differentiate_by
from levelfield.models.kernels.tuned_blocks import Block, block_for

WIDTHS: Final = (24, 32, 48, 64)
"""Head widths that are compiled for; others take the plain form."""


@triton.jit  # type: ignore[untyped-decorator]
def _weights(logits, base, channel_stride, inside, ACC: tl.constexpr):  # type: ignore[no-untyped-def]
    """The largest logit and the sum of exponentials over the nine offsets, for a block of pixels."""
    top = tl.full(inside.shape, float("-inf"), ACC)
    for k in tl.static_range(9):
        a = tl.load(logits + base + k * channel_stride, mask=inside, other=0.0).to(ACC)
        top = tl.maximum(top, a)
    total = tl.zeros(inside.shape, ACC)
    for k in tl.static_range(9):
        a = tl.load(logits + base + k * channel_stride, mask=inside, other=0.0).to(ACC)
        total += tl.exp(a - top)
    return top, total


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    logits, values, out, height, width, d, a_batch, a_channel, a_row, a_column, v_batch, v_channel, v_row, v_column,
    o_batch, o_channel, o_row, o_column, BLOCK: tl.constexpr, D: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    head, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // width, p % width
    inside = y < height
    c = tl.arange(0, D)
    a_at = image * a_batch + head * 9 * a_channel + y * a_row + x * a_column
    top, total = _weights(logits, a_at, a_channel, inside, ACC)
    sum_pd = tl.zeros((BLOCK, D), ACC)
    for k in tl.static_range(9):
        row, column = y + k // 3 - 1, x + k % 3 - 1
        there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        a = tl.load(logits + a_at + k * a_channel, mask=inside, other=0.0).to(ACC)
        at = image * v_batch + row * v_row + column * v_column
        v = tl.load(
            values + at[:, None] + (head * d + c)[None, :] * v_channel,
            mask=there[:, None] & (c < d)[None, :],
            other=0.0,
        ).to(ACC)
        sum_pd += (tl.exp(a - top) / total)[:, None] * v
    at = image * o_batch + y * o_row + x * o_column
    pointers = out + at[:, None] + (head * d + c)[None, :] * o_channel
    tl.store(pointers, sum_pd.to(out.dtype.element_ty), mask=inside[:, None] & (c < d)[None, :])


@triton.jit  # type: ignore[untyped-decorator]
def _backward_logits(  # type: ignore[no-untyped-def]
    logits, values, grad, dlogits, weights, height, width, d,
    a_batch, a_channel, a_row, a_column, v_batch, v_channel, v_row, v_column, g_batch, g_channel, g_row, g_column,
    BLOCK: tl.constexpr, D: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    head, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // width, p % width
    inside = y < height
    c = tl.arange(0, D)
    known = (c < d)[None, :]
    channel = (head * d + c)[None, :]
    a_at = image * a_batch + head * 9 * a_channel + y * a_row + x * a_column
    g_at = image * g_batch + y * g_row + x * g_column
    g_pd = tl.load(grad + g_at[:, None] + channel * g_channel, mask=inside[:, None] & known, other=0.0).to(ACC)
    top, total = _weights(logits, a_at, a_channel, inside, ACC)
    place = weights + (image * tl.num_programs(1) + head) * 9 * height * width + p
    mean = tl.zeros((BLOCK,), ACC)
    for k in tl.static_range(9):
        row, column = y + k // 3 - 1, x + k % 3 - 1
        there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        a = tl.load(logits + a_at + k * a_channel, mask=inside, other=0.0).to(ACC)
        at = image * v_batch + row * v_row + column * v_column
        v = tl.load(values + at[:, None] + channel * v_channel, mask=there[:, None] & known, other=0.0).to(ACC)
        weight = tl.exp(a - top) / total
        tl.store(place + k * height * width, weight, mask=inside)
        mean += weight * tl.sum(g_pd * v, 1)
    for k in tl.static_range(9):
        row, column = y + k // 3 - 1, x + k % 3 - 1
        there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        a = tl.load(logits + a_at + k * a_channel, mask=inside, other=0.0).to(ACC)
        at = image * v_batch + row * v_row + column * v_column
        v = tl.load(values + at[:, None] + channel * v_channel, mask=there[:, None] & known, other=0.0).to(ACC)
        da = tl.exp(a - top) / total * (tl.sum(g_pd * v, 1) - mean)
        tl.store(dlogits + a_at + k * a_channel, da.to(dlogits.dtype.element_ty), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _backward_values(  # type: ignore[no-untyped-def]
    weights, grad, dvalues, height, width, d, v_batch, v_channel, v_row, v_column, g_batch, g_channel, g_row, g_column,
    BLOCK: tl.constexpr, D: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    head, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // width, p % width
    inside = y < height
    c = tl.arange(0, D)
    known = (c < d)[None, :]
    channel = (head * d + c)[None, :]
    start = weights + (image * tl.num_programs(1) + head) * 9 * height * width
    dv_pd = tl.zeros((BLOCK, D), ACC)
    for k in tl.static_range(9):  # the pixel whose offset k is this one
        row, column = y - (k // 3 - 1), x - (k % 3 - 1)
        there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        weight = tl.load(start + k * height * width + row * width + column, mask=there, other=0.0)
        at = image * g_batch + row * g_row + column * g_column
        g = tl.load(grad + at[:, None] + channel * g_channel, mask=there[:, None] & known, other=0.0).to(ACC)
        dv_pd += weight[:, None] * g
    at = image * v_batch + y * v_row + x * v_column
    pointers = dvalues + at[:, None] + channel * v_channel
    tl.store(pointers, dv_pd.to(dvalues.dtype.element_ty), mask=inside[:, None] & known)


def _launch(kernel: Any, name: str, values: Tensor, heads: int, *arguments: Any) -> None:
    B, C, H, W = values.shape
    width = C // heads
    accumulator = tl.float64 if values.dtype is torch.float64 else tl.float32

    def run(block: Block) -> None:
        kernel[(triton.cdiv(H * W, block[0]), heads, B)](
            *arguments, BLOCK=block[0], D=triton.next_power_of_2(width), ACC=accumulator, num_warps=block[1]
        )

    sizes = f"{name} {tuple(values.shape)} {values.stride()} heads {heads} {values.dtype}"
    run(block_for(sizes, values.device, run))


@torch.library.custom_op("levelfield::outlook", mutates_args=())
def outlook(logits: Tensor, values: Tensor, heads: int) -> Tensor:
    """`kernels.outlook.outlook` by Triton: logits (B, 9h, H, W), values (B, C, H, W) to (B, C, H, W)."""
    out = torch.empty_like(values)
    _, C, H, W = values.shape
    strides = (*logits.stride(), *values.stride(), *out.stride())
    _launch(_forward, "outlook forward", values, heads, logits, values, out, H, W, C // heads, *strides)
    return out


@torch.library.custom_op("levelfield::outlook_backward", mutates_args=())
def outlook_backward(logits: Tensor, values: Tensor, grad: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Gradients of `outlook` by its logits and values, in their layouts."""
    dlogits, dvalues = torch.empty_like(logits), torch.empty_like(values)
    if dlogits.stride() != logits.stride() or dvalues.stride() != values.stride():  # not dense: one layout for both
        logits, values = logits.contiguous(), values.contiguous()
        dlogits, dvalues = torch.empty_like(logits), torch.empty_like(values)
    B, C, H, W = values.shape
    exact = torch.float64 if values.dtype is torch.float64 else torch.float32
    weights = values.new_empty((B, heads, 9, H, W), dtype=exact)
    strides = (*logits.stride(), *values.stride(), *grad.stride())
    _launch(
        _backward_logits, "outlook logits", values, heads, logits, values, grad, dlogits, weights, H, W, C // heads,
        *strides,
    )  # fmt: skip
    strides = (*dvalues.stride(), *grad.stride())
    _launch(_backward_values, "outlook values", values, heads, weights, grad, dvalues, H, W, C // heads, *strides)
    return dlogits, dvalues


@outlook.register_fake
def _(logits: Tensor, values: Tensor, heads: int) -> Tensor:
    return torch.empty_like(values)


differentiate_by(outlook, outlook_backward)


def usable(logits: Tensor, values: Tensor, heads: int) -> bool:
    """Whether the kernels take these: on a CUDA device, of a known head width, of one floating dtype."""
    return (
        values.is_cuda
        and values.shape[1] % heads == 0
        and values.shape[1] // heads in WIDTHS
        and values.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and logits.dtype == values.dtype
    )
