"""The Outlooker's operator against its equation, written as a loop over pixels and offsets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from levelfield.models.kernels.outlook import outlook


def by_the_equation(logits: Tensor, values: Tensor, heads: int) -> Tensor:
    B, C, H, W = values.shape
    width = C // heads
    result = torch.zeros_like(values)
    for b in range(B):
        for row in range(H):
            for column in range(W):
                for head in range(heads):
                    weights = logits[b, 9 * head : 9 * head + 9, row, column].softmax(0)
                    channels = slice(head * width, (head + 1) * width)
                    for offset in range(9):
                        r, c = row + offset // 3 - 1, column + offset % 3 - 1
                        if 0 <= r < H and 0 <= c < W:
                            result[b, channels, row, column] += weights[offset] * values[b, channels, r, c]
    return result


@pytest.mark.parametrize(("heads", "height", "width"), [(1, 4, 4), (2, 3, 5), (3, 1, 1)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_outlook_follows_its_equation(heads: int, height: int, width: int, memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 9 * heads, height, width, dtype=torch.float64).contiguous(memory_format=memory_format)
    values = torch.randn(2, 4 * heads, height, width, dtype=torch.float64).contiguous(memory_format=memory_format)
    torch.testing.assert_close(outlook(logits, values, heads), by_the_equation(logits, values, heads))


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 18, 3, 3, dtype=torch.float64, requires_grad=True)
    values = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, v: outlook(a, v, 2), (logits, values))
