"""Attention among all tokens of an image.

`self_attention` chooses between products of matrices and torch's fused attention, both of one signature: queries, keys
and values (B, N, 3C), head by head, to (B, N, C). In bfloat16 on CPUs the gradients of torch's fused attention take
many times as long as what they are made of, so that where a gradient is wanted the products are the faster form; where
none is, the fused one takes half their time.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield import native

SHORT: Final = 128
"""The most tokens of a short sequence: products are faster for longer ones too, and hold N * N numbers of each head."""


def self_attention(qkv: Tensor, heads: int) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V in each head: (B, N, 3C) to (B, N, C)."""
    B, N, wide = qkv.shape
    y = attention(*qkv.reshape(B, N, 3, heads, wide // 3 // heads).permute(2, 0, 3, 1, 4).unbind(0))
    return y.transpose(1, 2).reshape(B, N, wide // 3)


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d) + bias) V: (..., heads, N, d) thrice to the same, bias to be spread over (..., N, N)."""
    if products_are_faster(q, q.shape[-2]):
        return attention_by_products(q, k, v, bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def products_are_faster(x: Tensor, tokens: int) -> bool:
    """Whether attention among so many tokens, made of x, takes less time by products of matrices."""
    in_bfloat16 = x.device.type == "cpu" and native.as_layers_get_it(x).dtype is torch.bfloat16
    return in_bfloat16 and tokens <= SHORT and torch.is_grad_enabled()


def attention_by_products(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """`attention` in plain torch: any device and dtype, differentiable twice."""
    weights = q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)
    if bias is not None:
        weights = weights + bias
    return weights.softmax(dim=-1, dtype=v.dtype) @ v
