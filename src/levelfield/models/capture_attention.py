"""Reading what attention looks at: the weights of every module that can say them, beside a normal forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from levelfield.models.watch_calls import watching


@contextmanager
def capture_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Within the context, every forward pass leaves each attention module's weights here, by its dotted name.

    They are what the module's `attention_weights(x)` makes of its input: of OutGridViT's `OutlookAttention`
    (B, heads, 9, H, W), of its `GridAttention` (B, g, g, heads, N, N). The forward pass itself is the
    normal one: a hook reads the module's input and computes the weights beside it.
    """
    captured: dict[str, Tensor] = {}
    sayers = {
        module: name
        for name, module in model.named_modules()
        if callable(getattr(type(module), "attention_weights", None))
    }

    def record(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        with torch.no_grad():
            captured[sayers[module]] = module.attention_weights(inputs[0])

    with watching(sayers, record):
        yield captured
