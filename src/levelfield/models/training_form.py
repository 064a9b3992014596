"""The form in which a network trains: its convolutions of torch's own kind compute their gradients sooner.

Every network gets it, built-in, timm's or a user's own. A layer is switched by giving it another class, which computes
what it knows and leaves the rest to torch: parameters, buffers, names, hooks and what a user put in place stay. In
evaluation all outputs of the switched layers are torch's to the bit.
"""

from __future__ import annotations

from torch import nn

from levelfield.models.layers import Convolution, Depthwise, is_depthwise


def training_form(model: nn.Module) -> nn.Module:
    """`model`, its dense convolutions by products of matrices where that is sooner, its depthwise ones with our own
    gradients (`kernels/dense.py`, `kernels/depthwise.py`)."""
    for module in model.modules():
        if type(module) is nn.Conv2d:
            if is_depthwise(module):
                module.__class__ = Depthwise
            elif module.groups == 1:
                module.__class__ = Convolution
    return model
