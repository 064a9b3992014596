"""`swin_tiny_p2w4` as published attends across its image's borders; its sister `swin_tiny_p2` does not."""

from __future__ import annotations

import torch
from torch import nn

from levelfield.models import create_model


def _reach_of_a_shifted_block(name: str) -> torch.Tensor:
    """Which of the 16 x 16 places the corner (0, 0) reads in the first stage's shifted-window block: bool (16, 16)."""
    torch.manual_seed(0)
    model = create_model(name, 10, 32).eval()
    block = model.get_submodule("layers.0.blocks.1")
    assert isinstance(block, nn.Module)
    x = torch.randn(1, 16, 16, 96, requires_grad=True)
    block(x)[0, 0, 0].sum().backward()
    assert x.grad is not None
    return x.grad[0].abs().sum(-1) > 0


def test_the_right_masks_keep_a_corner_to_its_corner() -> None:
    reach = _reach_of_a_shifted_block("swin_tiny_p2")
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[:2, :2] = True
    assert torch.equal(reach, expected)


def test_the_published_masks_are_those_of_a_smaller_map() -> None:
    right, published = create_model("swin_tiny_p2", 10, 32), create_model("swin_tiny_p2w4", 10, 32)
    masks = [model.get_submodule("layers.0.blocks.1").attn_mask for model in (right, published)]
    assert [mask.shape[0] for mask in masks] == [16, 4]  # windows of a 16x16 map, and of an 8x8 one
    windows = torch.arange(16)
    repeated = masks[1][windows % 4]
    assert not torch.equal(repeated, masks[0])
