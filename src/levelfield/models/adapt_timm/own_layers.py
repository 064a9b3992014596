"""timm's attention as levelfield computes it: the same module, parameters and names, with another forward pass.

float32 results are torch's to the bit; in bfloat16 it is computed by products where a gradient is wanted, whose
gradients take a fraction of the time (`kernels/self_attention.py`).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from levelfield.models.kernels.self_attention import products_are_faster
from levelfield.without_compiler import import_without_compiler

Attention: Any = import_without_compiler("timm").models.vision_transformer.Attention


class OwnAttention(Attention):  # type: ignore[misc]
    """timm's attention among (B, N, C), which has both forms and chooses by `fused_attn` when it is built."""

    def forward(self, x: Tensor, *how: Any, **named: Any) -> Tensor:
        chosen: bool = self.fused_attn  # type: ignore[has-type]
        self.fused_attn = chosen and not products_are_faster(x, x.shape[1])
        try:
            out: Tensor = super().forward(x, *how, **named)
        finally:
            self.fused_attn = chosen
        return out


def with_own_layers(model: nn.Module) -> nn.Module:
    """`model`, its attention replaced where levelfield has the same one."""
    for module in model.modules():
        if type(module) is Attention:
            module.__class__ = OwnAttention
    return model
