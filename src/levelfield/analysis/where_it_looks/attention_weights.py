"""The weights of attention in a forward pass: of levelfield's vision transformer and of timm's networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor


def weights_of_products(projected: Tensor, heads: int) -> Tensor:
    """(B, heads, N, N), which sum to one over the last: of queries, keys and values side by side, (B, N, 3 C)."""
    B, N, wide = projected.shape
    q, k, _ = projected.float().reshape(B, N, 3, heads, wide // 3 // heads).permute(2, 0, 3, 1, 4).unbind(0)
    weights: Tensor = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
    return weights


def is_timms(module: Any) -> bool:
    """timm's forms of attention hand their weights to `attn_drop` where nothing is fused."""
    return all(hasattr(module, name) for name in ("fused_attn", "attn_drop", "num_heads", "qkv"))


@contextmanager
def unfused(module: Any) -> Iterator[None]:
    """Within the context one of timm's forms of attention computes its weights as a tensor."""
    fused, module.fused_attn = module.fused_attn, False
    try:
        yield
    finally:
        module.fused_attn = fused
