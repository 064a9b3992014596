"""Dense convolution as a product of matrices, for training where that is the sooner one.

On maps of few pixels most of a padded kernel's products are with zeros, and on a processor without 512-bit registers
oneDNN's gradients take 3 to 20 times as long as its forward pass, most of all of the weights (`benchmarks/dense.py`).
Its own outputs are those of `conv2d` within rounding; where nothing is trained `conv2d` computes, to the bit.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield import native
from levelfield.models.kernels.memory_layout import channels_last

FEW_PX: Final = 16
"""Pixels of a map up to which a product beats oneDNN's 1x1 convolution."""

Pair = tuple[int, int]


def multiplied(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair) -> Tensor | None:
    """The convolution of x (B, C, H, W) with weight (O, C, K, L) and bias (O) to (B, O, H', W'), as a product.

    None where `conv2d` is at least as fast, or where somebody traces or watches what is computed.
    """
    if not (torch.is_grad_enabled() and native.float32_on_cpu(x) and native.unobserved(x) and _slow_gradients()):
        return None
    if x.dim() != 4 or weight.dtype is not torch.float32:
        return None
    kernel = weight.shape[2], weight.shape[3]
    if padding == (0, 0) and kernel == (1, 1):
        return _of_pixels(x[:, :, :: stride[0], :: stride[1]], weight, bias)
    if padding == (0, 0) and kernel == stride:
        return _of_patches(x, weight, bias)
    if all(map(_covers, x.shape[2:], kernel, stride, padding)):
        return _of_whole_maps(x, weight, bias, stride, padding)
    return None


def _slow_gradients() -> bool:
    """Whether oneDNN computes on a processor whose registers have 256 bits, where this was measured."""
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def _covers(side: int, kernel: int, stride: int, padding: int) -> bool:
    """Whether a kernel lies over the whole of a map's side wherever it lies."""
    last = (side + 2 * padding - kernel) // stride * stride
    return side + padding <= kernel and last <= padding


def _of_pixels(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    if x.shape[2] * x.shape[3] > FEW_PX:
        return None
    return _product(channels_last(x).permute(0, 2, 3, 1), weight.flatten(1), bias)


def _of_patches(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """Patches side by side: each is a row (K * L * C) of the matrix."""
    if not x.requires_grad:
        return None  # without a gradient of the image there is little to gain
    B, C, H, W = x.shape
    _, _, K, L = weight.shape
    h, w = H // K, W // L
    if h * w > FEW_PX:
        return None
    inside = channels_last(x)[:, :, : h * K, : w * L].permute(0, 2, 3, 1)
    rows = inside.reshape(B, h, K, w, L, C).transpose(2, 3).reshape(B, h, w, K * L * C)
    return _product(rows, weight.permute(0, 2, 3, 1).flatten(1), bias)


def _of_whole_maps(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair) -> Tensor:
    """A map is a row (H * W * C) of the matrix, and gives all pixels of its output; no product is with a zero."""
    B, C, H, W = x.shape
    K, L = weight.shape[2:]
    tops = range(padding[0], padding[0] - (H + 2 * padding[0] - K) // stride[0] * stride[0] - 1, -stride[0])
    lefts = range(padding[1], padding[1] - (W + 2 * padding[1] - L) // stride[1] * stride[1] - 1, -stride[1])
    taps = weight.permute(0, 2, 3, 1)
    under = torch.stack([taps[:, top : top + H, left : left + W] for top in tops for left in lefts])
    rows = channels_last(x).permute(0, 2, 3, 1).reshape(B, H * W * C)
    y = F.linear(rows, under.flatten(0, 1).flatten(1), None if bias is None else bias.repeat(len(under)))
    return y.view(B, len(tops), len(lefts), -1).permute(0, 3, 1, 2)


def _product(rows: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(rows, matrix, bias).permute(0, 3, 1, 2)
