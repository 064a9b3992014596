"""A 1x1 convolution as a product of matrices: what GPUs get of channels-last maps, held to the convolution here."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield.models import create_model
from levelfield.models.kernels import pointwise as module
from levelfield.models.kernels.pointwise import by_rows, multiplies_rows, pointwise


@pytest.mark.parametrize("biased", [True, False])
def test_it_is_the_convolution_and_its_gradients(biased: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(7, 5, 1, 1, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(7, dtype=torch.float64, requires_grad=True) if biased else None
    leaves = [x, weight] if bias is None else [x, weight, bias]
    mine, theirs = by_rows(x, weight, bias), F.conv2d(x, weight, bias)
    grad = torch.randn_like(theirs)
    assert mine.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    for one, two in zip(*(torch.autograd.grad(y, leaves, grad) for y in (mine, theirs)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)
        assert one.shape == two.shape


def test_only_channels_last_maps_on_cuda_are_taken() -> None:
    assert not multiplies_rows(torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last))
    assert not multiplies_rows(torch.randn(2, 3, 4, 4, device="meta"))


@pytest.mark.parametrize("name", ["outgrid_nano"])
def test_a_network_of_them_computes_the_same_without_a_1x1_convolution(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: every 1x1 convolution of the network is taken."""
    torch.manual_seed(0)
    model = create_model(name, 10, 32).double().eval()
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    expected = model(x)
    taken: list[tuple[int, ...]] = []

    def rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        taken.append(tuple(weight.shape))
        return by_rows(x, weight, bias)

    monkeypatch.setattr(module, "multiplies_rows", lambda x: x.is_contiguous(memory_format=torch.channels_last))
    monkeypatch.setattr(module, "by_rows", rows)
    torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)
    assert len(taken) >= 12 and pointwise(x, torch.ones(2, 3, 1, 1, dtype=torch.float64), None).shape == (2, 2, 32, 32)
