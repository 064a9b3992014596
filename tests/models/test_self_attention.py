"""Attention among all tokens: both forms compute the same, and each is taken where it is the faster one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield.models.kernels import self_attention as kernel
from levelfield.models.kernels.self_attention import attention, attention_by_products


def queries_keys_values(tokens: int = 6) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, tokens, 8, generator=draw, dtype=torch.float64, requires_grad=True) for _ in range(3)]


def test_products_are_torchs_attention() -> None:
    values = queries_keys_values()
    bias = torch.randn(3, 6, 6, dtype=torch.float64, requires_grad=True)
    own = attention_by_products(*values, bias)
    fused = F.scaled_dot_product_attention(*values, attn_mask=bias)
    torch.testing.assert_close(own, fused)
    seed = torch.randn_like(own)
    for mine, theirs in zip(
        torch.autograd.grad(own, [*values, bias], seed), torch.autograd.grad(fused, [*values, bias], seed), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    ("dtype", "gradient", "tokens", "products"),
    [
        (torch.bfloat16, True, 128, True),
        (torch.bfloat16, True, 129, False),
        (torch.bfloat16, False, 6, False),
        (torch.float32, True, 6, False),
    ],
)
def test_products_are_taken_for_the_gradients_of_bf16(
    dtype: torch.dtype, gradient: bool, tokens: int, products: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bool] = []
    monkeypatch.setattr(kernel, "attention_by_products", lambda q, k, v, bias=None: taken.append(True) or v)
    values = [each.detach().to(dtype) for each in queries_keys_values(tokens)]
    with torch.set_grad_enabled(gradient):
        attention(*values)
    assert bool(taken) is products
