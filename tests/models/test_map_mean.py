"""The mean over a map: the faster kernel rounds once, and is not taken where a gradient is wanted."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from levelfield.models.kernels.map_mean import map_mean, mean_of_laid_out_gradient


@pytest.mark.parametrize("shape", [(3, 24, 16, 16), (2, 7, 5, 9), (1, 64, 1, 1), (4, 1, 3, 2)])
@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
def test_the_pool_is_the_mean_rounded_once(shape: tuple[int, ...], form: torch.memory_format) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2)).bfloat16().contiguous(memory_format=form)
    with torch.no_grad():
        found = map_mean(x)
    exact = x.double().mean((2, 3), keepdim=True)
    assert found.shape == (*shape[:2], 1, 1) and found.dtype is torch.bfloat16
    assert torch.all((found.double() - exact).abs() <= 2.0**-8 * exact.abs() + 1e-6)


def test_a_gradient_or_float32_takes_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    pooled: list[torch.dtype] = []
    pool = F.avg_pool2d
    monkeypatch.setattr(F, "avg_pool2d", lambda x, size: pooled.append(x.dtype) or pool(x, size))
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(map_mean(x), x.mean((2, 3), keepdim=True))
    map_mean(x.bfloat16().requires_grad_()).sum().backward()
    assert pooled == []
    map_mean(x.bfloat16())
    assert pooled == [torch.bfloat16]


@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
def test_its_gradient_has_the_layout_of_the_map(form: torch.memory_format) -> None:
    x = torch.randn(3, 6, 5, 4, dtype=torch.float64).contiguous(memory_format=form).requires_grad_()
    grad = torch.randn(3, 6, 1, 1, dtype=torch.float64)
    mine, plain = (
        torch.autograd.grad(mean(x), x, grad)[0]
        for mean in (mean_of_laid_out_gradient, lambda x: x.mean((2, 3), keepdim=True))
    )
    torch.testing.assert_close(mine, plain, rtol=1e-12, atol=0)
    assert mine.stride() == x.stride()
