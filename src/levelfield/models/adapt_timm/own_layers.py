"""timm's layers that levelfield computes faster: the same modules, parameters and names, with another forward pass.

Depthwise convolutions: outputs are torch's to the bit; gradients that take a fraction of the time on a CPU are rounded
otherwise, in bfloat16 and, without 512-bit registers, in float32 (`kernels/depthwise.py`). Attention of timm's vision
transformers: float32 results are torch's to the bit, in bfloat16 it is computed by products where a gradient is wanted,
whose gradients take a fraction of the time (`kernels/self_attention.py`).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from levelfield.models.kernels.depthwise import KERNELS
from levelfield.models.kernels.self_attention import products_are_faster
from levelfield.models.layers import Depthwise
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
    """`model`, its layers of torch's own kind replaced where levelfield has the same one."""
    for module in model.modules():
        if is_depthwise(module):
            module.__class__ = Depthwise
        elif type(module) is Attention:
            module.__class__ = OwnAttention
    return model


def is_depthwise(module: nn.Module) -> bool:
    """Whether it is torch's own form of what `Depthwise` computes: a kernel a channel, padded by half on all sides."""
    if type(module) is not nn.Conv2d:
        return False
    kernel, (stride, other) = module.kernel_size[0], module.stride
    return (
        module.groups == module.in_channels == module.out_channels
        and module.kernel_size == (kernel, kernel)
        and kernel in KERNELS
        and stride == other
        and module.padding == (kernel // 2, kernel // 2)
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
    )
