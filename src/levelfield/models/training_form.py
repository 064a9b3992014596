"""The form in which a network trains: its convolutions of torch's own kind compute their gradients sooner.

Every network gets it, built-in, timm's or a user's own. A layer is switched by giving it another class: parameters,
buffers, names and hooks stay. In evaluation all outputs are torch's to the bit.
"""

from __future__ import annotations

from torch import nn

from levelfield.models.kernels.depthwise import KERNELS
from levelfield.models.layers import Convolution, Depthwise


def training_form(model: nn.Module) -> nn.Module:
    """`model`, its dense convolutions by products of matrices where that is sooner, its depthwise ones with our own
    gradients (`kernels/dense.py`, `kernels/depthwise.py`)."""
    for module in model.modules():
        if type(module) is not nn.Conv2d or module.padding_mode != "zeros" or module.dilation != (1, 1):
            continue
        if is_depthwise(module):
            module.__class__ = Depthwise
        elif module.groups == 1 and not isinstance(module.padding, str):
            module.__class__ = Convolution
    return model


def is_depthwise(layer: nn.Conv2d) -> bool:
    """Whether it is what `Depthwise` computes: a kernel a channel, padded by half on all sides."""
    kernel, (stride, other) = layer.kernel_size[0], layer.stride
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and layer.kernel_size == (kernel, kernel)
        and kernel in KERNELS
        and stride == other
        and layer.padding == (kernel // 2, kernel // 2)
    )
