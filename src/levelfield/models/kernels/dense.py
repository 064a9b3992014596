"""Dense convolution as a product of matrices, for training where that is the sooner one.

On maps of few pixels most of a padded kernel's products are with zeros, and on a processor without 512-bit registers
oneDNN's gradients take 2 to 40 times as long as its forward pass, those of the weights most of all. A product does only
what counts, at the speed that such processors have for products of matrices (`benchmarks/dense.py`). Its results are
those of `conv2d` within rounding, and lie in memory as those do.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield import native

FEW_PX: Final = 16
"""Pixels of a map up to which products are faster."""

Pair = tuple[int, int]


def multiplied(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair) -> Tensor | None:
    """The convolution of x (B, C, H, W) with weight (O, C, K, L) and bias (O) to (B, O, H', W'), as a product.

    None where `conv2d` is to compute it: it is as fast or faster, nothing of it has a gradient, somebody traces or
    watches, or it is no convolution, which torch says best.
    """
    trained = torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in (x, weight, bias))
    if not (trained and native.float32_on_cpu(x) and native.unobserved(x) and _slow_gradients()):
        return None
    if weight.dtype is not torch.float32 or x.dim() != 4 or x.shape[1] != weight.shape[1] or not len(weight):
        return None
    kernel, map_px = (weight.shape[2], weight.shape[3]), (x.shape[2], x.shape[3])
    sides = [_places(*side) for side in zip(map_px, kernel, stride, padding, strict=True)]
    if min(sides) < 1 or sides[0] * sides[1] > FEW_PX or not _comes_out_channels_last(x, sides):
        return None
    if padding == (0, 0) and kernel == (1, 1):
        return _of_pixels(x[:, :, :: stride[0], :: stride[1]], weight, bias)
    if padding == (0, 0) and kernel == stride and x.requires_grad:  # else there is little to gain
        return _of_patches(x, weight, bias)
    if map_px[0] * map_px[1] <= FEW_PX and all(map(_covers, map_px, kernel, stride, padding)):
        return _of_whole_maps(x, weight, bias, stride, padding)
    return None


def _slow_gradients() -> bool:
    """Whether oneDNN computes on a processor whose registers have 256 bits, where this was measured.

    Not without the C++ loops: what `environment.json` calls `cpp_loops: none` is plain torch, to the bit.
    """
    return torch.backends.cpu.get_cpu_capability() == "AVX2" and native.library() is not None


def _places(side: int, kernel: int, stride: int, padding: int) -> int:
    """At how many places a kernel lies on a map's side; less than 1 where there is no such convolution."""
    return 0 if stride < 1 or padding < 0 else (side + 2 * padding - kernel) // stride + 1


def _comes_out_channels_last(x: Tensor, sides: list[int]) -> bool:
    """Whether torch's result of x would lie in memory as a product's does: channels-last, or it is one pixel."""
    last = x.is_contiguous(memory_format=torch.channels_last)
    return last and (sides == [1, 1] or not x.is_contiguous())


def _covers(side: int, kernel: int, stride: int, padding: int) -> bool:
    """Whether a kernel lies over the whole of a map's side wherever it lies."""
    last = (_places(side, kernel, stride, padding) - 1) * stride
    return side + padding <= kernel and last <= padding


def _of_pixels(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x.permute(0, 2, 3, 1), _rows(weight), bias).permute(0, 3, 1, 2)


def _of_patches(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Patches side by side: each is a row (K * L * C) of the matrix."""
    B, C, H, W = x.shape
    _, _, K, L = weight.shape
    h, w = H // K, W // L
    inside = x[:, :, : h * K, : w * L].permute(0, 2, 3, 1)
    rows = inside.reshape(B, h, K, w, L, C).transpose(2, 3).reshape(B, h, w, K * L * C)
    return F.linear(rows, _rows(weight), bias).permute(0, 3, 1, 2)


def _of_whole_maps(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair) -> Tensor:
    """A map is a row (H * W * C) of the matrix, and gives all pixels of its output; no product is with a zero."""
    B, C, H, W = x.shape
    K, L = weight.shape[2:]
    tops = [padding[0] - at * stride[0] for at in range(_places(H, K, stride[0], padding[0]))]
    lefts = [padding[1] - at * stride[1] for at in range(_places(W, L, stride[1], padding[1]))]
    matrix: Tensor = _Under.apply(weight, [(top, left) for top in tops for left in lefts], (H, W))
    each = None if bias is None else bias.repeat(len(tops) * len(lefts))
    y = F.linear(x.permute(0, 2, 3, 1).reshape(B, H * W * C), matrix, each)
    return y.view(B, len(tops), len(lefts), -1).permute(0, 3, 1, 2)


def _rows(weight: Tensor) -> Tensor:
    """weight (O, C, K, L) as the matrix (O, K * L * C); its gradient lies as a channels-last weight does."""
    return weight.permute(0, 2, 3, 1).flatten(1)


class _Under(torch.autograd.Function):
    """What of a kernel (O, C, K, L) lies over a map of `shape` when its corners lie there: (places * O, H * W * C)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, corners: list[Pair], shape: Pair) -> Tensor:
        ctx.corners, ctx.shape, ctx.weight_shape = corners, shape, weight.shape
        taps = weight.permute(0, 2, 3, 1)
        under = [taps[:, top : top + shape[0], left : left + shape[1]] for top, left in corners]
        return torch.stack(under).view(len(corners) * len(weight), -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        outputs, C, K, L = ctx.weight_shape
        (H, W), corners = ctx.shape, ctx.corners
        taps = grad.new_zeros(outputs, K, L, C)
        for (top, left), under in zip(corners, grad.view(len(corners), outputs, H, W, C), strict=True):
            taps[:, top : top + H, left : left + W] += under
        return taps.permute(0, 3, 1, 2), None, None
